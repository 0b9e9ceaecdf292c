#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/base/mem.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

/* --- timers, on a clock of the test's own ------------------------------------------------------
 */

#define TIMERS 1000

struct probe {
    struct timer timer;
    struct timers *heap;
    uint64_t at_ms;
    unsigned fired;
};

static uint64_t last_ms;
static unsigned fired_count;

static void probe_fired(struct timer *t)
{
    struct probe *p = LIST_OWNER(t, struct probe, timer);
    cr_assert_geq(p->at_ms, last_ms, "timers fire by time");
    last_ms = p->at_ms;
    p->fired++;
    fired_count++;
}

Test(timers, fire_in_order_and_stopped_ones_do_not)
{
    struct timers heap;
    struct probe *probes = mem_zalloc(TIMERS, sizeof *probes);
    timers_init(&heap);
    srandom(1);
    for (unsigned i = 0; i < TIMERS; i++) {
        probes[i].at_ms = (uint64_t)(random() % 5000);
        timer_init(&probes[i].timer, &heap, probe_fired);
        timer_start(&probes[i].timer, probes[i].at_ms);
    }
    for (unsigned i = 0; i < TIMERS; i += 3) {
        timer_stop(&probes[i].timer);
        timer_stop(&probes[i].timer);
    }
    for (uint64_t now_ms = 0; now_ms <= 5000; now_ms += 7) {
        timers_run(&heap, now_ms);
    }
    uint64_t at_ms = 0;
    timers_run(&heap, 5000);
    cr_assert_not(timers_next(&heap, &at_ms));
    for (unsigned i = 0; i < TIMERS; i++) {
        cr_assert_eq(probes[i].fired, i % 3 == 0 ? 0 : 1, "timer %u", i);
    }
    timers_close(&heap);
    free(probes);
}

static void probe_again(struct timer *t)
{
    struct probe *p = LIST_OWNER(t, struct probe, timer);
    if (++p->fired < 3) {
        timer_start(t, p->at_ms);
    }
}

/* What becomes due while timers fire is fired in the same turn. */
Test(timers, one_that_rearms_itself_fires_again)
{
    struct timers heap;
    struct probe p = {.at_ms = 10};
    timers_init(&heap);
    timer_init(&p.timer, &heap, probe_again);
    timer_start(&p.timer, 10);
    timers_run(&heap, 9);
    cr_assert_eq(p.fired, 0);
    timers_run(&heap, 10);
    cr_assert_eq(p.fired, 3);
    timers_close(&heap);
}

/* --- mailbox and loop, with real threads ---------------------------------------------------------
 */

#define SENDERS 4
#define LETTERS 20000

struct letter {
    struct mail mail;
    unsigned sender;
    unsigned number;
};

static struct loop *receiver;
static unsigned next_number[SENDERS];
static unsigned received;

static void letter_deliver(struct mail *m)
{
    struct letter *l = LIST_OWNER(m, struct letter, mail);
    cr_assert_eq(l->number, next_number[l->sender], "order of one sender");
    next_number[l->sender]++;
    free(l);
    if (++received == SENDERS * LETTERS) {
        loop_stop(receiver);
    }
}

static void *sender_thread(void *arg)
{
    const unsigned *sender = arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *l = mem_zalloc(1, sizeof *l);
        *l = (struct letter){.mail = {.deliver = letter_deliver}, .sender = *sender, .number = i};
        mailbox_post(loop_mailbox(receiver), &l->mail);
    }
    return NULL;
}

Test(mailbox, nothing_is_lost_and_each_sender_keeps_its_order)
{
    pthread_t threads[SENDERS];
    unsigned numbers[SENDERS];
    receiver = loop_new("receiver");
    loop_start(receiver);
    for (unsigned i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, sender_thread, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    loop_join(receiver);
    cr_assert_eq(received, SENDERS * LETTERS);
    loop_free(receiver);
}

struct reader {
    struct io io;
    struct loop *loop;
    char got[16];
    size_t len;
};

static void reader_ready(struct io *io, unsigned ready)
{
    struct reader *r = LIST_OWNER(io, struct reader, io);
    cr_assert_eq(ready, IO_READ);
    ssize_t got = read(io->fd, r->got + r->len, sizeof r->got - r->len);
    cr_assert_geq(got, 0);
    r->len += (size_t)got;
    if (got == 0) {
        io_close(io);
        loop_stop(r->loop);
    }
}

Test(loop, descriptors_are_read_until_their_end)
{
    int fds[2];
    struct reader r = {.loop = loop_new("reader")};
    cr_assert_eq(pipe(fds), 0);
    io_open(&r.io, r.loop, fds[0], reader_ready);
    io_want(&r.io, IO_READ);
    cr_assert_eq(write(fds[1], "hello", 5), 5);
    (void)close(fds[1]);
    loop_run(r.loop);
    cr_assert_eq(r.len, 5);
    (void)close(fds[0]);
    loop_free(r.loop);
}

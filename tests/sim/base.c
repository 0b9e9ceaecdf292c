/* The ground of core/base on the simulated world: clocks and dice (env_real.c), threads that wait
 * (loop.c) and what goes between them (mailbox.c). */
#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/base/mem.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <time.h>

/* Mail wakes its loop after so long, as threads do; seldom much later. */
#define WAKE_MIN_US  2
#define WAKE_MAX_US  60
#define WAKE_LATE_US 3000

struct loop {
    struct env env;
    struct mailbox mailbox;
    struct process *process;
    uint64_t life;        /* of the process */
    struct fiber *fiber;  /* NULL while it does not run */
    struct fiber *joiner; /* waits for the end */
    struct mail stop_mail;
    bool stop_posted;
    bool stopping;
    bool ended;
};

/* --- clocks and dice ------------------------------------------------------------------------- */

uint64_t env_real_now_ms(void)
{
    return process_mono_us(process_here()) / 1000;
}

uint64_t env_real_now_us(void)
{
    return process_mono_us(process_here());
}

uint64_t env_real_wall_ms(void)
{
    return process_wall_ms(process_here());
}

void env_real_random(void *ret_data, size_t len)
{
    char *at = ret_data;
    for (size_t i = 0; i < len; i++) {
        at[i] = (char)(dice() >> 24);
    }
}

/* The disk's thread waits for room with it. */
int nanosleep(const struct timespec *ts, struct timespec *rest)
{
    (void)rest;
    fiber_wait((uint64_t)ts->tv_sec * SECOND_US + (uint64_t)ts->tv_nsec / 1000);
    return 0;
}

static uint64_t loop_now_ms(struct env *env)
{
    return process_mono_us(LIST_OWNER(env, struct loop, env)->process) / 1000;
}

static uint64_t loop_wall_ms(struct env *env)
{
    return process_wall_ms(LIST_OWNER(env, struct loop, env)->process);
}

static void loop_random(struct env *env, void *ret_data, size_t len)
{
    (void)env;
    env_real_random(ret_data, len);
}

static const struct env_ops LOOP_ENV = {
    .now_ms = loop_now_ms,
    .wall_ms = loop_wall_ms,
    .random = loop_random,
};

/* --- mailboxes ------------------------------------------------------------------------------- */

void mailbox_init(struct mailbox *box)
{
    *box = (struct mailbox){.event_fd = -1};
    box->last = &box->first;
}

void mailbox_close(struct mailbox *box)
{
    *box = (struct mailbox){.event_fd = -1};
}

int mailbox_fd(const struct mailbox *box)
{
    CHECK(box == NULL);
    return -1;
}

static uint64_t wake_delay(const struct process *p)
{
    uint64_t delay_us = dice_between(WAKE_MIN_US, WAKE_MAX_US);
    if (dice_below(128) == 0) {
        delay_us += dice_below(WAKE_LATE_US);
    }
    return delay_us + (p->lag_us > 0 ? dice_skewed(0, p->lag_us) : 0);
}

void mailbox_post(struct mailbox *box, struct mail *m)
{
    CHECK(m->deliver != NULL);
    /* Only loops have mailboxes. */
    struct loop *loop = LIST_OWNER(box, struct loop, mailbox);
    bool was_empty = box->first == NULL;
    if (loop->life != loop->process->life) {
        return; /* The process is gone, and nobody reads it. */
    }
    m->next = NULL;
    *box->last = m;
    box->last = &m->next;
    if (was_empty && loop->fiber != NULL) {
        fiber_wake(loop->fiber, world.now_us + wake_delay(loop->process));
    }
}

bool mailbox_drain(struct mailbox *box)
{
    struct mail *m = box->first;
    bool any = m != NULL;
    box->first = NULL;
    box->last = &box->first;
    while (m != NULL) {
        struct mail *next = m->next;
        m->deliver(m);
        m = next;
    }
    return any;
}

/* --- loops ----------------------------------------------------------------------------------- */

static void loop_on_stop(struct mail *m)
{
    LIST_OWNER(m, struct loop, stop_mail)->stopping = true;
}

struct loop *loop_new(const char *name)
{
    (void)name;
    struct loop *loop = mem_zalloc(1, sizeof *loop);
    loop->env.ops = &LOOP_ENV;
    loop->process = process_here();
    CHECK(loop->process != NULL);
    loop->life = loop->process->life;
    loop->stop_mail.deliver = loop_on_stop;
    timers_init(&loop->env.timers);
    mailbox_init(&loop->mailbox);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    CHECK(loop->fiber == NULL || loop->ended);
    mailbox_close(&loop->mailbox);
    timers_close(&loop->env.timers);
    free(loop);
}

struct env *loop_env(struct loop *loop)
{
    return &loop->env;
}

struct mailbox *loop_mailbox(struct loop *loop)
{
    return &loop->mailbox;
}

/* When the world's clock says that the process' own has reached `at_ms`; a little late, never
 * early. */
static uint64_t loop_due_us(const struct loop *loop, uint64_t at_ms)
{
    uint64_t mono_us = process_mono_us(loop->process);
    uint64_t at_us = at_ms * 1000;
    if (at_us <= mono_us) {
        return world.now_us + dice_between(WAKE_MIN_US, WAKE_MAX_US);
    }
    uint64_t wait_us = at_us - mono_us;
    int64_t drift = (int64_t)wait_us / 1000 * loop->process->drift_ppm / 1000;
    return world.now_us + (uint64_t)((int64_t)wait_us - drift) + wake_delay(loop->process);
}

void loop_run(struct loop *loop)
{
    loop->fiber = fiber_here();
    while (!loop->stopping) {
        uint64_t at_ms = 0;
        if (loop->mailbox.first == NULL) {
            fiber_sleep(timers_next(&loop->env.timers, &at_ms) ? loop_due_us(loop, at_ms)
                                                               : WORLD_NEVER);
        }
        (void)mailbox_drain(&loop->mailbox);
        timers_run(&loop->env.timers, process_mono_us(loop->process) / 1000);
    }
    loop->ended = true;
    if (loop->joiner != NULL) {
        fiber_wake(loop->joiner, world.now_us + 1);
    }
}

static void loop_fiber(void *arg)
{
    loop_run(arg);
}

void loop_start(struct loop *loop)
{
    loop->fiber = fiber_new(loop->process, loop_fiber, loop);
}

void loop_join(struct loop *loop)
{
    loop->joiner = fiber_here();
    while (!loop->ended) {
        fiber_sleep(WORLD_NEVER);
    }
    loop->joiner = NULL;
}

void loop_stop(struct loop *loop)
{
    if (!loop->stop_posted) {
        loop->stop_posted = true;
        mailbox_post(&loop->mailbox, &loop->stop_mail);
    }
}

struct loop_request {
    struct mail mail;
    void (*fn)(void *arg);
    void *arg;
    struct fiber *caller;
    bool done;
};

static void loop_on_call(struct mail *m)
{
    struct loop_request *request = LIST_OWNER(m, struct loop_request, mail);
    request->fn(request->arg);
    request->done = true;
    fiber_wake(request->caller, world.now_us + 1);
}

void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_request request = {
        .mail.deliver = loop_on_call,
        .fn = fn,
        .arg = arg,
        .caller = fiber_here(),
    };
    mailbox_post(&loop->mailbox, &request.mail);
    while (!request.done) {
        fiber_sleep(WORLD_NEVER);
    }
}

void loop_drain(struct loop *loop)
{
    (void)mailbox_drain(&loop->mailbox);
}

/* --- descriptors: there are none ------------------------------------------------------------- */

void io_open(struct io *io, struct loop *loop, int fd, io_fn fn)
{
    (void)fd;
    (void)fn;
    CHECK(io == NULL && loop == NULL);
}

void io_want(struct io *io, unsigned want)
{
    CHECK(io == NULL && want == 0);
}

void io_close(struct io *io)
{
    CHECK(io == NULL);
}

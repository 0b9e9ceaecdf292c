#include "core/base/loop.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct loop {
    struct env env;
    struct mailbox mailbox;
    struct event_base *base;
    struct event mail_event;
    struct event timer_event;
    uint64_t armed_ms; /* when timer_event is due; 0 when it is not pending */
    atomic_bool stopping;
    struct mail stop_mail;
    atomic_bool stop_posted;
    pthread_t thread;
    char name[16];
};

static uint64_t loop_now_ms(struct env *env)
{
    (void)env;
    return env_real_now_ms();
}

static uint64_t loop_wall_ms(struct env *env)
{
    (void)env;
    return env_real_wall_ms();
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

static void loop_arm(struct loop *loop)
{
    uint64_t at_ms = 0;
    if (!timers_next(&loop->env.timers, &at_ms)) {
        if (loop->armed_ms != 0) {
            (void)event_del(&loop->timer_event);
            loop->armed_ms = 0;
        }
        return;
    }
    if (at_ms == loop->armed_ms) {
        return;
    }
    uint64_t now_ms = env_real_now_ms();
    uint64_t delay_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    struct timeval tv = {
        .tv_sec = (time_t)(delay_ms / 1000),
        .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000),
    };
    int rc = evtimer_add(&loop->timer_event, &tv);
    CHECK(rc == 0);
    loop->armed_ms = at_ms;
}

static void loop_on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *loop = arg;
    loop->armed_ms = 0;
    timers_run(&loop->env.timers, env_real_now_ms());
}

static void loop_on_mail(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *loop = arg;
    (void)mailbox_drain(&loop->mailbox);
}

static void loop_on_stop(struct mail *m)
{
    struct loop *loop = LIST_OWNER(m, struct loop, stop_mail);
    atomic_store(&loop->stopping, true);
}

struct loop *loop_new(const char *name)
{
    struct loop *loop = mem_zalloc(1, sizeof *loop);
    loop->env.ops = &LOOP_ENV;
    loop->stop_mail.deliver = loop_on_stop;
    (void)snprintf(loop->name, sizeof loop->name, "%.15s", name);
    timers_init(&loop->env.timers);
    mailbox_init(&loop->mailbox);
    loop->base = event_base_new();
    if (loop->base == NULL) {
        fatal("event_base_new failed");
    }
    int rc = event_assign(&loop->mail_event, loop->base, mailbox_fd(&loop->mailbox),
                          EV_READ | EV_PERSIST, loop_on_mail, loop);
    CHECK(rc == 0);
    rc = event_add(&loop->mail_event, NULL);
    CHECK(rc == 0);
    rc = evtimer_assign(&loop->timer_event, loop->base, loop_on_timer, loop);
    CHECK(rc == 0);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    (void)event_del(&loop->mail_event);
    (void)event_del(&loop->timer_event);
    event_base_free(loop->base);
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

void loop_run(struct loop *loop)
{
    while (!atomic_load(&loop->stopping)) {
        loop_arm(loop);
        int rc = event_base_loop(loop->base, EVLOOP_ONCE);
        CHECK(rc >= 0);
    }
}

static void *loop_thread(void *arg)
{
    struct loop *loop = arg;
    (void)pthread_setname_np(pthread_self(), loop->name);
    loop_run(loop);
    return NULL;
}

void loop_start(struct loop *loop)
{
    int rc = pthread_create(&loop->thread, NULL, loop_thread, loop);
    if (rc != 0) {
        fatal("pthread_create(%s) failed: %d", loop->name, rc);
    }
}

void loop_join(struct loop *loop)
{
    (void)pthread_join(loop->thread, NULL);
}

void loop_stop(struct loop *loop)
{
    if (!atomic_exchange(&loop->stop_posted, true)) {
        mailbox_post(&loop->mailbox, &loop->stop_mail);
    }
}

struct loop_request {
    struct mail mail;
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static void loop_on_call(struct mail *m)
{
    struct loop_request *request = LIST_OWNER(m, struct loop_request, mail);
    request->fn(request->arg);
    (void)sem_post(&request->done);
}

void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_request request = {.mail.deliver = loop_on_call, .fn = fn, .arg = arg};
    int rc = sem_init(&request.done, 0, 0);
    CHECK(rc == 0);
    mailbox_post(&loop->mailbox, &request.mail);
    do {
        rc = sem_wait(&request.done);
    } while (rc != 0 && errno == EINTR);
    (void)sem_destroy(&request.done);
}

void loop_drain(struct loop *loop)
{
    (void)mailbox_drain(&loop->mailbox);
}

static void io_on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct io *io = arg;
    unsigned ready =
        ((what & EV_READ) != 0 ? IO_READ : 0U) | ((what & EV_WRITE) != 0 ? IO_WRITE : 0U);
    io->fn(io, ready);
}

void io_open(struct io *io, struct loop *loop, int fd, io_fn fn)
{
    CHECK(fd >= 0);
    *io = (struct io){.fd = fd, .loop = loop, .fn = fn};
    int rc = event_assign(&io->event, loop->base, fd, EV_PERSIST, io_on_event, io);
    CHECK(rc == 0);
}

void io_want(struct io *io, unsigned want)
{
    if (io->want == want) {
        return;
    }
    if (io->want != 0) {
        (void)event_del(&io->event);
    }
    io->want = want;
    if (want == 0) {
        return;
    }
    short what = (short)(EV_PERSIST | ((want & IO_READ) != 0 ? EV_READ : 0) |
                         ((want & IO_WRITE) != 0 ? EV_WRITE : 0));
    int rc = event_assign(&io->event, io->loop->base, io->fd, what, io_on_event, io);
    CHECK(rc == 0);
    rc = event_add(&io->event, NULL);
    CHECK(rc == 0);
}

void io_close(struct io *io)
{
    io_want(io, 0);
    io->fd = -1;
}

/* A thread that waits: descriptors, timers and a mailbox, on libevent. The real `struct env`.
 *
 * Order    one turn: mailbox, descriptors as they became ready, timers that are due.
 * Owner    a `struct io` is its user's memory, from io_open() to io_close(); io_close() may be
 *          called from its own callback, and does not close the descriptor.
 * Threads  loop_stop() and mailbox_post() from any; everything else from the loop's thread
 *          (or before it runs).
 */
#ifndef CORE_BASE_LOOP_H
#define CORE_BASE_LOOP_H

#include "core/base/env.h"
#include "core/base/mailbox.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdbool.h>

struct loop;
struct io;

enum {
    IO_READ = 1,
    IO_WRITE = 2,
};

typedef void (*io_fn)(struct io *io, unsigned ready);

struct io {
    /* read-only */
    int fd;
    unsigned want; /* IO_READ | IO_WRITE */
    /* private */
    struct loop *loop;
    io_fn fn;
    struct event event;
};

/* `name` is copied (15 characters are shown by the system) and becomes the thread's name. */
struct loop *loop_new(const char *name);
void loop_free(struct loop *loop);
struct env *loop_env(struct loop *loop);
struct mailbox *loop_mailbox(struct loop *loop);

/* Runs in the calling thread until loop_stop(). */
void loop_run(struct loop *loop);
/* Runs in a thread of its own; loop_join() waits for its end. */
void loop_start(struct loop *loop);
void loop_join(struct loop *loop);
void loop_stop(struct loop *loop);
/* Runs `fn` on the loop's thread and waits for its end. Not from that thread; in order with what
 * was posted before. */
void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg);
/* Delivers what is in the mailbox now: for a reader that must see what was posted before. */
void loop_drain(struct loop *loop);

void io_open(struct io *io, struct loop *loop, int fd, io_fn fn);
/* Level-triggered; 0 to pause. */
void io_want(struct io *io, unsigned want);
void io_close(struct io *io);

#endif

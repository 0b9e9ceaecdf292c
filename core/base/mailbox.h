/* The only way from one thread to another: a queue of items that change owner.
 *
 * Owner    posting hands the item (and what it points to) to the mailbox's thread, which gets
 *          it back in `deliver`.
 * Order    items of one sender arrive in the order of posting.
 * Threads  mailbox_post() from any; the rest from the thread that owns the mailbox.
 */
#ifndef CORE_BASE_MAILBOX_H
#define CORE_BASE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

struct mail {
    struct mail *next;
    void (*deliver)(struct mail *m);
};

struct mailbox {
    /* private */
    pthread_mutex_t lock;
    struct mail *first;
    struct mail **last;
    int event_fd; /* readable while the mailbox may hold something */
};

void mailbox_init(struct mailbox *box);
/* Nothing may be posted any more; what is still inside is dropped. */
void mailbox_close(struct mailbox *box);
void mailbox_post(struct mailbox *box, struct mail *m);
/* Delivers what is there now; what is posted meanwhile waits for the next call. Returns whether
 * there was anything. */
bool mailbox_drain(struct mailbox *box);
/* To be watched for reading; mailbox_drain() makes it quiet again. */
int mailbox_fd(const struct mailbox *box);

#endif

#include "core/base/mailbox.h"

#include "core/base/check.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void mailbox_init(struct mailbox *box)
{
    *box = (struct mailbox){.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (box->event_fd < 0) {
        fatal("eventfd: %s", strerror(errno));
    }
    box->last = &box->first;
    int rc = pthread_mutex_init(&box->lock, NULL);
    CHECK(rc == 0);
}

void mailbox_close(struct mailbox *box)
{
    (void)pthread_mutex_destroy(&box->lock);
    (void)close(box->event_fd);
    *box = (struct mailbox){.event_fd = -1};
}

void mailbox_post(struct mailbox *box, struct mail *m)
{
    CHECK(m->deliver != NULL);
    m->next = NULL;
    (void)pthread_mutex_lock(&box->lock);
    bool was_empty = box->first == NULL;
    *box->last = m;
    box->last = &m->next;
    (void)pthread_mutex_unlock(&box->lock);
    if (was_empty) {
        uint64_t one = 1;
        ssize_t put = write(box->event_fd, &one, sizeof one);
        /* EAGAIN: the counter is full, so the reader will wake anyway. */
        CHECK(put == (ssize_t)sizeof one || errno == EAGAIN);
    }
}

bool mailbox_drain(struct mailbox *box)
{
    uint64_t count = 0;
    ssize_t got = read(box->event_fd, &count, sizeof count);
    CHECK(got == (ssize_t)sizeof count || errno == EAGAIN || errno == EINTR);
    (void)pthread_mutex_lock(&box->lock);
    struct mail *m = box->first;
    box->first = NULL;
    box->last = &box->first;
    (void)pthread_mutex_unlock(&box->lock);
    bool any = m != NULL;
    while (m != NULL) {
        struct mail *next = m->next;
        m->deliver(m);
        m = next;
    }
    return any;
}

int mailbox_fd(const struct mailbox *box)
{
    return box->event_fd;
}

#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/metric.h"

#include <time.h>

/* --- the log: on the disk thread ------------------------------------------------------------- */

static void disk_wait(uint64_t ms)
{
    struct timespec ts = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&ts, NULL);
}

/* The disk was filled by somebody else between our look and our write. The write failed before
 * any sync, so nothing is in doubt: the log is opened anew, which cuts off what was half written,
 * and the group is written again when there is room. Reads go on meanwhile. */
static enum err disk_write_again(struct store *s, struct reason *why)
{
    struct disk_group *g = &s->group;
    enum err e = ERR_NO_SPACE;
    log_line(LOG_STORE_NO_SPACE, "dir=%s free=0", s->dir.path);
    while (e == ERR_NO_SPACE && !atomic_load(&s->closing)) {
        disk_wait(DISK_RETRY_MS);
        e = journal_reopen(s->journal, why);
        if (e == OK && journal_last(s->journal) < g->first) {
            e = journal_append(s->journal, g->first, g->entries, g->count, why);
        }
    }
    return e;
}

static void disk_on_appended(struct mail *m)
{
    hub_on_appended(LIST_OWNER(m, struct disk_group, mail)->store);
}

static void disk_on_append(struct mail *m)
{
    struct disk_group *g = LIST_OWNER(m, struct disk_group, mail);
    struct store *s = g->store;
    struct reason why;
    uint64_t begin_us = env_real_now_us();
    enum err e = journal_append(s->journal, g->first, g->entries, g->count, &why);
    if (e == ERR_NO_SPACE) {
        e = disk_write_again(s, &why);
    }
    if (e == ERR_NO_SPACE) {
        /* Closing: nobody is told that it was written. */
        g->count = 0;
    } else if (e != OK) {
        /* After a failed sync nobody knows what the disk holds. */
        fatal("cannot write the log: %s", why.text);
    }
    metric_observe(METRIC_LOG_SYNC, (double)(env_real_now_us() - begin_us) / 1000);
    metric_observe(METRIC_LOG_GROUP, (double)g->count);
    g->mail.deliver = disk_on_appended;
    mailbox_post(loop_mailbox(s->hub), &g->mail);
}

void disk_append(struct store *s)
{
    s->group.busy = true;
    s->group.store = s;
    s->group.mail.deliver = disk_on_append;
    mailbox_post(loop_mailbox(s->disk), &s->group.mail);
}

static void disk_on_cut(struct mail *m)
{
    struct disk_cut *cut = LIST_OWNER(m, struct disk_cut, mail);
    cut->busy = false;
    keep_on_cut(cut->store);
}

static void disk_on_cut_head(struct mail *m)
{
    struct disk_cut *cut = LIST_OWNER(m, struct disk_cut, mail);
    struct store *s = cut->store;
    struct reason why;
    enum err e = journal_cut_head(s->journal, &cut->snapshot, cut->first_kept, &why);
    if (e == OK && cut->compact) {
        e = journal_compact(s->journal, &why);
    }
    /* Without room it stays as long as it is; the next cut takes it along. */
    if (e != OK && e != ERR_NO_SPACE) {
        fatal("cannot cut the log: %s", why.text);
    }
    cut->mail.deliver = disk_on_cut;
    mailbox_post(loop_mailbox(s->hub), &cut->mail);
}

void disk_cut_head(struct store *s)
{
    s->cut.busy = true;
    s->cut.store = s;
    s->cut.mail.deliver = disk_on_cut_head;
    mailbox_post(loop_mailbox(s->disk), &s->cut.mail);
}

/* --- the state: on the keeper thread --------------------------------------------------------- */

static void disk_on_flushed(struct mail *m)
{
    struct keeper_flush *f = LIST_OWNER(m, struct keeper_flush, mail);
    f->busy = false;
    keep_on_flushed(f->store);
}

static void disk_on_flush_state(struct mail *m)
{
    struct keeper_flush *f = LIST_OWNER(m, struct keeper_flush, mail);
    struct store *s = f->store;
    struct reason why;
    f->result = state_flush(s->state, &why);
    if (f->result != OK && f->result != ERR_NO_SPACE) {
        fatal("cannot write the state: %s", why.text);
    }
    f->mail.deliver = disk_on_flushed;
    mailbox_post(loop_mailbox(s->hub), &f->mail);
}

void disk_flush_state(struct store *s)
{
    s->flush.busy = true;
    s->flush.store = s;
    s->flush.mail.deliver = disk_on_flush_state;
    mailbox_post(loop_mailbox(s->keeper), &s->flush.mail);
}

#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <time.h>

/* --- the log: on the disk thread ------------------------------------------------------------- */

static enum err disk_write(struct store *s, struct reason *why)
{
    struct disk_group *g = &s->group;
    enum err e = OK;
    if (g->cut_from != 0 && g->cut_from <= journal_last(s->journal)) {
        e = journal_cut_tail(s->journal, g->cut_from, why);
    }
    if (e == OK && g->count > 0 && journal_last(s->journal) < g->first) {
        e = journal_append(s->journal, g->first, g->entries, g->count, why);
    }
    return e;
}

/* Whoever sees elections come late should not have to guess why. */
static void disk_note_slow(struct store *s, uint64_t begin_us, const char *what)
{
    uint64_t took_ms = (env_real_now_us() - begin_us) / 1000;
    uint64_t now_ms = env_real_now_ms();
    if (took_ms >= DISK_SLOW_MS && now_ms >= s->group.slow_quiet_ms) {
        s->group.slow_quiet_ms = now_ms + DISK_QUIET_MS;
        log_line(LOG_STORE_SLOW, "dir=%s what=%s ms=%llu", s->dir.path, what,
                 (unsigned long long)took_ms);
    }
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
    g->result = disk_write(s, &why);
    if (g->result != OK && g->result != ERR_NO_SPACE) {
        /* After a failed sync nobody knows what the disk holds. */
        fatal("cannot write the log: %s", why.text);
    }
    metric_observe(METRIC_LOG_SYNC, (double)(env_real_now_us() - begin_us) / 1000);
    disk_note_slow(s, begin_us, "log");
    metric_observe(METRIC_LOG_GROUP, (double)g->count);
    g->mail.deliver = disk_on_appended;
    mailbox_post(loop_mailbox(s->hub), &g->mail);
}

/* What of the log's end the disk has not been given yet; one group at a time. */
static void disk_fill_group(struct store *s)
{
    struct disk_group *g = &s->group;
    g->first = s->written + 1;
    g->count = 0;
    g->bytes = 0;
    g->clip = UINT64_MAX;
    g->cut_from = s->cut_from;
    s->cut_from = 0;
    for (uint64_t i = g->first; i <= tail_last(&s->tail); i++) {
        if (g->count == GROUP_ENTRIES_MAX || g->bytes >= GROUP_BYTES_MAX) {
            break;
        }
        if (g->count == g->entries_cap) {
            g->entries_cap = g->entries_cap == 0 ? 64 : g->entries_cap * 2;
            g->entries = mem_realloc(g->entries, g->entries_cap * sizeof *g->entries);
        }
        const struct journal_entry *entry = tail_get(&s->tail, i);
        CHECK(entry != NULL);
        g->entries[g->count++] = *entry;
        g->bytes += entry->data.len;
    }
    s->written += g->count;
}

void disk_append(struct store *s)
{
    /* The end waits for the group under way, but not for what others send meanwhile; nor may there
     * be another behind one that found no room. */
    if (s->group.busy || atomic_load(&s->closing) ||
        (s->written >= tail_last(&s->tail) && s->cut_from == 0)) {
        return;
    }
    disk_fill_group(s);
    s->group.busy = true;
    s->group.store = s;
    s->group.mail.deliver = disk_on_append;
    mailbox_post(loop_mailbox(s->disk), &s->group.mail);
}

void disk_resend(struct store *s)
{
    s->group.mail.deliver = disk_on_append;
    mailbox_post(loop_mailbox(s->disk), &s->group.mail);
}

struct disk_opening {
    struct store *store;
    enum err result;
    struct reason why;
};

static void disk_on_reopen(void *arg)
{
    struct disk_opening *o = arg;
    o->result = journal_reopen(o->store->journal, &o->why);
}

enum err disk_reopen(struct store *s)
{
    struct disk_opening o = {.store = s};
    log_line(LOG_STORE_NO_SPACE, "dir=%s free=0", s->dir.path);
    disk_call(s, disk_on_reopen, &o);
    if (o.result != OK && o.result != ERR_NO_SPACE) {
        fatal("cannot open the log again: %s", o.why.text);
    }
    return o.result;
}

void disk_call(struct store *s, void (*fn)(void *arg), void *arg)
{
    if (s->running) {
        loop_call(s->disk, fn, arg);
    } else {
        fn(arg);
    }
}

bool disk_insist(struct store *s, void (*fn)(void *arg), void *arg, const enum err *result)
{
    const struct timespec pause = {.tv_nsec = DISK_RETRY_MS * 1000000L};
    disk_call(s, fn, arg);
    while (*result == ERR_NO_SPACE && s->running) {
        if (atomic_load(&s->closing)) {
            s->muted = true;
            return false;
        }
        (void)nanosleep(&pause, NULL);
        if (disk_reopen(s) == OK) {
            disk_call(s, fn, arg);
        }
    }
    return true;
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
    uint64_t begin_us = env_real_now_us();
    enum err e = journal_cut_head(s->journal, &cut->snapshot, cut->first_kept, &why);
    if (e == OK && cut->compact) {
        e = journal_compact(s->journal, &why);
    }
    /* Without room it stays as long as it is; the next cut takes it along. */
    if (e != OK && e != ERR_NO_SPACE) {
        fatal("cannot cut the log: %s", why.text);
    }
    disk_note_slow(s, begin_us, "cut");
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

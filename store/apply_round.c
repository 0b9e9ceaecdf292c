#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/metric.h"

/* A round of applying ends when its changes have grown so large. */
#define ROUND_BYTES MIB(4)

enum err round_entry(struct store *s,
                     uint64_t index,
                     struct rocks_slice *slice,
                     struct journal_entry *ret_entry,
                     struct reason *why)
{
    const struct journal_entry *kept = tail_get(&s->tail, index);
    if (kept != NULL) {
        *ret_entry = *kept;
        return OK;
    }
    enum err e = journal_read(s->journal, index, slice, ret_entry, why);
    if (e == ERR_NOT_FOUND) {
        reason_set(why, "the log does not hold entry %llu, which the state needs",
                   (unsigned long long)index);
        e = ERR_CORRUPT;
    }
    return e;
}

static enum err round_apply_next(struct store *s, size_t *bytes, struct reason *why)
{
    uint64_t index = s->applied + 1;
    struct rocks_slice slice = {0};
    struct journal_entry entry = {0};
    struct apply_reply reply = {0};
    enum err e = round_entry(s, index, &slice, &entry, why);
    if (e == OK && entry.type == JOURNAL_COMMAND) {
        e = state_apply(s->state, index, entry.data, &s->collect, &reply, why);
    } else if (e == OK) {
        e = state_skip(s->state, index, why);
    }
    rocks_slice_close(&slice);
    if (e == OK) {
        s->applied = index;
        *bytes += entry.data.len;
        writes_on_applied(s, index, entry.term, &reply);
    }
    return e;
}

static void round_park(struct store *s, enum err e, const struct reason *why)
{
    if (e != ERR_NO_SPACE) {
        struct reason damage;
        reason_set(&damage, "cannot apply entry %llu: %s", (unsigned long long)s->applied + 1,
                   why->text);
        if (e == ERR_CORRUPT) {
            repair_doom(s, &damage);
        }
        fatal("%s", damage.text);
    }
    if (!s->parked) {
        log_line(LOG_STORE_NO_SPACE, "dir=%s what=state", s->dir.path);
    }
    s->parked = true;
    env_timer_start(loop_env(s->hub), &s->retry, STATE_RETRY_MS);
}

/* What others have made durable may be committed before our own disk has it. The state's database
 * writes when it likes, and must never be ahead of the log that a crash leaves. */
uint64_t round_limit(const struct store *s)
{
    uint64_t stored = engine_stored(s->engine);
    return stored < s->commit ? stored : s->commit;
}

/* In rounds: each ends in one view and one batch of changes for all readers. */
void round_apply(struct store *s)
{
    struct reason why = {0};
    enum err e = OK;
    uint64_t limit = round_limit(s);
    while (e == OK && s->applied < limit) {
        uint64_t after = s->applied;
        size_t bytes = 0;
        while (e == OK && s->applied < limit && s->collect.bytes < ROUND_BYTES) {
            e = round_apply_next(s, &bytes, &why);
        }
        if (s->applied > after) {
            metric_add(METRIC_RAFT_APPLY, (int64_t)(s->applied - after));
            metric_add(METRIC_KV_WRITES, (int64_t)s->collect.count);
            publish(s, after);
            keep_on_applied(s, bytes);
            reads_on_applied(s);
        }
        writes_answer(s);
    }
    if (e != OK) {
        round_park(s, e, &why);
    } else if (s->parked) {
        s->parked = false;
        log_line(LOG_STORE_SPACE_BACK, "dir=%s what=state", s->dir.path);
    }
    uint64_t safe = s->applied < s->written ? s->applied : s->written;
    tail_trim(&s->tail, s->group.busy && s->group.first <= safe ? s->group.first - 1 : safe,
              TAIL_KEEP_BYTES);
}

enum err round_replay(struct store *s, struct reason *why)
{
    enum err e = OK;
    size_t bytes = 0;
    while (e == OK && s->applied < s->commit) {
        e = round_apply_next(s, &bytes, why);
        collect_truncate(&s->collect, 0);
    }
    s->dirty_bytes += bytes;
    return e;
}

#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

/* A value is in the state twice: in its row, and in the history. */
#define KEEP_STATE_COPIES  2
/* Of the bytes that the state may be ahead of its disk, the log behind it keeps this part. */
#define KEEP_TRAILING_PART 2
/* After so many parts of them, it is looked how far the state is durable. */
#define KEEP_LOOK_PART     16

/* --- free space ------------------------------------------------------------------------------ */

/* What must stay free: the reserve, what is in memory and will have to be written out, and the
 * group that is about to be written. */
static uint64_t keep_need(const struct store *s, uint64_t reserve)
{
    uint64_t pending = writes_pending_bytes(s);
    uint64_t group = pending < GROUP_BYTES_MAX ? pending : GROUP_BYTES_MAX;
    uint64_t unflushed = s->dirty_bytes + (s->flush.busy ? s->flush.bytes : 0);
    return reserve + KEEP_STATE_COPIES * unflushed + group;
}

static void keep_flush(struct store *s)
{
    if (s->flush.busy || atomic_load(&s->closing)) {
        return;
    }
    s->flush.bytes = s->dirty_bytes;
    s->dirty_bytes = 0;
    s->dirty_since_ms = 0;
    disk_flush_state(s);
}

bool keep_disk_full(struct store *s)
{
    if (s->in_memory || datadir_space(&s->dir, &s->space) != OK) {
        return false;
    }
    uint64_t reserve = s->full ? datadir_reserve_end(&s->space) : datadir_reserve(&s->space);
    bool full = s->space.free < keep_need(s, reserve);
    if (full && !s->full) {
        log_line(LOG_STORE_NO_SPACE, "dir=%s free=%llu", s->dir.path,
                 (unsigned long long)s->space.free);
        /* While there is room for it: what is durable frees the log. */
        keep_flush(s);
    } else if (!full && s->full) {
        log_line(LOG_STORE_SPACE_BACK, "dir=%s free=%llu", s->dir.path,
                 (unsigned long long)s->space.free);
    }
    s->full = full;
    atomic_store(&s->facts.disk_full, s->full || s->parked);
    return full;
}

/* --- durable state, short log ---------------------------------------------------------------- */

/* How many entries stay behind the durable state: as many as configured, while they are not more
 * than the disk can spare. */
static uint64_t keep_trailing(const struct store *s, uint64_t durable)
{
    uint64_t count = engine_last(s->engine) - engine_snapshot_index(s->engine);
    uint64_t each = count > 0 ? s->uncut_bytes / count + 1 : 1;
    uint64_t most = s->flush_budget / KEEP_TRAILING_PART / each;
    most = most < s->log_trailing ? most : s->log_trailing;
    /* Whoever fetches a snapshot goes on from there. */
    uint64_t behind = fetch_keep_behind(s);
    return behind < durable && durable - behind > most ? durable - behind : most;
}

static void keep_cut(struct store *s)
{
    struct reason why;
    uint64_t durable = 0;
    if (s->cut.busy || atomic_load(&s->closing)) {
        return;
    }
    s->unlooked_bytes = 0;
    if (state_durable(s->state, &durable, &why) != OK ||
        durable <= engine_snapshot_index(s->engine)) {
        return;
    }
    struct journal_snapshot snapshot;
    uint64_t first_kept = 0;
    enum err e = engine_snapshot(s->engine, durable, keep_trailing(s, durable),
                                 env_now_ms(loop_env(s->hub)), &snapshot, &first_kept);
    if (e != OK) {
        return;
    }
    buf_clear(&s->cut.configuration);
    buf_put(&s->cut.configuration, snapshot.configuration);
    snapshot.configuration = buf_view(&s->cut.configuration);
    s->cut.snapshot = snapshot;
    s->cut.first_kept = first_kept;
    /* The library gives a log file back only when all of it is written elsewhere; on a large disk
     * it does so by itself in time. */
    s->cut.compact = !s->in_memory && s->flush_budget < STATE_FLUSH_BYTES &&
                     s->uncompacted_bytes > s->flush_budget;
    s->uncut_bytes = 0;
    s->uncompacted_bytes = s->cut.compact ? 0 : s->uncompacted_bytes;
    log_line(LOG_STORE_SNAPSHOT, "index=%llu first=%llu", (unsigned long long)durable,
             (unsigned long long)first_kept);
    disk_cut_head(s);
}

void keep_on_cut(struct store *s)
{
    hub_refresh_facts(s);
    if (atomic_load(&s->closing)) {
        hub_on_close(&s->close_mail);
    }
}

void keep_on_flushed(struct store *s)
{
    if (s->flush.result != OK) {
        /* Its disk is full: what was to be flushed still is. */
        s->dirty_bytes += s->flush.bytes;
        s->dirty_since_ms = env_now_ms(loop_env(s->hub));
    }
    keep_cut(s);
    if (atomic_load(&s->closing)) {
        hub_on_close(&s->close_mail);
    }
}

void keep_on_applied(struct store *s, size_t bytes)
{
    if (s->dirty_since_ms == 0) {
        s->dirty_since_ms = env_now_ms(loop_env(s->hub));
    }
    s->dirty_bytes += bytes;
    if (s->dirty_bytes >= s->flush_budget) {
        keep_flush(s);
    }
    /* The database writes its buffers out by itself, too. A log that is cut in time is never
     * written a second time, to table files. */
    s->unlooked_bytes += bytes;
    if (s->unlooked_bytes >= s->flush_budget / KEEP_LOOK_PART) {
        keep_cut(s);
    }
}

static void keep_on_tick(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, tick);
    struct env *env = loop_env(s->hub);
    uint64_t now_ms = env_now_ms(env);
    (void)keep_disk_full(s);
    if (s->dirty_since_ms != 0 && now_ms - s->dirty_since_ms >= STATE_FLUSH_MS) {
        keep_flush(s);
    }
    keep_cut(s);
    hub_refresh_facts(s);
    timer_start(t, now_ms + DISK_LOOK_MS);
}

/* --- history --------------------------------------------------------------------------------- */

static void keep_on_trim(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, trim);
    struct env *env = loop_env(s->hub);
    struct reason why = {0};
    bool more = false;
    uint64_t wall_ms = env_wall_ms(env);
    struct history_limits limits = {
        .before_ms =
            s->history_age_ms > 0 && wall_ms > s->history_age_ms ? wall_ms - s->history_age_ms : 0,
        .bytes_max = s->history_bytes_max,
    };
    uint64_t oldest = state_history_oldest(s->state);
    enum err e = state_trim(s->state, &limits, &more, &why);
    if (e != OK && e != ERR_NO_SPACE) {
        fatal("cannot trim the history: %s", why.text);
    }
    if (state_history_oldest(s->state) != oldest) {
        log_line(LOG_STORE_TRIMMED, "oldest=%llu bytes=%llu",
                 (unsigned long long)state_history_oldest(s->state),
                 (unsigned long long)state_history_bytes(s->state));
        /* Nothing was written, yet what may be read is less: readers let go of what is gone. */
        publish(s, s->applied);
    }
    metric_set(METRIC_HISTORY_OLDEST, state_history_oldest(s->state));
    metric_set(METRIC_HISTORY_BYTES, state_history_bytes(s->state));
    atomic_store(&s->facts.history_bytes, state_history_bytes(s->state));
    env_timer_start(env, t, e == OK && more ? HISTORY_TRIM_MORE_MS : HISTORY_TRIM_IDLE_MS);
}

/* --- deletions ------------------------------------------------------------------------------- */

static void keep_on_reaped(struct proposal *p)
{
    struct store *s = LIST_OWNER(p, struct store, reap_proposal);
    s->reaping = false;
}

static void keep_propose_reap(struct store *s, uint64_t through)
{
    struct command command = {
        .type = COMMAND_TOMBSTONE_REAP,
        .time_ms = env_wall_ms(loop_env(s->hub)),
        .tombstone_reap = {.through = through},
    };
    struct buf encoded;
    buf_init(&encoded, COMMAND_MAX);
    enum err e = command_encode(&encoded, &command);
    CHECK(e == OK);
    s->reaping = true;
    s->reap_proposal = (struct proposal){.done = keep_on_reaped};
    store_propose(s, s->hub, &s->reap_proposal, &encoded);
    buf_close(&encoded);
}

/* The newest index that is old enough; 0 if none is. Forgets the marks up to it. */
static uint64_t keep_reap_through(struct store *s, uint64_t now_ms)
{
    uint64_t through = 0;
    size_t old = 0;
    while (old < s->reap_count && s->reap_marks[old].at_ms + TOMBSTONE_AGE_MS <= now_ms) {
        through = s->reap_marks[old++].index;
    }
    for (size_t i = old; i < s->reap_count; i++) {
        s->reap_marks[i - old] = s->reap_marks[i];
    }
    s->reap_count -= old;
    return through;
}

static void keep_on_reap(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, reap);
    struct env *env = loop_env(s->hub);
    struct reason why;
    uint64_t now_ms = env_now_ms(env);
    bool reapable = false;
    uint64_t through = keep_reap_through(s, now_ms);
    if (s->reap_count < REAP_MARKS) {
        s->reap_marks[s->reap_count++] = (struct reap_mark){.at_ms = now_ms, .index = s->applied};
    }
    if (through > 0 && !s->reaping && engine_leads(s->engine) &&
        state_reapable(s->state, through, &reapable, &why) == OK && reapable) {
        keep_propose_reap(s, through);
    }
    timer_start(t, now_ms + TOMBSTONE_REAP_MS);
}

/* --- life ------------------------------------------------------------------------------------ */

void keep_open(struct store *s)
{
    struct env *env = loop_env(s->hub);
    buf_init(&s->cut.configuration, RAFT_CONFIGURATION_MAX);
    env_timer_init(env, &s->tick, keep_on_tick);
    env_timer_init(env, &s->trim, keep_on_trim);
    env_timer_init(env, &s->reap, keep_on_reap);
    s->flush_budget = STATE_FLUSH_BYTES;
    if (!s->in_memory && datadir_space(&s->dir, &s->space) == OK &&
        s->space.total / DISK_RESERVE_PART < STATE_FLUSH_BYTES) {
        s->flush_budget = (size_t)(s->space.total / DISK_RESERVE_PART);
    }
}

void keep_start(struct store *s)
{
    struct env *env = loop_env(s->hub);
    env_timer_start(env, &s->tick, DISK_LOOK_MS);
    env_timer_start(env, &s->trim, HISTORY_TRIM_IDLE_MS);
    env_timer_start(env, &s->reap, TOMBSTONE_REAP_MS);
}

void keep_stop(struct store *s)
{
    timer_stop(&s->tick);
    timer_stop(&s->trim);
    timer_stop(&s->reap);
}

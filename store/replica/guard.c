#include "store/replica/guard.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/seeded.h"

#include <limits.h>
#include <raft.h>

struct guards guards_on(void)
{
    return (struct guards){
        .compacted = !SEEDED_BUG(SEEDED_NO_G1),
        .change = !SEEDED_BUG(SEEDED_NO_G2),
        .rejection = !SEEDED_BUG(SEEDED_NO_G3),
        .old_term = !SEEDED_BUG(SEEDED_NO_G4),
        .sole = !SEEDED_BUG(SEEDED_NO_G5),
        .pre_vote = !SEEDED_BUG(SEEDED_NO_G6),
        .deadline = !SEEDED_BUG(SEEDED_NO_G7),
        .handover = !SEEDED_BUG(SEEDED_NO_G8),
    };
}

unsigned guard_compacted(const struct guards *on,
                         struct raft_append_entries *m,
                         uint64_t snapshot_index,
                         uint64_t snapshot_term)
{
    if (!on->compacted || m->prev_log_index >= snapshot_index) {
        return 0;
    }
    CHECK(snapshot_term > 0);
    uint64_t covered = snapshot_index - m->prev_log_index;
    unsigned dropped = covered < m->n_entries ? (unsigned)covered : m->n_entries;
    m->prev_log_index = snapshot_index;
    m->prev_log_term = snapshot_term;
    m->n_entries -= dropped;
    m->entries = m->n_entries > 0 ? m->entries + dropped : NULL;
    return dropped;
}

unsigned guard_change(const struct guards *on, const struct raft_append_entries *m, unsigned from)
{
    CHECK(from <= m->n_entries);
    if (!on->change) {
        return m->n_entries - from;
    }
    unsigned end = from;
    while (end < m->n_entries && (end == from || m->entries[end].type != RAFT_CHANGE)) {
        end++;
    }
    return end - from;
}

void guard_rejection(const struct guards *on, struct raft_append_entries_result *m, uint64_t match)
{
    if (on->rejection && m->rejected > 0 && m->rejected <= match) {
        m->rejected = 0;
        m->last_log_index = 0;
    }
}

void guard_old_term(const struct guards *on,
                    struct raft_append_entries_result *reply,
                    uint64_t received_term,
                    uint64_t current_term)
{
    if (on->old_term && received_term < current_term) {
        reply->rejected = ULLONG_MAX;
        reply->last_log_index = 0;
    }
}

uint64_t guard_sole_term(const struct guards *on, uint64_t persisted_term)
{
    return on->sole ? persisted_term + 1 : persisted_term;
}

bool guard_sole_allowed(const struct guards *on, unsigned voters_before, unsigned voters_after)
{
    return !on->sole || voters_after > 1 || voters_before <= 1;
}

void guard_pre_vote(const struct guards *on,
                    struct raft_request_vote_result *reply,
                    uint64_t current_term)
{
    if (on->pre_vote && reply->pre_vote && !reply->vote_granted && reply->term < current_term) {
        reply->term = current_term;
    }
}

uint64_t guard_deadline(const struct guards *on, uint64_t deadline_ms, uint64_t now_ms)
{
    uint64_t soonest = now_ms + RAFT_TICK_MIN_MS;
    return on->deadline && deadline_ms < soonest ? soonest : deadline_ms;
}

bool guard_handover(const struct guards *on, uint64_t match, uint64_t last)
{
    return !on->handover || match >= last;
}

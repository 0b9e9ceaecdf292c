#include "store/replica/engine_priv.h"

#include "core/base/check.h"

uint64_t engine_deadline(const struct engine *e, uint64_t now_ms)
{
    return guard_deadline(&e->guards, raft_timeout(&e->raft) - e->ahead_ms, now_ms);
}

bool engine_leads(struct engine *e)
{
    return raft_state(&e->raft) == RAFT_LEADER;
}

uint64_t engine_leader(struct engine *e)
{
    raft_id id = 0;
    const char *address = NULL;
    raft_leader(&e->raft, &id, &address);
    return id;
}

bool engine_takes_entries(struct engine *e)
{
    return engine_leads(e) && raft_transferee(&e->raft) == 0;
}

bool engine_settled(struct engine *e)
{
    uint64_t commit = raft_commit_index(&e->raft);
    if (!engine_leads(e)) {
        return false;
    }
    if (engine_sole(e)) {
        /* Nobody else has any: what was there at the start is all. */
        return commit >= e->last || engine_term_of(e, commit + 1) == raft_current_term(&e->raft);
    }
    return (commit >= e->first || commit == e->snapshot_index) &&
           engine_term_of(e, commit) == raft_current_term(&e->raft);
}

uint64_t engine_match(const struct engine *e, uint64_t id)
{
    raft_index match = 0;
    return raft_match_index(&e->raft, id, &match) == 0 ? match : 0;
}

const struct store_servers *engine_servers(const struct engine *e)
{
    return &e->servers;
}

const struct store_servers *engine_servers_committed(const struct engine *e)
{
    return &e->servers_committed;
}

bool engine_changing(const struct engine *e)
{
    return e->newest.index != e->committed.index;
}

uint64_t engine_configuration(const struct engine *e, struct bytes *ret_encoded)
{
    *ret_encoded = buf_view(&e->committed.encoded);
    return e->committed.index;
}

uint64_t engine_configuration_at(const struct engine *e, uint64_t index, struct bytes *ret_encoded)
{
    const struct engine_change *c = e->newest.index <= index ? &e->newest : &e->committed;
    if (c->index > index) {
        return 0;
    }
    *ret_encoded = buf_view(&c->encoded);
    return c->index;
}

uint64_t engine_first(const struct engine *e)
{
    return e->first;
}

uint64_t engine_term(const struct engine *e)
{
    return raft_current_term(&e->raft);
}

uint64_t engine_last(const struct engine *e)
{
    return e->last;
}

uint64_t engine_commit(const struct engine *e)
{
    return raft_commit_index(&e->raft);
}

uint64_t engine_stored(const struct engine *e)
{
    return e->stored;
}

uint64_t engine_snapshot_index(const struct engine *e)
{
    return e->snapshot_index;
}

uint64_t engine_snapshot_term(const struct engine *e)
{
    return e->snapshot_term;
}

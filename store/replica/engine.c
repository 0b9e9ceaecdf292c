#include "store/replica/engine.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/replica/engine_message.h"
#include "store/seeded.h"

#include <limits.h>
#include <raft.h>
#include <stdlib.h>
#include <string.h>

/* The log's types are the library's. */
_Static_assert((int)JOURNAL_COMMAND == (int)RAFT_COMMAND, "entry types");
_Static_assert((int)JOURNAL_BARRIER == (int)RAFT_BARRIER, "entry types");
_Static_assert((int)JOURNAL_CONFIGURATION == (int)RAFT_CHANGE, "entry types");

/* Entries from `first` on have `term`, up to the next run. */
struct engine_run {
    uint64_t first;
    uint64_t term;
};

/* A configuration in the log that is not known to be committed. At most one that raft accepts, but
 * followers may see an older leader's replaced. */
struct engine_change {
    uint64_t index; /* 0: none */
    struct buf encoded;
};

struct engine {
    struct raft raft;
    struct guards guards;
    const struct engine_ops *ops;
    void *ctx;
    uint64_t id;
    uint64_t first; /* of the log */
    uint64_t last;
    uint64_t stored; /* last entry told to the library as durable */
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    /* Committed; and the newest. */
    struct engine_change committed;
    struct engine_change newest;
    struct store_servers servers_committed;
    struct store_servers servers;
    struct engine_run *runs;
    size_t run_count;
    size_t run_cap;
    /* Room for what is converted; kept between events. */
    struct raft_entry *entries;
    size_t entries_cap;
    struct journal_entry *staged;
    size_t staged_cap;
    /* Who will take over as soon as its log is as long as ours (G8); 0: nobody. */
    uint64_t heir;
    /* Of the message at hand: what G4 asks for. */
    bool answering;
    uint64_t received_term;
};

/* A voice for what cannot happen without a memory limit. */
static void engine_check(struct engine *e, int rv, const char *what)
{
    if (rv != 0) {
        fatal("raft: %s: %s: %s", what, raft_strerror(rv), raft_errmsg(&e->raft));
    }
}

/* --- configurations -------------------------------------------------------------------------- */

static void engine_change_set(struct engine_change *c, uint64_t index, struct bytes encoded)
{
    buf_clear(&c->encoded);
    buf_put(&c->encoded, encoded);
    c->index = index;
}

/* An entry in the log says so; it counts for us at once (thesis, section 4.1). */
static void engine_configuration_seen(struct engine *e, uint64_t index, struct bytes encoded)
{
    struct store_servers servers;
    if (members_decode(encoded, &servers) != OK) {
        fatal("raft: entry %llu: its configuration cannot be read", (unsigned long long)index);
    }
    engine_change_set(&e->newest, index, encoded);
    e->servers = servers;
    e->servers.configuration_index = index;
}

static void engine_configuration_settle(struct engine *e)
{
    engine_change_set(&e->committed, e->newest.index, buf_view(&e->newest.encoded));
    e->servers_committed = e->servers;
}

/* Entries from `from` on are gone. */
static void engine_configuration_cut(struct engine *e, uint64_t from)
{
    if (e->newest.index >= from && e->newest.index > e->committed.index) {
        engine_change_set(&e->newest, e->committed.index, buf_view(&e->committed.encoded));
        e->servers = e->servers_committed;
    }
}

static enum err engine_configuration_decode(struct bytes data,
                                            struct raft_configuration *ret_configuration)
{
    struct raft_buffer encoded = {.base = (void *)(uintptr_t)data.ptr, .len = data.len};
    struct store_servers servers;
    if (members_decode(data, &servers) != OK) {
        return ERR_CORRUPT;
    }
    raft_configuration_init(ret_configuration);
    int rv = raft_configuration_decode(&encoded, ret_configuration);
    CHECK(rv == 0);
    return OK;
}

/* --- terms ----------------------------------------------------------------------------------- */

/* Entries from `index` on are new. */
static void engine_run_append(struct engine *e, uint64_t index, uint64_t term)
{
    while (e->run_count > 0 && e->runs[e->run_count - 1].first >= index) {
        e->run_count--;
    }
    if (e->run_count > 0 && e->runs[e->run_count - 1].term == term) {
        return;
    }
    if (e->run_count == e->run_cap) {
        e->run_cap = e->run_cap == 0 ? 8 : e->run_cap * 2;
        e->runs = mem_realloc(e->runs, e->run_cap * sizeof *e->runs);
    }
    e->runs[e->run_count++] = (struct engine_run){.first = index, .term = term};
}

/* The log begins at `first` now. */
static void engine_run_trim(struct engine *e, uint64_t first)
{
    size_t old = 0;
    while (old + 1 < e->run_count && e->runs[old + 1].first <= first) {
        old++;
    }
    for (size_t i = old; i < e->run_count; i++) {
        e->runs[i - old] = e->runs[i];
    }
    e->run_count -= old;
}

uint64_t engine_term_of(const struct engine *e, uint64_t index)
{
    if (index == e->snapshot_index) {
        return e->snapshot_term;
    }
    CHECK(index >= e->first && index <= e->last);
    size_t i = e->run_count;
    while (i > 0 && e->runs[i - 1].first > index) {
        i--;
    }
    CHECK(i > 0);
    return e->runs[i - 1].term;
}

/* --- life ------------------------------------------------------------------------------------ */

struct engine *engine_new(const struct engine_options *options)
{
    struct engine *e = mem_zalloc(1, sizeof *e);
    CHECK(options->id != 0);
    e->guards = options->guards;
    e->ops = options->ops;
    e->ctx = options->ctx;
    e->id = options->id;
    buf_init(&e->committed.encoded, RAFT_CONFIGURATION_MAX);
    buf_init(&e->newest.encoded, RAFT_CONFIGURATION_MAX);
    /* Addresses are the transport's business. */
    int rv = raft_init(&e->raft, NULL, NULL, options->id, "");
    engine_check(e, rv, "init");
    /* The default tracer formats every line even when it is off, and shares a buffer. */
    e->raft.tracer = NULL;
    raft_seed(&e->raft, options->seed);
    raft_set_election_timeout(&e->raft, options->election_ms);
    raft_set_heartbeat_timeout(&e->raft, options->election_ms / RAFT_HEARTBEAT_PART);
    raft_set_install_snapshot_timeout(&e->raft, RAFT_INSTALL_MS);
    raft_set_capacity_threshold(&e->raft, 0);
    raft_set_pre_vote(&e->raft, true);
    raft_set_max_inflight_entries(&e->raft, RAFT_INFLIGHT_MAX);
    return e;
}

void engine_free(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    raft_close(&e->raft, NULL);
    buf_close(&e->committed.encoded);
    buf_close(&e->newest.encoded);
    free(e->entries);
    free(e->staged);
    free(e->runs);
    free(e);
}

/* --- one step -------------------------------------------------------------------------------- */

static int engine_step(struct engine *e, struct raft_event *event, uint64_t now_ms);

static struct raft_entry *engine_entries(struct engine *e, size_t count)
{
    if (count > e->entries_cap) {
        e->entries_cap = count * 2;
        e->entries = mem_realloc(e->entries, e->entries_cap * sizeof *e->entries);
    }
    return e->entries;
}

static void engine_handle_entries(struct engine *e, const struct raft_update *update)
{
    size_t count = update->entries.n;
    uint64_t first = update->entries.index;
    if (count > e->staged_cap) {
        e->staged_cap = count * 2;
        e->staged = mem_realloc(e->staged, e->staged_cap * sizeof *e->staged);
    }
    if (first <= e->last) {
        e->ops->cut_tail(e->ctx, first);
        e->stored = e->stored < first ? e->stored : first - 1;
        engine_configuration_cut(e, first);
    }
    e->last = first + count - 1;
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &update->entries.batch[i];
        e->staged[i] = (struct journal_entry){
            .term = entry->term,
            .type = (enum journal_type)entry->type,
            .data = {.ptr = entry->buf.base, .len = entry->buf.len},
        };
        engine_run_append(e, first + i, entry->term);
        if (entry->type == RAFT_CHANGE) {
            engine_configuration_seen(e, first + i, e->staged[i].data);
        }
    }
    e->ops->append(e->ctx, first, e->staged, count);
    if (update->entries.batch == &e->raft.barrier) {
        /* The library's own entry at the start of a term: its payload is ours to free. */
        raft_free(e->raft.barrier.batch);
    }
}

static void engine_handle_snapshot(struct engine *e, const struct raft_update *update)
{
    const struct raft_snapshot_metadata *metadata = &update->snapshot.metadata;
    struct journal_snapshot snapshot = {
        .index = metadata->index,
        .term = metadata->term,
        .configuration_index = metadata->configuration_index,
        .configuration = buf_view(&e->newest.encoded),
    };
    CHECK(e->newest.index == metadata->configuration_index);
    e->snapshot_index = snapshot.index;
    e->snapshot_term = snapshot.term;
    e->first = snapshot.index + 1;
    e->last = snapshot.index;
    e->stored = snapshot.index;
    e->run_count = 0;
    e->ops->install(e->ctx, &snapshot);
}

/* Says to the heir what the library wanted to say, now that it is ready. */
static void engine_hand_over(struct engine *e)
{
    if (e->heir == 0 || raft_transferee(&e->raft) != e->heir ||
        !guard_handover(&e->guards, engine_match(e, e->heir), e->last)) {
        return;
    }
    struct rpc_message m = {.type = RPC_TIMEOUT_NOW};
    m.timeout_now.term = raft_current_term(&e->raft);
    m.timeout_now.last_index = e->last;
    m.timeout_now.last_term = engine_term_of(e, e->last);
    e->ops->send(e->ctx, e->heir, &m);
    e->heir = 0;
}

static void engine_handle_messages(struct engine *e, const struct raft_update *update)
{
    uint64_t term = raft_current_term(&e->raft);
    for (unsigned i = 0; i < update->messages.n; i++) {
        struct raft_message *m = &update->messages.batch[i];
        struct rpc_message out;
        if (m->type == RAFT_APPEND_ENTRIES_RESULT && e->answering) {
            guard_old_term(&e->guards, &m->append_entries_result, e->received_term, term);
        } else if (m->type == RAFT_REQUEST_VOTE_RESULT) {
            guard_pre_vote(&e->guards, &m->request_vote_result, term);
        }
        engine_message_out(m, &out);
        if (out.type == RPC_TIMEOUT_NOW) {
            e->heir = m->server_id;
            engine_hand_over(e);
            continue;
        }
        if (out.type == RPC_INSTALL) {
            out.install.configuration = buf_view(&e->committed.encoded);
        }
        e->ops->send(e->ctx, m->server_id, &out);
    }
}

/* A committed configuration is told to the library at once, before the next event. */
static void engine_handle_commit(struct engine *e, uint64_t now_ms)
{
    uint64_t commit = raft_commit_index(&e->raft);
    e->ops->commit(e->ctx, commit);
    if (e->newest.index > e->committed.index && e->newest.index <= commit) {
        struct raft_event event = {.type = RAFT_CONFIGURATION};
        engine_configuration_settle(e);
        event.configuration.index = e->newest.index;
        enum err err =
            engine_configuration_decode(buf_view(&e->newest.encoded), &event.configuration.conf);
        CHECK(err == OK);
        engine_check(e, engine_step(e, &event, now_ms), "configuration");
    }
}

/* Does what one step asks for, in the order that keeps it safe: nothing leaves this server before
 * the term and vote it speaks for are durable. */
static void engine_handle(struct engine *e, const struct raft_update *update, uint64_t now_ms)
{
    if ((update->flags & (RAFT_UPDATE_CURRENT_TERM)) != 0 ||
        (update->flags & (RAFT_UPDATE_VOTED_FOR)) != 0) {
        e->ops->save_vote(e->ctx, raft_current_term(&e->raft), raft_voted_for(&e->raft));
    }
    if ((update->flags & (RAFT_UPDATE_SNAPSHOT)) != 0) {
        engine_handle_snapshot(e, update);
    }
    if ((update->flags & (RAFT_UPDATE_ENTRIES)) != 0) {
        engine_handle_entries(e, update);
    }
    if ((update->flags & (RAFT_UPDATE_MESSAGES)) != 0) {
        engine_handle_messages(e, update);
    }
    /* Last: applying a configuration is a step of its own. */
    if ((update->flags & (RAFT_UPDATE_COMMIT_INDEX)) != 0) {
        engine_handle_commit(e, now_ms);
    }
}

static int engine_step(struct engine *e, struct raft_event *event, uint64_t now_ms)
{
    struct raft_update update = {0};
    event->time = now_ms;
    event->capacity = USHRT_MAX;
    int rv = raft_step(&e->raft, event, &update);
    if (rv == 0) {
        engine_handle(e, &update, now_ms);
    }
    return rv;
}

/* --- events ---------------------------------------------------------------------------------- */

static void engine_start_entries(struct engine *e, const struct journal_facts *facts)
{
    size_t count = (size_t)(facts->last + 1 - facts->first);
    struct raft_entry *entries = engine_entries(e, count);
    for (size_t i = 0; i < count; i++) {
        const struct journal_entry *entry = &facts->entries[i];
        entries[i] = (struct raft_entry){
            .term = entry->term,
            .type = (unsigned short)entry->type,
            .buf = {.base = (void *)(uintptr_t)entry->data.ptr, .len = entry->data.len},
        };
        engine_run_append(e, facts->first + i, entry->term);
        if (entry->type == JOURNAL_CONFIGURATION) {
            /* One before it was committed: no leader makes two at a time. */
            if (e->newest.index > 0) {
                engine_configuration_settle(e);
            }
            engine_configuration_seen(e, facts->first + i, entry->data);
        }
    }
}

static enum err engine_start_configurations(struct engine *e, const struct journal_facts *facts)
{
    struct store_servers servers;
    for (uint64_t i = facts->first; i <= facts->last; i++) {
        const struct journal_entry *entry = &facts->entries[i - facts->first];
        if (entry->type == JOURNAL_CONFIGURATION && members_decode(entry->data, &servers) != OK) {
            return ERR_CORRUPT;
        }
    }
    if (facts->snapshot.index > 0) {
        if (members_decode(facts->snapshot.configuration, &servers) != OK) {
            return ERR_CORRUPT;
        }
        engine_configuration_seen(e, facts->snapshot.configuration_index,
                                  facts->snapshot.configuration);
        engine_configuration_settle(e);
    }
    return OK;
}

static bool engine_sole(const struct engine *e)
{
    for (size_t i = 0; i < e->servers.count; i++) {
        if (e->servers.servers[i].role == STORE_VOTER && e->servers.servers[i].id != e->id) {
            return false;
        }
    }
    struct store_servers copy = e->servers;
    const struct store_server *self = members_find(&copy, e->id);
    return self != NULL && self->role == STORE_VOTER;
}

enum err engine_start(struct engine *e,
                      const struct journal_facts *facts,
                      uint64_t now_ms,
                      struct reason *why)
{
    struct raft_snapshot_metadata metadata;
    struct raft_event event = {.type = RAFT_START};
    if (engine_start_configurations(e, facts) != OK) {
        reason_set(why, "the log holds a cluster configuration that cannot be read");
        return ERR_CORRUPT;
    }
    engine_start_entries(e, facts);
    if (facts->snapshot.index > 0) {
        metadata = (struct raft_snapshot_metadata){
            .index = facts->snapshot.index,
            .term = facts->snapshot.term,
            .configuration_index = facts->snapshot.configuration_index,
        };
        enum err err =
            engine_configuration_decode(facts->snapshot.configuration, &metadata.configuration);
        CHECK(err == OK);
        event.start.metadata = &metadata;
    } else if (e->newest.index == 1 && e->committed.index == 0) {
        /* The same on all: it counts as committed. */
        engine_configuration_settle(e);
    }
    event.start.term = facts->term;
    event.start.voted_for = facts->vote;
    if (engine_sole(e)) {
        event.start.term = guard_sole_term(&e->guards, facts->term);
        event.start.voted_for = e->id;
        e->ops->save_vote(e->ctx, event.start.term, e->id);
    }
    e->first = facts->first;
    e->last = facts->last;
    e->stored = facts->last;
    e->snapshot_index = facts->snapshot.index;
    e->snapshot_term = facts->snapshot.term;
    event.start.start_index = facts->first;
    event.start.n_entries = (unsigned)(facts->last + 1 - facts->first);
    event.start.entries = event.start.n_entries > 0 ? e->entries : NULL;
    engine_check(e, engine_step(e, &event, now_ms), "start");
    return OK;
}

enum err
engine_submit(struct engine *e, struct journal_entry *entries, size_t count, uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_SUBMIT};
    struct raft_entry *converted = engine_entries(e, count);
    CHECK(count > 0 && count <= UINT_MAX);
    for (size_t i = 0; i < count; i++) {
        void *data = (void *)(uintptr_t)entries[i].data.ptr;
        CHECK(entries[i].type != JOURNAL_CONFIGURATION || count == 1);
        entries[i].term = raft_current_term(&e->raft);
        converted[i] = (struct raft_entry){
            .term = entries[i].term,
            .type = (unsigned short)entries[i].type,
            .buf = {.base = data, .len = entries[i].data.len},
            .batch = data,
        };
    }
    event.submit.entries = converted;
    event.submit.n = (unsigned)count;
    int rv = engine_step(e, &event, now_ms);
    switch (rv) {
    case 0:
        return OK;
    case RAFT_NOTLEADER:
        return ERR_NOT_LEADER;
    case RAFT_CANTCHANGE:
        return ERR_BUSY;
    default:
        engine_check(e, rv, "submit");
        return ERR_IO;
    }
}

void engine_persisted(struct engine *e, uint64_t index, uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    CHECK(index <= e->last);
    /* The library wants it strictly rising. */
    if (index <= e->stored) {
        return;
    }
    e->stored = index;
    event.persisted_entries.index = index;
    engine_check(e, engine_step(e, &event, now_ms), "persisted");
}

enum err engine_snapshot(struct engine *e,
                         uint64_t index,
                         uint64_t trailing,
                         uint64_t now_ms,
                         struct journal_snapshot *ret_snapshot,
                         uint64_t *ret_first_kept)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    /* What is not committed may be undone; so may a configuration, and then it is not the
     * snapshot's. */
    if (index <= e->snapshot_index || index > raft_commit_index(&e->raft) ||
        e->committed.index > index || e->committed.index == 0) {
        return ERR_BUSY;
    }
    trailing = trailing < UINT_MAX ? trailing : UINT_MAX;
    uint64_t term = engine_term_of(e, index);
    const struct engine_change *as =
        SEEDED_BUG(SEEDED_SNAPSHOT_NEWEST) ? &e->newest : &e->committed;
    *ret_snapshot = (struct journal_snapshot){
        .index = index,
        .term = term,
        .configuration_index = as->index,
        .configuration = buf_view(&as->encoded),
    };
    event.snapshot.metadata = (struct raft_snapshot_metadata){
        .index = index,
        .term = term,
        .configuration_index = as->index,
    };
    enum err err = engine_configuration_decode(ret_snapshot->configuration,
                                               &event.snapshot.metadata.configuration);
    CHECK(err == OK);
    event.snapshot.trailing = (unsigned)trailing;
    engine_check(e, engine_step(e, &event, now_ms), "snapshot");
    e->snapshot_index = index;
    e->snapshot_term = term;
    /* The library drops the same, and nothing if that many do not precede. */
    if (index > trailing && index - trailing >= e->first) {
        e->first = index - trailing + 1;
        engine_run_trim(e, e->first);
    }
    *ret_first_kept = e->first;
    return OK;
}

void engine_timeout(struct engine *e, uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    engine_check(e, engine_step(e, &event, now_ms), "timeout");
}

enum err engine_transfer(struct engine *e, uint64_t to, uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.transfer.server_id = to;
    int rv = engine_step(e, &event, now_ms);
    switch (rv) {
    case 0:
        return OK;
    case RAFT_NOTLEADER:
        return ERR_NOT_LEADER;
    case RAFT_NOTFOUND:
    case RAFT_BADID:
        return ERR_NOT_FOUND;
    default:
        engine_check(e, rv, "transfer");
        return ERR_IO;
    }
}

enum err engine_install(struct engine *e, const struct journal_snapshot *snapshot, uint64_t now_ms)
{
    uint64_t leader = engine_leader(e);
    if (leader == 0 || leader == e->id) {
        return ERR_NOT_LEADER;
    }
    if (snapshot->index <= e->last && snapshot->index >= e->first &&
        engine_term_of(e, snapshot->index) == snapshot->term) {
        return ERR_CONFLICT;
    }
    if (snapshot->index <= e->snapshot_index || snapshot->index < raft_commit_index(&e->raft)) {
        return ERR_CONFLICT;
    }
    struct raft_message m = {
        .type = RAFT_INSTALL_SNAPSHOT, .server_id = leader, .server_address = ""};
    m.install_snapshot.term = raft_current_term(&e->raft);
    m.install_snapshot.last_index = snapshot->index;
    m.install_snapshot.last_term = snapshot->term;
    m.install_snapshot.conf_index = snapshot->configuration_index;
    enum err err = engine_configuration_decode(snapshot->configuration, &m.install_snapshot.conf);
    if (err != OK) {
        return err;
    }
    /* What is installed is committed: the configuration with it. */
    e->committed.index = 0;
    engine_configuration_seen(e, snapshot->configuration_index, snapshot->configuration);
    engine_configuration_settle(e);
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = &m;
    engine_check(e, engine_step(e, &event, now_ms), "install");
    CHECK(e->snapshot_index == snapshot->index);
    struct raft_event done = {.type = RAFT_PERSISTED_SNAPSHOT};
    done.persisted_snapshot.metadata = (struct raft_snapshot_metadata){
        .index = snapshot->index,
        .term = snapshot->term,
        .configuration_index = snapshot->configuration_index,
    };
    err = engine_configuration_decode(snapshot->configuration,
                                      &done.persisted_snapshot.metadata.configuration);
    CHECK(err == OK);
    done.persisted_snapshot.last = true;
    engine_check(e, engine_step(e, &done, now_ms), "installed");
    e->ops->commit(e->ctx, raft_commit_index(&e->raft));
    return OK;
}

/* --- messages -------------------------------------------------------------------------------- */

/* One piece of an AppendEntries. Entries' payloads stay the caller's: the library is given a byte
 * of its own to free in their place, and frees it unless it took the entries. Returns whether the
 * piece was taken or was there already. */
static bool engine_receive_piece(struct engine *e, struct raft_message *m, uint64_t now_ms)
{
    struct raft_update update = {0};
    struct raft_event event = {.type = RAFT_RECEIVE, .time = now_ms, .capacity = USHRT_MAX};
    struct raft_append_entries *append = &m->append_entries;
    uint64_t end = append->prev_log_index + append->n_entries;
    void *owned = append->n_entries > 0 ? raft_malloc(1) : NULL;
    for (unsigned i = 0; i < append->n_entries; i++) {
        append->entries[i].batch = owned;
    }
    event.receive.message = m;
    engine_check(e, raft_step(&e->raft, &event, &update), "receive");
    bool taken = (update.flags & (RAFT_UPDATE_ENTRIES)) != 0;
    engine_handle(e, &update, now_ms);
    if (taken) {
        raft_free(owned);
    }
    return e->last >= end;
}

static void engine_receive_entries(struct engine *e, struct raft_message *m, uint64_t now_ms)
{
    struct raft_append_entries *append = &m->append_entries;
    (void)guard_compacted(&e->guards, append, e->snapshot_index, e->snapshot_term);
    struct raft_message whole = *m;
    unsigned from = 0;
    bool taken = true;
    do {
        unsigned piece = guard_change(&e->guards, &whole.append_entries, from);
        append->entries = piece > 0 ? whole.append_entries.entries + from : NULL;
        append->n_entries = piece;
        if (from > 0) {
            append->prev_log_index = whole.append_entries.prev_log_index + from;
            append->prev_log_term = whole.append_entries.entries[from - 1].term;
        }
        taken = engine_receive_piece(e, m, now_ms);
        from += piece;
    } while (taken && from < whole.append_entries.n_entries);
}

/* What libraft 0.15 did: whatever a majority has counts as committed. */
static void engine_count(struct engine *e)
{
    uint64_t through = 0;
    if (!engine_leads(e)) {
        return;
    }
    for (uint64_t index = raft_commit_index(&e->raft) + 1; index <= e->stored; index++) {
        unsigned have = 0;
        for (size_t i = 0; i < e->servers.count; i++) {
            const struct store_server *s = &e->servers.servers[i];
            have += s->role == STORE_VOTER && (s->id == e->id || engine_match(e, s->id) >= index);
        }
        through = have > members_voters(&e->servers) / 2 ? index : through;
    }
    if (through > 0) {
        e->ops->commit(e->ctx, through);
    }
}

void engine_receive(struct engine *e, uint64_t from, const struct rpc_message *in, uint64_t now_ms)
{
    struct raft_message m;
    struct raft_event event = {.type = RAFT_RECEIVE};
    raft_index match = 0;
    if (in->type == RPC_APPEND) {
        (void)engine_entries(e, in->append.count);
    }
    if (!engine_message_in(in, from, e->entries, &m)) {
        return;
    }
    if (m.type == RAFT_APPEND_ENTRIES) {
        e->answering = true;
        e->received_term = m.append_entries.term;
        engine_receive_entries(e, &m, now_ms);
        e->answering = false;
        return;
    }
    if (m.type == RAFT_APPEND_ENTRIES_RESULT && raft_match_index(&e->raft, from, &match) == 0) {
        guard_rejection(&e->guards, &m.append_entries_result, match);
    }
    /* The library looks into the candidate's state before it looks whether there is one. */
    if (m.type == RAFT_REQUEST_VOTE_RESULT && raft_state(&e->raft) != RAFT_CANDIDATE) {
        return;
    }
    event.receive.message = &m;
    engine_check(e, engine_step(e, &event, now_ms), "receive");
    engine_hand_over(e);
    if (SEEDED_BUG(SEEDED_OLD_TERM)) {
        engine_count(e);
    }
}

/* --- facts ----------------------------------------------------------------------------------- */

uint64_t engine_deadline(const struct engine *e, uint64_t now_ms)
{
    return guard_deadline(&e->guards, raft_timeout(&e->raft), now_ms);
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
    return engine_leads(e) && (commit >= e->first || commit == e->snapshot_index) &&
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

#include "store/replica/engine_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/replica/engine_message.h"
#include "store/replica/terms.h"
#include "store/seeded.h"

#include <limits.h>
#include <raft.h>
#include <stdlib.h>
#include <string.h>

/* The log's types are the library's. */
_Static_assert((int)JOURNAL_COMMAND == (int)RAFT_COMMAND, "entry types");
_Static_assert((int)JOURNAL_BARRIER == (int)RAFT_BARRIER, "entry types");
_Static_assert((int)JOURNAL_CONFIGURATION == (int)RAFT_CHANGE, "entry types");

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

/* --- terms ----------------------------------------------------------------------------------- */

uint64_t engine_term_of(const struct engine *e, uint64_t index)
{
    if (index == e->snapshot_index) {
        return e->snapshot_term;
    }
    CHECK(index >= e->first && index <= e->last);
    return terms_of(&e->terms, index);
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
    terms_close(&e->terms);
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
        terms_append(&e->terms, first + i, entry->term);
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
    /* The library's copy is ours to free. */
    struct raft_configuration copy = metadata->configuration;
    raft_configuration_close(&copy);
    CHECK(e->newest.index == metadata->configuration_index);
    e->snapshot_index = snapshot.index;
    e->snapshot_term = snapshot.term;
    e->first = snapshot.index + 1;
    e->last = snapshot.index;
    e->stored = snapshot.index;
    terms_clear(&e->terms);
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
        if (m->type == RAFT_APPEND_ENTRIES_RESULT && e->quiet) {
            continue;
        }
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

/* The newest configuration is committed: the library is told at once, before the next event. */
static void engine_configuration_tell(struct engine *e, uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    engine_configuration_settle(e);
    event.configuration.index = e->newest.index;
    enum err err = members_configuration(buf_view(&e->newest.encoded), &event.configuration.conf);
    CHECK(err == OK);
    engine_check(e, engine_step(e, &event, now_ms), "configuration");
}

static void engine_handle_commit(struct engine *e, uint64_t now_ms)
{
    uint64_t commit = raft_commit_index(&e->raft);
    if (e->newest.index > e->committed.index && e->newest.index <= commit) {
        engine_configuration_tell(e, now_ms);
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
    if ((update->flags & (RAFT_UPDATE_COMMIT_INDEX)) != 0) {
        /* Before a message tells anybody else. */
        e->ops->commit(e->ctx, raft_commit_index(&e->raft));
    }
    if ((update->flags & (RAFT_UPDATE_MESSAGES)) != 0) {
        engine_handle_messages(e, update);
    }
    /* Last: applying a configuration is a step of its own. */
    if ((update->flags & (RAFT_UPDATE_COMMIT_INDEX)) != 0) {
        engine_handle_commit(e, now_ms);
    }
}

bool engine_sole(const struct engine *e)
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

/* A leader's first entry, by which it learns what is committed (thesis, section 6.4), and without
 * which it must not change the configuration. The library leaves it out when it knows of nothing
 * that is not committed. */
static void engine_begin_term(struct engine *e, uint64_t now_ms)
{
    static const char NOTHING[8];
    struct journal_entry entry = {.type = JOURNAL_BARRIER, .data = {NOTHING, sizeof NOTHING}};
    if (raft_state(&e->raft) == RAFT_LEADER && !engine_sole(e) &&
        engine_term_of(e, e->last) != raft_current_term(&e->raft)) {
        enum err err = engine_submit(e, &entry, 1, now_ms);
        CHECK(err == OK);
    }
}

static int engine_step(struct engine *e, struct raft_event *event, uint64_t now_ms)
{
    struct raft_update update = {0};
    bool led = raft_state(&e->raft) == RAFT_LEADER;
    event->time = now_ms + e->ahead_ms;
    event->capacity = USHRT_MAX;
    int rv = raft_step(&e->raft, event, &update);
    if (rv == 0) {
        engine_handle(e, &update, now_ms);
    }
    if (rv == 0 && !led) {
        engine_begin_term(e, now_ms);
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
        terms_append(&e->terms, facts->first + i, entry->term);
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
            members_configuration(facts->snapshot.configuration, &metadata.configuration);
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
     * snapshot's. A snapshot at entry 1 the library never offers: it takes the entry for one that
     * it still has, and sends nothing for ever to a server that needs it. */
    if (index <= 1 || index <= e->snapshot_index || index > raft_commit_index(&e->raft) ||
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
    enum err err =
        members_configuration(ret_snapshot->configuration, &event.snapshot.metadata.configuration);
    CHECK(err == OK);
    event.snapshot.trailing = (unsigned)trailing;
    engine_check(e, engine_step(e, &event, now_ms), "snapshot");
    e->snapshot_index = index;
    e->snapshot_term = term;
    /* The library drops the same, and nothing if that many do not precede. */
    if (index > trailing && index - trailing >= e->first) {
        e->first = index - trailing + 1;
        terms_trim(&e->terms, e->first);
    }
    *ret_first_kept = e->first;
    return OK;
}

void engine_timeout(struct engine *e, uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    engine_check(e, engine_step(e, &event, now_ms), "timeout");
}

void engine_suspect(struct engine *e, uint64_t delay_ms, uint64_t now_ms)
{
    uint64_t due_ms = raft_timeout(&e->raft) - e->ahead_ms;
    if (raft_state(&e->raft) == RAFT_FOLLOWER && engine_leader(e) != 0 &&
        due_ms > now_ms + delay_ms) {
        e->ahead_ms += due_ms - now_ms - delay_ms;
    }
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
    enum err err = members_configuration(snapshot->configuration, &m.install_snapshot.conf);
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
    err = members_configuration(snapshot->configuration,
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
    struct raft_event event = {
        .type = RAFT_RECEIVE, .time = now_ms + e->ahead_ms, .capacity = USHRT_MAX};
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

/* A leader makes a configuration only when the one before it is committed: a piece that begins with
 * one, behind a log that is the same as ours, says so, though we may learn of the commit later. It
 * must be settled now, for the library and we keep but one that is not. */
static void
engine_receive_change(struct engine *e, const struct raft_append_entries *piece, uint64_t now_ms)
{
    uint64_t prev = piece->prev_log_index;
    if (e->guards.change && piece->n_entries > 0 && piece->entries[0].type == RAFT_CHANGE &&
        e->newest.index > e->committed.index && e->newest.index <= prev && prev <= e->last &&
        engine_term_of(e, prev) == piece->prev_log_term) {
        engine_configuration_tell(e, now_ms);
    }
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
        engine_receive_change(e, append, now_ms);
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
        e->quiet = in->type == RPC_COMMIT;
        e->received_term = m.append_entries.term;
        engine_receive_entries(e, &m, now_ms);
        e->answering = false;
        e->quiet = false;
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

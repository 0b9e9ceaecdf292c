#include "store/replica/engine.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"

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
    /* As of what is applied. */
    struct buf configuration;
    uint64_t configuration_index;
    struct engine_run *runs;
    size_t run_count;
    size_t run_cap;
    /* Room for what is converted; kept between events. */
    struct raft_entry *entries;
    size_t entries_cap;
    struct journal_entry *staged;
    size_t staged_cap;
    /* Of the message at hand: what G4 asks for. */
    bool answering;
    uint64_t received_term;
};

/* A voice for what cannot happen with one server and no memory limit. */
static void engine_check(struct engine *e, int rv, const char *what)
{
    if (rv != 0) {
        fatal("raft: %s: %s: %s", what, raft_strerror(rv), raft_errmsg(&e->raft));
    }
}

/* --- configurations -------------------------------------------------------------------------- */

enum err engine_configuration_encode(uint64_t id, const char *address, struct buf *out)
{
    struct raft_configuration configuration;
    struct raft_buffer encoded = {0};
    raft_configuration_init(&configuration);
    int rv = raft_configuration_add(&configuration, id, address, RAFT_VOTER);
    if (rv == 0) {
        rv = raft_configuration_encode(&configuration, &encoded);
    }
    raft_configuration_close(&configuration);
    if (rv != 0) {
        fatal("raft: cannot encode a configuration: %s", raft_strerror(rv));
    }
    enum err err = buf_append(out, (struct bytes){.ptr = encoded.base, .len = encoded.len});
    raft_free(encoded.base);
    return err;
}

static enum err engine_configuration_decode(struct bytes data,
                                            struct raft_configuration *ret_configuration)
{
    struct raft_buffer encoded = {.base = (void *)(uintptr_t)data.ptr, .len = data.len};
    raft_configuration_init(ret_configuration);
    if (raft_configuration_decode(&encoded, ret_configuration) != 0) {
        raft_configuration_close(ret_configuration);
        return ERR_CORRUPT;
    }
    return OK;
}

static void engine_configuration_keep(struct engine *e, uint64_t index, struct bytes configuration)
{
    buf_clear(&e->configuration);
    buf_put(&e->configuration, configuration);
    e->configuration_index = index;
}

/* Whether the newest configuration, committed or not, has this server as its only voter. */
static enum err engine_sole(struct engine *e, const struct journal_facts *facts, bool *ret_sole)
{
    struct bytes newest = facts->snapshot.configuration;
    for (uint64_t i = facts->first; i <= facts->last; i++) {
        const struct journal_entry *entry = &facts->entries[i - facts->first];
        if (entry->type == JOURNAL_CONFIGURATION) {
            newest = entry->data;
        }
    }
    struct raft_configuration configuration;
    if (newest.len == 0) {
        *ret_sole = false;
        return OK;
    }
    enum err err = engine_configuration_decode(newest, &configuration);
    if (err != OK) {
        return err;
    }
    unsigned voters = 0;
    bool self = false;
    for (unsigned i = 0; i < configuration.n; i++) {
        if (configuration.servers[i].role == RAFT_VOTER) {
            voters++;
            self = self || configuration.servers[i].id == e->id;
        }
    }
    raft_configuration_close(&configuration);
    *ret_sole = voters == 1 && self;
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
    buf_init(&e->configuration, RAFT_CONFIGURATION_MAX);
    int rv = raft_init(&e->raft, NULL, NULL, options->id, options->address);
    engine_check(e, rv, "init");
    /* The default tracer formats every line even when it is off, and shares a buffer. */
    e->raft.tracer = NULL;
    raft_seed(&e->raft, options->seed);
    raft_set_election_timeout(&e->raft, RAFT_ELECTION_MS);
    raft_set_heartbeat_timeout(&e->raft, RAFT_HEARTBEAT_MS);
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
    buf_close(&e->configuration);
    free(e->entries);
    free(e->staged);
    free(e->runs);
    free(e);
}

/* --- one step -------------------------------------------------------------------------------- */

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
    if (count > e->staged_cap) {
        e->staged_cap = count * 2;
        e->staged = mem_realloc(e->staged, e->staged_cap * sizeof *e->staged);
    }
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &update->entries.batch[i];
        e->staged[i] = (struct journal_entry){
            .term = entry->term,
            .type = (enum journal_type)entry->type,
            .data = {.ptr = entry->buf.base, .len = entry->buf.len},
        };
    }
    uint64_t first = update->entries.index;
    if (first <= e->last) {
        e->ops->cut_tail(e->ctx, first);
        e->stored = e->stored < first ? e->stored : first - 1;
    }
    e->last = first + count - 1;
    for (size_t i = 0; i < count; i++) {
        engine_run_append(e, first + i, e->staged[i].term);
    }
    e->ops->append(e->ctx, first, e->staged, count);
    if (update->entries.batch == &e->raft.barrier) {
        /* The library's own entry at the start of a term: its payload is ours to free. */
        raft_free(e->raft.barrier.batch);
    }
}

static void engine_handle_message(struct engine *e, struct raft_message *m)
{
    uint64_t term = raft_current_term(&e->raft);
    if (m->type == RAFT_APPEND_ENTRIES_RESULT && e->answering) {
        guard_old_term(&e->guards, &m->append_entries_result, e->received_term, term);
    } else if (m->type == RAFT_REQUEST_VOTE_RESULT) {
        guard_pre_vote(&e->guards, &m->request_vote_result, term);
    }
    e->ops->send(e->ctx, m);
}

/* Does what one step asks for, in the order that keeps it safe: nothing leaves this server before
 * the term and vote it speaks for are durable. */
static void engine_handle(struct engine *e, const struct raft_update *update)
{
    if ((update->flags & (RAFT_UPDATE_CURRENT_TERM)) != 0 ||
        (update->flags & (RAFT_UPDATE_VOTED_FOR)) != 0) {
        e->ops->save_vote(e->ctx, raft_current_term(&e->raft), raft_voted_for(&e->raft));
    }
    if ((update->flags & (RAFT_UPDATE_ENTRIES)) != 0) {
        engine_handle_entries(e, update);
    }
    if ((update->flags & (RAFT_UPDATE_MESSAGES)) != 0) {
        for (unsigned i = 0; i < update->messages.n; i++) {
            engine_handle_message(e, &update->messages.batch[i]);
        }
    }
    /* Last: applying a configuration is a step of its own. */
    if ((update->flags & (RAFT_UPDATE_COMMIT_INDEX)) != 0) {
        e->ops->commit(e->ctx, raft_commit_index(&e->raft));
    }
}

static int engine_step(struct engine *e, struct raft_event *event, uint64_t now_ms)
{
    struct raft_update update = {0};
    event->time = now_ms;
    event->capacity = USHRT_MAX;
    int rv = raft_step(&e->raft, event, &update);
    if (rv == 0) {
        engine_handle(e, &update);
    }
    return rv;
}

/* --- events ---------------------------------------------------------------------------------- */

static enum err engine_start_metadata(const struct journal_snapshot *snapshot,
                                      struct raft_snapshot_metadata *ret_metadata)
{
    *ret_metadata = (struct raft_snapshot_metadata){
        .index = snapshot->index,
        .term = snapshot->term,
        .configuration_index = snapshot->configuration_index,
    };
    return engine_configuration_decode(snapshot->configuration, &ret_metadata->configuration);
}

static void
engine_start_entries(struct engine *e, const struct journal_facts *facts, uint64_t applied)
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
        if (entry->type == JOURNAL_CONFIGURATION && facts->first + i <= applied) {
            engine_configuration_keep(e, facts->first + i, entry->data);
        }
    }
}

enum err engine_start(struct engine *e,
                      const struct journal_facts *facts,
                      uint64_t applied,
                      uint64_t now_ms,
                      struct reason *why)
{
    struct raft_snapshot_metadata metadata;
    struct raft_event event = {.type = RAFT_START};
    bool sole = false;
    enum err err = engine_sole(e, facts, &sole);
    if (err == OK && facts->snapshot.index > 0) {
        err = engine_start_metadata(&facts->snapshot, &metadata);
        event.start.metadata = &metadata;
    }
    if (err != OK) {
        reason_set(why, "the log holds a cluster configuration that cannot be read");
        return err;
    }
    event.start.term = facts->term;
    event.start.voted_for = facts->vote;
    if (sole) {
        event.start.term = guard_sole_term(&e->guards, facts->term);
        event.start.voted_for = e->id;
        e->ops->save_vote(e->ctx, event.start.term, e->id);
    }
    if (facts->snapshot.index > 0) {
        engine_configuration_keep(e, facts->snapshot.configuration_index,
                                  facts->snapshot.configuration);
    }
    engine_start_entries(e, facts, applied);
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

void engine_configuration_applied(struct engine *e,
                                  uint64_t index,
                                  struct bytes configuration,
                                  uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    engine_configuration_keep(e, index, configuration);
    event.configuration.index = index;
    if (engine_configuration_decode(configuration, &event.configuration.conf) != OK) {
        fatal("raft: entry %llu: an applied configuration cannot be read",
              (unsigned long long)index);
    }
    engine_check(e, engine_step(e, &event, now_ms), "configuration");
}

enum err engine_snapshot(struct engine *e,
                         uint64_t index,
                         unsigned trailing,
                         uint64_t now_ms,
                         struct journal_snapshot *ret_snapshot,
                         uint64_t *ret_first_kept)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    if (index <= e->snapshot_index || e->configuration_index > index ||
        e->configuration_index == 0) {
        return ERR_BUSY;
    }
    uint64_t term = engine_term_of(e, index);
    *ret_snapshot = (struct journal_snapshot){
        .index = index,
        .term = term,
        .configuration_index = e->configuration_index,
        .configuration = buf_view(&e->configuration),
    };
    enum err err = engine_start_metadata(ret_snapshot, &event.snapshot.metadata);
    CHECK(err == OK);
    event.snapshot.trailing = trailing;
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

/* --- messages -------------------------------------------------------------------------------- */

static void engine_receive_one(struct engine *e, struct raft_message *m, uint64_t now_ms)
{
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = m;
    engine_check(e, engine_step(e, &event, now_ms), "receive");
}

/* One piece of an AppendEntries, which owns its payload: whether the library frees it shows in
 * whether our log grew. Returns whether the piece was taken or was there already. */
static bool engine_receive_piece(struct engine *e, struct raft_message *m, uint64_t now_ms)
{
    struct raft_update update = {0};
    struct raft_event event = {.type = RAFT_RECEIVE, .time = now_ms, .capacity = USHRT_MAX};
    struct raft_append_entries *append = &m->append_entries;
    void *payload = append->n_entries > 0 ? append->entries[0].batch : NULL;
    uint64_t end = append->prev_log_index + append->n_entries;
    event.receive.message = m;
    engine_check(e, raft_step(&e->raft, &event, &update), "receive");
    bool ours = (update.flags & (RAFT_UPDATE_ENTRIES)) != 0;
    engine_handle(e, &update);
    if (ours) {
        raft_free(payload);
    }
    return e->last >= end;
}

/* A piece of `m`, with its payload copied, because the library frees payloads piece by piece. */
static struct raft_message engine_copy_piece(const struct raft_message *m,
                                             struct raft_entry *entries,
                                             unsigned from,
                                             unsigned count)
{
    struct raft_message piece = *m;
    struct raft_append_entries *append = &piece.append_entries;
    size_t len = 1;
    for (unsigned i = 0; i < count; i++) {
        len += append->entries[from + i].buf.len;
    }
    char *payload = raft_malloc(len);
    if (payload == NULL) {
        fatal("out of memory");
    }
    char *at = payload;
    for (unsigned i = 0; i < count; i++) {
        entries[i] = append->entries[from + i];
        if (entries[i].buf.len > 0) {
            memcpy(at, entries[i].buf.base, entries[i].buf.len);
        }
        entries[i].buf.base = at;
        entries[i].batch = payload;
        at += entries[i].buf.len;
    }
    if (from > 0) {
        append->prev_log_index += from;
        append->prev_log_term = append->entries[from - 1].term;
    }
    append->entries = entries;
    append->n_entries = count;
    return piece;
}

static void engine_receive_entries(struct engine *e, struct raft_message *m, uint64_t now_ms)
{
    struct raft_append_entries *append = &m->append_entries;
    void *payload = append->n_entries > 0 ? append->entries[0].batch : NULL;
    unsigned dropped = guard_compacted(&e->guards, append, e->snapshot_index, e->snapshot_term);
    if (dropped > 0 && append->n_entries == 0) {
        raft_free(payload);
    }
    unsigned piece = guard_change(&e->guards, append, 0);
    if (piece == append->n_entries) {
        (void)engine_receive_piece(e, m, now_ms);
        return;
    }
    struct raft_entry *entries = mem_zalloc(append->n_entries, sizeof *entries);
    bool taken = true;
    for (unsigned from = 0; taken && from < append->n_entries; from += piece) {
        piece = guard_change(&e->guards, append, from);
        struct raft_message part = engine_copy_piece(m, entries, from, piece);
        taken = engine_receive_piece(e, &part, now_ms);
    }
    free(entries);
    raft_free(payload);
}

void engine_receive(struct engine *e, const struct raft_message *message, uint64_t now_ms)
{
    struct raft_message m = *message;
    raft_index match = 0;
    switch (m.type) {
    case RAFT_APPEND_ENTRIES:
        e->answering = true;
        e->received_term = m.append_entries.term;
        engine_receive_entries(e, &m, now_ms);
        e->answering = false;
        return;
    case RAFT_APPEND_ENTRIES_RESULT:
        if (raft_match_index(&e->raft, m.server_id, &match) == 0) {
            guard_rejection(&e->guards, &m.append_entries_result, match);
        }
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        /* The library looks into the candidate's state before it looks whether there is one. */
        if (raft_state(&e->raft) != RAFT_CANDIDATE) {
            return;
        }
        break;
    case RAFT_INSTALL_SNAPSHOT:
        /* Snapshots travel beside the engine; whoever brings one starts the engine from it. */
        return;
    case RAFT_REQUEST_VOTE:
    case RAFT_TIMEOUT_NOW:
    default:
        break;
    }
    engine_receive_one(e, &m, now_ms);
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

uint64_t engine_snapshot_index(const struct engine *e)
{
    return e->snapshot_index;
}

uint64_t engine_snapshot_term(const struct engine *e)
{
    return e->snapshot_term;
}

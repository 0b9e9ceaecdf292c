#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "store/recover.h"
#include "store/replica/wal_check.h"
#include "store/state_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- opening --------------------------------------------------------------------------------- */

static enum err store_corrupt(const struct store *s, struct reason *why, const char *what)
{
    reason_set(why, "%s: %s; restore the data directory from a backup, or start with an empty one",
               s->in_memory ? "memory" : s->dir.path, what);
    return ERR_CORRUPT;
}

/* What a database said, behind the path it is about. */
static enum err store_database_failed(const char *path, enum err e, struct reason *why)
{
    struct reason said = *why;
    if (path == NULL || strstr(said.text, path) == said.text) {
        return e;
    }
    reason_set(why, "%s: %s", path, said.text);
    return e;
}

/* A cluster of one, at once. */
static enum err store_found(struct store *s, struct reason *why)
{
    uint64_t epoch = 0;
    struct buf configuration;
    struct store_servers servers = {.count = 1};
    while (epoch == 0) {
        env_random(loop_env(s->hub), &epoch, sizeof epoch);
    }
    servers.servers[0] = (struct store_server){.id = s->id, .role = STORE_VOTER};
    memcpy(servers.servers[0].node_id, s->node_id, sizeof s->node_id);
    (void)snprintf(servers.servers[0].address, sizeof servers.servers[0].address, "%s", s->address);
    buf_init(&configuration, RAFT_CONFIGURATION_MAX);
    enum err e = members_encode(&servers, &configuration);
    if (e == OK) {
        e = journal_bootstrap(s->journal, epoch, buf_view(&configuration), why);
    }
    buf_close(&configuration);
    return e;
}

/* That log and state are of one piece: the log reaches back to what the state has, and forward to
 * at least as far. */
static enum err store_check_whole(const struct store *s, struct reason *why)
{
    char what[160];
    const struct journal_facts *facts = journal_facts(s->journal);
    uint64_t applied = state_applied(s->state);
    if (applied > facts->last) {
        (void)snprintf(what, sizeof what, "the log ends at entry %llu, the state is at %llu",
                       (unsigned long long)facts->last, (unsigned long long)applied);
        return store_corrupt(s, why, what);
    }
    if (applied + 1 < facts->first) {
        (void)snprintf(what, sizeof what, "the log begins at entry %llu, the state is at %llu",
                       (unsigned long long)facts->first, (unsigned long long)applied);
        return store_corrupt(s, why, what);
    }
    return OK;
}

/* A log of servers that do not have this one's id: of the only one there is, or of the one at this
 * address. A newcomer to its place has no log before it is one of them. */
static bool store_is_anothers(const struct store *s, const struct store_servers *servers)
{
    bool here = servers->count == 1;
    for (size_t i = 0; i < servers->count; i++) {
        here = here || strcmp(servers->servers[i].address, s->address) == 0;
    }
    return here;
}

static enum err store_start_engine(struct store *s, struct reason *why)
{
    s->applied = state_applied(s->state);
    s->commit = s->applied;
    enum err e = hub_start_engine(s, why);
    if (e != OK) {
        return store_corrupt(s, why, "the log holds a cluster configuration that cannot be read");
    }
    struct store_servers servers = *engine_servers(s->engine);
    const struct store_server *self = members_find(&servers, s->id);
    if (self == NULL && store_is_anothers(s, &servers)) {
        reason_set(why,
                   "%s: belongs to a server with another node id; start with that id again, or use "
                   "another -data-dir",
                   s->dir.path);
        return ERR_INVALID;
    }
    if (members_voters(&servers) == 1 && self != NULL && self->role == STORE_VOTER) {
        /* The only voter: what is in its log is on a majority's disks. */
        s->commit = s->written;
    }
    /* A configuration that another follows was committed, and all before it: a leader makes the
     * next one only then. Who is to be given this state needs it no older. */
    uint64_t configuration = engine_configuration(s->engine, &(struct bytes){0});
    if (s->commit < configuration && configuration <= s->written) {
        s->commit = configuration;
    }
    return round_replay(s, why);
}

static enum err store_open_state(struct store *s, struct reason *why)
{
    uint64_t generation = journal_generation(s->journal);
    char *path = s->in_memory ? NULL : datadir_state(&s->dir, generation);
    enum err e = path == NULL ? OK : wal_check(path, 0, why);
    if (e == OK) {
        e = state_open(path, &s->state, why);
        e = e == OK ? rocks_verify(state_db_rocks(state_database(s->state)), why) : e;
        e = e == OK ? OK : store_database_failed(path, e, why);
    }
    if (e == OK && !s->in_memory) {
        datadir_drop_states(&s->dir, generation);
    }
    free(path);
    return e;
}

/* Log and state, each whole and both of one piece. */
static enum err store_open_data(struct store *s, struct reason *why)
{
    struct journal_paths paths = {0};
    if (!s->in_memory) {
        paths = (struct journal_paths){.directory = s->dir.log_path, .mark = s->dir.mark_path};
    }
    enum err e = journal_open(&paths, &s->journal, why);
    if (e != OK) {
        return store_database_failed(paths.directory, e, why);
    }
    e = store_open_state(s, why);
    if (e == OK && journal_facts(s->journal)->epoch == 0 && state_applied(s->state) > 0) {
        e = store_corrupt(s, why, "the log is empty, though the state is not");
    }
    return e == OK ? store_check_whole(s, why) : e;
}

/* The same, with what is damaged put aside where others can replace it. */
static enum err
store_open_or_repair(struct store *s, const struct store_options *options, struct reason *why)
{
    struct reason damage = {{0}};
    bool kept = !s->in_memory;
    enum err e = kept ? datadir_get_repair(&s->dir, &s->repair.kept, why) : OK;
    s->repairs = kept && options->repair && options->recovery == NULL;
    if (e == OK && s->repair.kept.phase == REPAIR_ASIDE) {
        reason_set(&damage, "found while it ran");
        e = repair_begin(s, &damage, why);
    } else if (e == OK && kept && s->repair.kept.phase == REPAIR_NONE) {
        datadir_drop_damaged(&s->dir);
    }
    e = e == OK ? store_open_data(s, why) : e;
    if (e == ERR_CORRUPT && s->repairs) {
        damage = *why;
        state_close(s->state);
        journal_close(s->journal);
        s->state = NULL;
        s->journal = NULL;
        e = repair_begin(s, &damage, why);
        e = e == OK ? store_open_data(s, why) : e;
    }
    return e;
}

static enum err
store_open_all(struct store *s, const struct store_options *options, struct reason *why)
{
    enum err e = store_open_or_repair(s, options, why);
    e = e == OK ? peers_open(s, options, why) : e;
    if (e == OK && journal_facts(s->journal)->epoch == 0 && options->start == STORE_ALONE) {
        e = store_found(s, why);
    }
    s->cluster = e == OK ? journal_facts(s->journal)->epoch : 0;
    if (e == OK && s->cluster != 0) {
        e = state_set_cluster(s->state, s->cluster, why);
    }
    if (e == OK && s->transport != NULL) {
        transport_set_cluster(s->transport, s->cluster);
    }
    if (e == OK && options->recovery != NULL) {
        e = recover_servers(s, options->recovery, why);
    }
    return e == OK ? store_start_engine(s, why) : e;
}

static void store_free(struct store *s)
{
    transport_close(s->transport);
    engine_free(s->engine);
    fetch_close(s);
    found_close(s);
    writes_free(s);
    tail_close(&s->tail);
    state_close(s->state);
    journal_close(s->journal);
    rpc_room_close(&s->room);
    buf_close(&s->outgoing);
    buf_close(&s->gathered);
    buf_close(&s->cut.configuration);
    free(s->sending);
    free(s->group.entries);
    loop_free(s->hub);
    loop_free(s->disk);
    loop_free(s->keeper);
    if (!s->in_memory) {
        datadir_close(&s->dir);
    }
    free(s->address);
    free(s);
}

enum err
store_open(const struct store_options *options, struct store **ret_store, struct reason *why)
{
    struct datadir dir = {.lock_fd = -1};
    if (options->data_dir != NULL) {
        enum err e = datadir_open(options->data_dir, &dir, why);
        if (e != OK) {
            return e;
        }
    }
    struct store *s = mem_zalloc(1, sizeof *s);
    s->in_memory = options->data_dir == NULL;
    s->dir = dir;
    s->address = mem_strdup(options->address);
    (void)snprintf(s->node_id, sizeof s->node_id, "%s", options->node_id);
    s->id = store_server_id(options->node_id);
    s->election_ms = options->election_ms != 0 ? options->election_ms : RAFT_ELECTION_MS;
    s->hold_ms = options->hold_ms != 0 ? options->hold_ms : RPC_HOLD_MS;
    s->log_trailing =
        (unsigned)(options->log_trailing < UINT32_MAX ? options->log_trailing : UINT32_MAX);
    s->history_age_ms = options->history_age_ms;
    s->history_bytes_max = options->history_bytes;
    s->hub = loop_new("hub");
    s->disk = loop_new("disk");
    s->keeper = loop_new("keeper");
    env_random(loop_env(s->hub), &s->proposer, sizeof s->proposer);
    s->proposer |= 1;
    hub_open(s);
    keep_open(s);
    collect_init(&s->collect);
    enum err e = store_open_all(s, options, why);
    if (e != OK) {
        collect_close(&s->collect);
        store_free(s);
        return e;
    }
    publish_open(s);
    peers_refresh(s);
    hub_refresh_facts(s);
    hub_start_timers(s);
    keep_start(s);
    s->running = true;
    loop_start(s->disk);
    loop_start(s->keeper);
    loop_start(s->hub);
    log_line(LOG_STORE_OPENED, "dir=%s applied=%llu term=%llu",
             s->in_memory ? "(memory)" : s->dir.path, (unsigned long long)s->applied,
             (unsigned long long)engine_term(s->engine));
    *ret_store = s;
    return OK;
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    atomic_store(&s->closing, true);
    mailbox_post(loop_mailbox(s->hub), &s->close_mail);
    loop_join(s->hub);
    loop_stop(s->disk);
    loop_stop(s->keeper);
    loop_join(s->disk);
    loop_join(s->keeper);
    if (atomic_load(&s->listener_posted)) {
        /* The last word to the listener is part of what is freed here. */
        loop_drain(s->listener_loop);
    }
    publish_close(s);
    store_free(s);
}

/* --- from any thread ------------------------------------------------------------------------- */

void store_propose(struct store *s, struct loop *from, struct proposal *p, struct buf *command)
{
    CHECK(p->done != NULL);
    p->store = s;
    p->loop = from;
    p->status = OK;
    p->index = 0;
    p->proposed_us = env_real_now_us();
    p->command = buf_take(command, &p->command_len);
    p->mail = (struct mail){.deliver = write_on_proposal};
    mailbox_post(loop_mailbox(s->hub), &p->mail);
}

void store_facts_get(struct store *s, struct store_facts *ret_facts)
{
    *ret_facts = (struct store_facts){
        .leader = atomic_load(&s->facts.leader),
        .leader_id = atomic_load(&s->facts.leader_id),
        .voters = atomic_load(&s->facts.voters),
        .cluster = atomic_load(&s->facts.cluster),
        .term = atomic_load(&s->facts.term),
        .last_log_index = atomic_load(&s->facts.last),
        .last_log_term = atomic_load(&s->facts.last_term),
        .commit_index = atomic_load(&s->facts.commit),
        .applied_index = atomic_load(&s->facts.applied),
        .snapshot_index = atomic_load(&s->facts.snapshot_index),
        .snapshot_term = atomic_load(&s->facts.snapshot_term),
        .history_bytes = atomic_load(&s->facts.history_bytes),
        .disk_full = atomic_load(&s->facts.disk_full),
    };
    ret_facts->known_leader = ret_facts->leader_id != 0;
    ret_facts->bootstrapped = ret_facts->cluster != 0;
    if (!ret_facts->leader) {
        uint64_t heard_ms = atomic_load(&s->facts.heard_ms);
        uint64_t now_ms = env_real_now_ms();
        ret_facts->contact_ms = heard_ms == 0 || heard_ms > now_ms ? 0 : now_ms - heard_ms;
    }
    /* Every read asks for these facts: no printf. */
    uint64_t epoch = atomic_load(&s->facts.epoch);
    for (unsigned i = 0; i < 16; i++) {
        ret_facts->epoch[i] = "0123456789abcdef"[epoch >> (60 - 4 * i) & 15];
    }
}

const char *store_address(const struct store *s)
{
    return s->address;
}

void store_on_change(struct store *s, struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
    s->listener_loop = loop;
    s->listener_ctx = ctx;
    s->listener = fn;
}

static void store_change_history(struct store *s, void *arg)
{
    const struct history_limits *limits = arg;
    s->history_age_ms = limits->before_ms;
    s->history_bytes_max = limits->bytes_max;
    env_timer_start(loop_env(s->hub), &s->trim, HISTORY_TRIM_MORE_MS);
}

void store_set_history(struct store *s, uint64_t age_ms, uint64_t bytes)
{
    struct history_limits limits = {.before_ms = age_ms, .bytes_max = bytes};
    hub_call(s, store_change_history, &limits);
}

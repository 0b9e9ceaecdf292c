#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "store/replica/wal_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- opening --------------------------------------------------------------------------------- */

/* The first 8 bytes of a UUID; never 0, which means nobody. */
static uint64_t store_id_of(const char *uuid)
{
    uint64_t id = 0;
    unsigned digits = 0;
    for (const char *at = uuid; *at != '\0' && digits < 16; at++) {
        static const char HEX[] = "0123456789abcdef";
        char lower = (char)(*at >= 'A' && *at <= 'F' ? *at - 'A' + 'a' : *at);
        const char *found = strchr(HEX, lower);
        if (found != NULL) {
            id = id << 4 | (uint64_t)(found - HEX);
            digits++;
        }
    }
    return id != 0 ? id : 1;
}

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

static enum err store_open_databases(struct store *s, struct reason *why)
{
    struct journal_paths paths = {0};
    enum err e = OK;
    if (!s->in_memory) {
        paths = (struct journal_paths){.directory = s->dir.log_path, .mark = s->dir.mark_path};
        e = wal_check(s->dir.state_path, 0, why);
    }
    if (e == OK) {
        e = journal_open(&paths, &s->journal, why);
        if (e != OK) {
            return store_database_failed(paths.directory, e, why);
        }
        e = state_open(s->dir.state_path, &s->state, why);
        if (e != OK) {
            return store_database_failed(s->dir.state_path, e, why);
        }
    }
    return e;
}

static enum err store_found(struct store *s, struct reason *why)
{
    uint64_t epoch = 0;
    struct buf configuration;
    if (state_applied(s->state) > 0) {
        return store_corrupt(s, why, "the log is empty, though the state is not");
    }
    while (epoch == 0) {
        env_real_random(&epoch, sizeof epoch);
    }
    buf_init(&configuration, RAFT_CONFIGURATION_MAX);
    enum err e = engine_configuration_encode(s->id, s->address, &configuration);
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

static enum err store_start_engine(struct store *s, struct reason *why)
{
    unsigned seed = 0;
    env_real_random(&seed, sizeof seed);
    struct engine_options options = {
        .id = s->id,
        .address = s->address,
        .seed = seed,
        .guards = guards_on(),
        .ops = &HUB_OPS,
        .ctx = s,
    };
    s->engine = engine_new(&options);
    s->applied = state_applied(s->state);
    enum err e = engine_start(s->engine, journal_facts(s->journal), s->applied,
                              env_now_ms(loop_env(s->hub)), why);
    if (e != OK) {
        return store_corrupt(s, why, "the log holds a cluster configuration that cannot be read");
    }
    if (!engine_leads(s->engine)) {
        reason_set(why,
                   "%s: belongs to a server with another node id; start with that id again, or use "
                   "another -data-dir",
                   s->dir.path);
        return ERR_INVALID;
    }
    journal_forget_facts(s->journal);
    return hub_replay(s, why);
}

static enum err store_open_all(struct store *s, struct reason *why)
{
    enum err e = store_open_databases(s, why);
    if (e == OK && journal_facts(s->journal)->fresh) {
        e = store_found(s, why);
    }
    if (e == OK) {
        e = store_check_whole(s, why);
    }
    if (e == OK) {
        e = store_start_engine(s, why);
    }
    return e;
}

static void store_free(struct store *s)
{
    engine_free(s->engine);
    state_close(s->state);
    journal_close(s->journal);
    buf_close(&s->cut.configuration);
    free(s->group.entries);
    free(s->entries);
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
    s->id = store_id_of(options->node_id);
    s->log_trailing =
        (unsigned)(options->log_trailing < UINT32_MAX ? options->log_trailing : UINT32_MAX);
    s->history_age_ms = options->history_age_ms;
    s->history_bytes_max = options->history_bytes;
    s->hub = loop_new("hub");
    s->disk = loop_new("disk");
    s->keeper = loop_new("keeper");
    hub_open(s);
    keep_open(s);
    collect_init(&s->collect);
    enum err e = store_open_all(s, why);
    if (e != OK) {
        collect_close(&s->collect);
        store_free(s);
        return e;
    }
    publish_open(s);
    s->facts.epoch = journal_facts(s->journal)->epoch;
    hub_refresh_facts(s);
    hub_start_timers(s);
    keep_start(s);
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
    p->mail = (struct mail){.deliver = hub_on_proposal};
    mailbox_post(loop_mailbox(s->hub), &p->mail);
}

void store_facts_get(struct store *s, struct store_facts *ret_facts)
{
    *ret_facts = (struct store_facts){
        .leader = atomic_load(&s->facts.leader),
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
    /* Every read asks for these facts: no printf. */
    for (unsigned i = 0; i < 16; i++) {
        ret_facts->epoch[i] = "0123456789abcdef"[s->facts.epoch >> (60 - 4 * i) & 15];
    }
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

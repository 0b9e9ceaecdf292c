#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <stdlib.h>

/* A piece that was asked for and did not come is asked for again. */
#define FETCH_RETRY_MS 1000U

/* --- giving ---------------------------------------------------------------------------------- */

static void fetch_given_end(struct fetch_given *g)
{
    snapshot_reader_free(g->reader);
    g->reader = NULL;
    g->token = 0;
    g->drop = false;
}

static struct fetch_given *fetch_given_find(struct store *s, uint64_t peer, uint64_t token)
{
    for (size_t i = 0; i < FETCH_GIVEN_MAX; i++) {
        struct fetch_given *g = &s->fetch.given[i];
        if (g->reader != NULL && g->peer == peer && (token == 0 || g->token == token)) {
            return g;
        }
    }
    return NULL;
}

static void fetch_reply(struct store *s, uint64_t to, uint64_t token, uint64_t number, enum err e)
{
    struct rpc_message m = {.type = RPC_CHUNK};
    m.chunk.token = token;
    m.chunk.number = number;
    m.chunk.status = (uint32_t)e;
    peers_send(s, to, TRANSPORT_BULK, &m);
}

static void fetch_on_piece_read(struct mail *m)
{
    struct fetch_given *g = LIST_OWNER(m, struct fetch_given, mail);
    struct store *s = g->store;
    struct rpc_message reply = {.type = RPC_CHUNK};
    g->busy = false;
    if (g->drop || atomic_load(&s->closing)) {
        fetch_given_end(g);
        if (atomic_load(&s->closing)) {
            hub_on_close(&s->close_mail);
        }
        return;
    }
    if (g->result != OK) {
        fetch_reply(s, g->peer, g->token, g->number, ERR_NOT_FOUND);
        fetch_given_end(g);
        return;
    }
    reply.chunk = (struct rpc_chunk){
        .token = g->token,
        .number = g->number,
        .last = g->last,
        .index = g->index,
        .index_term = g->index_term,
        .configuration_index = g->configuration_index,
        .configuration = buf_view(&g->configuration),
        .data = buf_view(&g->piece),
    };
    peers_send(s, g->peer, TRANSPORT_BULK, &reply);
}

static void fetch_read_piece(struct mail *m)
{
    struct fetch_given *g = LIST_OWNER(m, struct fetch_given, mail);
    struct reason why;
    buf_clear(&g->piece);
    g->result = snapshot_read(g->reader, g->number, &g->piece, &g->last, &why);
    if (g->result != OK) {
        log_line(LOG_SNAPSHOT_FAILED, "what=read error=\"%s\"", why.text);
    }
    g->mail.deliver = fetch_on_piece_read;
    mailbox_post(loop_mailbox(g->store->hub), &g->mail);
}

/* What is applied is committed, also while this leader has committed nothing of its own term yet:
 * it may need the one who asks for that. */
static struct fetch_given *fetch_give(struct store *s, uint64_t peer)
{
    struct fetch_given *g = fetch_given_find(s, peer, 0);
    if (g != NULL && g->busy) {
        return NULL;
    }
    for (size_t i = 0; i < FETCH_GIVEN_MAX && g == NULL; i++) {
        g = s->fetch.given[i].reader == NULL ? &s->fetch.given[i] : NULL;
    }
    if (g == NULL) {
        return NULL;
    }
    struct bytes configuration;
    fetch_given_end(g);
    g->store = s;
    g->peer = peer;
    g->reader = snapshot_reader_new(s->state);
    g->index = s->applied;
    g->index_term = engine_term_of(s->engine, s->applied);
    g->configuration_index = engine_configuration_at(s->engine, s->applied, &configuration);
    buf_clear(&g->configuration);
    buf_put(&g->configuration, configuration);
    while (g->token == 0) {
        env_random(loop_env(s->hub), &g->token, sizeof g->token);
    }
    CHECK(snapshot_reader_index(g->reader) == g->index);
    log_line(LOG_SNAPSHOT_GIVEN, "server=%016llx index=%llu", (unsigned long long)peer,
             (unsigned long long)g->index);
    return g;
}

void fetch_on_fetch(struct store *s, uint64_t from, const struct rpc_fetch *m)
{
    struct fetch_given *g = NULL;
    if (m->token != 0) {
        g = fetch_given_find(s, from, m->token);
        if (g == NULL) {
            fetch_reply(s, from, m->token, m->number, ERR_NOT_FOUND);
            return;
        }
    } else if (engine_leads(s->engine) && s->applied == s->commit &&
               engine_configuration_at(s->engine, s->applied, &(struct bytes){0}) > 0) {
        /* Also before it has settled, which it may not be able to without the one who asks. */
        g = fetch_give(s, from);
    }
    if (g == NULL) {
        fetch_reply(s, from, m->token, m->number, ERR_BUSY);
        return;
    }
    g->used_ms = hub_now_ms(s);
    if (g->busy) {
        return;
    }
    g->busy = true;
    g->number = m->number;
    g->mail.deliver = fetch_read_piece;
    mailbox_post(loop_mailbox(s->keeper), &g->mail);
}

uint64_t fetch_keep_behind(const struct store *s)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < FETCH_GIVEN_MAX; i++) {
        const struct fetch_given *g = &s->fetch.given[i];
        if (g->reader != NULL && g->index < least) {
            least = g->index;
        }
    }
    return least;
}

/* --- getting --------------------------------------------------------------------------------- */

static void fetch_ask(struct store *s)
{
    struct fetch *f = &s->fetch;
    struct rpc_message m = {.type = RPC_FETCH};
    m.fetch.token = f->token;
    m.fetch.number = f->number;
    f->state = FETCH_ASKING;
    f->asked_ms = hub_now_ms(s);
    peers_send(s, f->peer, TRANSPORT_CONTROL, &m);
}

/* Not while the keeper has it. */
static void fetch_reset(struct store *s)
{
    struct fetch *f = &s->fetch;
    CHECK(f->state != FETCH_WRITING);
    snapshot_writer_free(f->writer);
    f->writer = NULL;
    if (f->ready != NULL) {
        state_close(f->ready);
        f->ready = NULL;
    }
    f->state = FETCH_IDLE;
    f->token = 0;
    f->number = 1;
    f->bytes = 0;
    f->abandon = false;
}

void fetch_begin(struct store *s, uint64_t from)
{
    struct fetch *f = &s->fetch;
    if (f->state == FETCH_READY) {
        /* A leader of this term has spoken: now it can be installed. */
        return;
    }
    if (f->state != FETCH_IDLE) {
        return;
    }
    fetch_reset(s);
    f->peer = from;
    f->began_ms = hub_now_ms(s);
    log_line(LOG_SNAPSHOT_FETCH, "server=%016llx", (unsigned long long)from);
    fetch_ask(s);
}

static void fetch_write_piece(struct mail *m);

static void fetch_on_piece_written(struct mail *m)
{
    struct fetch *f = LIST_OWNER(m, struct fetch, mail);
    struct store *s = f->store;
    f->state = FETCH_ASKING;
    if (f->last || f->result != OK) {
        /* Finished or given up: the keeper has freed it. */
        f->writer = NULL;
    }
    if (f->result != OK) {
        log_line(LOG_SNAPSHOT_FAILED, "what=write error=\"%s\"", f->why.text);
        fetch_reset(s);
    } else if (f->abandon || atomic_load(&s->closing)) {
        fetch_reset(s);
    } else if (f->last) {
        f->state = FETCH_READY;
        log_line(LOG_SNAPSHOT_FETCHED, "index=%llu bytes=%llu ms=%llu",
                 (unsigned long long)f->index, (unsigned long long)f->bytes,
                 (unsigned long long)(hub_now_ms(s) - f->began_ms));
    } else {
        f->number++;
        fetch_ask(s);
    }
    hub_turn(s);
    if (atomic_load(&s->closing)) {
        hub_on_close(&s->close_mail);
    }
}

static enum err fetch_open_writer(struct store *s)
{
    struct fetch *f = &s->fetch;
    char *path = s->in_memory ? NULL : datadir_state(&s->dir, f->generation);
    enum err e = snapshot_writer_open(path, &f->writer, &f->why);
    free(path);
    return e;
}

/* On the keeper. */
static void fetch_write_piece(struct mail *m)
{
    struct fetch *f = LIST_OWNER(m, struct fetch, mail);
    struct store *s = f->store;
    f->result = f->writer == NULL ? fetch_open_writer(s) : OK;
    if (f->result == OK) {
        f->result = snapshot_write(f->writer, buf_view(&f->piece), &f->why);
    }
    if (f->result == OK && f->last) {
        f->result = snapshot_writer_finish(f->writer, f->index, &f->ready, &f->why);
        f->writer = NULL;
    } else if (f->result != OK) {
        snapshot_writer_free(f->writer);
        f->writer = NULL;
    }
    f->mail.deliver = fetch_on_piece_written;
    mailbox_post(loop_mailbox(s->hub), &f->mail);
}

static void fetch_take(struct store *s, const struct rpc_chunk *m)
{
    struct fetch *f = &s->fetch;
    struct store_servers servers;
    if (members_decode(m->configuration, &servers) != OK || m->index == 0 || m->index_term == 0 ||
        m->configuration_index > m->index) {
        fetch_reset(s);
        return;
    }
    if (f->token == 0) {
        f->token = m->token;
        f->index = m->index;
        f->index_term = m->index_term;
        f->configuration_index = m->configuration_index;
        f->generation = journal_generation(s->journal) + 1;
        buf_clear(&f->configuration);
        buf_put(&f->configuration, m->configuration);
    }
    buf_clear(&f->piece);
    if (buf_append(&f->piece, m->data) != OK) {
        fetch_reset(s);
        return;
    }
    f->last = m->last;
    f->bytes += m->data.len;
    f->state = FETCH_WRITING;
    f->mail.deliver = fetch_write_piece;
    mailbox_post(loop_mailbox(s->keeper), &f->mail);
}

void fetch_on_chunk(struct store *s, uint64_t from, const struct rpc_chunk *m)
{
    struct fetch *f = &s->fetch;
    if (f->state != FETCH_ASKING || from != f->peer || m->number != f->number ||
        (f->token != 0 && m->token != f->token)) {
        return;
    }
    switch (m->status) {
    case OK:
        if (m->token != 0) {
            fetch_take(s, m);
        }
        break;
    case ERR_BUSY:
        /* Again at the next tick. */
        break;
    default:
        fetch_reset(s);
        break;
    }
}

/* --- installing ------------------------------------------------------------------------------ */

static void fetch_maybe_install(struct store *s)
{
    struct fetch *f = &s->fetch;
    struct journal_snapshot snapshot = {
        .index = f->index,
        .term = f->index_term,
        .configuration_index = f->configuration_index,
        .configuration = buf_view(&f->configuration),
        .generation = f->generation,
    };
    if (f->state != FETCH_READY || s->flush.busy || s->cut.busy || s->parked) {
        return;
    }
    enum err e = engine_install(s->engine, &snapshot, hub_now_ms(s));
    if (e != ERR_NOT_LEADER) {
        /* Installed, or our log has gone on without it. */
        fetch_reset(s);
    }
}

struct fetch_install {
    struct store *store;
    const struct journal_snapshot *snapshot;
    enum err result;
    struct reason why;
};

static void fetch_on_disk(void *arg)
{
    struct fetch_install *in = arg;
    in->result =
        journal_install(in->store->journal, in->snapshot, in->store->fetch.generation, &in->why);
}

static void fetch_bury_on_keeper(struct mail *m)
{
    state_remains_free(LIST_OWNER(m, struct state_remains, mail));
}

/* The last view is gone, on whatever thread. */
static void fetch_bury(struct state_remains *r, void *ctx)
{
    struct store *s = ctx;
    r->mail.deliver = fetch_bury_on_keeper;
    mailbox_post(loop_mailbox(s->keeper), &r->mail);
}

void fetch_install(struct store *s, const struct journal_snapshot *snapshot)
{
    struct fetch *f = &s->fetch;
    struct fetch_install in = {.store = s, .snapshot = snapshot};
    uint64_t after = s->applied;
    CHECK(f->state == FETCH_READY && snapshot->index == f->index);
    if (!disk_insist(s, fetch_on_disk, &in, &in.result)) {
        /* Log and state stay as they are, and nothing is applied any more. */
        s->parked = true;
        timer_stop(&s->retry);
        return;
    }
    if (in.result != OK) {
        fatal("cannot write the log: %s", in.why.text);
    }
    struct state *old = s->state;
    s->state = f->ready;
    f->ready = NULL;
    s->applied = state_applied(s->state);
    CHECK(s->applied == snapshot->index);
    if (s->commit < s->applied) {
        s->commit = s->applied;
    }
    enum err e = state_set_cluster(s->state, s->cluster, &in.why);
    if (e != OK) {
        fatal("the state that was fetched: %s", in.why.text);
    }
    /* A group on its way to the disk wrote what is gone now. */
    s->group.clip = 0;
    s->cut_from = 0;
    s->written = snapshot->index;
    tail_reset(&s->tail, snapshot->index, s->group.busy);
    s->dirty_bytes = 0;
    s->dirty_since_ms = 0;
    log_line(LOG_SNAPSHOT_INSTALLED, "index=%llu before=%llu", (unsigned long long)s->applied,
             (unsigned long long)after);
    writes_on_installed(s, s->applied);
    publish_replaced(s, after);
    state_retire(old, fetch_bury, s);
    reads_on_applied(s);
}

/* --- time ------------------------------------------------------------------------------------ */

void fetch_tick(struct store *s)
{
    struct fetch *f = &s->fetch;
    uint64_t now_ms = hub_now_ms(s);
    for (size_t i = 0; i < FETCH_GIVEN_MAX; i++) {
        struct fetch_given *g = &f->given[i];
        if (g->reader != NULL && now_ms - g->used_ms >= SNAPSHOT_IDLE_MS) {
            g->drop = g->busy;
            if (!g->busy) {
                fetch_given_end(g);
            }
        }
    }
    if (f->state == FETCH_ASKING && now_ms - f->asked_ms >= FETCH_RETRY_MS) {
        if (s->leader != 0 && s->leader != f->peer && s->leader != s->id) {
            /* The old one may be gone for good. */
            fetch_reset(s);
        } else {
            fetch_ask(s);
        }
    }
    fetch_maybe_install(s);
}

void fetch_open(struct store *s)
{
    struct fetch *f = &s->fetch;
    f->store = s;
    f->number = 1;
    buf_init(&f->configuration, RAFT_CONFIGURATION_MAX);
    buf_init(&f->piece, RPC_MESSAGE_MAX);
    for (size_t i = 0; i < FETCH_GIVEN_MAX; i++) {
        buf_init(&f->given[i].configuration, RAFT_CONFIGURATION_MAX);
        buf_init(&f->given[i].piece, RPC_MESSAGE_MAX);
    }
}

bool fetch_idle(const struct store *s)
{
    const struct fetch *f = &s->fetch;
    bool busy = f->state == FETCH_WRITING;
    for (size_t i = 0; i < FETCH_GIVEN_MAX; i++) {
        busy = busy || f->given[i].busy;
    }
    return !busy;
}

void fetch_close(struct store *s)
{
    struct fetch *f = &s->fetch;
    CHECK(fetch_idle(s));
    fetch_reset(s);
    buf_close(&f->configuration);
    buf_close(&f->piece);
    for (size_t i = 0; i < FETCH_GIVEN_MAX; i++) {
        fetch_given_end(&f->given[i]);
        buf_close(&f->given[i].configuration);
        buf_close(&f->given[i].piece);
    }
}

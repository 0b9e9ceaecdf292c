/* /v1/snapshot: a backup of the state as an archive, and its way back.
 *
 * A backup is written as it is sent: its pieces are counted in one walk over the view and sent in a
 * second one, a few in each turn of the loop, so that it costs no memory and nobody waits for it. A
 * restore is one command after the other; the next goes when the one before is applied. */
#include "core/api/api.h"
#include "core/api/archive.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/host.h"
#include "store/backup.h"

#include <stdio.h>
#include <stdlib.h>

/* --- saving ---------------------------------------------------------------------------------- */

/* Pieces of one turn: some milliseconds. */
#define SAVE_TURN_PIECES ((size_t)4)
/* Between two turns, in which the others have theirs. */
#define SAVE_TURN_MS     1U

struct save {
    struct timer turn; /* the next one */
    struct request *request;
    struct loop *loop;
    struct view *view;
    struct backup *backup;
    struct archive_meta meta;
    struct archive_writer *writer; /* NULL while the pieces are counted */
    struct buf piece;
    struct buf out;
};

static void save_free(struct save *s)
{
    timer_stop(&s->turn);
    backup_close(s->backup);
    archive_writer_free(s->writer);
    view_unref(s->view);
    buf_close(&s->piece);
    buf_close(&s->out);
    free(s);
}

static void save_post(struct save *s)
{
    env_timer_start(loop_env(s->loop), &s->turn, SAVE_TURN_MS);
}

static void save_cancelled(struct request *r)
{
    save_free(r->ctx);
}

static void save_writable(struct request *r)
{
    save_post(r->ctx);
}

static void save_begin_sending(struct save *s)
{
    static const struct reply_stream_ops ops = {.writable = save_writable};
    backup_close(s->backup);
    s->backup = backup_open(s->view);
    s->writer = archive_writer_new(&s->meta, &s->out);
    api_meta_headers(s->request, view_index(s->view));
    reply_stream_begin(s->request, 200, "application/x-gzip", &ops);
}

/* ERR_NOT_FOUND when all are counted. */
static enum err save_count(struct save *s)
{
    enum err e = OK;
    for (unsigned i = 0; e == OK && i < SAVE_TURN_PIECES; i++) {
        e = backup_next(s->backup, &s->piece, NULL);
        if (e == OK) {
            s->meta.size += ARCHIVE_PIECE_LEN(s->piece);
        }
    }
    return e;
}

static enum err save_pieces(struct save *s)
{
    enum err e = OK;
    for (unsigned i = 0; e == OK && i < SAVE_TURN_PIECES; i++) {
        e = backup_next(s->backup, &s->piece, NULL);
        if (e == OK) {
            e = archive_write(s->writer, buf_view(&s->piece));
        }
    }
    return e;
}

/* An archive that ends early has no seal: whoever reads it will know. */
static void save_end(struct save *s, enum err e)
{
    struct request *r = s->request;
    if (s->writer == NULL) {
        reply_err(r, e);
    } else {
        reply_stream_end(r);
    }
    save_free(s);
}

static void save_send(struct save *s)
{
    enum err e = save_pieces(s);
    bool last = e == ERR_NOT_FOUND;
    if (last) {
        e = archive_finish(s->writer);
    }
    if (s->out.len > 0) {
        struct shared *data = shared_copy(0, buf_view(&s->out));
        buf_clear(&s->out);
        reply_stream_send(s->request, data);
        shared_unref(data);
    }
    if (last || e != OK) {
        save_end(s, e);
    } else if (reply_stream_pending(s->request) < STREAM_OUTBOUND_MAX) {
        save_post(s);
    }
}

static void save_turn(struct timer *t)
{
    struct save *s = LIST_OWNER(t, struct save, turn);
    if (s->writer != NULL) {
        save_send(s);
        return;
    }
    enum err e = save_count(s);
    if (e == ERR_NOT_FOUND) {
        save_begin_sending(s);
    } else if (e != OK) {
        save_end(s, e);
        return;
    }
    save_post(s);
}

static void snapshot_save(struct request *r)
{
    struct api *api = api_of(r);
    struct store_facts facts;
    struct save *s = mem_zalloc(1, sizeof *s);
    store_facts_get(api->store, &facts);
    env_timer_init(loop_env(api->loop), &s->turn, save_turn);
    s->request = r;
    s->loop = api->loop;
    s->view = view_ref(store_reader_view(api->reader));
    s->backup = backup_open(s->view);
    s->meta = (struct archive_meta){
        .index = view_index(s->view),
        .term = facts.term,
        .size = ARCHIVE_HEAD_LEN,
        .wall_ms = env_wall_ms(loop_env(api->loop)),
    };
    (void)snprintf(s->meta.server, sizeof s->meta.server, "%s", host_node_id(api->host));
    (void)snprintf(s->meta.address, sizeof s->meta.address, "%s", store_address(api->store));
    buf_init(&s->piece, RESTORE_CHUNK_MAX);
    buf_init(&s->out, SAVE_TURN_PIECES * RESTORE_CHUNK_MAX * 2);
    r->ctx = s;
    r->cancelled = save_cancelled;
    save_post(s);
}

/* --- restoring ------------------------------------------------------------------------------- */

/* It goes on when its client goes away: half a restore is worth nothing. */
struct restore {
    struct proposal proposal;
    struct request *request; /* NULL: nobody waits any more */
    struct api *api;
    struct archive archive;
    size_t at; /* in the archive */
    uint64_t id;
    uint64_t number;        /* of the chunk at hand */
    enum command_type step; /* what was proposed last */
    enum err failed;        /* why it is being given up */
};

static void restore_done(struct proposal *p);

static void restore_end(struct restore *x, enum err e)
{
    struct request *r = x->request;
    archive_close(&x->archive);
    free(x);
    if (r == NULL) {
        return;
    }
    if (e == ERR_CONFLICT) {
        reply_text(r, 500, "another restore began meanwhile; this one changed nothing");
    } else if (e != OK) {
        reply_err(r, e);
    } else {
        reply_bytes(r, 200, NULL, (struct bytes){0});
    }
}

static void restore_propose(struct restore *x, enum command_type step, struct bytes rows)
{
    struct buf data;
    struct command c = {.type = step, .time_ms = env_wall_ms(loop_env(x->api->loop))};
    bool counts = step == COMMAND_RESTORE_CHUNK || step == COMMAND_RESTORE_COMMIT;
    c.restore =
        (struct command_restore){.id = x->id, .number = counts ? x->number : 0, .rows = rows};
    x->step = step;
    buf_init(&data, COMMAND_MAX);
    enum err e = command_encode(&data, &c);
    if (e != OK) {
        buf_close(&data);
        restore_end(x, e);
        return;
    }
    x->proposal = (struct proposal){.done = restore_done, .ctx = x};
    store_propose(x->api->store, x->api->loop, &x->proposal, &data);
}

static void restore_next(struct restore *x)
{
    struct bytes piece;
    if (archive_piece(&x->archive, &x->at, &piece)) {
        x->number++;
        restore_propose(x, COMMAND_RESTORE_CHUNK, piece);
    } else {
        restore_propose(x, COMMAND_RESTORE_COMMIT, (struct bytes){0});
    }
}

/* Not when it was ended by another one already, nor when there is nobody left to ask. */
static bool restore_may_abort(enum err status)
{
    return status != OK && status != ERR_CONFLICT && status != ERR_CLOSED;
}

static void restore_done(struct proposal *p)
{
    struct restore *x = p->ctx;
    if (x->step == COMMAND_RESTORE_ABORT) {
        restore_end(x, x->failed);
    } else if (x->step == COMMAND_RESTORE_CHUNK && restore_may_abort(p->status)) {
        /* The rows that were put aside only take room; if this does not come through, the next
         * restore clears them. */
        x->failed = p->status;
        restore_propose(x, COMMAND_RESTORE_ABORT, (struct bytes){0});
    } else if (p->status != OK || x->step == COMMAND_RESTORE_COMMIT) {
        restore_end(x, p->status);
    } else {
        restore_next(x);
    }
}

static void restore_cancelled(struct request *r)
{
    struct restore *x = r->ctx;
    x->request = NULL;
}

static void snapshot_restore(struct request *r)
{
    struct api *api = api_of(r);
    struct archive archive;
    struct reason why = {0};
    if (archive_open(r->body, &archive, &why) != OK) {
        reply_text(r, 500, "%s", why.text);
        return;
    }
    struct restore *x = mem_zalloc(1, sizeof *x);
    x->request = r;
    x->api = api;
    x->archive = archive;
    while (x->id == 0) {
        env_random(loop_env(api->loop), &x->id, sizeof x->id);
    }
    r->ctx = x;
    r->cancelled = restore_cancelled;
    restore_propose(x, COMMAND_RESTORE_BEGIN, (struct bytes){0});
}

void api_snapshot(struct request *r)
{
    struct read_options options;
    if (!api_read_options(r, &options)) {
        return;
    }
    if (r->method == METHOD_PUT) {
        snapshot_restore(r);
    } else {
        snapshot_save(r);
    }
}

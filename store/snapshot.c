#include "store/snapshot.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "store/datadir.h"
#include "store/pack.h"
#include "store/view_private.h"

#include <stdlib.h>
#include <string.h>

/* --- pieces ---------------------------------------------------------------------------------- */

static size_t snapshot_row_len(struct bytes key, struct bytes value)
{
    return 8 + key.len + value.len;
}

enum err snapshot_row_put(struct buf *out, struct bytes key, struct bytes value)
{
    enum err e = buf_reserve(out, snapshot_row_len(key, value));
    if (e == OK) {
        pack_u32(out, (uint32_t)key.len);
        pack_u32(out, (uint32_t)value.len);
        buf_put(out, key);
        buf_put(out, value);
    }
    return e;
}

enum err snapshot_row_next(struct bytes *piece, struct bytes *ret_key, struct bytes *ret_value)
{
    struct unpack in = {.rest = *piece};
    uint32_t key_len = unpack_u32(&in);
    uint32_t value_len = unpack_u32(&in);
    if (key_len == 0 || key_len > SCHEMA_KEY_MAX || value_len > SCHEMA_ROW_MAX) {
        return ERR_CORRUPT;
    }
    struct bytes key = unpack_raw(&in, key_len);
    struct bytes value = unpack_raw(&in, value_len);
    if (in.failed) {
        return ERR_CORRUPT;
    }
    *piece = in.rest;
    *ret_key = key;
    *ret_value = value;
    return OK;
}

/* --- reading --------------------------------------------------------------------------------- */

struct snapshot_reader {
    struct view *view;
    struct rocks_iter *rows;
    uint64_t number;  /* the piece read last; 0: none */
    struct buf start; /* the first key of that one; empty: it has the meta row alone */
};

struct snapshot_reader *snapshot_reader_new(struct state *s)
{
    struct snapshot_reader *r = mem_zalloc(1, sizeof(*r));
    r->view = state_view(s);
    r->rows = view_rows(r->view);
    rocks_iter_first(r->rows);
    buf_init(&r->start, SCHEMA_KEY_MAX);
    return r;
}

void snapshot_reader_free(struct snapshot_reader *r)
{
    if (r == NULL) {
        return;
    }
    rocks_iter_free(r->rows);
    view_unref(r->view);
    buf_close(&r->start);
    free(r);
}

uint64_t snapshot_reader_index(const struct snapshot_reader *r)
{
    return view_index(r->view);
}

/* The meta row's place is the end. */
static void snapshot_skip_meta(struct snapshot_reader *r)
{
    if (rocks_iter_valid(r->rows) && schema_is_meta(rocks_iter_key(r->rows))) {
        rocks_iter_next(r->rows);
    }
}

/* To where the piece `number` begins. */
static enum err snapshot_place(struct snapshot_reader *r, uint64_t number)
{
    if (number == r->number && number > 0) {
        struct bytes start = buf_view(&r->start);
        /* Nothing sorts behind the end, where the meta row stands alone: the iterator is there. */
        if (start.len > 0) {
            rocks_iter_seek(r->rows, start);
        }
        return OK;
    }
    if (number != r->number + 1) {
        return ERR_INVALID;
    }
    snapshot_skip_meta(r);
    buf_clear(&r->start);
    if (rocks_iter_valid(r->rows)) {
        buf_put(&r->start, rocks_iter_key(r->rows));
    }
    return OK;
}

static enum err snapshot_read_meta(struct snapshot_reader *r, struct buf *out)
{
    struct schema_key key;
    char data[SCHEMA_META_LEN];
    schema_key_meta(&key);
    schema_meta_encode(view_meta(r->view), data);
    return snapshot_row_put(out, schema_key_view(&key), (struct bytes){data, sizeof(data)});
}

/* Rows up to the piece's size; false in `ret_last` if there are more. */
static enum err
snapshot_read_rows(struct snapshot_reader *r, struct buf *out, bool *ret_last, struct reason *why)
{
    size_t begin = out->len;
    enum err e = OK;
    for (; e == OK && rocks_iter_valid(r->rows); rocks_iter_next(r->rows), snapshot_skip_meta(r)) {
        struct bytes key = rocks_iter_key(r->rows);
        struct bytes value = rocks_iter_value(r->rows);
        size_t len = out->len - begin;
        if (len > 0 && len + snapshot_row_len(key, value) > SNAPSHOT_CHUNK_BYTES) {
            *ret_last = false;
            return OK;
        }
        e = snapshot_row_put(out, key, value);
        if (e != OK) {
            return e;
        }
    }
    *ret_last = true;
    return rocks_iter_error(r->rows, why);
}

enum err snapshot_read(struct snapshot_reader *r,
                       uint64_t number,
                       struct buf *out,
                       bool *ret_last,
                       struct reason *why)
{
    size_t begin = out->len;
    bool last = false;
    enum err e = snapshot_place(r, number);
    if (e != OK) {
        return e;
    }
    r->number = number;
    e = snapshot_read_rows(r, out, &last, why);
    if (e == OK && last) {
        e = snapshot_read_meta(r, out);
    }
    if (e != OK) {
        buf_truncate(out, begin);
        return e;
    }
    *ret_last = last;
    return OK;
}

/* --- writing --------------------------------------------------------------------------------- */

struct snapshot_writer {
    struct state_db *db;
    char *path; /* NULL in memory */
    struct rocks_batch *batch;
    struct buf last; /* the key before */
    bool whole;      /* the meta row came */
    bool failed;
};

enum err
snapshot_writer_open(const char *path, struct snapshot_writer **ret_writer, struct reason *why)
{
    struct state_db *db = NULL;
    if (path != NULL) {
        datadir_remove(path);
    }
    enum err e = state_db_open(path, &db, why);
    if (e != OK) {
        return e;
    }
    struct snapshot_writer *w = mem_zalloc(1, sizeof(*w));
    w->db = db;
    w->path = path != NULL ? mem_strdup(path) : NULL;
    w->batch = rocks_batch_new();
    buf_init(&w->last, SCHEMA_KEY_MAX);
    *ret_writer = w;
    return OK;
}

static enum err snapshot_write_row(struct snapshot_writer *w, struct bytes key, struct bytes value)
{
    enum err e = schema_check_row(key, value);
    if (e != OK) {
        return e;
    }
    if (w->whole) {
        return ERR_CORRUPT;
    }
    if (schema_is_meta(key)) {
        w->whole = true;
    } else if (bytes_compare(key, buf_view(&w->last)) <= 0) {
        return ERR_CORRUPT;
    } else {
        buf_clear(&w->last);
        buf_put(&w->last, key);
    }
    rocks_batch_put(w->batch, key, value);
    return OK;
}

enum err snapshot_write(struct snapshot_writer *w, struct bytes piece, struct reason *why)
{
    enum err e = piece.len > 0 && !w->failed ? OK : ERR_CORRUPT;
    rocks_batch_clear(w->batch);
    while (e == OK && piece.len > 0) {
        struct bytes key;
        struct bytes value;
        e = snapshot_row_next(&piece, &key, &value);
        if (e == OK) {
            e = snapshot_write_row(w, key, value);
        }
    }
    if (e == ERR_VERSION) {
        reason_set(why, "the snapshot was written by another version of Herald");
    } else if (e != OK) {
        reason_set(why, "a piece of the snapshot is damaged or out of order");
    } else {
        e = rocks_write(state_db_rocks(w->db), w->batch, false, why);
    }
    /* What order the next one would have to be in is no longer known. */
    w->failed = w->failed || e != OK;
    return e;
}

/* The directory's own name must not be lost either. */
static enum err snapshot_sync_name(const char *path, struct reason *why)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    if (slash == NULL || slash == path) {
        return path == NULL ? OK : datadir_sync(slash == NULL ? "." : "/", why);
    }
    char *parent = mem_dup(path, (size_t)(slash - path));
    enum err e = datadir_sync(parent, why);
    free(parent);
    return e;
}

static enum err snapshot_finish_state(struct snapshot_writer *w,
                                      uint64_t index,
                                      struct state **ret_state,
                                      struct reason *why)
{
    struct state *s = NULL;
    struct state_db *db = w->db;
    enum err e = rocks_flush(state_db_rocks(db), why);
    if (e == OK) {
        e = snapshot_sync_name(w->path, why);
    }
    if (e != OK) {
        return e;
    }
    w->db = NULL;
    e = state_adopt(db, &s, why);
    if (e == OK && state_applied(s) != index) {
        reason_set(why, "the snapshot is of another index than was said");
        state_close(s);
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        *ret_state = s;
    }
    return e;
}

enum err snapshot_writer_finish(struct snapshot_writer *w,
                                uint64_t index,
                                struct state **ret_state,
                                struct reason *why)
{
    enum err e = ERR_CORRUPT;
    if (w->whole && !w->failed) {
        e = snapshot_finish_state(w, index, ret_state, why);
    } else {
        reason_set(why, "the snapshot is not whole");
    }
    snapshot_writer_free(w);
    return e;
}

void snapshot_writer_free(struct snapshot_writer *w)
{
    if (w == NULL) {
        return;
    }
    rocks_batch_free(w->batch);
    state_db_unref(w->db);
    buf_close(&w->last);
    free(w->path);
    free(w);
}

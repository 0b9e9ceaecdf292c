#include "store/state.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "store/apply.h"
#include "store/history.h"
#include "store/kv.h"
#include "store/state_db.h"
#include "store/view_private.h"

#include <stdlib.h>

struct state {
    struct state_db *owner;
    struct rocks *db;        /* the owner's */
    struct schema_meta meta; /* as the newest batch wrote it */
    struct once once;
    struct apply apply;
};

/* --- life ------------------------------------------------------------------------------------ */

static enum err state_load(struct state *s, struct reason *why)
{
    struct schema_key k;
    schema_key_meta(&k);
    struct rocks_slice slice = {0};
    enum err e = rocks_get(s->db, NULL, schema_key_view(&k), &slice, why);
    if (e == ERR_NOT_FOUND) {
        return OK;
    }
    if (e != OK) {
        return e;
    }
    e = schema_meta_decode(slice.value, &s->meta);
    if (e == ERR_VERSION) {
        reason_set(why, "the state database was written by another version of Herald");
    } else if (e != OK) {
        reason_set(why, "the state database is not one of Herald's");
    }
    rocks_slice_close(&slice);
    return e;
}

enum err state_adopt(struct state_db *db, struct state **ret_state, struct reason *why)
{
    struct state *s = mem_zalloc(1, sizeof(*s));
    s->owner = db;
    s->db = state_db_rocks(db);
    s->apply.db = s->db;
    s->apply.once = &s->once;
    s->apply.batch = rocks_batch_new();
    buf_init(&s->apply.row, SCHEMA_ROW_MAX);
    buf_init(&s->apply.scratch, SCHEMA_ROW_MAX);
    buf_init(&s->apply.detail, TXN_RESULT_MAX);
    overlay_init(&s->apply.written);
    overlay_init(&s->apply.touched);
    enum err e = state_load(s, why);
    e = e == OK ? once_load(&s->once, s->db, why) : e;
    if (e != OK) {
        state_close(s);
        return e;
    }
    *ret_state = s;
    return OK;
}

enum err state_open(const char *path, struct state **ret_state, struct reason *why)
{
    struct state_db *db = NULL;
    enum err e = state_db_open(path, &db, why);
    return e == OK ? state_adopt(db, ret_state, why) : e;
}

static void state_free(struct state *s)
{
    rocks_slice_close(&s->apply.slice);
    rocks_batch_free(s->apply.batch);
    buf_close(&s->apply.row);
    buf_close(&s->apply.scratch);
    buf_close(&s->apply.detail);
    overlay_close(&s->apply.written);
    overlay_close(&s->apply.touched);
    state_db_unref(s->owner);
    free(s);
}

void state_close(struct state *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(state_db_is_alone(s->owner));
    state_free(s);
}

void state_retire(struct state *s, state_bury_fn *bury, void *ctx)
{
    state_db_retire(s->owner, bury, ctx);
    state_free(s);
}

struct state_db *state_database(const struct state *s)
{
    return s->owner;
}

enum err state_set_cluster(struct state *s, uint64_t cluster, struct reason *why)
{
    if (s->meta.cluster != 0 && s->meta.cluster != cluster) {
        reason_set(why, "the state database is of another cluster than the log");
        return ERR_CORRUPT;
    }
    s->meta.cluster = cluster;
    return OK;
}

uint64_t state_applied(const struct state *s)
{
    return s->meta.applied;
}

/* --- applying -------------------------------------------------------------------------------- */

/* Writes what `apply` prepared, and only then believes it. */
static enum err state_write(struct state *s, struct reason *why)
{
    struct apply *a = &s->apply;
    char data[SCHEMA_META_LEN];
    schema_meta_encode(&a->meta, data);
    struct schema_key k;
    schema_key_meta(&k);
    rocks_batch_put(a->batch, schema_key_view(&k), (struct bytes){data, sizeof(data)});
    enum err e = rocks_write(s->db, a->batch, false, why);
    if (e == OK) {
        s->meta = a->meta;
    }
    return e;
}

static void state_begin(struct state *s, uint64_t index, struct reason *why)
{
    CHECK(index >= s->meta.applied);
    struct apply *a = &s->apply;
    rocks_batch_clear(a->batch);
    a->meta = s->meta;
    a->meta.applied = index;
    a->index = index;
    a->status = OK;
    a->replaced = false;
    buf_clear(&a->detail);
    a->why = why;
}

enum err state_apply(struct state *s,
                     uint64_t index,
                     struct bytes command,
                     struct collect *out,
                     struct apply_reply *ret_reply,
                     struct reason *why)
{
    CHECK(index > s->meta.applied);
    size_t collected = out->count;
    state_begin(s, index, why);
    s->apply.out = out;
    enum err e = apply_command(&s->apply, command);
    rocks_slice_close(&s->apply.slice);
    if (e == OK) {
        e = state_write(s, why);
    }
    once_settle(&s->once, e == OK);
    if (e != OK) {
        collect_truncate(out, collected);
        return e;
    }
    if (s->apply.replaced) {
        collect_replaced(out);
    }
    *ret_reply = (struct apply_reply){
        .status = s->apply.status,
        .index = index,
        .proposer = s->apply.proposer,
        .number = s->apply.number,
        .detail = buf_view(&s->apply.detail),
    };
    return OK;
}

uint64_t state_proposed(const struct state *s, uint64_t proposer)
{
    return once_newest(&s->once, proposer);
}

enum err state_skip(struct state *s, uint64_t index, struct reason *why)
{
    CHECK(index > s->meta.applied);
    state_begin(s, index, why);
    return state_write(s, why);
}

struct view *state_view(struct state *s)
{
    return view_new(s->owner, &s->meta);
}

/* --- durability ------------------------------------------------------------------------------ */

enum err state_durable(struct state *s, uint64_t *ret_index, struct reason *why)
{
    struct schema_key k;
    schema_key_meta(&k);
    struct rocks_slice slice = {0};
    struct schema_meta meta = {0};
    enum err e = rocks_get_durable(s->db, schema_key_view(&k), &slice, why);
    if (e == OK) {
        e = schema_meta_decode(slice.value, &meta);
        rocks_slice_close(&slice);
    }
    if (e != OK && e != ERR_NOT_FOUND) {
        return e;
    }
    *ret_index = meta.applied;
    return OK;
}

enum err state_flush(struct state *s, struct reason *why)
{
    return rocks_flush(s->db, why);
}

/* --- history --------------------------------------------------------------------------------- */

uint64_t state_history_bytes(const struct state *s)
{
    return s->meta.history_bytes;
}

uint64_t state_history_oldest(const struct state *s)
{
    return s->meta.history_oldest;
}

enum err
state_trim(struct state *s, const struct history_limits *limits, bool *ret_more, struct reason *why)
{
    state_begin(s, s->meta.applied, why);
    bool more = false;
    enum err e = history_trim(s->db, s->apply.batch, &s->apply.meta, limits, &more, why);
    if (e == OK && s->apply.meta.history_oldest != s->meta.history_oldest) {
        e = state_write(s, why);
    }
    if (e == OK) {
        *ret_more = more;
    }
    return e;
}

/* --- deletions ------------------------------------------------------------------------------- */

enum err state_reapable(struct state *s, uint64_t through, bool *ret_reapable, struct reason *why)
{
    return kv_reapable(s->db, &s->meta, through, ret_reapable, why);
}

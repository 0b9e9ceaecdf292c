#include "store/state.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "store/apply.h"
#include "store/history.h"
#include "store/kv.h"
#include "store/view_private.h"

#include <stdlib.h>

/* A row and its frame, a change and its frame. */
#define STATE_ROW_MAX (KV_VALUE_MAX + KV_KEY_MAX + KIB(1))

struct state {
    struct rocks *db;
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

enum err state_open(const char *path, struct state **ret_state, struct reason *why)
{
    struct rocks *db = NULL;
    enum err e = rocks_open(path, ROCKS_STATE, &db, why);
    if (e != OK) {
        return e;
    }
    struct state *s = mem_zalloc(1, sizeof(*s));
    s->db = db;
    s->apply.db = db;
    s->apply.once = &s->once;
    s->apply.batch = rocks_batch_new();
    buf_init(&s->apply.row, STATE_ROW_MAX);
    e = state_load(s, why);
    e = e == OK ? once_load(&s->once, db, why) : e;
    if (e != OK) {
        state_close(s);
        return e;
    }
    *ret_state = s;
    return OK;
}

void state_close(struct state *s)
{
    if (s == NULL) {
        return;
    }
    rocks_slice_close(&s->apply.slice);
    rocks_batch_free(s->apply.batch);
    buf_close(&s->apply.row);
    rocks_close(s->db);
    free(s);
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
    *ret_reply = (struct apply_reply){
        .status = s->apply.status,
        .index = index,
        .proposer = s->apply.proposer,
        .number = s->apply.number,
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
    return view_new(s->db, &s->meta);
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

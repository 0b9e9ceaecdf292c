#include "core/base/mem.h"
#include "store/expire.h"
#include "store/history.h"
#include "store/kv_priv.h"
#include "store/schema_fleet.h"

#include <stdlib.h>

/* --- rows ------------------------------------------------------------------------------------ */

enum err kv_corrupt(struct reason *why)
{
    if (why != NULL) {
        reason_set(why, "a row of the state database is not of our format");
    }
    return ERR_CORRUPT;
}

enum err kv_read(struct apply *a, struct bytes key, struct kv_row *ret_row)
{
    struct schema_key k;
    schema_key_kv(&k, a->meta.restores, key);
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    if (e == ERR_NOT_FOUND) {
        *ret_row = (struct kv_row){.key = key, .dead = true};
        return OK;
    }
    if (e != OK) {
        return e;
    }
    struct kv_row row = {.key = key};
    if (schema_row_decode(a->slice.value, &row) != OK) {
        return kv_corrupt(a->why);
    }
    *ret_row = row;
    return OK;
}

static void kv_write(struct apply *a, const struct kv_row *row)
{
    struct schema_key k;
    schema_key_kv(&k, a->meta.restores, row->key);
    schema_row_encode(&a->row, row);
    apply_put(a, schema_key_view(&k), buf_view(&a->row));
}

static void kv_entomb(struct apply *a, struct bytes key)
{
    kv_write(a, &(struct kv_row){.key = key, .dead = true, .modify_index = a->index});
}

/* So that reaping finds the dead row. */
static void kv_register_death(struct apply *a, struct bytes key)
{
    struct schema_key k;
    schema_key_deletion(&k, a->index, key);
    apply_put(a, schema_key_view(&k), (struct bytes){0});
}

/* A key that comes to life again has no deletion to be reaped. */
static void kv_unbury(struct apply *a, const struct kv_row *dead)
{
    struct schema_key k;
    schema_key_deletion(&k, dead->modify_index, dead->key);
    apply_delete(a, schema_key_view(&k));
}

/* The way from a session to a key that it holds. */
static void kv_held_key(struct apply *a, struct schema_key *k, const struct kv_row *row)
{
    schema_fleet_begin(k, a->meta.restores, FLEET_HELD);
    schema_fleet_part(k, row->session, true);
    schema_fleet_exact(k, row->key);
}

/* What other tables say of a live row, where `row` (dead: nothing) does not say it any more. */
static void kv_unlink(struct apply *a, const struct kv_row *old, const struct kv_row *row)
{
    if (old->session.len > 0 && !bytes_equal(old->session, row->session)) {
        struct schema_key k;
        kv_held_key(a, &k, old);
        apply_delete(a, schema_key_view(&k));
    }
    if (old->ttl && !row->ttl) {
        expiry_forget(a, EXPIRY_KEY, old->key);
    }
}

bool kv_allowed(const struct kv_row *old, bool check, uint64_t index)
{
    if (!check) {
        return true;
    }
    return index == 0 ? old->dead : !old->dead && old->modify_index == index;
}

static bool kv_same(const struct kv_row *a, const struct kv_row *b)
{
    return a->flags == b->flags && a->lock_index == b->lock_index && a->ttl == b->ttl &&
           bytes_equal(a->value, b->value) && bytes_equal(a->session, b->session);
}

bool kv_replace(struct apply *a, const struct kv_row *old, struct kv_row *row)
{
    if (!old->dead && kv_same(old, row)) {
        row->create_index = old->create_index;
        row->modify_index = old->modify_index;
        return false;
    }
    row->create_index = old->dead ? a->index : old->create_index;
    row->modify_index = a->index;
    if (old->dead && old->modify_index > 0) {
        kv_unbury(a, old);
    }
    kv_unlink(a, old, row);
    if (row->session.len > 0 && !bytes_equal(old->session, row->session)) {
        struct schema_key k;
        kv_held_key(a, &k, row);
        apply_put(a, schema_key_view(&k), (struct bytes){0});
    }
    kv_write(a, row);
    a->meta.kv_index = a->index;
    apply_change(a, &(struct change){
                        .topic = CHANGE_KV,
                        .op = CHANGE_SET,
                        .key = row->key,
                        .value = row->value,
                        .flags = row->flags,
                        .create_index = row->create_index,
                        .lock_index = row->lock_index,
                        .session = row->session,
                    });
    return true;
}

/* --- set ------------------------------------------------------------------------------------- */

static enum err kv_put(struct apply *a, const struct command_kv_set *cmd, bool ttl)
{
    struct kv_row old;
    enum err e = kv_read(a, cmd->key, &old);
    if (e != OK) {
        return e;
    }
    if (!kv_allowed(&old, cmd->check, cmd->index)) {
        a->status = ERR_CONFLICT;
        return OK;
    }
    struct kv_row row = {
        .key = cmd->key,
        .value = cmd->value,
        .flags = cmd->flags,
        .session = old.session,
        .ttl = ttl,
    };
    (void)kv_replace(a, &old, &row);
    return OK;
}

enum err kv_set(struct apply *a, const struct command_kv_set *cmd)
{
    return kv_put(a, cmd, false);
}

enum err kv_set_ttl(struct apply *a, const struct command_kv_set_ttl *cmd)
{
    enum err e = kv_put(a, &cmd->set, true);
    if (e == OK && a->status == OK) {
        expiry_set(a, EXPIRY_KEY, cmd->set.key, cmd->ttl_ms);
    }
    return e;
}

/* --- delete ---------------------------------------------------------------------------------- */

void kv_bury(struct apply *a, const struct kv_row *old)
{
    kv_unlink(a, old, &(struct kv_row){0});
    kv_entomb(a, old->key);
    kv_register_death(a, old->key);
    a->meta.kv_index = a->index;
    apply_change(a, &(struct change){.topic = CHANGE_KV, .op = CHANGE_DELETE, .key = old->key});
}

enum err kv_delete(struct apply *a, const struct command_kv_delete *cmd)
{
    struct kv_row old;
    enum err e = kv_read(a, cmd->key, &old);
    if (e != OK || old.dead) {
        return e;
    }
    if (cmd->check && cmd->index != old.modify_index) {
        a->status = ERR_CONFLICT;
        return OK;
    }
    kv_bury(a, &old);
    return OK;
}

enum err kv_each_live(struct apply *a, struct bytes prefix, kv_each_fn *each, void *ctx)
{
    struct schema_key from;
    schema_key_kv(&from, a->meta.restores, prefix);
    struct apply_scan scan;
    apply_scan_open(&scan, a, &from);
    enum err e = apply_scan_next(&scan);
    for (; e == OK; e = apply_scan_next(&scan)) {
        struct kv_row row = {0};
        if (schema_parse_kv(scan.key, &row.key) != OK ||
            schema_row_decode(scan.value, &row) != OK) {
            e = kv_corrupt(a->why);
            break;
        }
        if (!row.dead) {
            each(a, &row, ctx);
        }
    }
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

struct kv_hashes {
    uint64_t *hashes;
    size_t count;
    size_t cap;
};

static void kv_delete_prefix_row(struct apply *a, const struct kv_row *row, void *ctx)
{
    struct kv_hashes *h = ctx;
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 64 : h->cap * 2;
        h->hashes = mem_realloc(h->hashes, h->cap * sizeof(*h->hashes));
    }
    h->hashes[h->count++] = schema_hash(row->key);
    kv_unlink(a, row, &(struct kv_row){0});
    kv_entomb(a, row->key);
    if (a->overlaid) {
        /* The second walk would find it dead. */
        kv_register_death(a, row->key);
    }
}

static void kv_delete_prefix_deletion(struct apply *a, const struct kv_row *row, void *ctx)
{
    (void)ctx;
    kv_register_death(a, row->key);
}

enum err kv_delete_prefix(struct apply *a, const struct command_kv_delete_prefix *cmd)
{
    struct kv_hashes taken = {0};
    /* Table by table, in two walks: the database takes rows in order several times faster. */
    enum err e = kv_each_live(a, cmd->prefix, kv_delete_prefix_row, &taken);
    if (e == OK && taken.count > 0 && !a->overlaid) {
        e = kv_each_live(a, cmd->prefix, kv_delete_prefix_deletion, NULL);
    }
    if (e == OK && taken.count > 0) {
        struct change c = {.topic = CHANGE_KV, .op = CHANGE_DELETE_PREFIX, .key = cmd->prefix};
        a->meta.kv_index = a->index;
        apply_change(a, &c);
        history_record_cascade(a->batch, &a->meta, &c, taken.hashes, taken.count);
    }
    free(taken.hashes);
    return e;
}

/* --- reap ------------------------------------------------------------------------------------ */

static struct rocks_iter *kv_deletions(struct rocks *db, uint64_t after, uint64_t through)
{
    struct schema_key from;
    struct schema_key to;
    schema_key_deletion(&from, after, (struct bytes){0});
    schema_key_end(&from);
    schema_key_deletion(&to, through, (struct bytes){0});
    schema_key_end(&to);
    return rocks_iter_new(db, NULL, schema_key_view(&from), schema_key_view(&to));
}

/* One walk over the deletions: forgets them, or (`rows`) the dead rows that they stand for. */
static enum err kv_reap_walk(struct apply *a, uint64_t through, bool rows, uint64_t *ret_reaped)
{
    struct rocks_iter *it = kv_deletions(a->db, a->meta.kv_reaped, through);
    enum err e = OK;
    for (rocks_iter_first(it); e == OK && rocks_iter_valid(it); rocks_iter_next(it)) {
        struct bytes key;
        struct schema_key k;
        if (schema_parse_deletion(rocks_iter_key(it), ret_reaped, &key) != OK) {
            e = kv_corrupt(a->why);
        } else if (rows) {
            schema_key_kv(&k, a->meta.restores, key);
            rocks_batch_delete(a->batch, schema_key_view(&k));
        } else {
            rocks_batch_delete(a->batch, rocks_iter_key(it));
        }
    }
    if (e == OK) {
        e = rocks_iter_error(it, a->why);
    }
    rocks_iter_free(it);
    return e;
}

enum err kv_reap(struct apply *a, const struct command_tombstone_reap *cmd)
{
    /* What is to come cannot be forgotten. */
    uint64_t through = cmd->through < a->index ? cmd->through : a->index;
    if (through <= a->meta.kv_reaped) {
        return OK;
    }
    uint64_t reaped = a->meta.kv_reaped;
    /* Table by table, as above. */
    enum err e = kv_reap_walk(a, through, true, &reaped);
    if (e == OK) {
        e = kv_reap_walk(a, through, false, &reaped);
    }
    if (e == OK) {
        a->meta.kv_reaped = reaped;
    }
    return e;
}

enum err kv_reapable(struct rocks *db,
                     const struct schema_meta *meta,
                     uint64_t through,
                     bool *ret_reapable,
                     struct reason *why)
{
    if (through <= meta->kv_reaped) {
        *ret_reapable = false;
        return OK;
    }
    struct rocks_iter *it = kv_deletions(db, meta->kv_reaped, through);
    rocks_iter_first(it);
    bool reapable = rocks_iter_valid(it);
    enum err e = rocks_iter_error(it, why);
    rocks_iter_free(it);
    if (e == OK) {
        *ret_reapable = reapable;
    }
    return e;
}

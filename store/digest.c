#include "store/digest.h"

#include "store/backup.h"
#include "store/view_private.h"

static uint64_t digest_mix(uint64_t digest, uint64_t part)
{
    digest = (digest ^ part) * 0x9e3779b97f4a7c15U;
    return digest ^ digest >> 29;
}

static uint64_t digest_row(uint64_t digest, struct bytes key, struct bytes value)
{
    return digest_mix(digest_mix(digest, bytes_hash(key)), bytes_hash(value));
}

/* The fleet's rows, links and indexes of names excepted. */
static void
digest_fleet(struct state_digest *d, uint64_t restores, struct bytes raw, struct bytes value)
{
    enum fleet_table table;
    struct bytes rest;
    if (raw.ptr[0] == schema_fleet_half(restores) && schema_fleet_parse(raw, &table, &rest) == OK &&
        backup_has(table)) {
        d->live = digest_row(d->live, bytes_slice(raw, 1, raw.len), value);
        d->rows++;
    }
}

/* Live rows count by their key alone: the table that they stand in changes with each restore. */
static enum err
digest_live(struct state_digest *d, uint64_t restores, struct bytes raw, struct bytes value)
{
    struct schema_key table;
    struct kv_row row = {0};
    schema_key_kv(&table, restores, (struct bytes){0});
    if (!bytes_begins(raw, schema_key_view(&table))) {
        digest_fleet(d, restores, raw, value);
        return OK;
    }
    enum err e = schema_parse_kv(raw, &row.key);
    if (e == OK) {
        e = schema_row_decode(value, &row);
    }
    if (e == OK && !row.dead) {
        d->live = digest_row(d->live, row.key, value);
        d->rows++;
    }
    return e;
}

static void digest_meta(struct state_digest *d, const struct schema_meta *meta)
{
    const uint64_t facts[] = {meta->kv_index, meta->kv_reaped,  meta->cluster,     meta->restores,
                              meta->restored, meta->restore_id, meta->restore_next};
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        d->all = digest_mix(d->all, facts[i]);
    }
}

enum err view_digest(struct view *v, struct state_digest *ret_digest, struct reason *why)
{
    const struct schema_meta *meta = view_meta(v);
    struct state_digest d = {.index = meta->applied};
    struct rocks_iter *it = view_rows(v);
    enum err e = OK;
    for (rocks_iter_first(it); e == OK && rocks_iter_valid(it); rocks_iter_next(it)) {
        struct bytes raw = rocks_iter_key(it);
        struct bytes value = rocks_iter_value(it);
        if (schema_is_history(raw) || schema_is_meta(raw)) {
            continue;
        }
        d.all = digest_row(d.all, raw, value);
        e = digest_live(&d, meta->restores, raw, value);
    }
    if (e == OK) {
        e = rocks_iter_error(it, why);
    } else {
        reason_set(why, "a row of the state database is not of our format");
    }
    rocks_iter_free(it);
    if (e == OK) {
        digest_meta(&d, meta);
        *ret_digest = d;
    }
    return e;
}

enum err state_digest(struct state *s, struct state_digest *ret_digest, struct reason *why)
{
    struct view *v = state_view(s);
    enum err e = view_digest(v, ret_digest, why);
    view_unref(v);
    return e;
}

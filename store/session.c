#include "store/session.h"

#include "core/base/check.h"
#include "store/expire.h"
#include "store/fleet.h"
#include "store/kv.h"
#include "store/schema_fleet.h"

/* An encoded session: a few names and two lists of them. */
#define SESSION_ROW_MAX (2 * ROW_LIST_MAX + 3 * ROW_TEXT_MAX)

/* --- rows ------------------------------------------------------------------------------------ */

static void session_key(struct schema_key *k, const struct apply *a, struct bytes id)
{
    schema_fleet_one(k, a->meta.restores, FLEET_SESSION, id);
}

enum err session_read(struct apply *a, struct bytes id, struct session_row *ret_row)
{
    struct schema_key k;
    if (id.len > SESSION_ID_MAX) {
        return ERR_NOT_FOUND;
    }
    session_key(&k, a, id);
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    return e != OK ? e : row_session_decode(a->slice.value, ret_row);
}

/* The same with its bytes in `kept` (to be closed), where the next read does not reach them. */
static enum err
session_keep(struct apply *a, struct bytes id, struct buf *kept, struct session_row *ret_row)
{
    buf_init(kept, SESSION_ROW_MAX);
    enum err e = session_read(a, id, ret_row);
    if (e == OK) {
        e = buf_append(kept, a->slice.value);
    }
    return e != OK ? e : row_session_decode(buf_view(kept), ret_row);
}

static void session_tell(struct apply *a, enum change_op op, struct bytes id, struct bytes row)
{
    apply_moved(a, BYTES(FLEET_INDEX_SESSIONS));
    if (op == CHANGE_SET) {
        apply_moved_of(a, FLEET_INDEX_SESSION, id);
    } else {
        apply_gone_of(a, FLEET_INDEX_SESSION, id);
    }
    apply_change(a, &(struct change){.topic = CHANGE_SESSION, .op = op, .key = id, .value = row});
}

/* --- create ---------------------------------------------------------------------------------- */

/* Each check must be there and not critical; else the command is refused. */
static enum err session_check_all(struct apply *a, struct bytes node, struct bytes checks)
{
    struct bytes id;
    while (a->status == OK && texts_next(&checks, &id)) {
        struct schema_key k;
        struct check_row check = {0};
        enum err e = ERR_NOT_FOUND;
        if (id.len <= ROW_NAME_MAX) {
            schema_fleet_two(&k, a->meta.restores, FLEET_CHECK, node, id);
            e = apply_get(a, schema_key_view(&k), &a->slice);
        }
        if (e == ERR_NOT_FOUND) {
            apply_refuse(a, "Missing check '%.*s' registration", BYTES_FORMAT(id));
            break;
        }
        e = e == OK ? row_check_decode(a->slice.value, &check) : e;
        if (e != OK) {
            return e;
        }
        if (check.status == CHECK_CRITICAL) {
            apply_refuse(a, "Check '%.*s' is in critical state", BYTES_FORMAT(id));
        }
    }
    return OK;
}

static enum err session_check(struct apply *a, const struct session_row *row)
{
    struct schema_key k;
    struct session_row there;
    schema_fleet_one(&k, a->meta.restores, FLEET_NODE, row->node);
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    if (e == ERR_NOT_FOUND) {
        apply_refuse(a, "Missing node registration");
        return OK;
    }
    e = e == OK ? session_read(a, row->id, &there) : e;
    if (e == OK) {
        apply_refuse(a, "Session id '%.*s' is taken", BYTES_FORMAT(row->id));
        return OK;
    }
    e = e == ERR_NOT_FOUND ? session_check_all(a, row->node, row->node_checks) : e;
    return e != OK ? e : session_check_all(a, row->node, row->service_checks);
}

enum err session_create(struct apply *a, const struct command_session *cmd)
{
    struct session_row row;
    struct schema_key k;
    struct buf encoded;
    /* The command was looked through when it was decoded. */
    CHECK(row_session_decode(cmd->row, &row) == OK);
    enum err e = session_check(a, &row);
    if (e != OK || a->status != OK) {
        return e;
    }
    row.create_index = a->index;
    row.modify_index = a->index;
    buf_init(&encoded, SESSION_ROW_MAX);
    CHECK(row_session_encode(&encoded, &row) == OK);
    session_key(&k, a, row.id);
    apply_put(a, schema_key_view(&k), buf_view(&encoded));
    schema_fleet_two(&k, a->meta.restores, FLEET_NODE_SESSION, row.node, row.id);
    apply_put(a, schema_key_view(&k), (struct bytes){0});
    if (row.ttl_ms > 0) {
        expiry_set(a, EXPIRY_SESSION, row.id, row.ttl_ms);
    }
    session_tell(a, CHANGE_SET, row.id, buf_view(&encoded));
    buf_put(&a->detail, row.id);
    buf_close(&encoded);
    return OK;
}

/* --- renew ----------------------------------------------------------------------------------- */

enum err session_renew(struct apply *a, const struct command_session *cmd)
{
    struct session_row row;
    enum err e = session_read(a, cmd->id, &row);
    if (e == ERR_NOT_FOUND) {
        a->status = ERR_CONFLICT;
        return OK;
    }
    if (e != OK) {
        return e;
    }
    buf_put(&a->detail, a->slice.value);
    if (row.ttl_ms > 0) {
        expiry_set(a, EXPIRY_SESSION, row.id, row.ttl_ms);
    }
    return OK;
}

/* --- the end --------------------------------------------------------------------------------- */

static enum err session_let_go(struct apply *a, const struct session_row *row)
{
    struct schema_key prefix;
    struct apply_scan scan;
    uint64_t delay_ms = row->lock_delay_ms;
    delay_ms = delay_ms < LOCK_DELAY_MAX_MS ? delay_ms : LOCK_DELAY_MAX_MS;
    schema_fleet_begin(&prefix, a->meta.restores, FLEET_HELD);
    schema_fleet_part(&prefix, row->id, true);
    apply_scan_open(&scan, a, &prefix);
    enum err e = apply_scan_next(&scan);
    while (e == OK) {
        struct bytes held = bytes_slice(scan.key, prefix.len, scan.key.len);
        e = kv_let_go(a, held, row);
        if (e == OK && delay_ms > 0) {
            expiry_set(a, EXPIRY_LOCK_DELAY, held, delay_ms);
        }
        e = e == OK ? apply_scan_next(&scan) : e;
    }
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err session_end(struct apply *a, struct bytes id)
{
    struct session_row row;
    struct schema_key k;
    struct buf kept;
    enum err e = session_keep(a, id, &kept, &row);
    e = e == OK ? session_let_go(a, &row) : e;
    if (e == OK) {
        session_key(&k, a, row.id);
        apply_delete(a, schema_key_view(&k));
        schema_fleet_two(&k, a->meta.restores, FLEET_NODE_SESSION, row.node, row.id);
        apply_delete(a, schema_key_view(&k));
        if (row.ttl_ms > 0) {
            expiry_forget(a, EXPIRY_SESSION, row.id);
        }
        session_tell(a, CHANGE_DELETE, row.id, buf_view(&kept));
    }
    buf_close(&kept);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err session_destroy(struct apply *a, const struct command_session *cmd)
{
    return session_end(a, cmd->id);
}

/* Of the node's sessions those that hang on this check; without a check all. */
static enum err session_end_of(struct apply *a, struct bytes node, struct bytes check_id)
{
    struct schema_key prefix;
    struct apply_scan scan;
    if (node.len > ROW_NAME_MAX) {
        return OK;
    }
    schema_fleet_begin(&prefix, a->meta.restores, FLEET_NODE_SESSION);
    schema_fleet_part(&prefix, node, true);
    apply_scan_open(&scan, a, &prefix);
    enum err e = apply_scan_next(&scan);
    while (e == OK) {
        struct session_row row = {0};
        struct bytes id = bytes_slice(scan.key, prefix.len, scan.key.len);
        e = session_read(a, id, &row);
        if (e == OK && (check_id.len == 0 || texts_have_nocase(row.node_checks, check_id) ||
                        texts_have_nocase(row.service_checks, check_id))) {
            e = session_end(a, id);
        }
        e = e == OK || e == ERR_NOT_FOUND ? apply_scan_next(&scan) : e;
    }
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err session_on_check_critical(struct apply *a, struct bytes node, struct bytes check_id)
{
    return session_end_of(a, node, check_id);
}

enum err session_on_check_gone(struct apply *a, struct bytes node, struct bytes check_id)
{
    return session_end_of(a, node, check_id);
}

enum err session_on_node_gone(struct apply *a, struct bytes node)
{
    return session_end_of(a, node, (struct bytes){0});
}

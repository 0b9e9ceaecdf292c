#include "store/session.h"

#include "store/fleet.h"
#include "store/row.h"
#include "store/schema_fleet.h"

static enum err session_drop(struct apply *a, const struct session_row *row, struct bytes data)
{
    struct schema_key k;
    schema_fleet_one(&k, a->meta.restores, FLEET_SESSION, row->id);
    apply_delete(a, schema_key_view(&k));
    schema_fleet_two(&k, a->meta.restores, FLEET_NODE_SESSION, row->node, row->id);
    apply_delete(a, schema_key_view(&k));
    apply_change(a, &(struct change){
                        .topic = CHANGE_SESSION,
                        .op = CHANGE_DELETE,
                        .key = row->id,
                        .value = data,
                    });
    apply_moved(a, BYTES(FLEET_INDEX_SESSIONS));
    apply_gone_of(a, FLEET_INDEX_SESSION, row->id);
    return OK;
}

/* Those of a node, or (`check_id`) those that hang on this check. */
static enum err session_end_of(struct apply *a, struct bytes node, struct bytes check_id)
{
    struct schema_key prefix;
    struct schema_key k;
    struct apply_scan scan;
    struct rocks_slice slice = {0};
    schema_fleet_begin(&prefix, a->meta.restores, FLEET_NODE_SESSION);
    schema_fleet_part(&prefix, node, true);
    apply_scan_open(&scan, a, &prefix);
    enum err e = apply_scan_next(&scan);
    for (; e == OK; e = e == OK ? apply_scan_next(&scan) : e) {
        struct session_row row;
        struct bytes id = bytes_slice(scan.key, prefix.len, scan.key.len);
        schema_fleet_one(&k, a->meta.restores, FLEET_SESSION, id);
        e = apply_get(a, schema_key_view(&k), &slice);
        if (e == OK && row_session_decode(slice.value, &row) != OK) {
            e = ERR_CORRUPT;
        }
        if (e == OK && (check_id.len == 0 || texts_have_nocase(row.node_checks, check_id) ||
                        texts_have_nocase(row.service_checks, check_id))) {
            e = session_drop(a, &row, slice.value);
        }
    }
    rocks_slice_close(&slice);
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

/* What a view shows of access control. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/acl_keys.h"
#include "store/pack.h"
#include "store/view_private.h"

#include <stdlib.h>

static enum err
acl_pin(struct view *v, const struct schema_key *k, struct view_pin *pin, struct bytes *ret_data)
{
    struct rocks_slice slice = {0};
    enum err e = view_row(v, schema_key_view(k), &slice);
    if (e == OK) {
        pin->slice = slice.pinned;
        *ret_data = slice.value;
    }
    return e;
}

static enum err acl_row_of(struct view *v,
                           enum acl_kind kind,
                           struct bytes id,
                           struct view_pin *pin,
                           struct bytes *ret_data)
{
    struct schema_key k;
    view_pin_close(pin);
    return acl_key_row(&k, view_meta(v)->restores, kind, id) ? acl_pin(v, &k, pin, ret_data)
                                                             : ERR_NOT_FOUND;
}

enum err view_acl_token(struct view *v,
                        struct bytes accessor,
                        struct view_pin *pin,
                        struct acl_token *ret_row)
{
    struct bytes data = {0};
    enum err e = acl_row_of(v, ACL_TOKEN, accessor, pin, &data);
    return e == OK ? acl_token_decode(data, ret_row) : e;
}

enum err view_acl_token_by_secret(struct view *v,
                                  struct bytes secret,
                                  struct view_pin *pin,
                                  struct acl_token *ret_row)
{
    struct schema_key k;
    struct rocks_slice slice = {0};
    if (secret.len == 0 || secret.len > ACL_SECRET_MAX) {
        return ERR_NOT_FOUND;
    }
    acl_key_secret(&k, view_meta(v)->restores, secret);
    enum err e = view_row(v, schema_key_view(&k), &slice);
    if (e == OK) {
        e = view_acl_token(v, slice.value, pin, ret_row);
    }
    rocks_slice_close(&slice);
    return e;
}

enum err
view_acl_policy(struct view *v, struct bytes id, struct view_pin *pin, struct acl_policy *ret_row)
{
    struct bytes data = {0};
    enum err e = acl_row_of(v, ACL_POLICY, id, pin, &data);
    return e == OK ? acl_policy_decode(data, ret_row) : e;
}

enum err
view_acl_role(struct view *v, struct bytes id, struct view_pin *pin, struct acl_role *ret_row)
{
    struct bytes data = {0};
    enum err e = acl_row_of(v, ACL_ROLE, id, pin, &data);
    return e == OK ? acl_role_decode(data, ret_row) : e;
}

enum err view_acl_id_of(struct view *v, enum acl_kind kind, struct bytes name, struct buf *out)
{
    struct schema_key k;
    struct rocks_slice slice = {0};
    buf_clear(out);
    if (!acl_key_name(&k, view_meta(v)->restores, kind, name)) {
        return ERR_NOT_FOUND;
    }
    enum err e = view_row(v, schema_key_view(&k), &slice);
    e = e == OK ? buf_append(out, slice.value) : e;
    rocks_slice_close(&slice);
    return e;
}

uint64_t view_acl_bootstrapped(struct view *v)
{
    struct schema_key k;
    struct rocks_slice slice = {0};
    uint64_t index = 0;
    acl_key_begin(&k, view_meta(v)->restores, ACL_SORT_BOOTSTRAP);
    if (view_row(v, schema_key_view(&k), &slice) == OK) {
        struct unpack in = {.rest = slice.value};
        index = unpack_u64(&in);
    }
    rocks_slice_close(&slice);
    return index;
}

struct acl_scan {
    struct rocks_iter *iter;
    bool begun;
};

struct acl_scan *acl_scan_open(struct view *v, enum acl_kind kind)
{
    struct schema_key k;
    struct acl_scan *scan = mem_zalloc(1, sizeof *scan);
    acl_key_begin(&k, view_meta(v)->restores, (char)kind);
    scan->iter = view_rows_of(v, &k);
    return scan;
}

enum err acl_scan_next(struct acl_scan *scan, struct bytes *ret_data)
{
    if (scan->begun) {
        rocks_iter_next(scan->iter);
    } else {
        rocks_iter_first(scan->iter);
        scan->begun = true;
    }
    if (!rocks_iter_valid(scan->iter)) {
        enum err e = rocks_iter_error(scan->iter, NULL);
        return e == OK ? ERR_NOT_FOUND : e;
    }
    *ret_data = rocks_iter_value(scan->iter);
    return OK;
}

void acl_scan_close(struct acl_scan *scan)
{
    rocks_iter_free(scan->iter);
    free(scan);
}

#include "store/command.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/acl_rows.h"
#include "store/pack.h"
#include "store/row.h"

/* u8 version, u64 proposer, u64 number, u8 type, u64 time_ms, then by type:
 *   SET            u8 check, u64 index, u64 flags, bytes key, bytes value
 *   DELETE         u8 check, u64 index, bytes key
 *   DELETE_PREFIX  bytes prefix
 *   REAP           u64 through
 *   RESTORE_*      u64 id; COMMIT also u64 number; CHUNK u64 number, bytes rows
 *   AUTOPILOT_SET  u8 check, u64 index, u8 cleanup, u64 contact, trailing, stabilization, quorum
 *   KV_LOCK        u8 acquire, u64 flags, bytes key, bytes session, bytes value
 *   KV_SET_TTL     u64 ttl_ms, and a SET
 *   REGISTER       u8 skip_node, bytes node, bytes service, bytes checks
 *   DEREGISTER     bytes node, bytes service_id, bytes check_id
 *   SESSION_*      bytes row for CREATE, bytes id for the others
 *   EXPIRE         u8 kind, u64 set_index, bytes name
 *   TXN            bytes ops
 *   EVENT, COORDINATES  bytes rows
 *   ACL_SET        u8 kind, u8 create, bytes row
 *   ACL_DELETE     u8 kind, bytes id
 *   ACL_BOOTSTRAP  u8 kind, u64 index, bytes row
 * Version 1 has neither proposer nor number. */
#define COMMAND_VERSION   2
#define COMMAND_VERSION_1 1
#define COMMAND_STAMP_LEN 16U
#define COMMAND_FRAME_MAX 64U

_Static_assert(COMMAND_FRAME_MAX + RESTORE_CHUNK_MAX <= COMMAND_MAX, "fits a log entry");
_Static_assert(COMMAND_FRAME_MAX + KV_KEY_MAX + KV_VALUE_MAX <= COMMAND_MAX, "fits a log entry");

const char *command_name(enum command_type type)
{
    switch (type) {
#define X(name, number, text)                                                                      \
    case name:                                                                                     \
        return text;
#include "store/command.tbl.h"
#undef X
    }
    return "unknown command";
}

static enum err command_check_key(struct bytes key)
{
    if (key.len > KV_KEY_MAX) {
        return ERR_TOO_BIG;
    }
    return key.len == 0 ? ERR_INVALID : OK;
}

static enum err command_check_condition(bool check, uint64_t index)
{
    return !check && index != 0 ? ERR_INVALID : OK;
}

static enum err command_check_restore(enum command_type type, const struct command_restore *c)
{
    bool chunk = type == COMMAND_RESTORE_CHUNK;
    if (c->rows.len > RESTORE_CHUNK_MAX) {
        return ERR_TOO_BIG;
    }
    if (c->id == 0 || (c->rows.len > 0) != chunk || (chunk && c->number == 0)) {
        return ERR_INVALID;
    }
    return !chunk && type != COMMAND_RESTORE_COMMIT && c->number != 0 ? ERR_INVALID : OK;
}

static enum err command_check_autopilot(const struct command_autopilot_set *c)
{
    if (c->autopilot.create_index != 0 || c->autopilot.modify_index != 0) {
        return ERR_INVALID;
    }
    return command_check_condition(c->check, c->index);
}

static enum err command_check_set(const struct command_kv_set *c)
{
    enum err e = command_check_key(c->key);
    if (e == OK && c->value.len > KV_VALUE_MAX) {
        e = ERR_TOO_BIG;
    }
    return e != OK ? e : command_check_condition(c->check, c->index);
}

static enum err command_check_lock(const struct command_kv_lock *c)
{
    enum err e = command_check_key(c->key);
    if (e == OK && c->value.len > KV_VALUE_MAX) {
        e = ERR_TOO_BIG;
    }
    if (e == OK && (c->session.len == 0 || c->session.len > SESSION_ID_MAX)) {
        e = ERR_INVALID;
    }
    return e;
}

static enum err command_check_acl(enum command_type type, const struct command_acl *c)
{
    if (type == COMMAND_ACL_DELETE) {
        return c->id.len > 0 && c->id.len <= SESSION_ID_MAX ? OK : ERR_INVALID;
    }
    switch (c->kind) {
    case ACL_TOKEN:
        return acl_token_decode(c->row, &(struct acl_token){0}) == OK ? OK : ERR_INVALID;
    case ACL_POLICY:
        return type == COMMAND_ACL_SET && acl_policy_decode(c->row, &(struct acl_policy){0}) == OK
                   ? OK
                   : ERR_INVALID;
    case ACL_ROLE:
        return type == COMMAND_ACL_SET && acl_role_decode(c->row, &(struct acl_role){0}) == OK
                   ? OK
                   : ERR_INVALID;
    default:
        return ERR_INVALID;
    }
}

static enum err command_check_ttl(const struct command_kv_set_ttl *c)
{
    return c->ttl_ms < KEY_TTL_MIN_MS || c->ttl_ms > KEY_TTL_MAX_MS ? ERR_INVALID
                                                                    : command_check_set(&c->set);
}

static enum err command_check_registration(const struct command_register *c)
{
    struct node_row node;
    struct service_row service;
    struct bytes checks = c->checks;
    struct bytes data;
    struct check_row check;
    if (row_node_decode(c->node, &node) != OK || !texts_valid(checks) ||
        texts_count(checks) > REGISTER_CHECKS_MAX ||
        (c->service.len > 0 && row_service_decode(c->service, &service) != OK)) {
        return ERR_INVALID;
    }
    while (texts_next(&checks, &data)) {
        if (row_check_decode(data, &check) != OK) {
            return ERR_INVALID;
        }
    }
    return OK;
}

static enum err command_check_deregistration(const struct command_deregister *c)
{
    if (c->node.len > ROW_NAME_MAX || c->service_id.len > ROW_NAME_MAX ||
        c->check_id.len > ROW_NAME_MAX) {
        return ERR_TOO_BIG;
    }
    return c->node.len == 0 || (c->service_id.len > 0 && c->check_id.len > 0) ? ERR_INVALID : OK;
}

static enum err command_check_session(enum command_type type, const struct command_session *c)
{
    struct session_row row;
    if (type == COMMAND_SESSION_CREATE) {
        return c->id.len == 0 && row_session_decode(c->row, &row) == OK ? OK : ERR_INVALID;
    }
    return c->row.len == 0 && c->id.len > 0 && c->id.len <= SESSION_ID_MAX ? OK : ERR_INVALID;
}

static enum err command_check_expire(const struct command_expire *c)
{
    return c->name.len > 0 && c->name.len <= KV_KEY_MAX ? OK : ERR_INVALID;
}

static enum err command_check_rows(enum command_type type, struct bytes rows)
{
    struct event_row event;
    struct coordinate_row coordinate;
    struct bytes data;
    if (type == COMMAND_EVENT) {
        return row_event_decode(rows, &event) == OK && event.index == 0 ? OK : ERR_INVALID;
    }
    if (rows.len == 0 || !texts_valid(rows)) {
        return ERR_INVALID;
    }
    while (texts_next(&rows, &data)) {
        if (row_coordinate_decode(data, &coordinate) != OK) {
            return ERR_INVALID;
        }
    }
    return OK;
}

/* The one place that says what a command may hold; both directions go through it. */
static enum err command_check(const struct command *c)
{
    enum err e = OK;
    switch (c->type) {
    case COMMAND_KV_SET:
        return command_check_set(&c->kv_set);
    case COMMAND_KV_LOCK:
        return command_check_lock(&c->kv_lock);
    case COMMAND_KV_SET_TTL:
        return command_check_ttl(&c->kv_set_ttl);
    case COMMAND_REGISTER:
        return command_check_registration(&c->registration);
    case COMMAND_DEREGISTER:
        return command_check_deregistration(&c->deregistration);
    case COMMAND_SESSION_CREATE:
    case COMMAND_SESSION_DESTROY:
    case COMMAND_SESSION_RENEW:
        return command_check_session(c->type, &c->session);
    case COMMAND_EXPIRE:
        return command_check_expire(&c->expire);
    case COMMAND_TXN:
        return c->txn.ops.len > 0 && texts_valid(c->txn.ops) ? OK : ERR_INVALID;
    case COMMAND_EVENT:
    case COMMAND_COORDINATES:
        return command_check_rows(c->type, c->rows.rows);
    case COMMAND_ACL_SET:
    case COMMAND_ACL_DELETE:
    case COMMAND_ACL_BOOTSTRAP:
        return command_check_acl(c->type, &c->acl);
    case COMMAND_KV_DELETE:
        e = command_check_key(c->kv_delete.key);
        return e != OK ? e : command_check_condition(c->kv_delete.check, c->kv_delete.index);
    case COMMAND_KV_DELETE_PREFIX:
        return c->kv_delete_prefix.prefix.len > KV_KEY_MAX ? ERR_TOO_BIG : OK;
    case COMMAND_TOMBSTONE_REAP:
        return OK;
    case COMMAND_RESTORE_BEGIN:
    case COMMAND_RESTORE_CHUNK:
    case COMMAND_RESTORE_COMMIT:
    case COMMAND_RESTORE_ABORT:
        return command_check_restore(c->type, &c->restore);
    case COMMAND_AUTOPILOT_SET:
        return command_check_autopilot(&c->autopilot_set);
    }
    return ERR_INVALID;
}

static size_t command_len_max(const struct command *c)
{
    switch (c->type) {
    case COMMAND_KV_SET:
        return COMMAND_FRAME_MAX + c->kv_set.key.len + c->kv_set.value.len;
    case COMMAND_KV_DELETE:
        return COMMAND_FRAME_MAX + c->kv_delete.key.len;
    case COMMAND_KV_DELETE_PREFIX:
        return COMMAND_FRAME_MAX + c->kv_delete_prefix.prefix.len;
    case COMMAND_RESTORE_CHUNK:
        return COMMAND_FRAME_MAX + c->restore.rows.len;
    case COMMAND_AUTOPILOT_SET:
        return (size_t)2 * COMMAND_FRAME_MAX;
    case COMMAND_KV_LOCK:
        return COMMAND_FRAME_MAX + c->kv_lock.key.len + c->kv_lock.value.len +
               c->kv_lock.session.len;
    case COMMAND_KV_SET_TTL:
        return COMMAND_FRAME_MAX + c->kv_set_ttl.set.key.len + c->kv_set_ttl.set.value.len;
    case COMMAND_REGISTER:
        return COMMAND_FRAME_MAX + c->registration.node.len + c->registration.service.len +
               c->registration.checks.len;
    case COMMAND_DEREGISTER:
        return COMMAND_FRAME_MAX + c->deregistration.node.len + c->deregistration.service_id.len +
               c->deregistration.check_id.len;
    case COMMAND_SESSION_CREATE:
    case COMMAND_SESSION_DESTROY:
    case COMMAND_SESSION_RENEW:
        return COMMAND_FRAME_MAX + c->session.row.len + c->session.id.len;
    case COMMAND_EXPIRE:
        return COMMAND_FRAME_MAX + c->expire.name.len;
    case COMMAND_TXN:
        return COMMAND_FRAME_MAX + c->txn.ops.len;
    case COMMAND_EVENT:
    case COMMAND_COORDINATES:
        return COMMAND_FRAME_MAX + c->rows.rows.len;
    case COMMAND_ACL_SET:
    case COMMAND_ACL_DELETE:
    case COMMAND_ACL_BOOTSTRAP:
        return COMMAND_FRAME_MAX + c->acl.row.len + c->acl.id.len;
    case COMMAND_RESTORE_BEGIN:
    case COMMAND_RESTORE_COMMIT:
    case COMMAND_RESTORE_ABORT:
    case COMMAND_TOMBSTONE_REAP:
        break;
    }
    return COMMAND_FRAME_MAX;
}

static void command_encode_condition(struct buf *out, bool check, uint64_t index)
{
    pack_u8(out, check ? 1 : 0);
    pack_u64(out, index);
}

static void command_encode_autopilot(struct buf *out, const struct command_autopilot_set *c)
{
    command_encode_condition(out, c->check, c->index);
    pack_u8(out, c->autopilot.cleanup_dead_servers ? 1 : 0);
    pack_u64(out, c->autopilot.last_contact_threshold_ms);
    pack_u64(out, c->autopilot.max_trailing_logs);
    pack_u64(out, c->autopilot.server_stabilization_ms);
    pack_u64(out, c->autopilot.min_quorum);
}

static void command_encode_set(struct buf *out, const struct command_kv_set *c)
{
    command_encode_condition(out, c->check, c->index);
    pack_u64(out, c->flags);
    pack_bytes(out, c->key);
    pack_bytes(out, c->value);
}

static void command_encode_lock(struct buf *out, const struct command_kv_lock *c)
{
    pack_u8(out, c->acquire ? 1 : 0);
    pack_u64(out, c->flags);
    pack_bytes(out, c->key);
    pack_bytes(out, c->session);
    pack_bytes(out, c->value);
}

/* Commands about the fleet; false for the others. */
static bool command_encode_fleet(struct buf *out, const struct command *c)
{
    switch ((unsigned)c->type) {
    case COMMAND_REGISTER:
        pack_u8(out, c->registration.skip_node ? 1 : 0);
        pack_bytes(out, c->registration.node);
        pack_bytes(out, c->registration.service);
        pack_bytes(out, c->registration.checks);
        return true;
    case COMMAND_DEREGISTER:
        pack_bytes(out, c->deregistration.node);
        pack_bytes(out, c->deregistration.service_id);
        pack_bytes(out, c->deregistration.check_id);
        return true;
    case COMMAND_SESSION_CREATE:
        pack_bytes(out, c->session.row);
        return true;
    case COMMAND_SESSION_DESTROY:
    case COMMAND_SESSION_RENEW:
        pack_bytes(out, c->session.id);
        return true;
    case COMMAND_EXPIRE:
        pack_u8(out, c->expire.kind);
        pack_u64(out, c->expire.set_index);
        pack_bytes(out, c->expire.name);
        return true;
    case COMMAND_TXN:
        pack_bytes(out, c->txn.ops);
        return true;
    case COMMAND_EVENT:
    case COMMAND_COORDINATES:
        pack_bytes(out, c->rows.rows);
        return true;
    case COMMAND_ACL_SET:
        pack_u8(out, c->acl.kind);
        pack_u8(out, c->acl.create);
        pack_bytes(out, c->acl.row);
        return true;
    case COMMAND_ACL_DELETE:
        pack_u8(out, c->acl.kind);
        pack_bytes(out, c->acl.id);
        return true;
    case COMMAND_ACL_BOOTSTRAP:
        pack_u8(out, c->acl.kind);
        pack_u64(out, c->acl.index);
        pack_bytes(out, c->acl.row);
        return true;
    default:
        return false;
    }
}

enum err command_encode(struct buf *out, const struct command *c)
{
    enum err e = command_check(c);
    if (e == OK && command_len_max(c) > COMMAND_MAX) {
        e = ERR_TOO_BIG;
    }
    if (e == OK) {
        e = buf_reserve(out, command_len_max(c));
    }
    if (e != OK) {
        return e;
    }
    pack_u8(out, COMMAND_VERSION);
    pack_u64(out, c->proposer);
    pack_u64(out, c->number);
    pack_u8(out, (uint8_t)c->type);
    pack_u64(out, c->time_ms);
    if (command_encode_fleet(out, c)) {
        return OK;
    }
    switch ((unsigned)c->type) {
    case COMMAND_KV_SET:
        command_encode_set(out, &c->kv_set);
        break;
    case COMMAND_KV_LOCK:
        command_encode_lock(out, &c->kv_lock);
        break;
    case COMMAND_KV_SET_TTL:
        pack_u64(out, c->kv_set_ttl.ttl_ms);
        command_encode_set(out, &c->kv_set_ttl.set);
        break;
    case COMMAND_KV_DELETE:
        command_encode_condition(out, c->kv_delete.check, c->kv_delete.index);
        pack_bytes(out, c->kv_delete.key);
        break;
    case COMMAND_KV_DELETE_PREFIX:
        pack_bytes(out, c->kv_delete_prefix.prefix);
        break;
    case COMMAND_TOMBSTONE_REAP:
        pack_u64(out, c->tombstone_reap.through);
        break;
    case COMMAND_RESTORE_BEGIN:
    case COMMAND_RESTORE_ABORT:
        pack_u64(out, c->restore.id);
        break;
    case COMMAND_RESTORE_COMMIT:
        pack_u64(out, c->restore.id);
        pack_u64(out, c->restore.number);
        break;
    case COMMAND_RESTORE_CHUNK:
        pack_u64(out, c->restore.id);
        pack_u64(out, c->restore.number);
        pack_bytes(out, c->restore.rows);
        break;
    case COMMAND_AUTOPILOT_SET:
        command_encode_autopilot(out, &c->autopilot_set);
        break;
    default:
        break;
    }
    return OK;
}

void command_stamp(char *encoded, size_t len, uint64_t proposer, uint64_t number)
{
    CHECK(len > 1 + COMMAND_STAMP_LEN && encoded[0] == COMMAND_VERSION);
    for (unsigned i = 0; i < 8; i++) {
        encoded[1 + i] = (char)(proposer >> (8 * i));
        encoded[9 + i] = (char)(number >> (8 * i));
    }
}

static bool command_decode_bool(struct unpack *in)
{
    uint8_t value = unpack_u8(in);
    /* Any other value would not encode to the same byte again. */
    if (value > 1) {
        in->failed = true;
    }
    return value == 1;
}

static bool command_decode_condition(struct unpack *in, uint64_t *ret_index)
{
    bool check = command_decode_bool(in);
    *ret_index = unpack_u64(in);
    return check;
}

static void command_decode_autopilot(struct unpack *in, struct command_autopilot_set *c)
{
    c->check = command_decode_condition(in, &c->index);
    c->autopilot.cleanup_dead_servers = command_decode_bool(in);
    c->autopilot.last_contact_threshold_ms = unpack_u64(in);
    c->autopilot.max_trailing_logs = unpack_u64(in);
    c->autopilot.server_stabilization_ms = unpack_u64(in);
    c->autopilot.min_quorum = unpack_u64(in);
}

static void command_decode_set(struct unpack *in, struct command_kv_set *c)
{
    c->check = command_decode_condition(in, &c->index);
    c->flags = unpack_u64(in);
    c->key = unpack_bytes(in, KV_KEY_MAX);
    c->value = unpack_bytes(in, KV_VALUE_MAX);
}

static void command_decode_lock(struct unpack *in, struct command_kv_lock *c)
{
    c->acquire = command_decode_bool(in);
    c->flags = unpack_u64(in);
    c->key = unpack_bytes(in, KV_KEY_MAX);
    c->session = unpack_bytes(in, SESSION_ID_MAX);
    c->value = unpack_bytes(in, KV_VALUE_MAX);
}

/* Commands about the fleet; false for the others. */
static bool command_decode_fleet(struct unpack *in, struct command *c)
{
    switch ((unsigned)c->type) {
    case COMMAND_REGISTER:
        c->registration.skip_node = command_decode_bool(in);
        c->registration.node = unpack_bytes(in, COMMAND_MAX);
        c->registration.service = unpack_bytes(in, COMMAND_MAX);
        c->registration.checks = unpack_bytes(in, COMMAND_MAX);
        return true;
    case COMMAND_DEREGISTER:
        c->deregistration.node = unpack_bytes(in, ROW_NAME_MAX);
        c->deregistration.service_id = unpack_bytes(in, ROW_NAME_MAX);
        c->deregistration.check_id = unpack_bytes(in, ROW_NAME_MAX);
        return true;
    case COMMAND_SESSION_CREATE:
        c->session.row = unpack_bytes(in, COMMAND_MAX);
        return true;
    case COMMAND_SESSION_DESTROY:
    case COMMAND_SESSION_RENEW:
        c->session.id = unpack_bytes(in, SESSION_ID_MAX);
        return true;
    case COMMAND_EXPIRE:
        c->expire.kind = unpack_u8(in);
        c->expire.set_index = unpack_u64(in);
        c->expire.name = unpack_bytes(in, KV_KEY_MAX);
        return true;
    case COMMAND_TXN:
        c->txn.ops = unpack_bytes(in, COMMAND_MAX);
        return true;
    case COMMAND_EVENT:
    case COMMAND_COORDINATES:
        c->rows.rows = unpack_bytes(in, COMMAND_MAX);
        return true;
    case COMMAND_ACL_SET:
        c->acl.kind = unpack_u8(in);
        c->acl.create = command_decode_bool(in);
        c->acl.row = unpack_bytes(in, COMMAND_MAX);
        return true;
    case COMMAND_ACL_DELETE:
        c->acl.kind = unpack_u8(in);
        c->acl.id = unpack_bytes(in, SESSION_ID_MAX);
        return true;
    case COMMAND_ACL_BOOTSTRAP:
        c->acl.kind = unpack_u8(in);
        c->acl.index = unpack_u64(in);
        c->acl.row = unpack_bytes(in, COMMAND_MAX);
        return true;
    default:
        return false;
    }
}

static bool command_decode_kv(struct unpack *in, struct command *c)
{
    switch ((unsigned)c->type) {
    case COMMAND_KV_SET:
        command_decode_set(in, &c->kv_set);
        return true;
    case COMMAND_KV_LOCK:
        command_decode_lock(in, &c->kv_lock);
        return true;
    case COMMAND_KV_SET_TTL:
        c->kv_set_ttl.ttl_ms = unpack_u64(in);
        command_decode_set(in, &c->kv_set_ttl.set);
        return true;
    case COMMAND_KV_DELETE:
        c->kv_delete.check = command_decode_condition(in, &c->kv_delete.index);
        c->kv_delete.key = unpack_bytes(in, KV_KEY_MAX);
        return true;
    case COMMAND_KV_DELETE_PREFIX:
        c->kv_delete_prefix.prefix = unpack_bytes(in, KV_KEY_MAX);
        return true;
    case COMMAND_TOMBSTONE_REAP:
        c->tombstone_reap.through = unpack_u64(in);
        return true;
    default:
        return false;
    }
}

/* Commands of operators. */
static bool command_decode_operator(struct unpack *in, struct command *c)
{
    switch ((unsigned)c->type) {
    case COMMAND_RESTORE_BEGIN:
    case COMMAND_RESTORE_ABORT:
        c->restore.id = unpack_u64(in);
        return true;
    case COMMAND_RESTORE_COMMIT:
        c->restore.id = unpack_u64(in);
        c->restore.number = unpack_u64(in);
        return true;
    case COMMAND_RESTORE_CHUNK:
        c->restore.id = unpack_u64(in);
        c->restore.number = unpack_u64(in);
        c->restore.rows = unpack_bytes(in, RESTORE_CHUNK_MAX);
        return true;
    case COMMAND_AUTOPILOT_SET:
        command_decode_autopilot(in, &c->autopilot_set);
        return true;
    default:
        return false;
    }
}

enum err command_decode(struct bytes data, struct command *ret_command)
{
    struct unpack in = {.rest = data};
    uint8_t version = unpack_u8(&in);
    struct command c = {0};
    if (version == COMMAND_VERSION) {
        c.proposer = unpack_u64(&in);
        c.number = unpack_u64(&in);
    }
    c.type = (enum command_type)unpack_u8(&in);
    c.time_ms = unpack_u64(&in);
    if (in.failed || (version != COMMAND_VERSION && version != COMMAND_VERSION_1)) {
        return ERR_INVALID;
    }
    if (!command_decode_kv(&in, &c) && !command_decode_fleet(&in, &c) &&
        !command_decode_operator(&in, &c)) {
        return ERR_INVALID;
    }
    if (!unpack_done(&in) || command_check(&c) != OK) {
        return ERR_INVALID;
    }
    *ret_command = c;
    return OK;
}

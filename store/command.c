#include "store/command.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/pack.h"

/* u8 version, u64 proposer, u64 number, u8 type, u64 time_ms, then by type:
 *   SET            u8 check, u64 index, u64 flags, bytes key, bytes value
 *   DELETE         u8 check, u64 index, bytes key
 *   DELETE_PREFIX  bytes prefix
 *   REAP           u64 through
 *   RESTORE_*      u64 id; COMMIT also u64 number; CHUNK u64 number, bytes rows
 *   AUTOPILOT_SET  u8 check, u64 index, u8 cleanup, u64 contact, trailing, stabilization, quorum
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

/* The one place that says what a command may hold; both directions go through it. */
static enum err command_check(const struct command *c)
{
    enum err e = OK;
    switch (c->type) {
    case COMMAND_KV_SET:
        e = command_check_key(c->kv_set.key);
        if (e == OK && c->kv_set.value.len > KV_VALUE_MAX) {
            e = ERR_TOO_BIG;
        }
        return e != OK ? e : command_check_condition(c->kv_set.check, c->kv_set.index);
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

enum err command_encode(struct buf *out, const struct command *c)
{
    enum err e = command_check(c);
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
    switch (c->type) {
    case COMMAND_KV_SET:
        command_encode_condition(out, c->kv_set.check, c->kv_set.index);
        pack_u64(out, c->kv_set.flags);
        pack_bytes(out, c->kv_set.key);
        pack_bytes(out, c->kv_set.value);
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
    switch (c.type) {
    case COMMAND_KV_SET:
        c.kv_set.check = command_decode_condition(&in, &c.kv_set.index);
        c.kv_set.flags = unpack_u64(&in);
        c.kv_set.key = unpack_bytes(&in, KV_KEY_MAX);
        c.kv_set.value = unpack_bytes(&in, KV_VALUE_MAX);
        break;
    case COMMAND_KV_DELETE:
        c.kv_delete.check = command_decode_condition(&in, &c.kv_delete.index);
        c.kv_delete.key = unpack_bytes(&in, KV_KEY_MAX);
        break;
    case COMMAND_KV_DELETE_PREFIX:
        c.kv_delete_prefix.prefix = unpack_bytes(&in, KV_KEY_MAX);
        break;
    case COMMAND_TOMBSTONE_REAP:
        c.tombstone_reap.through = unpack_u64(&in);
        break;
    case COMMAND_RESTORE_BEGIN:
    case COMMAND_RESTORE_ABORT:
        c.restore.id = unpack_u64(&in);
        break;
    case COMMAND_RESTORE_COMMIT:
        c.restore.id = unpack_u64(&in);
        c.restore.number = unpack_u64(&in);
        break;
    case COMMAND_RESTORE_CHUNK:
        c.restore.id = unpack_u64(&in);
        c.restore.number = unpack_u64(&in);
        c.restore.rows = unpack_bytes(&in, RESTORE_CHUNK_MAX);
        break;
    case COMMAND_AUTOPILOT_SET:
        command_decode_autopilot(&in, &c.autopilot_set);
        break;
    default:
        return ERR_INVALID;
    }
    if (!unpack_done(&in) || command_check(&c) != OK) {
        return ERR_INVALID;
    }
    *ret_command = c;
    return OK;
}

#include "store/schema.h"

#include "core/base/check.h"
#include "store/pack.h"
#include "store/schema_fleet.h"

/* Of the whole database; in the meta row. 1 had neither cluster nor restored backups. */
#define SCHEMA_VERSION       2
#define SCHEMA_VERSION_FIRST 1

#define SCHEMA_KV_EVEN   'K'
#define SCHEMA_KV_ODD    'k'
#define SCHEMA_DELETION  SCHEMA_DEATH_TABLE
#define SCHEMA_CHANGE    'C'
#define SCHEMA_HISTORY   'H'
#define SCHEMA_CASCADE   'P'
#define SCHEMA_PROPOSER  'R'
#define SCHEMA_META      'M'
#define SCHEMA_AUTOPILOT 'A'

#define SCHEMA_ROW_LIVE 1
#define SCHEMA_ROW_DEAD 2
#define SCHEMA_ROW_TTL  3 /* live, and it expires */

/* --- keys ------------------------------------------------------------------------------------ */

static void schema_key_begin(struct schema_key *k, char table)
{
    k->data[0] = table;
    k->len = 1;
}

static void schema_key_number(struct schema_key *k, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        k->data[k->len + i] = (char)(value >> (8 * (len - 1 - i)));
    }
    k->len += len;
}

static void schema_key_bytes(struct schema_key *k, struct bytes part)
{
    CHECK(part.len <= KV_KEY_MAX);
    if (part.len > 0) {
        memcpy(k->data + k->len, part.ptr, part.len);
    }
    k->len += part.len;
}

void schema_key_kv(struct schema_key *k, uint64_t restores, struct bytes key)
{
    schema_key_begin(k, restores % 2 == 0 ? SCHEMA_KV_EVEN : SCHEMA_KV_ODD);
    schema_key_bytes(k, key);
}

void schema_key_deletion(struct schema_key *k, uint64_t index, struct bytes key)
{
    schema_key_begin(k, SCHEMA_DELETION);
    schema_key_number(k, index, 8);
    schema_key_bytes(k, key);
}

void schema_key_change(struct schema_key *k, uint64_t index, uint32_t n)
{
    schema_key_begin(k, SCHEMA_CHANGE);
    schema_key_number(k, index, 8);
    schema_key_number(k, n, 4);
}

void schema_key_history(struct schema_key *k, uint64_t hash, uint64_t index, uint32_t n)
{
    schema_key_begin(k, SCHEMA_HISTORY);
    schema_key_number(k, hash, 8);
    schema_key_number(k, ~index, 8);
    schema_key_number(k, n, 4);
}

void schema_key_cascade(struct schema_key *k, uint64_t index, uint32_t n, uint32_t chunk)
{
    schema_key_begin(k, SCHEMA_CASCADE);
    schema_key_number(k, index, 8);
    schema_key_number(k, n, 4);
    schema_key_number(k, chunk, 4);
}

void schema_key_proposer(struct schema_key *k, uint64_t proposer)
{
    schema_key_begin(k, SCHEMA_PROPOSER);
    schema_key_number(k, proposer, 8);
}

void schema_key_meta(struct schema_key *k)
{
    schema_key_begin(k, SCHEMA_META);
}

void schema_key_table(struct schema_key *k, char table)
{
    schema_key_begin(k, table);
}

void schema_key_autopilot(struct schema_key *k)
{
    schema_key_begin(k, SCHEMA_AUTOPILOT);
}

void schema_key_end(struct schema_key *k)
{
    while ((unsigned char)k->data[k->len - 1] == 0xff) {
        k->len--;
        CHECK(k->len > 0);
    }
    k->data[k->len - 1]++;
}

uint64_t schema_hash(struct bytes key)
{
    return bytes_hash(key);
}

/* --- keys, read ------------------------------------------------------------------------------ */

static uint64_t schema_number(const char *at, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | (unsigned char)at[i];
    }
    return value;
}

static bool schema_is(struct bytes raw, char table, size_t len_min, size_t len_max)
{
    return raw.len >= len_min && raw.len <= len_max && raw.ptr[0] == table;
}

enum err schema_parse_kv(struct bytes raw, struct bytes *ret_key)
{
    if (!schema_is(raw, SCHEMA_KV_EVEN, 2, 1 + KV_KEY_MAX) &&
        !schema_is(raw, SCHEMA_KV_ODD, 2, 1 + KV_KEY_MAX)) {
        return ERR_CORRUPT;
    }
    *ret_key = bytes_slice(raw, 1, raw.len);
    return OK;
}

enum err schema_parse_proposer(struct bytes raw, uint64_t *ret_proposer)
{
    if (!schema_is(raw, SCHEMA_PROPOSER, 9, 9)) {
        return ERR_CORRUPT;
    }
    *ret_proposer = schema_number(raw.ptr + 1, 8);
    return OK;
}

enum err schema_parse_deletion(struct bytes raw, uint64_t *ret_index, struct bytes *ret_key)
{
    if (!schema_is(raw, SCHEMA_DELETION, 10, 9 + KV_KEY_MAX)) {
        return ERR_CORRUPT;
    }
    *ret_index = schema_number(raw.ptr + 1, 8);
    *ret_key = bytes_slice(raw, 9, raw.len);
    return OK;
}

enum err schema_parse_change(struct bytes raw, uint64_t *ret_index, uint32_t *ret_n)
{
    if (!schema_is(raw, SCHEMA_CHANGE, 13, 13)) {
        return ERR_CORRUPT;
    }
    *ret_index = schema_number(raw.ptr + 1, 8);
    *ret_n = (uint32_t)schema_number(raw.ptr + 9, 4);
    return OK;
}

enum err schema_parse_history(struct bytes raw, uint64_t *ret_index, uint32_t *ret_n)
{
    if (!schema_is(raw, SCHEMA_HISTORY, 21, 21)) {
        return ERR_CORRUPT;
    }
    *ret_index = ~schema_number(raw.ptr + 9, 8);
    *ret_n = (uint32_t)schema_number(raw.ptr + 17, 4);
    return OK;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* u8 kind, u64 modify_index; a live one also u64 create_index, u64 lock_index, u64 flags,
 * bytes session, and the value to the end. */
void schema_row_encode(struct buf *out, const struct kv_row *row)
{
    CHECK(row->session.len <= SCHEMA_SESSION_MAX && row->value.len <= KV_VALUE_MAX);
    buf_clear(out);
    pack_u8(out, row->dead ? SCHEMA_ROW_DEAD : row->ttl ? SCHEMA_ROW_TTL : SCHEMA_ROW_LIVE);
    pack_u64(out, row->modify_index);
    if (row->dead) {
        return;
    }
    pack_u64(out, row->create_index);
    pack_u64(out, row->lock_index);
    pack_u64(out, row->flags);
    pack_bytes(out, row->session);
    buf_put(out, row->value);
}

enum err schema_row_decode(struct bytes data, struct kv_row *ret_row)
{
    struct unpack in = {.rest = data};
    uint8_t kind = unpack_u8(&in);
    struct kv_row row = {
        .key = ret_row->key,
        .dead = kind == SCHEMA_ROW_DEAD,
        .ttl = kind == SCHEMA_ROW_TTL,
    };
    row.modify_index = unpack_u64(&in);
    if (kind == SCHEMA_ROW_LIVE || kind == SCHEMA_ROW_TTL) {
        row.create_index = unpack_u64(&in);
        row.lock_index = unpack_u64(&in);
        row.flags = unpack_u64(&in);
        row.session = unpack_bytes(&in, SCHEMA_SESSION_MAX);
        row.value = unpack_raw(&in, in.rest.len);
    } else if (kind != SCHEMA_ROW_DEAD) {
        return ERR_CORRUPT;
    }
    if (!unpack_done(&in) || row.value.len > KV_VALUE_MAX) {
        return ERR_CORRUPT;
    }
    *ret_row = row;
    return OK;
}

/* u8 version, u8 cleanup, u64 contact, trailing, stabilization, quorum, create and modify index. */
#define SCHEMA_AUTOPILOT_VERSION 1

void schema_autopilot_encode(struct buf *out, const struct autopilot *row)
{
    buf_clear(out);
    pack_u8(out, SCHEMA_AUTOPILOT_VERSION);
    pack_u8(out, row->cleanup_dead_servers ? 1 : 0);
    pack_u64(out, row->last_contact_threshold_ms);
    pack_u64(out, row->max_trailing_logs);
    pack_u64(out, row->server_stabilization_ms);
    pack_u64(out, row->min_quorum);
    pack_u64(out, row->create_index);
    pack_u64(out, row->modify_index);
}

enum err schema_autopilot_decode(struct bytes data, struct autopilot *ret_row)
{
    struct unpack in = {.rest = data};
    uint8_t version = unpack_u8(&in);
    struct autopilot row = {.cleanup_dead_servers = unpack_u8(&in) == 1};
    row.last_contact_threshold_ms = unpack_u64(&in);
    row.max_trailing_logs = unpack_u64(&in);
    row.server_stabilization_ms = unpack_u64(&in);
    row.min_quorum = unpack_u64(&in);
    row.create_index = unpack_u64(&in);
    row.modify_index = unpack_u64(&in);
    if (!unpack_done(&in) || version != SCHEMA_AUTOPILOT_VERSION) {
        return ERR_CORRUPT;
    }
    *ret_row = row;
    return OK;
}

/* --- meta ------------------------------------------------------------------------------------ */

void schema_meta_encode(const struct schema_meta *meta, char ret_data[SCHEMA_META_LEN])
{
    const uint64_t numbers[] = {
        meta->applied, meta->kv_index, meta->kv_reaped, meta->history_oldest, meta->history_bytes,
        meta->cluster, meta->restores, meta->restored,  meta->restore_id,     meta->restore_next,
    };
    _Static_assert(SCHEMA_META_LEN == 2 + sizeof(numbers), "version and numbers");
    ret_data[0] = SCHEMA_META;
    ret_data[1] = SCHEMA_VERSION;
    for (size_t i = 0; i < SCHEMA_META_LEN - 2; i++) {
        ret_data[2 + i] = (char)(numbers[i / 8] >> (8 * (i % 8)));
    }
}

enum err schema_meta_decode(struct bytes data, struct schema_meta *ret_meta)
{
    if (data.len < 2 || data.ptr[0] != SCHEMA_META) {
        return ERR_CORRUPT;
    }
    if (data.ptr[1] != SCHEMA_VERSION && data.ptr[1] != SCHEMA_VERSION_FIRST) {
        return ERR_VERSION;
    }
    struct unpack in = {.rest = bytes_slice(data, 2, data.len)};
    struct schema_meta meta = {0};
    meta.applied = unpack_u64(&in);
    meta.kv_index = unpack_u64(&in);
    meta.kv_reaped = unpack_u64(&in);
    meta.history_oldest = unpack_u64(&in);
    meta.history_bytes = unpack_u64(&in);
    if (data.ptr[1] == SCHEMA_VERSION) {
        meta.cluster = unpack_u64(&in);
        meta.restores = unpack_u64(&in);
        meta.restored = unpack_u64(&in);
        meta.restore_id = unpack_u64(&in);
        meta.restore_next = unpack_u64(&in);
    }
    if (!unpack_done(&in)) {
        return ERR_CORRUPT;
    }
    *ret_meta = meta;
    return OK;
}

/* --- rows from outside ----------------------------------------------------------------------- */

bool schema_is_meta(struct bytes raw)
{
    return raw.len > 0 && raw.ptr[0] == SCHEMA_META;
}

bool schema_is_history(struct bytes raw)
{
    return raw.len > 0 && raw.ptr[0] != '\0' && strchr(SCHEMA_HISTORY_TABLES, raw.ptr[0]) != NULL;
}

static enum err schema_check_kv(struct bytes raw, struct bytes value)
{
    struct kv_row row = {0};
    enum err e = schema_parse_kv(raw, &row.key);
    return e != OK ? e : schema_row_decode(value, &row);
}

static enum err schema_check_change(struct bytes raw, struct bytes value)
{
    uint64_t index = 0;
    uint32_t n = 0;
    struct change c = {0};
    enum err e = schema_parse_change(raw, &index, &n);
    return e != OK ? e : change_decode(value, &c);
}

static enum err schema_check_link(struct bytes raw, struct bytes value)
{
    uint64_t index = 0;
    uint32_t n = 0;
    return value.len > 0 ? ERR_CORRUPT : schema_parse_history(raw, &index, &n);
}

static enum err schema_check_deletion(struct bytes raw, struct bytes value)
{
    uint64_t index = 0;
    struct bytes key;
    return value.len > 0 ? ERR_CORRUPT : schema_parse_deletion(raw, &index, &key);
}

static enum err schema_check_meta(struct bytes raw, struct bytes value)
{
    struct schema_meta meta;
    return raw.len != 1 ? ERR_CORRUPT : schema_meta_decode(value, &meta);
}

enum err schema_check_row(struct bytes raw, struct bytes value)
{
    switch (raw.len > 0 ? raw.ptr[0] : '\0') {
    case SCHEMA_KV_EVEN:
    case SCHEMA_KV_ODD:
        return schema_check_kv(raw, value);
    case SCHEMA_CHANGE:
        return schema_check_change(raw, value);
    case SCHEMA_HISTORY:
        return schema_check_link(raw, value);
    case SCHEMA_DELETION:
        return schema_check_deletion(raw, value);
    case SCHEMA_CASCADE:
        return raw.len == 17 && value.len > 0 && value.len % 8 == 0 ? OK : ERR_CORRUPT;
    case SCHEMA_AUTOPILOT:
        return schema_autopilot_decode(value, &(struct autopilot){0});
    case SCHEMA_PROPOSER:
        return raw.len == 9 && value.len == 16 ? OK : ERR_CORRUPT;
    case SCHEMA_META:
        return schema_check_meta(raw, value);
    case 'F':
    case 'f':
        return schema_fleet_check(raw, value);
    default:
        return ERR_CORRUPT;
    }
}

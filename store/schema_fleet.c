#include "store/schema_fleet.h"

#include "core/base/check.h"
#include "store/acl_keys.h"
#include "store/pack.h"
#include "store/row.h"

#define FLEET_EVEN 'F'
#define FLEET_ODD  'f'

char schema_fleet_half(uint64_t restores)
{
    return restores % 2 == 0 ? FLEET_EVEN : FLEET_ODD;
}

static void fleet_put(struct schema_key *k, char c)
{
    CHECK(k->len < SCHEMA_KEY_MAX);
    k->data[k->len++] = c;
}

void schema_fleet_begin(struct schema_key *k, uint64_t restores, enum fleet_table table)
{
    k->len = 0;
    fleet_put(k, schema_fleet_half(restores));
    fleet_put(k, (char)table);
}

void schema_fleet_part(struct schema_key *k, struct bytes part, bool more)
{
    CHECK(part.len <= ROW_NAME_MAX);
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];
        fleet_put(k, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    if (more) {
        fleet_put(k, '\0');
    }
}

void schema_fleet_exact(struct schema_key *k, struct bytes part)
{
    CHECK(part.len <= SCHEMA_KEY_MAX - k->len);
    if (part.len > 0) {
        memcpy(k->data + k->len, part.ptr, part.len);
    }
    k->len += part.len;
}

void schema_fleet_number(struct schema_key *k, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++) {
        fleet_put(k, (char)(number >> (8 * (7 - i))));
    }
}

void schema_fleet_one(struct schema_key *k,
                      uint64_t restores,
                      enum fleet_table table,
                      struct bytes name)
{
    schema_fleet_begin(k, restores, table);
    schema_fleet_part(k, name, false);
}

void schema_fleet_two(struct schema_key *k,
                      uint64_t restores,
                      enum fleet_table table,
                      struct bytes first,
                      struct bytes second)
{
    schema_fleet_begin(k, restores, table);
    schema_fleet_part(k, first, true);
    schema_fleet_part(k, second, false);
}

void schema_fleet_expiry(struct schema_key *k, uint64_t restores, uint8_t kind, struct bytes name)
{
    schema_fleet_begin(k, restores, FLEET_EXPIRY);
    fleet_put(k, (char)kind);
    schema_fleet_exact(k, name);
}

enum err schema_fleet_parse(struct bytes raw, enum fleet_table *ret_table, struct bytes *ret_rest)
{
    if (raw.len < 2 || (raw.ptr[0] != FLEET_EVEN && raw.ptr[0] != FLEET_ODD)) {
        return ERR_CORRUPT;
    }
    *ret_table = (enum fleet_table)raw.ptr[1];
    *ret_rest = bytes_slice(raw, 2, raw.len);
    return OK;
}

/* Links are keys alone; numbers have 8 or 16 bytes. */
static enum err fleet_check_len(struct bytes value, size_t len)
{
    return value.len == len ? OK : ERR_CORRUPT;
}

enum err schema_fleet_check(struct bytes raw, struct bytes value)
{
    enum fleet_table table = FLEET_GONE;
    struct bytes rest;
    enum err e = schema_fleet_parse(raw, &table, &rest);
    if (e != OK || raw.len > SCHEMA_KEY_MAX) {
        return ERR_CORRUPT;
    }
    switch (table) {
    case FLEET_NODE:
        return row_node_decode(value, &(struct node_row){0});
    case FLEET_SERVICE:
        return row_service_decode(value, &(struct service_row){0});
    case FLEET_CHECK:
        return row_check_decode(value, &(struct check_row){0});
    case FLEET_SESSION:
        return row_session_decode(value, &(struct session_row){0});
    case FLEET_EVENT:
        return rest.len == 8 ? row_event_decode(value, &(struct event_row){0}) : ERR_CORRUPT;
    case FLEET_COORDINATE:
        return row_coordinate_decode(value, &(struct coordinate_row){0});
    case FLEET_NODE_ID:
        return value.len > 0 && value.len <= ROW_NAME_MAX ? OK : ERR_CORRUPT;
    case FLEET_INSTANCE:
    case FLEET_CHECK_OF:
    case FLEET_NODE_SESSION:
    case FLEET_HELD:
        return fleet_check_len(value, 0);
    case FLEET_EXPIRY:
        return fleet_check_len(value, 16);
    case FLEET_MOVED:
    case FLEET_GONE:
        return fleet_check_len(value, 8);
    case FLEET_ACL:
        return acl_row_check(rest, value);
    }
    return ERR_CORRUPT;
}

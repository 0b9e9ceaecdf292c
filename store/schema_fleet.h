/* The keys of the fleet's tables in the state database; schema.h has the others. All of them begin
 * with 'F' while `restores` is even, with 'f' while it is odd: a backup that is being restored
 * fills the other half. Behind it a letter for the table, then the parts, with a NUL between two of
 * them; names are in lower case.
 *
 *   n name                       a node
 *   i node-id                    the name of the node that has it
 *   s node, service-id           a service
 *   v service, node, service-id  nothing: the way from a service's name to its instances
 *   c node, check-id             a check
 *   k service-id, node, check-id nothing: the checks of an instance; without service-id, of a node
 *   e session-id                 a session
 *   o node, session-id           nothing: the sessions of a node
 *   h session-id, key            nothing: the keys that a session holds (as they are written)
 *   t kind key-or-id             what expires: after_ms, set_index (store/fleet.h); kind: one byte
 *   u index                      a user event
 *   x node, segment              a coordinate
 *   m name                       the index of that name
 *   g                            the index of what went last
 *   a ...                        access control (store/acl.h)
 *
 * Owner    a key lives in the caller's `struct schema_key`.
 * Threads  any; nothing is shared.
 */
#ifndef STORE_SCHEMA_FLEET_H
#define STORE_SCHEMA_FLEET_H

#include "store/schema.h"

enum fleet_table {
    FLEET_NODE = 'n',
    FLEET_NODE_ID = 'i',
    FLEET_SERVICE = 's',
    FLEET_INSTANCE = 'v',
    FLEET_CHECK = 'c',
    FLEET_CHECK_OF = 'k',
    FLEET_SESSION = 'e',
    FLEET_NODE_SESSION = 'o',
    FLEET_HELD = 'h',
    FLEET_EXPIRY = 't',
    FLEET_EVENT = 'u',
    FLEET_COORDINATE = 'x',
    FLEET_MOVED = 'm',
    FLEET_GONE = 'g',
    FLEET_ACL = 'a',
};

/* Begins a key: the table's prefix. */
void schema_fleet_begin(struct schema_key *k, uint64_t restores, enum fleet_table table);
/* Appends a part in lower case; `more`: and a NUL behind it. At most ROW_NAME_MAX bytes. */
void schema_fleet_part(struct schema_key *k, struct bytes part, bool more);
/* Appends a part as it is: a key, at most KV_KEY_MAX bytes. */
void schema_fleet_exact(struct schema_key *k, struct bytes part);
/* Big-endian. */
void schema_fleet_number(struct schema_key *k, uint64_t number);

/* The two most common forms. */
void schema_fleet_one(struct schema_key *k,
                      uint64_t restores,
                      enum fleet_table table,
                      struct bytes name);
void schema_fleet_two(struct schema_key *k,
                      uint64_t restores,
                      enum fleet_table table,
                      struct bytes first,
                      struct bytes second);
/* A session's id, or a key as it is. */
void schema_fleet_expiry(struct schema_key *k, uint64_t restores, uint8_t kind, struct bytes name);

/* Whether a raw key is of the fleet; its table, and what follows it. ERR_CORRUPT. */
enum err schema_fleet_parse(struct bytes raw,
                            enum fleet_table *ret_table,
                            struct bytes *ret_rest) ERR_MUST_USE;
/* The letter of a half: 'F' or 'f'. */
char schema_fleet_half(uint64_t restores);
/* As schema_check_row(), for keys that begin with either letter. */
enum err schema_fleet_check(struct bytes raw, struct bytes value) ERR_MUST_USE;

#endif

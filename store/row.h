/* Rows of the fleet: nodes, services, checks, sessions, user events, coordinates; as values and as
 * bytes. The words are Consul's (contracts/consul.md, sections 6 to 13).
 *
 * Lists    a list of texts is one byte string (`texts`): each text behind its length. `pairs` is
 *          such a list of names and values in turn, in the order of the names, no name twice.
 * Format   little-endian, a version first; row_*_decode(row_*_encode(r)) == r, and any other bytes
 *          are ERR_CORRUPT, never a crash. Rows are the same in commands, in the state, in changes
 *          and in backups.
 * Names    of nodes, services, checks and ids hold no NUL and compare without regard to ASCII case;
 *          they are kept as they were written.
 * Owner    a decoded row borrows from its bytes.
 * Limits   ROW_* in core/base/limit_fleet.h: ERR_TOO_BIG from encode.
 * Threads  any; nothing is shared.
 */
#ifndef STORE_ROW_H
#define STORE_ROW_H

#include "core/base/limit.h"

#include "core/base/buf.h"

/* --- lists ----------------------------------------------------------------------------------- */

/* Takes the first text off the list; false behind the last. Only for valid lists. */
bool texts_next(struct bytes *texts, struct bytes *ret_text);
size_t texts_count(struct bytes texts);
bool texts_valid(struct bytes texts);
bool texts_have(struct bytes texts, struct bytes text);
/* Tags are compared so. */
bool texts_have_nocase(struct bytes texts, struct bytes text);
/* Appends one text. */
enum err texts_add(struct buf *out, struct bytes text) ERR_MUST_USE;

bool pairs_next(struct bytes *pairs, struct bytes *ret_name, struct bytes *ret_value);
bool pairs_valid(struct bytes pairs);
/* False if there is no such name. */
bool pairs_get(struct bytes pairs, struct bytes name, struct bytes *ret_value);
struct pair {
    struct bytes name;
    struct bytes value;
};
/* Sorts them (the last of two with one name wins) and appends the list. */
enum err pairs_add(struct buf *out, struct pair *pairs, size_t count) ERR_MUST_USE;

/* --- rows ------------------------------------------------------------------------------------ */

struct node_row {
    struct bytes id; /* a UUID, or empty */
    struct bytes name;
    struct bytes address;
    struct bytes tagged; /* pairs: lan, wan, lan_ipv4, ... -> address */
    struct bytes meta;   /* pairs */
    uint64_t create_index;
    uint64_t modify_index;
};

struct service_row {
    struct bytes node;
    struct bytes id;
    struct bytes name;
    struct bytes kind; /* empty for an ordinary one */
    struct bytes tags; /* texts */
    struct bytes address;
    struct bytes tagged; /* pairs: lan, wan, ... -> `port address` (a decimal, a blank, a text) */
    struct bytes meta;   /* pairs */
    struct bytes socket_path;
    /* A JSON object with what we keep and do not read (Proxy, Connect, Locality), or empty. */
    struct bytes extra;
    uint32_t port;
    uint32_t weight_passing;
    uint32_t weight_warning;
    bool enable_tag_override;
    uint64_t create_index;
    uint64_t modify_index;
};

/* In the order of how bad it is. */
enum check_status {
    CHECK_PASSING = 1,
    CHECK_WARNING = 2,
    CHECK_CRITICAL = 3,
};

struct check_row {
    struct bytes node;
    struct bytes id;
    struct bytes name;
    enum check_status status;
    struct bytes notes;
    struct bytes output;
    struct bytes service_id;   /* empty: of the node */
    struct bytes service_name; /* filled in by apply, as are the tags */
    struct bytes service_tags; /* texts */
    struct bytes type;         /* ttl, http, ...; may be empty */
    struct bytes interval;     /* as text, 10s; may be empty */
    struct bytes timeout;
    struct bytes definition; /* a JSON object, or empty */
    uint32_t exposed_port;
    uint64_t create_index;
    uint64_t modify_index;
};

enum session_behavior {
    SESSION_RELEASE = 1,
    SESSION_DELETE = 2,
};

struct session_row {
    struct bytes id; /* a UUID, made by who proposes */
    struct bytes name;
    struct bytes node;
    enum session_behavior behavior;
    uint64_t lock_delay_ms;
    struct bytes ttl;            /* as the client wrote it; empty: none */
    uint64_t ttl_ms;             /* 0: none */
    struct bytes node_checks;    /* texts: check ids */
    struct bytes service_checks; /* texts: check ids */
    uint64_t create_index;
    uint64_t modify_index;
};

struct event_row {
    struct bytes id; /* a UUID, made by who proposes */
    struct bytes name;
    struct bytes payload;
    struct bytes node_filter;
    struct bytes service_filter;
    struct bytes tag_filter;
    uint64_t index; /* Raft index; 0 in a command */
};

struct coordinate_row {
    struct bytes node;
    struct bytes segment;
    struct bytes coordinate; /* the JSON object {Vec, Error, Adjustment, Height} */
    uint64_t modify_index;
};

/* Append; ERR_TOO_BIG, or ERR_INVALID for what no row may hold (an empty name, a NUL in a name). */
enum err row_node_encode(struct buf *out, const struct node_row *row) ERR_MUST_USE;
enum err row_service_encode(struct buf *out, const struct service_row *row) ERR_MUST_USE;
enum err row_check_encode(struct buf *out, const struct check_row *row) ERR_MUST_USE;
enum err row_session_encode(struct buf *out, const struct session_row *row) ERR_MUST_USE;
enum err row_event_encode(struct buf *out, const struct event_row *row) ERR_MUST_USE;
enum err row_coordinate_encode(struct buf *out, const struct coordinate_row *row) ERR_MUST_USE;

enum err row_node_decode(struct bytes data, struct node_row *ret_row) ERR_MUST_USE;
enum err row_service_decode(struct bytes data, struct service_row *ret_row) ERR_MUST_USE;
enum err row_check_decode(struct bytes data, struct check_row *ret_row) ERR_MUST_USE;
enum err row_session_decode(struct bytes data, struct session_row *ret_row) ERR_MUST_USE;
enum err row_event_decode(struct bytes data, struct event_row *ret_row) ERR_MUST_USE;
enum err row_coordinate_decode(struct bytes data, struct coordinate_row *ret_row) ERR_MUST_USE;

const char *check_status_name(enum check_status status);
/* ERR_INVALID for any other word. */
enum err check_status_parse(struct bytes text, enum check_status *ret_status) ERR_MUST_USE;

/* --- instances ------------------------------------------------------------------------------- */

/* What a change of topic `service` tells (store/change.h): one instance of a service as the health
 * endpoint shows it, and what it was before, so that a filter can say whether it came into a list,
 * changed in it or left it, from this change alone. */
struct instance_row {
    bool is;  /* there now; else the instance and its node and checks are empty */
    bool was; /* was there before */
    struct node_row node;
    struct service_row service;  /* of a removed one: node, id and name */
    struct bytes checks;         /* texts, each an encoded check: the node's, then its own */
    enum check_status status;    /* the worst of them */
    enum check_status before;    /* the same, before */
    struct bytes tags_before;    /* texts */
    struct bytes address_before; /* of the service, or else of the node */
    uint32_t port_before;
};

enum err row_instance_encode(struct buf *out, const struct instance_row *r) ERR_MUST_USE;
enum err row_instance_decode(struct bytes data, struct instance_row *ret_row) ERR_MUST_USE;

#endif

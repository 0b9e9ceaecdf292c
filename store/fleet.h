/* What may be read of the fleet in a view: rows by name, rows in order, and the index at which an
 * answer last changed. The companion of view.h for everything that is not a key.
 *
 * Owner    rows are borrowed: from a `struct view_pin` until view_pin_close(), from a scan until
 *          its next step; both are closed before their view is given back.
 * Errors   ERR_NOT_FOUND, also for names that no row may have; ERR_IO and ERR_CORRUPT when the
 *          disk lies.
 * Threads  any, for all functions; one pin or scan belongs to one thread.
 */
#ifndef STORE_FLEET_H
#define STORE_FLEET_H

#include "store/row.h"
#include "store/view.h"

/* --- indexes ---------------------------------------------------------------------------------
 *
 * Every blocking query waits for one name. A command moves the index of each name whose answers it
 * changed, and its batch says so (`struct change_batch`, `moved`):
 *
 *   nodes services checks sessions events coordinates acl    any row of that table
 *   service.<name>   what /v1/health/service/<name> and /v1/catalog/service/<name> show: its
 *                    instances, their checks, their nodes, those nodes' checks
 *   node.<name>      a node, its services and its checks
 *   session.<id>     one session
 *
 * Names are in lower case. What is gone (a service without instances, a node, a session) has no
 * index of its own any more; view_gone_index() is a bound for when that came about. */
#define FLEET_INDEX_NODES       "nodes"
#define FLEET_INDEX_SERVICES    "services"
#define FLEET_INDEX_CHECKS      "checks"
#define FLEET_INDEX_SESSIONS    "sessions"
#define FLEET_INDEX_EVENTS      "events"
#define FLEET_INDEX_COORDINATES "coordinates"
#define FLEET_INDEX_ACL         "acl"
#define FLEET_INDEX_SERVICE     "service."
#define FLEET_INDEX_NODE        "node."
#define FLEET_INDEX_SESSION     "session."
/* Told among `moved`, but nobody waits for it and it has no index: a digit (enum expiry_kind) and
 * the name of what expires, as it is written, which came, was renewed or went. */
#define FLEET_INDEX_EXPIRY      "expiry."

/* 0: nothing ever moved it, or what it counts is gone. */
uint64_t view_fleet_index(struct view *v, struct bytes name);
/* When last a service lost its last instance, a node or a session went; 0: never. */
uint64_t view_gone_index(struct view *v);
/* `prefix` and `name` in lower case, as above, into `out` (cleared first). */
enum err fleet_index_name(struct buf *out, const char *prefix, struct bytes name) ERR_MUST_USE;

/* --- rows ------------------------------------------------------------------------------------ */

enum err view_node(struct view *v,
                   struct bytes name,
                   struct view_pin *pin,
                   struct node_row *ret_row) ERR_MUST_USE;
enum err view_node_by_id(struct view *v,
                         struct bytes id,
                         struct view_pin *pin,
                         struct node_row *ret_row) ERR_MUST_USE;
enum err view_service(struct view *v,
                      struct bytes node,
                      struct bytes id,
                      struct view_pin *pin,
                      struct service_row *ret_row) ERR_MUST_USE;
enum err view_check(struct view *v,
                    struct bytes node,
                    struct bytes id,
                    struct view_pin *pin,
                    struct check_row *ret_row) ERR_MUST_USE;
enum err view_session(struct view *v,
                      struct bytes id,
                      struct view_pin *pin,
                      struct session_row *ret_row) ERR_MUST_USE;

/* Rows in the order of their names, lower case: nodes by name; services and checks by node, then
 * id; instances by service, node, id; sessions by id; events oldest first. */
struct fleet_scan;

struct fleet_scan *fleet_nodes(struct view *v);
/* Of one node, or (empty) of all. */
struct fleet_scan *fleet_services(struct view *v, struct bytes node);
struct fleet_scan *fleet_checks(struct view *v, struct bytes node);
/* Of one instance; (empty) those of the node alone. */
struct fleet_scan *fleet_service_checks(struct view *v, struct bytes node, struct bytes service_id);
/* Services by their own name: of one, or (empty) of all. */
struct fleet_scan *fleet_instances(struct view *v, struct bytes service);
struct fleet_scan *fleet_sessions(struct view *v);
struct fleet_scan *fleet_node_sessions(struct view *v, struct bytes node);
struct fleet_scan *fleet_events(struct view *v);
struct fleet_scan *fleet_coordinates(struct view *v, struct bytes node);
void fleet_scan_close(struct fleet_scan *scan);

/* The next row of a scan of that kind; ERR_NOT_FOUND behind the last. */
enum err fleet_next_node(struct fleet_scan *scan, struct node_row *ret_row) ERR_MUST_USE;
enum err fleet_next_service(struct fleet_scan *scan, struct service_row *ret_row) ERR_MUST_USE;
enum err fleet_next_check(struct fleet_scan *scan, struct check_row *ret_row) ERR_MUST_USE;
enum err fleet_next_session(struct fleet_scan *scan, struct session_row *ret_row) ERR_MUST_USE;
enum err fleet_next_event(struct fleet_scan *scan, struct event_row *ret_row) ERR_MUST_USE;
enum err fleet_next_coordinate(struct fleet_scan *scan,
                               struct coordinate_row *ret_row) ERR_MUST_USE;

/* --- locks ----------------------------------------------------------------------------------- */

/* Keys that a session holds; `ret_key` is borrowed until the next step. */
struct fleet_scan *fleet_held_keys(struct view *v, struct bytes session);
enum err fleet_next_key(struct fleet_scan *scan, struct bytes *ret_key) ERR_MUST_USE;

/* What expires, for the leader's clocks (core/agent/expire.h): sessions with a TTL, keys with a
 * TTL, keys whose lock is delayed. */
enum expiry_kind {
    EXPIRY_SESSION,
    EXPIRY_KEY,
    EXPIRY_LOCK_DELAY,
};

struct expiry {
    enum expiry_kind kind;
    struct bytes name;  /* session id, or key */
    uint64_t after_ms;  /* how long after it was set */
    uint64_t set_index; /* the Raft index that set or renewed it: what an expiry names */
};

/* One of them; `ret_expiry` borrows `name`. */
enum err view_expiry(struct view *v,
                     enum expiry_kind kind,
                     struct bytes name,
                     struct expiry *ret_expiry) ERR_MUST_USE;
struct fleet_scan *fleet_expiries(struct view *v);
enum err fleet_next_expiry(struct fleet_scan *scan, struct expiry *ret_expiry) ERR_MUST_USE;

#endif

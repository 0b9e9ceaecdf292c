/* What HAProxy is to be told so that the servers of a backend are the instances of a service: the
 * pure part of `herald sync haproxy`.
 *
 *     instance comes   its own server again, if one has its address; else a free slot (a server in
 *                      maintenance), else a draining one, else a new server
 *     instance goes    its server drains; after `drain_ms` it goes into maintenance, and one that
 * we have added is deleted
 *
 * The servers are read from HAProxy and the wish is the whole list, so that a plan can be made at
 * any time, again after a restart of either side, and is empty when nothing is to be done.
 *
 * Slots    servers whose names begin with `slots` ("": all of the backend); ours are SYNC_OWN<n>.
 * Owner    the lists own their texts; a plan's buffers are the caller's.
 * Threads  none.
 */
#ifndef CORE_CLI_SYNC_PLAN_H
#define CORE_CLI_SYNC_PLAN_H

#include "core/base/buf.h"

#define SYNC_OWN        "herald-"
#define SYNC_NAME_MAX   128U
#define SYNC_ADDR_MAX   48U
#define SYNC_WEIGHT_MAX 256U /* HAProxy's */

enum sync_state {
    SYNC_READY,
    SYNC_DRAIN,
    SYNC_MAINT,
};

struct sync_server {
    char name[SYNC_NAME_MAX];
    char addr[SYNC_ADDR_MAX];
    uint64_t port;
    uint64_t weight;
    enum sync_state state;
    uint64_t drained_ms; /* since when it drains; 0: not */
    bool taken;          /* private: an instance of the wish has it */
    bool done;           /* private: what it needs is planned */
};

struct sync_servers {
    struct sync_server *items;
    size_t count;
};

struct sync_instance {
    char *name; /* node/id */
    char addr[SYNC_ADDR_MAX];
    uint64_t port;
    uint64_t weight;
};

struct sync_instances {
    struct sync_instance *items; /* in the order of their names */
    size_t count;
};

struct sync_wish {
    const char *backend;
    const char *slots;
    uint64_t drain_ms;
    uint64_t now_ms;
};

/* Letters, digits, - _ . and : as names of HAProxy have; shorter than SYNC_NAME_MAX. */
bool sync_name_valid(const char *name);

/* HAProxy's answer to `show servers state <backend>`. What is draining in `before` has done so for
 * as long; anything else that drains has since `now_ms`. ERR_NOT_FOUND: no such backend;
 * ERR_INVALID: not such an answer. */
enum err sync_servers_read(struct bytes text,
                           const struct sync_wish *wish,
                           const struct sync_servers *before,
                           struct sync_servers *ret_servers) ERR_MUST_USE;
void sync_servers_close(struct sync_servers *s);

/* Sets or replaces. ERR_INVALID: the address is not one that HAProxy can be told (an IP). */
enum err sync_instances_set(struct sync_instances *l,
                            struct bytes name,
                            const struct sync_instance *i) ERR_MUST_USE;
/* False: there was none. */
bool sync_instances_remove(struct sync_instances *l, struct bytes name);
void sync_instances_close(struct sync_instances *l);

/* Appends commands, one a line, and what they do in words, one a line. Changes `s` as HAProxy will
 * have it when it takes them. */
enum err sync_plan(struct sync_servers *s,
                   const struct sync_instances *l,
                   const struct sync_wish *wish,
                   struct buf *commands,
                   struct buf *words) ERR_MUST_USE;

#endif

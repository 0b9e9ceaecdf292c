/* The agent's own services and checks: the source of truth, of which the catalog has a copy.
 * A data structure and no more: no clock, no disk, no thread; core/agent/agent.h keeps it.
 *
 * Order    items are sorted by id, without regard to case, as the catalog tells ids apart.
 * Owner    an item lives until it is removed and the catalog has been told (local_synced()), or
 *          until an item with its id takes its place. Its rows borrow from it.
 * Limits   LOCAL_*_MAX (core/base/limit_fleet.h): ERR_LIMIT.
 * Threads  one local belongs to one thread.
 */
#ifndef CORE_AGENT_LOCAL_H
#define CORE_AGENT_LOCAL_H

#include "core/definition.h"

enum local_source {
    LOCAL_API,
    LOCAL_FILE, /* of the configuration: gone when that no longer says it */
};

/* What services and checks have in common. */
struct local_item {
    struct bytes id;
    enum local_source source;
    bool in_sync;        /* the catalog has it as it is here */
    bool deleted;        /* is not here; kept until the catalog knows */
    uint64_t generation; /* another one after each change */
    uint64_t told;       /* the generation that was sent to the catalog last; 0: none */
    struct arena arena;
    struct bytes json; /* the definition; empty: of a maintenance check */
    struct bytes token;
};

struct local_service {
    struct local_item item;
    struct service_row row; /* without a node */
    char *catalog_tags;     /* what local_set_tags() has put in their place; or NULL */
};

struct check_run;

struct local_check {
    struct local_item item;
    struct check_definition definition;
    struct check_row row;  /* without a node; service name and tags are the service's */
    struct buf output;     /* what row.output shows */
    uint64_t deferred_ms;  /* when an output that alone has changed is told; 0: nothing waits */
    uint64_t critical_ms;  /* since when it is critical; 0: it is not */
    struct check_run *run; /* the agent's */
};

struct local_table {
    struct local_item **items;
    size_t count;
    size_t cap;
};

struct local {
    struct local_table services;
    struct local_table checks;
    uint64_t generation;
    bool node_in_sync;
};

void local_init(struct local *l);
/* Checks must have no run any more. */
void local_close(struct local *l);

/* NULL: there is none, or it is deleted. */
struct local_service *local_service(const struct local *l, struct bytes id);
struct local_check *local_check(const struct local *l, struct bytes id);
/* By position; deleted ones too. */
struct local_service *local_service_at(const struct local *l, size_t at);
struct local_check *local_check_at(const struct local *l, size_t at);
/* Whether the check belongs to that service. */
bool local_check_of(const struct local_check *c, struct bytes service_id);

/* Adds or replaces; everything is copied. An item that is the same already stays in sync. */
enum err local_add_service(struct local *l,
                           const struct service_definition *s,
                           enum local_source source,
                           struct reason *why) ERR_MUST_USE;

/* What a check is beside its definition. */
struct local_check_new {
    const struct check_definition *definition;
    struct bytes id; /* these three instead of the definition's */
    struct bytes name;
    struct bytes service_id; /* a service that is here; empty: of the node */
    enum check_kind kind;
    enum check_status status;
    struct bytes notes;
    struct bytes output;
    enum local_source source;
};

/* The check that it replaces must have no run. */
enum err
local_add_check(struct local *l, const struct local_check_new *c, struct reason *why) ERR_MUST_USE;

/* The item is deleted now and its memory stays; ERR_NOT_FOUND. A service's checks are removed
 * before it. */
enum err local_remove_service(struct local *l, struct bytes id) ERR_MUST_USE;
enum err local_remove_check(struct local *l, struct bytes id) ERR_MUST_USE;

/* What a check has found; false: nothing is different. `*ret_status_changed`: more than the
 * output. Does not touch in_sync when only the output is different: see deferred_ms. */
bool local_check_set(struct local *l,
                     struct local_check *c,
                     enum check_status status,
                     struct bytes output,
                     bool *ret_status_changed);
void local_touch(struct local *l, struct local_item *item);
/* The catalog's tags win (EnableTagOverride). */
void local_set_tags(struct local *l, struct local_service *s, struct bytes tags);

/* The catalog was told of the item as it was at `generation`; frees what is deleted. */
void local_synced(struct local *l, bool check, struct bytes id, uint64_t generation);
/* The same of all checks of a service that were told as they are now. */
void local_synced_checks(struct local *l, struct bytes service_id);
/* What was told did not arrive: the item, or all checks of a service. */
void local_untell_item(struct local *l, bool check, struct bytes id);
void local_untell(const struct local *l, struct bytes service_id);
/* What only the catalog has is to be deleted there. */
enum err local_bury(struct local *l, bool check, struct bytes id) ERR_MUST_USE;

/* The worst status of the checks of a service and, with `node`, of the node. */
enum check_status local_status(const struct local *l, struct bytes service_id, bool node);

#endif

#include "core/dns/lookup.h"

#include "core/base/arena.h"
#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LOOKUP_BUCKETS     1024U
#define LOOKUP_ENTRY_MAX   MIB(16)
#define LOOKUP_INDEX_NAME  (ROW_NAME_MAX + 32)
#define LOOKUP_FIRST_COUNT 8

/* A service as of one value of its index. */
struct entry {
    struct entry *next;
    uint64_t hash;
    char *name;
    size_t name_len;
    uint64_t epoch;
    uint64_t seen;  /* the index of the view that it was last found good in */
    uint64_t index; /* of the service */
    struct dns_instance *instances;
    size_t count;
    size_t cap;
    size_t bytes;
    bool exists;
    struct arena memory;
};

/* Who has an address. */
struct holder {
    struct dns_ip ip;
    bool service;
    uint32_t order; /* the first that was found wins */
    struct bytes name;
};

struct lookup {
    struct entry *buckets[LOOKUP_BUCKETS];
    size_t count;
    size_t bytes;
    struct buf index_name;
    /* The addresses of all nodes and services; as of these indexes. */
    struct holder *holders;
    size_t holder_count;
    size_t holder_cap;
    struct arena holder_memory;
    uint64_t holders_epoch;
    uint64_t holders_nodes;
    uint64_t holders_services;
    uint64_t holders_seen;
    bool holders_known;
};

struct lookup *lookup_new(void)
{
    struct lookup *l = mem_zalloc(1, sizeof *l);
    buf_init(&l->index_name, LOOKUP_INDEX_NAME);
    arena_init(&l->holder_memory, DNS_CACHE_BYTES);
    return l;
}

static void entry_free(struct entry *e)
{
    arena_close(&e->memory);
    free(e->instances);
    free(e->name);
    free(e);
}

static void lookup_forget(struct lookup *l)
{
    for (size_t i = 0; i < LOOKUP_BUCKETS; i++) {
        while (l->buckets[i] != NULL) {
            struct entry *e = l->buckets[i];
            l->buckets[i] = e->next;
            entry_free(e);
        }
    }
    l->count = 0;
    l->bytes = 0;
}

void lookup_free(struct lookup *l)
{
    if (l == NULL) {
        return;
    }
    lookup_forget(l);
    free(l->holders);
    arena_close(&l->holder_memory);
    buf_close(&l->index_name);
    free(l);
}

/* --- a service --------------------------------------------------------------------------------
 */

/* The worst of the node's checks and the instance's own. */
static enum err
instance_status(struct view *v, const struct service_row *s, enum check_status *ret_status)
{
    enum check_status worst = CHECK_PASSING;
    struct check_row check;
    enum err e;
    struct fleet_scan *scan = fleet_checks(v, s->node);
    while ((e = fleet_next_check(scan, &check)) == OK) {
        bool counts = check.service_id.len == 0 || bytes_equal_nocase(check.service_id, s->id);
        if (counts && check.status > worst) {
            worst = check.status;
        }
    }
    fleet_scan_close(scan);
    *ret_status = worst;
    return e == ERR_NOT_FOUND ? OK : e;
}

static struct dns_instance *entry_more(struct entry *e)
{
    if (e->count == e->cap) {
        e->cap = e->cap == 0 ? LOOKUP_FIRST_COUNT : 2 * e->cap;
        e->instances = mem_realloc(e->instances, e->cap * sizeof *e->instances);
        e->bytes += (e->cap - e->count) * sizeof *e->instances;
    }
    return &e->instances[e->count];
}

static struct bytes entry_copy(struct entry *e, struct bytes data)
{
    if (data.len == 0) {
        return (struct bytes){.ptr = ""};
    }
    e->bytes += data.len;
    return arena_copy(&e->memory, data);
}

static enum err entry_add(struct entry *e, struct view *v, const struct service_row *s)
{
    struct view_pin pin = {0};
    struct node_row node = {0};
    enum check_status status = CHECK_PASSING;
    enum err err = instance_status(v, s, &status);
    e->exists = true;
    if (err != OK || status == CHECK_CRITICAL) {
        return err;
    }
    err = view_node(v, s->node, &pin, &node);
    if (err == OK) {
        bool own = s->address.len > 0;
        struct dns_instance *i = entry_more(e);
        *i = (struct dns_instance){
            .node = entry_copy(e, node.name),
            .address = entry_copy(e, own ? s->address : node.address),
            .tags = entry_copy(e, s->tags),
            .meta = entry_copy(e, node.meta),
            .ip = dns_ip_of(own ? s->address : node.address),
            .own_address = own,
            .warning = status == CHECK_WARNING,
            .port = s->port,
            .weight = status == CHECK_WARNING ? s->weight_warning : s->weight_passing,
        };
        bool whole = i->node.ptr != NULL && i->address.ptr != NULL && i->tags.ptr != NULL &&
                     i->meta.ptr != NULL;
        e->count += whole ? 1 : 0;
        err = whole ? OK : ERR_TOO_BIG;
    }
    view_pin_close(&pin);
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err entry_fill(struct entry *e, struct view *v)
{
    struct service_row row;
    enum err err;
    struct fleet_scan *scan = fleet_instances(v, (struct bytes){e->name, e->name_len});
    arena_reset(&e->memory);
    e->count = 0;
    e->exists = false;
    while ((err = fleet_next_service(scan, &row)) == OK) {
        if ((err = entry_add(e, v, &row)) != OK) {
            break;
        }
    }
    fleet_scan_close(scan);
    return err == ERR_NOT_FOUND ? OK : err;
}

static struct entry **lookup_find(struct lookup *l, struct bytes name, uint64_t hash)
{
    struct entry **at = &l->buckets[hash % LOOKUP_BUCKETS];
    while (*at != NULL && ((*at)->hash != hash ||
                           !bytes_equal((struct bytes){(*at)->name, (*at)->name_len}, name))) {
        at = &(*at)->next;
    }
    return at;
}

static struct entry *lookup_add(struct lookup *l, struct bytes name, uint64_t hash)
{
    struct entry *e = mem_zalloc(1, sizeof *e);
    e->hash = hash;
    e->name = mem_dup(name.ptr, name.len);
    e->name_len = name.len;
    arena_init(&e->memory, LOOKUP_ENTRY_MAX);
    struct entry **bucket = &l->buckets[hash % LOOKUP_BUCKETS];
    e->next = *bucket;
    *bucket = e;
    l->count++;
    return e;
}

static void lookup_remove(struct lookup *l, struct entry **at)
{
    struct entry *e = *at;
    CHECK(e != NULL);
    *at = e->next;
    l->count--;
    l->bytes -= e->bytes < l->bytes ? e->bytes : l->bytes;
    entry_free(e);
}

static void service_of(const struct entry *e, struct dns_service *ret)
{
    *ret = (struct dns_service){
        .instances = e->instances,
        .count = e->count,
        .exists = e->exists,
    };
}

enum err
lookup_service(struct lookup *l, struct view *v, struct bytes name, struct dns_service *ret_service)
{
    uint64_t hash = bytes_hash(name);
    struct entry **at = lookup_find(l, name, hash);
    struct entry *e = *at;
    uint64_t now = view_index(v);
    uint64_t epoch = view_epoch(v);
    if (e != NULL && e->seen == now && e->epoch == epoch) {
        service_of(e, ret_service);
        return OK;
    }
    buf_clear(&l->index_name);
    if (fleet_index_name(&l->index_name, FLEET_INDEX_SERVICE, name) != OK) {
        return ERR_NOT_FOUND;
    }
    uint64_t index = view_fleet_index(v, buf_view(&l->index_name));
    if (index == 0) {
        if (e != NULL) {
            lookup_remove(l, at);
        }
        return ERR_NOT_FOUND;
    }
    if (e == NULL || e->index != index || e->epoch != epoch) {
        if (e != NULL) {
            lookup_remove(l, at);
        }
        if (l->count >= DNS_CACHE_SERVICES || l->bytes >= DNS_CACHE_BYTES) {
            lookup_forget(l);
        }
        e = lookup_add(l, name, hash);
        enum err err = entry_fill(e, v);
        l->bytes += e->bytes;
        if (err != OK) {
            lookup_remove(l, lookup_find(l, name, hash));
            return err;
        }
        e->index = index;
        e->epoch = epoch;
    }
    e->seen = now;
    service_of(e, ret_service);
    return OK;
}

enum err lookup_node(struct lookup *l,
                     struct view *v,
                     struct bytes name,
                     struct view_pin *pin,
                     struct node_row *ret_node)
{
    (void)l;
    return name.len > ROW_NAME_MAX ? ERR_NOT_FOUND : view_node(v, name, pin, ret_node);
}

/* --- addresses --------------------------------------------------------------------------------
 */

static void holders_add(struct lookup *l, struct bytes address, struct bytes name, bool service)
{
    struct dns_ip ip = dns_ip_of(address);
    if (ip.len == 0) {
        return;
    }
    struct bytes copy = arena_copy(&l->holder_memory, name);
    if (copy.ptr == NULL) {
        return;
    }
    if (l->holder_count == l->holder_cap) {
        l->holder_cap = l->holder_cap == 0 ? LOOKUP_FIRST_COUNT : 2 * l->holder_cap;
        l->holders = mem_realloc(l->holders, l->holder_cap * sizeof *l->holders);
    }
    l->holders[l->holder_count] = (struct holder){
        .ip = ip,
        .service = service,
        .order = (uint32_t)l->holder_count,
        .name = copy,
    };
    l->holder_count++;
}

static int holder_compare_ip(const struct dns_ip *a, const struct dns_ip *b)
{
    return a->len != b->len ? (int)a->len - (int)b->len : memcmp(a->raw, b->raw, a->len);
}

static int holder_compare(const void *a, const void *b)
{
    const struct holder *x = a;
    const struct holder *y = b;
    int order = holder_compare_ip(&x->ip, &y->ip);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* Nodes come before services, so that they win. */
static enum err holders_fill(struct lookup *l, struct view *v)
{
    struct node_row node;
    struct service_row service;
    enum err e;
    l->holder_count = 0;
    arena_reset(&l->holder_memory);
    struct fleet_scan *scan = fleet_nodes(v);
    while ((e = fleet_next_node(scan, &node)) == OK) {
        holders_add(l, node.address, node.name, false);
    }
    fleet_scan_close(scan);
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    scan = fleet_instances(v, (struct bytes){0});
    while ((e = fleet_next_service(scan, &service)) == OK) {
        holders_add(l, service.address, service.name, true);
    }
    fleet_scan_close(scan);
    if (l->holder_count > 1) {
        qsort(l->holders, l->holder_count, sizeof *l->holders, holder_compare);
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err holders_renew(struct lookup *l, struct view *v)
{
    uint64_t now = view_index(v);
    uint64_t epoch = view_epoch(v);
    if (l->holders_known && l->holders_seen == now && l->holders_epoch == epoch) {
        return OK;
    }
    uint64_t nodes = view_fleet_index(v, BYTES(FLEET_INDEX_NODES));
    uint64_t services = view_fleet_index(v, BYTES(FLEET_INDEX_SERVICES));
    if (!l->holders_known || l->holders_nodes != nodes || l->holders_services != services ||
        l->holders_epoch != epoch) {
        enum err e = holders_fill(l, v);
        l->holders_known = e == OK;
        if (e != OK) {
            return e;
        }
    }
    l->holders_nodes = nodes;
    l->holders_services = services;
    l->holders_epoch = epoch;
    l->holders_seen = now;
    return OK;
}

enum err lookup_address(struct lookup *l,
                        struct view *v,
                        const struct dns_ip *ip,
                        struct bytes *ret_name,
                        bool *ret_service)
{
    enum err e = holders_renew(l, v);
    if (e != OK) {
        return e;
    }
    size_t low = 0;
    size_t high = l->holder_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (holder_compare_ip(&l->holders[middle].ip, ip) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == l->holder_count || holder_compare_ip(&l->holders[low].ip, ip) != 0) {
        return ERR_NOT_FOUND;
    }
    *ret_name = l->holders[low].name;
    *ret_service = l->holders[low].service;
    return OK;
}

#include "core/cli/sync_plan.h"

#include "core/base/mem.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns of `show servers state`, version 1. */
enum column {
    COLUMN_NAME = 3,
    COLUMN_ADDR = 4,
    COLUMN_ADMIN = 6,
    COLUMN_WEIGHT = 7,
    COLUMN_PORT = 18,
    COLUMN_COUNT,
};

/* Bits of the admin state: in maintenance, draining, each for several reasons. 0x04 is no reason:
 * it says for ever that the configuration had the server disabled. */
#define ADMIN_MAINT (0x01U | 0x02U | 0x20U | 0x40U)
#define ADMIN_DRAIN (0x08U | 0x10U)

/* --- servers --------------------------------------------------------------------------------- */

void sync_servers_close(struct sync_servers *s)
{
    free(s->items);
    *s = (struct sync_servers){0};
}

static struct sync_server *servers_add(struct sync_servers *s)
{
    s->items = mem_realloc(s->items, (s->count + 1) * sizeof *s->items);
    s->items[s->count] = (struct sync_server){0};
    return &s->items[s->count++];
}

static bool text_keep(char *to, size_t max, struct bytes text)
{
    if (text.len >= max) {
        return false;
    }
    memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
    return true;
}

static struct bytes line_next(struct bytes *rest, char end)
{
    size_t at = bytes_find(*rest, end);
    struct bytes line = bytes_slice(*rest, 0, at);
    *rest = bytes_slice(*rest, at < rest->len ? at + 1 : at, rest->len);
    return line;
}

bool sync_name_valid(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_.:", *c) != NULL;
        if (!plain) {
            return false;
        }
    }
    return strlen(name) < SYNC_NAME_MAX;
}

static bool servers_read_line(struct bytes line, struct sync_server *ret_server)
{
    struct bytes columns[COLUMN_COUNT] = {{0}};
    uint64_t admin = 0;
    size_t count = 0;
    while (count < COLUMN_COUNT && line.len > 0) {
        columns[count++] = line_next(&line, ' ');
    }
    struct sync_server *s = ret_server;
    *s = (struct sync_server){0};
    if (count < COLUMN_COUNT || !text_keep(s->name, sizeof s->name, columns[COLUMN_NAME]) ||
        !sync_name_valid(s->name) || !text_keep(s->addr, sizeof s->addr, columns[COLUMN_ADDR]) ||
        bytes_to_u64(columns[COLUMN_ADMIN], &admin) != OK ||
        bytes_to_u64(columns[COLUMN_WEIGHT], &s->weight) != OK ||
        bytes_to_u64(columns[COLUMN_PORT], &s->port) != OK) {
        return false;
    }
    s->state = (admin & ADMIN_MAINT) != 0   ? SYNC_MAINT
               : (admin & ADMIN_DRAIN) != 0 ? SYNC_DRAIN
                                            : SYNC_READY;
    return true;
}

static uint64_t
drained_since(const struct sync_server *s, const struct sync_servers *before, uint64_t now_ms)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct sync_server *b = &before->items[i];
        if (b->drained_ms > 0 && strcmp(b->name, s->name) == 0) {
            return b->drained_ms;
        }
    }
    return now_ms;
}

enum err sync_servers_read(struct bytes text,
                           const struct sync_wish *wish,
                           const struct sync_servers *before,
                           struct sync_servers *ret_servers)
{
    struct sync_servers s = {0};
    bool begun = false;
    while (text.len > 0) {
        struct bytes line = line_next(&text, '\n');
        if (line.len == 0) {
            continue;
        }
        if (!begun) {
            if (!bytes_equal(line, BYTES("1"))) {
                return bytes_begins(line, BYTES("Can't find backend")) ? ERR_NOT_FOUND
                                                                       : ERR_INVALID;
            }
            begun = true;
            continue;
        }
        struct sync_server one;
        if (line.ptr[0] == '#') {
            continue;
        }
        if (!servers_read_line(line, &one)) {
            sync_servers_close(&s);
            return ERR_INVALID;
        }
        bool slot = bytes_begins(bytes_of(one.name), bytes_of(wish->slots)) ||
                    bytes_begins(bytes_of(one.name), BYTES(SYNC_OWN));
        if (slot) {
            one.drained_ms =
                one.state == SYNC_DRAIN ? drained_since(&one, before, wish->now_ms) : 0;
            *servers_add(&s) = one;
        }
    }
    if (!begun) {
        return ERR_INVALID;
    }
    *ret_servers = s;
    return OK;
}

/* --- instances ------------------------------------------------------------------------------- */

/* Where the name is, or would be. */
static size_t instances_find(const struct sync_instances *l, struct bytes name, bool *ret_there)
{
    size_t low = 0;
    size_t high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(bytes_of(l->items[middle].name), name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_there = low < l->count && bytes_equal(bytes_of(l->items[low].name), name);
    return low;
}

bool sync_instances_remove(struct sync_instances *l, struct bytes name)
{
    bool there = false;
    size_t at = instances_find(l, name, &there);
    if (there) {
        free(l->items[at].name);
        l->count--;
        memmove(&l->items[at], &l->items[at + 1], (l->count - at) * sizeof *l->items);
    }
    return there;
}

/* What is written into a command is a number or an address, whatever was registered. */
static bool addr_valid(const char *addr)
{
    unsigned char binary[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, addr, binary) == 1 || inet_pton(AF_INET6, addr, binary) == 1;
}

enum err
sync_instances_set(struct sync_instances *l, struct bytes name, const struct sync_instance *i)
{
    bool there = false;
    (void)sync_instances_remove(l, name);
    if (!addr_valid(i->addr) || i->port == 0 || i->port > UINT16_MAX) {
        return ERR_INVALID;
    }
    size_t at = instances_find(l, name, &there);
    l->items = mem_realloc(l->items, (l->count + 1) * sizeof *l->items);
    memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof *l->items);
    l->items[at] = *i;
    l->items[at].name = mem_dup(name.ptr, name.len);
    l->items[at].weight = i->weight > SYNC_WEIGHT_MAX ? SYNC_WEIGHT_MAX : i->weight;
    l->count++;
    return OK;
}

void sync_instances_close(struct sync_instances *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i].name);
    }
    free(l->items);
    *l = (struct sync_instances){0};
}

/* --- the plan -------------------------------------------------------------------------------- */

struct planner {
    struct sync_servers *servers;
    const struct sync_wish *wish;
    struct buf *commands;
    struct buf *words;
    unsigned own_next;
};

static bool server_has(const struct sync_server *s, const struct sync_instance *i)
{
    return s->port == i->port && strcmp(s->addr, i->addr) == 0;
}

/* The server that has the instance's address: the one that is in use, if there are two. */
static struct sync_server *plan_own(const struct planner *p, const struct sync_instance *i)
{
    struct sync_server *best = NULL;
    for (size_t k = 0; k < p->servers->count; k++) {
        struct sync_server *s = &p->servers->items[k];
        if (server_has(s, i) && (best == NULL || s->state < best->state)) {
            best = s;
        }
    }
    return best;
}

/* A slot that nobody in the wish has: in maintenance, else the one that has drained longest. */
static struct sync_server *plan_slot(const struct planner *p)
{
    struct sync_server *best = NULL;
    for (size_t k = 0; k < p->servers->count; k++) {
        struct sync_server *s = &p->servers->items[k];
        bool own = bytes_begins(bytes_of(s->name), BYTES(SYNC_OWN));
        if (s->taken || own || s->state == SYNC_READY) {
            continue;
        }
        bool better = best == NULL || s->state > best->state ||
                      (s->state == best->state && s->drained_ms < best->drained_ms);
        best = better ? s : best;
    }
    return best;
}

static enum err
plan_address(struct planner *p, struct sync_server *s, const struct sync_instance *i)
{
    /* A draining server is stopped first: what it still does is not the new instance's. */
    enum err e = s->state == SYNC_DRAIN ? buf_printf(p->commands, "set server %s/%s state maint\n",
                                                     p->wish->backend, s->name)
                                        : OK;
    s->state = SYNC_MAINT;
    s->port = i->port;
    (void)text_keep(s->addr, sizeof s->addr, bytes_of(i->addr));
    return e != OK ? e
                   : buf_printf(p->commands, "set server %s/%s addr %s port %" PRIu64 "\n",
                                p->wish->backend, s->name, s->addr, s->port);
}

static bool plan_name_used(const struct planner *p, const char *name)
{
    for (size_t k = 0; k < p->servers->count; k++) {
        if (strcmp(p->servers->items[k].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* HAProxy 2.5 and later; the server begins in maintenance. */
static enum err
plan_new(struct planner *p, const struct sync_instance *i, struct sync_server **ret_server)
{
    char name[SYNC_NAME_MAX];
    do {
        (void)snprintf(name, sizeof name, SYNC_OWN "%u", ++p->own_next);
    } while (plan_name_used(p, name));
    struct sync_server *s = servers_add(p->servers);
    *s = (struct sync_server){.port = i->port, .weight = i->weight, .state = SYNC_MAINT};
    (void)text_keep(s->name, sizeof s->name, bytes_of(name));
    (void)text_keep(s->addr, sizeof s->addr, bytes_of(i->addr));
    *ret_server = s;
    bool v6 = strchr(s->addr, ':') != NULL;
    return buf_printf(p->commands, "add server %s/%s %s%s:%" PRIu64 " weight %" PRIu64 "\n",
                      p->wish->backend, s->name, v6 ? "ipv6@" : "", s->addr, s->port, s->weight);
}

static enum err plan_in(struct planner *p, const struct sync_instance *i)
{
    struct sync_server *s = plan_own(p, i);
    enum err e = OK;
    if (s == NULL) {
        s = plan_slot(p);
        e = s != NULL ? plan_address(p, s, i) : plan_new(p, i, &s);
    }
    s->taken = true;
    if (s->done) {
        /* Two instances with one address are one server. */
        return e;
    }
    s->done = true;
    if (e == OK && s->weight != i->weight) {
        e = buf_printf(p->commands, "set server %s/%s weight %" PRIu64 "\n", p->wish->backend,
                       s->name, i->weight);
        s->weight = i->weight;
        if (e == OK && s->state == SYNC_READY) {
            e = buf_printf(p->words, "= %s %s:%" PRIu64 " weighs %" PRIu64 "\n", i->name, i->addr,
                           i->port, i->weight);
        }
    }
    if (e != OK || s->state == SYNC_READY) {
        return e;
    }
    s->state = SYNC_READY;
    s->drained_ms = 0;
    e = buf_printf(p->commands, "set server %s/%s state ready\n", p->wish->backend, s->name);
    return e != OK ? e
                   : buf_printf(p->words, "+ %s %s:%" PRIu64 " is server %s\n", i->name, i->addr,
                                i->port, s->name);
}

static enum err plan_drain(struct planner *p, struct sync_server *s)
{
    s->state = SYNC_DRAIN;
    s->drained_ms = p->wish->now_ms;
    enum err e =
        buf_printf(p->commands, "set server %s/%s state drain\n", p->wish->backend, s->name);
    return e != OK ? e
                   : buf_printf(p->words, "- %s:%" PRIu64 " gets no new requests (server %s)\n",
                                s->addr, s->port, s->name);
}

/* One that nobody in the wish has. */
static enum err plan_out(struct planner *p, struct sync_server *s)
{
    enum err e = OK;
    if (s->state == SYNC_READY) {
        e = plan_drain(p, s);
    }
    if (e == OK && s->state == SYNC_DRAIN && p->wish->now_ms >= s->drained_ms + p->wish->drain_ms) {
        s->state = SYNC_MAINT;
        s->drained_ms = 0;
        e = buf_printf(p->commands, "set server %s/%s state maint\n", p->wish->backend, s->name);
    }
    if (e == OK && s->state == SYNC_MAINT && bytes_begins(bytes_of(s->name), BYTES(SYNC_OWN))) {
        e = buf_printf(p->commands, "del server %s/%s\n", p->wish->backend, s->name);
    }
    return e;
}

enum err sync_plan(struct sync_servers *s,
                   const struct sync_instances *l,
                   const struct sync_wish *wish,
                   struct buf *commands,
                   struct buf *words)
{
    struct planner p = {.servers = s, .wish = wish, .commands = commands, .words = words};
    enum err e = OK;
    for (size_t i = 0; i < s->count; i++) {
        s->items[i].taken = false;
        s->items[i].done = false;
    }
    /* Those that have a server keep it: no slot is given away before all of them are known. */
    for (size_t i = 0; i < l->count; i++) {
        struct sync_server *own = plan_own(&p, &l->items[i]);
        if (own != NULL) {
            own->taken = true;
        }
    }
    for (size_t i = 0; i < l->count && e == OK; i++) {
        e = plan_in(&p, &l->items[i]);
    }
    for (size_t i = 0; i < s->count && e == OK; i++) {
        if (!s->items[i].taken) {
            e = plan_out(&p, &s->items[i]);
        }
    }
    return e;
}

/* What is different between gossip and the catalog, and the command against it. Pure. */
#include "core/agent/reconcile.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/version.h"
#include "store/command.h"
#include "store/fleet.h"

#include <string.h>

#define CHECK_SERF     BYTES("serfHealth")
#define OUTPUT_ALIVE   BYTES("Agent alive and reachable")
#define OUTPUT_FAILED  BYTES("Agent not live or unreachable")
#define SERVICE_CONSUL BYTES("consul")

/* The most that one member's rows can be. */
#define PLAN_ROW_MAX KIB(512)

/* Memory of one plan. */
struct plan {
    bool keep_node; /* what the catalog has of the node by then stays: it may have spoken first */
    struct buf node;
    struct buf service;
    struct buf checks;
    struct buf tagged;
    struct buf meta;
    struct buf row;
};

static void plan_open(struct plan *p)
{
    p->keep_node = true;
    buf_init(&p->node, PLAN_ROW_MAX);
    buf_init(&p->service, PLAN_ROW_MAX);
    buf_init(&p->checks, PLAN_ROW_MAX);
    buf_init(&p->tagged, PLAN_ROW_MAX);
    buf_init(&p->meta, PLAN_ROW_MAX);
    buf_init(&p->row, PLAN_ROW_MAX);
}

static void plan_close(struct plan *p)
{
    buf_close(&p->node);
    buf_close(&p->service);
    buf_close(&p->checks);
    buf_close(&p->tagged);
    buf_close(&p->meta);
    buf_close(&p->row);
}

static bool member_serves(const struct gossip_member *g, uint64_t *ret_port)
{
    const char *role = gossip_tag(g, "role");
    const char *port = gossip_tag(g, "port");
    return role != NULL && strcmp(role, "consul") == 0 && port != NULL &&
           bytes_to_u64(bytes_of(port), ret_port) == OK && *ret_port <= UINT16_MAX;
}

static struct bytes member_id(const struct gossip_member *g)
{
    const char *id = gossip_tag(g, "id");
    return id != NULL ? bytes_of(id) : (struct bytes){0};
}

/* --- the rows that are meant ------------------------------------------------------------------ */

/* For a node that the catalog does not have yet; later it says this itself. */
static void plan_new_node(struct plan *p, const struct gossip_member *g, struct node_row *row)
{
    struct bytes address = bytes_of(g->address);
    bool v6 = bytes_find(address, ':') < address.len;
    struct pair tagged[] = {
        {BYTES("lan"), address},
        {v6 ? BYTES("lan_ipv6") : BYTES("lan_ipv4"), address},
        {BYTES("wan"), address},
        {v6 ? BYTES("wan_ipv6") : BYTES("wan_ipv4"), address},
    };
    struct pair meta[] = {{BYTES("consul-network-segment"), {0}}};
    CHECK(pairs_add(&p->tagged, tagged, sizeof tagged / sizeof tagged[0]) == OK);
    CHECK(pairs_add(&p->meta, meta, sizeof meta / sizeof meta[0]) == OK);
    row->tagged = buf_view(&p->tagged);
    row->meta = buf_view(&p->meta);
}

static struct check_row plan_check(struct bytes node, bool alive)
{
    return (struct check_row){
        .node = node,
        .id = CHECK_SERF,
        .name = BYTES("Serf Health Status"),
        .status = alive ? CHECK_PASSING : CHECK_CRITICAL,
        .output = alive ? OUTPUT_ALIVE : OUTPUT_FAILED,
    };
}

/* `build` is a version and a revision behind a colon. */
static struct bytes member_version(const struct gossip_member *g)
{
    const char *build = gossip_tag(g, "build");
    struct bytes text = build != NULL ? bytes_of(build) : BYTES(CONSUL_API_VERSION);
    return bytes_slice(text, 0, bytes_find(text, ':'));
}

/* In Consul's words, which its tools read: it names the protocols of its own gossip. */
static struct service_row plan_service(struct plan *p, const struct gossip_member *g, uint64_t port)
{
    const char *raft = gossip_tag(g, "raft_vsn");
    struct pair meta[] = {
        {BYTES("non_voter"), gossip_tag(g, "nonvoter") != NULL ? BYTES("true") : BYTES("false")},
        {BYTES("raft_version"), raft != NULL ? bytes_of(raft) : BYTES("3")},
        {BYTES("serf_protocol_current"), BYTES("2")},
        {BYTES("serf_protocol_max"), BYTES("5")},
        {BYTES("serf_protocol_min"), BYTES("1")},
        {BYTES("version"), member_version(g)},
    };
    buf_clear(&p->meta);
    CHECK(pairs_add(&p->meta, meta, sizeof meta / sizeof meta[0]) == OK);
    return (struct service_row){
        .node = bytes_of(g->name),
        .id = SERVICE_CONSUL,
        .name = SERVICE_CONSUL,
        .meta = buf_view(&p->meta),
        .port = (uint32_t)port,
        .weight_passing = 1,
        .weight_warning = 1,
    };
}

/* --- comparing -------------------------------------------------------------------------------- */

static enum err
plan_has_check(struct view *v, struct bytes node, enum check_status status, bool *ret_has)
{
    struct view_pin pin = {0};
    struct check_row row;
    enum err e = view_check(v, node, CHECK_SERF, &pin, &row);
    *ret_has = e == OK && row.status == status;
    view_pin_close(&pin);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err plan_has_service(struct view *v, const struct service_row *want, bool *ret_has)
{
    struct view_pin pin = {0};
    struct service_row row;
    enum err e = view_service(v, want->node, want->id, &pin, &row);
    *ret_has = e == OK && bytes_equal(row.name, want->name) && row.port == want->port &&
               bytes_equal(row.meta, want->meta);
    view_pin_close(&pin);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err
plan_register(struct plan *p, const struct node_row *node, uint64_t time_ms, struct buf *out)
{
    CHECK(p->node.len == 0);
    enum err e = row_node_encode(&p->node, node);
    if (e != OK) {
        return e;
    }
    const struct command c = {
        .type = COMMAND_REGISTER,
        .time_ms = time_ms,
        .registration = {.node = buf_view(&p->node),
                         .service = buf_view(&p->service),
                         .checks = buf_view(&p->checks),
                         .skip_node = p->keep_node},
    };
    return command_encode(out, &c);
}

static enum err plan_add_check(struct plan *p, const struct check_row *row)
{
    buf_clear(&p->row);
    enum err e = row_check_encode(&p->row, row);
    return e == OK ? texts_add(&p->checks, buf_view(&p->row)) : e;
}

/* --- what is to be done ----------------------------------------------------------------------- */

/* The node as it is meant: `ret_same` if it is so already. What it says of itself stays; borrowed
 * from `p` and `pin`. */
static enum err plan_node(struct plan *p,
                          struct view *v,
                          const struct gossip_member *g,
                          struct view_pin *pin,
                          struct node_row *ret_node,
                          bool *ret_same)
{
    struct node_row node = {0};
    enum err e = view_node(v, bytes_of(g->name), pin, &node);
    if (e != OK && e != ERR_NOT_FOUND) {
        return e;
    }
    *ret_same = e == OK && bytes_equal(node.address, bytes_of(g->address)) &&
                bytes_equal_nocase(node.id, member_id(g));
    p->keep_node = e == ERR_NOT_FOUND || *ret_same;
    if (e == ERR_NOT_FOUND) {
        plan_new_node(p, g, &node);
    }
    node.name = bytes_of(g->name);
    node.id = member_id(g);
    node.address = bytes_of(g->address);
    *ret_node = node;
    return OK;
}

static enum err
plan_alive_rows(struct plan *p, struct view *v, const struct gossip_member *g, bool *ret_same)
{
    struct bytes name = bytes_of(g->name);
    uint64_t port = 0;
    bool same_check = false;
    bool same_service = true;
    enum err e = plan_has_check(v, name, CHECK_PASSING, &same_check);
    if (e == OK && !same_check) {
        const struct check_row check = plan_check(name, true);
        e = plan_add_check(p, &check);
    }
    if (e == OK && member_serves(g, &port)) {
        const struct service_row service = plan_service(p, g, port);
        e = plan_has_service(v, &service, &same_service);
        if (e == OK && !same_service) {
            e = row_service_encode(&p->service, &service);
        }
    }
    *ret_same = same_check && same_service;
    return e;
}

static enum err plan_alive(struct plan *p,
                           struct view *v,
                           const struct gossip_member *g,
                           uint64_t time_ms,
                           struct buf *out)
{
    struct view_pin pin = {0};
    struct node_row node;
    bool same_node = false;
    bool same_rows = false;
    enum err e = plan_alive_rows(p, v, g, &same_rows);
    buf_clear(&p->meta);
    e = e == OK ? plan_node(p, v, g, &pin, &node, &same_node) : e;
    if (e == OK) {
        e = same_node && same_rows ? ERR_NOT_FOUND : plan_register(p, &node, time_ms, out);
    }
    view_pin_close(&pin);
    return e;
}

/* A node that the catalog does not have, or that has another id there, is none of ours. */
static enum err plan_find(struct view *v,
                          const struct gossip_member *g,
                          struct view_pin *pin,
                          struct node_row *ret_node)
{
    enum err e = view_node(v, bytes_of(g->name), pin, ret_node);
    bool ours =
        e == OK && (ret_node->id.len == 0 || bytes_equal_nocase(ret_node->id, member_id(g)));
    return e == OK && !ours ? ERR_NOT_FOUND : e;
}

static enum err plan_failed(struct plan *p,
                            struct view *v,
                            const struct gossip_member *g,
                            uint64_t time_ms,
                            struct buf *out)
{
    struct view_pin pin = {0};
    struct node_row node;
    bool same = false;
    enum err e = plan_find(v, g, &pin, &node);
    e = e == OK ? plan_has_check(v, node.name, CHECK_CRITICAL, &same) : e;
    if (e == OK && same) {
        e = ERR_NOT_FOUND;
    }
    if (e == OK) {
        const struct check_row check = plan_check(node.name, false);
        e = plan_add_check(p, &check);
        e = e == OK ? plan_register(p, &node, time_ms, out) : e;
    }
    view_pin_close(&pin);
    return e;
}

static enum err plan_deregister(struct bytes node, uint64_t time_ms, struct buf *out)
{
    const struct command c = {
        .type = COMMAND_DEREGISTER,
        .time_ms = time_ms,
        .deregistration = {.node = node},
    };
    return command_encode(out, &c);
}

static enum err
plan_left(struct view *v, const struct gossip_member *g, uint64_t time_ms, struct buf *out)
{
    struct view_pin pin = {0};
    struct node_row node;
    /* Who leads then takes this one out. */
    enum err e = g->self ? ERR_NOT_FOUND : plan_find(v, g, &pin, &node);
    e = e == OK ? plan_deregister(node.name, time_ms, out) : e;
    view_pin_close(&pin);
    return e;
}

enum err
reconcile_member(struct view *v, const struct gossip_member *g, uint64_t time_ms, struct buf *out)
{
    struct plan p;
    enum err e = ERR_NOT_FOUND;
    buf_clear(out);
    plan_open(&p);
    switch (g->status) {
    case GOSSIP_ALIVE:
        e = plan_alive(&p, v, g, time_ms, out);
        break;
    case GOSSIP_FAILED:
        e = plan_failed(&p, v, g, time_ms, out);
        break;
    case GOSSIP_LEFT:
        e = plan_left(v, g, time_ms, out);
        break;
    case GOSSIP_LEAVING:
        break;
    }
    plan_close(&p);
    return e;
}

enum err reconcile_reaped(struct view *v,
                          bool (*is_member)(void *ctx, struct bytes name),
                          void *ctx,
                          uint64_t time_ms,
                          struct buf *out)
{
    struct fleet_scan *scan = fleet_nodes(v);
    struct node_row node;
    enum err e = OK;
    buf_clear(out);
    while (out->len == 0 && (e = fleet_next_node(scan, &node)) == OK) {
        struct view_pin pin = {0};
        struct check_row check;
        if (is_member(ctx, node.name)) {
            continue;
        }
        e = view_check(v, node.name, CHECK_SERF, &pin, &check);
        view_pin_close(&pin);
        if (e == OK) {
            e = plan_deregister(node.name, time_ms, out);
        }
        if (e != OK && e != ERR_NOT_FOUND) {
            break;
        }
    }
    fleet_scan_close(scan);
    return out->len > 0 ? OK : e;
}

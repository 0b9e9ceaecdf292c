/* What the leader does about the catalog for each thing that gossip may say, against a real state.
 */
#include "core/agent/reconcile.h"
#include "fleet_lib.h"

static struct bench b;
static struct buf command;

static void setup(void)
{
    bench_open(&b, NULL);
    buf_init(&command, COMMAND_MAX);
}

static void teardown(void)
{
    buf_close(&command);
    bench_close(&b);
}

TestSuite(reconcile, .init = setup, .fini = teardown, .timeout = 20);

static struct gossip_member member(const char *name, const char *id, bool server)
{
    struct gossip_member g = {.status = GOSSIP_ALIVE, .tag_count = 2};
    snprintf(g.name, sizeof g.name, "%s", name);
    snprintf(g.address, sizeof g.address, "10.0.0.1");
    snprintf(g.tags[0].name, sizeof g.tags[0].name, "id");
    snprintf(g.tags[0].value, sizeof g.tags[0].value, "%s", id);
    snprintf(g.tags[1].name, sizeof g.tags[1].name, "role");
    snprintf(g.tags[1].value, sizeof g.tags[1].value, "%s", server ? "consul" : "node");
    if (server) {
        g.tag_count = 3;
        snprintf(g.tags[2].name, sizeof g.tags[2].name, "port");
        snprintf(g.tags[2].value, sizeof g.tags[2].value, "8300");
    }
    return g;
}

/* One step; what it proposes is applied. */
static enum err step(const struct gossip_member *g)
{
    struct view *v = bench_view(&b);
    enum err e = reconcile_member(v, g, 1, &command);
    view_unref(v);
    return e == OK ? bench_raw(&b, buf_view(&command)) : e;
}

static enum check_status health(const char *node)
{
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct check_row row = {0};
    enum err e = view_check(v, bytes_of(node), S("serfHealth"), &pin, &row);
    enum check_status status = e == OK ? row.status : 0;
    view_pin_close(&pin);
    view_unref(v);
    return status;
}

/* Who lives is registered once, and then nothing is to be done. */
Test(reconcile, who_lives_is_registered_once)
{
    struct gossip_member g = member("n1", "id1", true);
    cr_assert_eq(step(&g), OK);
    cr_assert_eq(step(&g), ERR_NOT_FOUND);
    cr_assert_eq(health("n1"), CHECK_PASSING);
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct node_row node;
    struct service_row service;
    struct bytes value;
    cr_assert_eq(view_node_by_id(v, S("id1"), &pin, &node), OK);
    cr_assert_bytes(node.address, S("10.0.0.1"));
    cr_assert(pairs_get(node.tagged, S("wan_ipv4"), &value) && bytes_equal(value, node.address));
    cr_assert(pairs_get(node.meta, S("consul-network-segment"), &value) && value.len == 0);
    cr_assert_eq(view_service(v, S("n1"), S("consul"), &pin, &service), OK);
    cr_assert_eq(service.port, 8300);
    cr_assert(pairs_get(service.meta, S("raft_version"), &value) && bytes_equal(value, S("3")));
    view_pin_close(&pin);
    view_unref(v);
}

/* A client is a node, but no service. What it says of itself stays when its address changes. */
Test(reconcile, what_a_node_says_of_itself_stays)
{
    struct gossip_member g = member("n1", "id1", false);
    cr_assert_eq(step(&g), OK);
    snprintf(g.address, sizeof g.address, "10.0.0.2");
    cr_assert_eq(step(&g), OK);
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct node_row node;
    struct service_row service;
    struct bytes value;
    cr_assert_eq(view_node(v, S("n1"), &pin, &node), OK);
    cr_assert_bytes(node.address, S("10.0.0.2"));
    cr_assert(pairs_get(node.tagged, S("lan"), &value) && bytes_equal(value, S("10.0.0.1")));
    cr_assert_eq(view_service(v, S("n1"), S("consul"), &pin, &service), ERR_NOT_FOUND);
    view_pin_close(&pin);
    view_unref(v);
}

/* Failed, back, and left. */
Test(reconcile, who_fails_is_critical_and_who_leaves_goes)
{
    struct gossip_member g = member("n1", "id1", true);
    g.status = GOSSIP_FAILED;
    cr_assert_eq(step(&g), ERR_NOT_FOUND);
    g.status = GOSSIP_ALIVE;
    cr_assert_eq(step(&g), OK);
    g.status = GOSSIP_FAILED;
    cr_assert_eq(step(&g), OK);
    cr_assert_eq(step(&g), ERR_NOT_FOUND);
    cr_assert_eq(health("n1"), CHECK_CRITICAL);
    g.status = GOSSIP_ALIVE;
    cr_assert_eq(step(&g), OK);
    cr_assert_eq(health("n1"), CHECK_PASSING);
    g.status = GOSSIP_LEFT;
    g.self = true;
    cr_assert_eq(step(&g), ERR_NOT_FOUND);
    g.self = false;
    cr_assert_eq(step(&g), OK);
    cr_assert_eq(health("n1"), 0);
    cr_assert_eq(step(&g), ERR_NOT_FOUND);
}

static bool is_n1(void *ctx, struct bytes name)
{
    (void)ctx;
    return bytes_equal(name, S("n1"));
}

/* Who was reaped goes; what others registered stays, as it has no serfHealth. */
Test(reconcile, who_was_reaped_goes_and_others_registrations_stay)
{
    struct gossip_member g = member("n1", "id1", true);
    cr_assert_eq(step(&g), OK);
    g = member("n2", "id2", false);
    cr_assert_eq(step(&g), OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "external", .service = "db"}), OK);
    struct view *v = bench_view(&b);
    cr_assert_eq(reconcile_reaped(v, is_n1, NULL, 1, &command), OK);
    view_unref(v);
    cr_assert_eq(bench_raw(&b, buf_view(&command)), OK);
    cr_assert_eq(health("n2"), 0);
    v = bench_view(&b);
    cr_assert_eq(reconcile_reaped(v, is_n1, NULL, 1, &command), ERR_NOT_FOUND);
    struct view_pin pin = {0};
    struct node_row node;
    cr_assert_eq(view_node(v, S("external"), &pin, &node), OK);
    view_pin_close(&pin);
    view_unref(v);
}

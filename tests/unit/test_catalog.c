/* What registering and deregistering do to the catalog, its indexes, and what they tell. */
#include "fleet_lib.h"

static struct bench b;
static struct buf text;

static void setup(void)
{
    bench_open(&b, NULL);
    buf_init(&text, MIB(4));
}

static void teardown(void)
{
    buf_close(&text);
    bench_close(&b);
}

TestSuite(catalog, .init = setup, .fini = teardown, .timeout = 60);

#define assert_told(want) cr_assert_str_eq(round_text(&b, &text), want, "have:\n%s", text.ptr)

/* One registration: node, service and check, and the service is told once, with its check. */
Test(catalog, a_registration_is_told_once)
{
    cr_assert_eq(wish(&b, (struct wish){.node = "n1",
                                        .address = "10.0.0.1",
                                        .service = "web",
                                        .port = 80,
                                        .check = "c1",
                                        .check_service = "web",
                                        .status = CHECK_WARNING}),
                 OK);
    assert_told("node n1\ncheck n1/c1\n+web n1/web warning 80\n");
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct check_row check;
    cr_assert_eq(view_check(v, S("N1"), S("C1"), &pin, &check), OK);
    cr_assert_bytes(check.service_name, S("web"));
    cr_assert_eq(check.create_index, 1);
    view_pin_close(&pin);
    cr_assert_eq(view_fleet_index(v, S("service.web")), 1);
    cr_assert_eq(view_fleet_index(v, S("node.n1")), 1);
    cr_assert_eq(view_fleet_index(v, S("checks")), 1);
    cr_assert_eq(view_gone_index(v), 0);
    view_unref(v);
}

/* The same again: nothing moves, nothing is told. */
Test(catalog, the_same_again_changes_nothing)
{
    struct wish w = {.node = "n1",
                     .address = "10.0.0.1",
                     .service = "web",
                     .check = "c1",
                     .status = CHECK_PASSING};
    cr_assert_eq(wish(&b, w), OK);
    assert_told("node n1\ncheck n1/c1\n+web n1/web passing 0\n");
    cr_assert_eq(wish(&b, w), OK);
    assert_told("");
    cr_assert_eq(fleet_index(&b, "nodes"), 1);
    cr_assert_eq(fleet_index(&b, "services"), 1);
    cr_assert_eq(fleet_index(&b, "service.web"), 1);
}

/* A node's own check is part of the health of all its services. */
Test(catalog, a_check_of_the_node_is_of_all_its_services)
{
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .service = "web"}), OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .service = "db"}), OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n2", .service = "web"}), OK);
    (void)round_text(&b, &text);
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .check = "up", .status = CHECK_CRITICAL}),
                 OK);
    assert_told(
        "check n1/up\n~db n1/db passing 0 > critical 0\n~web n1/web passing 0 > critical 0\n");
    cr_assert_eq(fleet_index(&b, "service.web"), 4);
    cr_assert_eq(fleet_index(&b, "service.db"), 4);
    cr_assert_eq(fleet_index(&b, "services"), 3);
    cr_assert_eq(unwish(&b, "n1", NULL, "up"), OK);
    assert_told(
        "check n1/up!\n~db n1/db critical 0 > passing 0\n~web n1/web critical 0 > passing 0\n");
}

/* With the last instance goes the index of the name. */
Test(catalog, the_last_instance_takes_the_index_along)
{
    cr_assert_eq(wish(&b, (struct wish){.node = "n1",
                                        .service = "web",
                                        .check = "c",
                                        .check_service = "web",
                                        .status = CHECK_PASSING}),
                 OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n2", .service = "web"}), OK);
    (void)round_text(&b, &text);
    cr_assert_eq(unwish(&b, "n1", "web", NULL), OK);
    assert_told("check n1/c!\n-web n1/web passing 0\n");
    cr_assert_eq(fleet_index(&b, "service.web"), 3);
    cr_assert_eq(unwish(&b, "n2", NULL, NULL), OK);
    assert_told("node n2!\n-web n2/web passing 0\n");
    cr_assert_eq(fleet_index(&b, "service.web"), 0);
    cr_assert_eq(fleet_index(&b, "node.n2"), 0);
    struct view *v = bench_view(&b);
    cr_assert_eq(view_gone_index(v), 4);
    view_unref(v);
    cr_assert_eq(unwish(&b, "n2", NULL, NULL), OK);
    assert_told("");
}

/* Under another name with the same id: it left one list and came into another. */
Test(catalog, a_service_that_is_named_anew_leaves_one_list)
{
    cr_assert_eq(wish(&b, (struct wish){.node = "n1",
                                        .service = "web",
                                        .service_id = "s",
                                        .port = 1,
                                        .check = "c",
                                        .check_service = "s",
                                        .status = CHECK_PASSING}),
                 OK);
    (void)round_text(&b, &text);
    cr_assert_eq(
        wish(&b, (struct wish){.node = "n1", .service = "api", .service_id = "s", .port = 2}), OK);
    assert_told("check n1/c\n-web n1/s passing 1\n+api n1/s passing 2\n");
    cr_assert_eq(fleet_index(&b, "service.web"), 0);
    cr_assert_eq(fleet_index(&b, "service.api"), 2);
}

/* What may not be is refused whole. */
Test(catalog, a_check_of_no_service_refuses_the_registration)
{
    cr_assert_eq(wish(&b, (struct wish){.node = "n1",
                                        .service = "web",
                                        .check = "c",
                                        .check_service = "nope",
                                        .status = CHECK_PASSING}),
                 ERR_CONFLICT);
    assert_told("");
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct node_row node;
    cr_assert_eq(view_node(v, S("n1"), &pin, &node), ERR_NOT_FOUND);
    view_unref(v);
}

/* A node's id moves with its name, unless the name is a living node's. */
Test(catalog, a_node_is_named_anew_by_its_id)
{
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .node_id = "id1", .service = "web"}), OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n2",
                                        .node_id = "id2",
                                        .check = "serfHealth",
                                        .status = CHECK_PASSING}),
                 OK);
    (void)round_text(&b, &text);
    cr_assert_eq(wish(&b, (struct wish){.node = "n2", .node_id = "id1"}), ERR_CONFLICT);
    cr_assert_eq(wish(&b, (struct wish){.node = "n3", .node_id = "id1"}), OK);
    assert_told("node n1!\nnode n3\n-web n1/web passing 0\n");
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct node_row node;
    cr_assert_eq(view_node_by_id(v, S("ID1"), &pin, &node), OK);
    cr_assert_bytes(node.name, S("n3"));
    cr_assert_eq(node.create_index, 1);
    view_pin_close(&pin);
    view_unref(v);
    cr_assert_eq(wish(&b, (struct wish){.node = "n2",
                                        .node_id = "id2",
                                        .check = "serfHealth",
                                        .status = CHECK_CRITICAL}),
                 OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n2", .node_id = "id1"}), OK);
    v = bench_view(&b);
    cr_assert_eq(view_node_by_id(v, S("id2"), &pin, &node), ERR_NOT_FOUND);
    cr_assert_eq(view_node_by_id(v, S("id1"), &pin, &node), OK);
    cr_assert_bytes(node.name, S("n2"));
    view_pin_close(&pin);
    view_unref(v);
}

/* skip_node leaves a node alone, and makes one that is missing. */
Test(catalog, skip_node_leaves_the_node_alone)
{
    struct wish w = {.node = "n1", .address = "a", .skip_node = true};
    cr_assert_eq(wish(&b, w), OK);
    assert_told("node n1\n");
    w.address = "b";
    cr_assert_eq(wish(&b, w), OK);
    assert_told("");
    w.skip_node = false;
    cr_assert_eq(wish(&b, w), OK);
    assert_told("node n1\n");
}

/* The history of a key has no service of the same name. */
Test(catalog, a_service_called_as_a_key_is_not_in_its_history)
{
    cr_assert_eq(bench_set(&b, S("web"), S("1")), OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .service = "web"}), OK);
    struct view *v = bench_view(&b);
    struct change_scan *scan = change_scan_open_key(v, S("web"));
    struct change c;
    cr_assert_eq(change_scan_next(scan, &c), OK);
    cr_assert_eq(c.topic, CHANGE_KV);
    cr_assert_eq(change_scan_next(scan, &c), ERR_NOT_FOUND);
    change_scan_close(scan);
    view_unref(v);
}

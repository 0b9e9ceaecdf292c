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

/* --- random ---------------------------------------------------------------------------------- */

/* A catalog so small that all of it is met often: nodes n0.., services of names s0.. under ids
 * i0.., checks c0.. */
#define NODES    3
#define IDS      3
#define NAMES    3
#define CHECKS   3
#define COMMANDS 1500

struct model_check {
    bool is;
    enum check_status status;
    int of; /* an id, or -1: the node */
};

struct model_service {
    bool is;
    unsigned name;
    unsigned port;
};

struct model_node {
    bool is;
    struct model_service services[IDS];
    struct model_check checks[CHECKS];
};

static struct model_node before[NODES];
static struct model_node model[NODES];

static enum check_status model_status(const struct model_node *n, int id)
{
    enum check_status worst = CHECK_PASSING;
    for (size_t i = 0; i < CHECKS; i++) {
        const struct model_check *c = &n->checks[i];
        if (c->is && (c->of == -1 || c->of == id) && c->status > worst) {
            worst = c->status;
        }
    }
    return worst;
}

/* Whether the health row of an instance is another one: its service, its checks. */
static bool model_differs(const struct model_node *was, const struct model_node *is, int id)
{
    const struct model_service *a = &was->services[id];
    const struct model_service *z = &is->services[id];
    if (!a->is || !z->is) {
        return a->is != z->is;
    }
    bool differs = a->name != z->name || a->port != z->port;
    for (size_t i = 0; i < CHECKS; i++) {
        const struct model_check *c = &was->checks[i];
        const struct model_check *d = &is->checks[i];
        bool had = c->is && (c->of == -1 || c->of == id);
        bool has = d->is && (d->of == -1 || d->of == id);
        differs = differs || had != has || (has && (c->status != d->status || c->of != d->of));
    }
    return differs;
}

/* What is to be told of one instance. */
static void model_tell(struct buf *out, size_t node, int id)
{
    const struct model_node *was = &before[node];
    const struct model_node *is = &model[node];
    const struct model_service *a = &was->services[id];
    const struct model_service *z = &is->services[id];
    if (!model_differs(was, is, id)) {
        return;
    }
    const char *worst = check_status_name(model_status(is, id));
    const char *worst_before = check_status_name(model_status(was, id));
    bool stays = a->is && z->is && a->name == z->name;
    enum err e = OK;
    if (a->is && !stays) {
        e = buf_printf(out, "-s%u n%zu/i%d %s %u\n", a->name, node, id, worst_before, a->port);
    }
    if (e == OK && stays) {
        e = buf_printf(out, "~s%u n%zu/i%d %s %u > %s %u\n", z->name, node, id, worst_before,
                       a->port, worst, z->port);
    } else if (e == OK && z->is) {
        e = buf_printf(out, "+s%u n%zu/i%d %s %u\n", z->name, node, id, worst, z->port);
    }
    cr_assert_eq(e, OK);
}

/* The lines about services alone, of both, are the same. */
static void model_compare(const char *told)
{
    struct buf want;
    struct buf have;
    buf_init(&want, MIB(1));
    buf_init(&have, MIB(1));
    for (size_t n = 0; n < NODES; n++) {
        for (int id = 0; id < IDS; id++) {
            model_tell(&want, n, id);
        }
    }
    struct bytes rest = bytes_of(told);
    while (rest.len > 0) {
        size_t end = bytes_find(rest, '\n') + 1;
        if (strchr("+-~", rest.ptr[0]) != NULL) {
            buf_put(&have, bytes_slice(rest, 0, end));
        }
        rest = bytes_slice(rest, end, rest.len);
    }
    cr_assert(bytes_equal(buf_view(&have), buf_view(&want)), "have\n%.*swant\n%.*s",
              BYTES_FORMAT(buf_view(&have)), BYTES_FORMAT(buf_view(&want)));
    buf_close(&want);
    buf_close(&have);
}

/* The index of each service's name: of the last command that changed what its health shows, or gone
 * with its last instance. */
static uint64_t model_moved[NAMES];

static void model_move(void)
{
    for (unsigned name = 0; name < NAMES; name++) {
        bool moved = false;
        bool any = false;
        for (size_t n = 0; n < NODES; n++) {
            for (int id = 0; id < IDS; id++) {
                const struct model_service *a = &before[n].services[id];
                const struct model_service *z = &model[n].services[id];
                bool concerns = (a->is && a->name == name) || (z->is && z->name == name);
                any = any || (z->is && z->name == name);
                moved = moved || (concerns && model_differs(&before[n], &model[n], id));
            }
        }
        char index[16];
        (void)snprintf(index, sizeof index, "service.s%u", name);
        model_moved[name] = !any ? 0 : moved ? b.index : model_moved[name];
        cr_assert_eq(fleet_index(&b, index), model_moved[name], "%s", index);
    }
}

static unsigned dice_state;

static unsigned dice(unsigned below)
{
    dice_state = dice_state * 1103515245U + 12345U;
    return (dice_state >> 16) % below;
}

static void random_register(void)
{
    char node[8];
    char service[8];
    char id[8];
    char check[8];
    char of[8];
    struct wish w = {.node = node};
    unsigned n = dice(NODES);
    struct model_node *m = &model[n];
    struct model_node next = *m;
    (void)snprintf(node, sizeof node, dice(2) == 0 ? "n%u" : "N%u", n);
    next.is = true;
    if (dice(2) == 0) {
        unsigned at = dice(IDS);
        next.services[at] =
            (struct model_service){.is = true, .name = dice(NAMES), .port = 1 + dice(2)};
        (void)snprintf(service, sizeof service, "s%u", next.services[at].name);
        (void)snprintf(id, sizeof id, "i%u", at);
        w.service = service;
        w.service_id = id;
        w.port = next.services[at].port;
    }
    bool refused = false;
    if (dice(2) == 0) {
        unsigned at = dice(CHECKS);
        int to = (int)dice(IDS + 1) - 1;
        next.checks[at] =
            (struct model_check){.is = true, .status = (enum check_status)(1 + dice(3)), .of = to};
        (void)snprintf(check, sizeof check, "c%u", at);
        (void)snprintf(of, sizeof of, "i%d", to);
        w.check = check;
        w.check_service = to >= 0 ? of : NULL;
        w.status = next.checks[at].status;
        refused = to >= 0 && !next.services[to].is;
    }
    w.skip_node = true;
    cr_assert_eq(wish(&b, w), refused ? ERR_CONFLICT : OK);
    if (!refused) {
        *m = next;
    }
}

static void random_deregister(void)
{
    char node[8];
    char name[8];
    unsigned n = dice(NODES);
    struct model_node *m = &model[n];
    (void)snprintf(node, sizeof node, "n%u", n);
    unsigned what = dice(6);
    if (what == 0) {
        cr_assert_eq(unwish(&b, node, NULL, NULL), OK);
        *m = (struct model_node){0};
    } else if (what < 4) {
        unsigned at = dice(IDS);
        (void)snprintf(name, sizeof name, "i%u", at);
        cr_assert_eq(unwish(&b, node, name, NULL), OK);
        m->services[at] = (struct model_service){0};
        for (size_t i = 0; i < CHECKS; i++) {
            if (m->checks[i].is && m->checks[i].of == (int)at) {
                m->checks[i] = (struct model_check){0};
            }
        }
    } else {
        unsigned at = dice(CHECKS);
        (void)snprintf(name, sizeof name, "c%u", at);
        cr_assert_eq(unwish(&b, node, NULL, name), OK);
        m->checks[at] = (struct model_check){0};
    }
}

/* The names are written as they were first: a node as n0 or N0, which the text shows. */
static void lower(char *told)
{
    for (; *told != '\0'; told++) {
        *told = *told == 'N' ? 'n' : *told;
    }
}

/* Random commands tell of services what a simple model does, and move the same indexes. */
Test(catalog, random_commands_do_what_a_simple_model_does)
{
    const char *seed = getenv("HERALD_TEST_SEED");
    dice_state = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : 20261127U;
    printf("HERALD_TEST_SEED=%u\n", dice_state);
    for (size_t i = 0; i < COMMANDS; i++) {
        memcpy(before, model, sizeof model);
        if (dice(3) > 0) {
            random_register();
        } else {
            random_deregister();
        }
        (void)round_text(&b, &text);
        lower(text.ptr);
        model_compare(text.ptr);
        model_move();
    }
}

/* --- speed ----------------------------------------------------------------------------------- */

/* What a check of one service costs does not grow with its neighbours: only rows that it concerns
 * are told. */
Test(catalog, a_check_tells_of_its_own_service_alone)
{
    char name[16];
    char check[16];
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "s%u", i);
        (void)snprintf(check, sizeof check, "c%u", i);
        cr_assert_eq(wish(&b, (struct wish){.node = "n1",
                                            .service = name,
                                            .check = check,
                                            .check_service = name,
                                            .status = CHECK_PASSING}),
                     OK);
    }
    (void)round_text(&b, &text);
    cr_assert_eq(wish(&b, (struct wish){.node = "n1",
                                        .check = "c7",
                                        .check_service = "s7",
                                        .status = CHECK_CRITICAL}),
                 OK);
    assert_told("check n1/c7\n~s7 n1/s7 passing 0 > critical 0\n");
    cr_assert_eq(fleet_index(&b, "service.s7"), 301);
    cr_assert_eq(fleet_index(&b, "service.s8"), 9);
}

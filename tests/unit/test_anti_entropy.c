/* Anti-entropy: what is different is found and told, each difference once, and what fails is tried
 * again; all in virtual time against a catalog that remembers. */
#include "tests/unit/agent_world.h"

#include "core/base/mem.h"

#include <stdlib.h>

#define TOLD_MAX 64

/* The catalog: what it has, what it was told last, and whether it takes anything. */
struct catalog {
    struct world world;
    struct local local;
    struct arena arena;
    struct sync *sync;
    struct node_row node;
    struct buf services;
    struct buf checks;
    bool has_node;
    enum err answer;
    char told[TOLD_MAX][96];
    size_t count;
    size_t asked;
};

static void catalog_ask(void *ctx, struct sync_ask *a)
{
    struct catalog *c = ctx;
    struct sync_rows rows = {
        .has_node = c->has_node,
        .node = c->node,
        .services = buf_view(&c->services),
        .checks = buf_view(&c->checks),
    };
    c->asked++;
    a->done(a, c->answer, &rows);
}

static void tell(struct catalog *c, const struct command *command)
{
    char *line = c->told[c->count++ % TOLD_MAX];
    const struct command_register *r = &command->registration;
    const struct command_deregister *d = &command->deregistration;
    struct service_row s;
    if (command->type == COMMAND_DEREGISTER) {
        (void)snprintf(line, 96, "-%s %.*s", d->check_id.len > 0 ? "check" : "service",
                       BYTES_FORMAT(d->check_id.len > 0 ? d->check_id : d->service_id));
    } else if (r->service.len > 0) {
        cr_assert_eq(row_service_decode(r->service, &s), OK);
        cr_assert(bytes_equal(s.node, BYTES("n1")));
        (void)snprintf(line, 96, "+service %.*s checks=%zu", BYTES_FORMAT(s.id),
                       texts_count(r->checks));
    } else {
        (void)snprintf(line, 96, "+%s", r->checks.len > 0 ? "check" : "node");
    }
}

static void catalog_write(void *ctx, struct sync_write *w)
{
    struct catalog *c = ctx;
    tell(c, w->command);
    w->done(w, c->answer);
}

static void catalog_open(struct catalog *c)
{
    *c = (struct catalog){.answer = OK};
    world_open(&c->world);
    local_init(&c->local);
    arena_init(&c->arena, MIB(4));
    buf_init(&c->services, MIB(1));
    buf_init(&c->checks, MIB(1));
    c->node = (struct node_row){.name = BYTES("n1"), .address = BYTES("127.0.0.1")};
}

static void catalog_sync(struct catalog *c, uint64_t update_ms)
{
    struct sync_options options = {
        .env = &c->world.env,
        .local = &c->local,
        .server = {.ctx = c, .ask = catalog_ask, .write = catalog_write},
        .node = c->node,
        .check_update_interval_ms = update_ms,
    };
    c->sync = sync_open(&options);
}

static void catalog_close(struct catalog *c)
{
    sync_close(c->sync);
    sync_free(c->sync);
    local_close(&c->local);
    arena_close(&c->arena);
    buf_close(&c->services);
    buf_close(&c->checks);
    timers_close(&c->world.env.timers);
}

static bool was_told(const struct catalog *c, const char *line)
{
    for (size_t i = 0; i < c->count && i < TOLD_MAX; i++) {
        if (strcmp(c->told[i], line) == 0) {
            return true;
        }
    }
    return false;
}

static void has_service(struct catalog *c, const struct service_row *row)
{
    struct service_row copy = *row;
    struct buf one;
    copy.node = BYTES("n1");
    buf_init(&one, KIB(64));
    cr_assert_eq(row_service_encode(&one, &copy), OK);
    cr_assert_eq(texts_add(&c->services, buf_view(&one)), OK);
    buf_close(&one);
}

static void has_check(struct catalog *c, const char *id)
{
    struct check_row row = {
        .node = BYTES("n1"), .id = bytes_of(id), .name = BYTES("x"), .status = CHECK_PASSING};
    struct buf one;
    buf_init(&one, KIB(64));
    cr_assert_eq(row_check_encode(&one, &row), OK);
    cr_assert_eq(texts_add(&c->checks, buf_view(&one)), OK);
    buf_close(&one);
}

/* A service goes with its checks in one command: nobody sees it pass without them. */
Test(sync, a_new_service_is_told_at_once_with_its_checks)
{
    struct catalog c;
    catalog_open(&c);
    catalog_sync(&c, 1000);
    world_pass(&c.world, 10);
    cr_assert(was_told(&c, "+node"));
    add_service(&c.local, &c.arena, "{\"Name\":\"web\"}");
    add_check(&c.local, &c.arena, "{\"ID\":\"a\",\"TTL\":\"5s\"}", "web");
    add_check(&c.local, &c.arena, "{\"ID\":\"b\",\"TTL\":\"5s\"}", "web");
    size_t before = c.count;
    sync_changed(c.sync);
    world_pass(&c.world, 0);
    cr_assert_eq(c.count, before + 1);
    cr_assert(was_told(&c, "+service web checks=2"));
    /* Nothing is told twice. */
    sync_changed(c.sync);
    world_pass(&c.world, 100);
    cr_assert_eq(c.count, before + 1);
    catalog_close(&c);
}

/* What only the catalog has goes; what the leader looks after stays. */
Test(sync, strangers_go_and_the_leaders_stay)
{
    struct catalog c;
    struct service_row row = {.id = BYTES("old"), .name = BYTES("old"), .weight_passing = 1};
    catalog_open(&c);
    c.has_node = true;
    has_service(&c, &row);
    row.id = BYTES("consul");
    row.name = BYTES("consul");
    has_service(&c, &row);
    has_check(&c, "serfHealth");
    has_check(&c, "stranger");
    catalog_sync(&c, 1000);
    world_pass(&c.world, 10);
    cr_assert_eq(c.count, 2);
    cr_assert_str_eq(c.told[0], "-check stranger");
    cr_assert_str_eq(c.told[1], "-service old");
    cr_assert_eq(c.local.services.count, 0);
    catalog_close(&c);
}

/* The catalog's tags win where the service says so, and nowhere else. */
Test(sync, tags_are_taken_over_where_they_may_be)
{
    struct catalog c;
    struct buf tags;
    catalog_open(&c);
    c.has_node = true;
    add_service(&c.local, &c.arena, "{\"Name\":\"a\",\"Tags\":[\"x\"],\"EnableTagOverride\":true}");
    add_service(&c.local, &c.arena, "{\"Name\":\"b\",\"Tags\":[\"x\"]}");
    buf_init(&tags, 64);
    cr_assert_eq(texts_add(&tags, BYTES("y")), OK);
    struct service_row a = local_service(&c.local, BYTES("a"))->row;
    struct service_row b = local_service(&c.local, BYTES("b"))->row;
    a.tags = buf_view(&tags);
    b.tags = buf_view(&tags);
    has_service(&c, &a);
    has_service(&c, &b);
    catalog_sync(&c, 1000);
    world_pass(&c.world, 10);
    cr_assert_eq(c.count, 1);
    cr_assert_str_eq(c.told[0], "+service b checks=0");
    cr_assert(texts_have(local_service(&c.local, BYTES("a"))->row.tags, BYTES("y")));
    buf_close(&tags);
    catalog_close(&c);
}

/* A refusal is tried again, later each time, and forgotten once it worked. */
Test(sync, what_fails_is_tried_again)
{
    struct catalog c;
    catalog_open(&c);
    c.has_node = true;
    catalog_sync(&c, 1000);
    world_pass(&c.world, 10);
    c.answer = ERR_NOT_LEADER;
    add_service(&c.local, &c.arena, "{\"Name\":\"web\"}");
    sync_changed(c.sync);
    world_pass(&c.world, SYNC_RETRY_MIN_MS - 1);
    cr_assert_eq(c.count, 1);
    world_pass(&c.world, 40000);
    cr_assert_gt(c.count, 5);
    cr_assert_lt(c.count, 20);
    c.answer = OK;
    world_pass(&c.world, SYNC_RETRY_MAX_MS * 2);
    cr_assert(local_service(&c.local, BYTES("web"))->item.in_sync);
    catalog_close(&c);
}

/* A noisy output is told once in the interval, a status at once. */
Test(sync, an_output_alone_waits)
{
    struct catalog c;
    bool changed = false;
    catalog_open(&c);
    c.has_node = true;
    catalog_sync(&c, 10000);
    add_service(&c.local, &c.arena, "{\"Name\":\"web\"}");
    add_check(&c.local, &c.arena, "{\"ID\":\"a\",\"TTL\":\"5s\"}", "web");
    world_pass(&c.world, 100);
    size_t before = c.count;
    for (unsigned i = 0; i < 50; i++) {
        char text[16];
        struct local_check *k = local_check(&c.local, BYTES("a"));
        (void)snprintf(text, sizeof text, "%u", i);
        cr_assert(local_check_set(&c.local, k, CHECK_CRITICAL, bytes_of(text), &changed));
        cr_assert_not(changed);
        sync_defer(c.sync, k);
        world_pass(&c.world, 50);
    }
    cr_assert_eq(c.count, before);
    world_pass(&c.world, 15000);
    cr_assert_eq(c.count, before + 1);
    struct local_check *k = local_check(&c.local, BYTES("a"));
    cr_assert(local_check_set(&c.local, k, CHECK_PASSING, BYTES("49"), &changed));
    cr_assert(changed);
    sync_changed(c.sync);
    world_pass(&c.world, 0);
    cr_assert_eq(c.count, before + 2);
    catalog_close(&c);
}

/* Everything is compared again and again, more seldom in a large cluster. */
Test(sync, all_is_compared_in_intervals)
{
    struct catalog c;
    cr_assert_eq(sync_interval_ms(0), SYNC_INTERVAL_MS);
    cr_assert_eq(sync_interval_ms(128), SYNC_INTERVAL_MS);
    cr_assert_eq(sync_interval_ms(129), 2 * SYNC_INTERVAL_MS);
    cr_assert_eq(sync_interval_ms(512), 3 * SYNC_INTERVAL_MS);
    catalog_open(&c);
    catalog_sync(&c, 1000);
    world_pass(&c.world, 10 * SYNC_INTERVAL_MS);
    cr_assert_geq(c.asked, 8);
    cr_assert_leq(c.asked, 11);
    catalog_close(&c);
}

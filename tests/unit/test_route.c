#include "core/base/limit.h"
#include "core/front/clients.h"
#include "core/front/route.h"
#include "core/front/target.h"

#include <criterion/criterion.h>
#include <string.h>

static void nothing(struct request *r)
{
    (void)r;
}

static const struct route ROUTES[] = {
    {"/", ROUTE_EXACT, METHOD_GET, 0, 0, nothing},
    {"/v1/kv/", ROUTE_PREFIX, METHOD_GET | METHOD_PUT | METHOD_DELETE, 0, 0, nothing},
    {"/v1/kv/own", ROUTE_EXACT, METHOD_GET, 0, 0, nothing},
    {"/v1/status/leader", ROUTE_EXACT, METHOD_GET, 0, 0, nothing},
};

static const struct route *find(const char *path, struct bytes *ret_rest)
{
    return route_find(ROUTES, sizeof ROUTES / sizeof ROUTES[0], bytes_of(path), ret_rest);
}

Test(route, exact_prefix_and_none)
{
    struct bytes rest = {0};
    cr_assert_eq(find("/", &rest), &ROUTES[0]);
    cr_assert_eq(find("/v1/kv/a//b", &rest), &ROUTES[1]);
    cr_assert(bytes_equal(rest, BYTES("a//b")));
    cr_assert_eq(find("/v1/kv/", &rest), &ROUTES[1]);
    cr_assert_eq(rest.len, 0);
    cr_assert_eq(find("/v1/kv/own", &rest), &ROUTES[2], "the longest wins");
    cr_assert_eq(find("/v1/kv/owner", &rest), &ROUTES[1]);
    cr_assert_eq(find("/v1/status/leader", &rest), &ROUTES[3]);
    cr_assert_null(find("/v1/status/leader/", &rest));
    cr_assert_null(find("/v1/kv", &rest));
    cr_assert_null(find("//v1/kv/a", &rest));
    cr_assert_null(find("", &rest));
    cr_assert(route_lacks_slash(ROUTES, 4, BYTES("/v1/kv")));
    cr_assert_not(route_lacks_slash(ROUTES, 4, BYTES("/v1/status/leade")));
    cr_assert_not(route_lacks_slash(ROUTES, 4, BYTES("/v1/k")));
}

Test(route, allow)
{
    char text[ROUTE_ALLOW_LEN];
    route_allow(METHOD_GET | METHOD_PUT | METHOD_DELETE, text);
    cr_assert_str_eq(text, "OPTIONS,GET,PUT,DELETE");
    route_allow(METHOD_GET | METHOD_PUT | METHOD_DELETE | METHOD_POST | METHOD_HEAD, text);
    cr_assert_str_eq(text, "OPTIONS,GET,PUT,POST,DELETE,HEAD");
}

/* The table of Herald itself. */
Test(route, the_table_is_sound)
{
    static const struct {
        const char *path;
        enum route_match match;
    } rows[] = {
#define X(path, match, methods, acl, consistency, handler) {path, match},
#include "core/front/route.tbl.h"
#undef X
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].path);
        bool slash = len > 1 && rows[i].path[len - 1] == '/';
        cr_assert_eq(rows[i].path[0], '/');
        cr_assert_eq(slash, rows[i].match == ROUTE_PREFIX, "%s", rows[i].path);
        for (size_t k = 0; k < i; k++) {
            cr_assert_neq(strcmp(rows[i].path, rows[k].path), 0, "%s twice", rows[i].path);
        }
    }
}

/* --- the target ------------------------------------------------------------------------------- */

static struct arena arena;

static void arena_up(void)
{
    arena_init(&arena, HTTP_REQUEST_ARENA_MAX);
}

static void arena_down(void)
{
    arena_close(&arena);
}

TestSuite(target, .init = arena_up, .fini = arena_down);

Test(target, paths_are_decoded_once)
{
    static const char *const good[][2] = {
        {"/v1/kv/a%2Fb", "/v1/kv/a/b"},
        {"/a%252F", "/a%2F"},
        {"//a/../b//", "//a/../b//"},
        {"/a+b", "/a+b"},
        {"/%ff%fe", "/\xff\xfe"},
        {"/%c3%a4\xc3\xa4", "/\xc3\xa4\xc3\xa4"},
        {"/%20", "/ "},
        {"/\xc2", "/\xc2"},
        {"", ""},
    };
    static const char *const bad[] = {"/%",   "/%4",  "/%zz",    "/%00",
                                      "/%1f", "/%7f", "/%c2%80", "/%0d"};
    const char *why = NULL;
    struct bytes path = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert_eq(target_path(&arena, bytes_of(good[i][0]), &path, &why), OK, "%s", good[i][0]);
        cr_assert(bytes_equal(path, bytes_of(good[i][1])), "%s", good[i][0]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(target_path(&arena, bytes_of(bad[i]), &path, &why), ERR_INVALID, "%s", bad[i]);
    }
}

Test(target, queries)
{
    const struct query_arg *args = NULL;
    size_t count = 0;
    const char *why = NULL;
    cr_assert_eq(target_query(&arena, BYTES("a=1&b&&c=x+y%26&=v&d=e=f"), &args, &count, &why), OK);
    cr_assert_eq(count, 5);
    static const char *const want[][2] = {
        {"a", "1"}, {"b", ""}, {"c", "x y&"}, {"", "v"}, {"d", "e=f"}};
    for (size_t i = 0; i < count; i++) {
        cr_assert(bytes_equal(args[i].name, bytes_of(want[i][0])), "argument %zu", i);
        cr_assert(bytes_equal(args[i].value, bytes_of(want[i][1])), "argument %zu", i);
    }
    cr_assert_eq(target_query(&arena, BYTES(""), &args, &count, &why), OK);
    cr_assert_eq(count, 0);
    cr_assert_eq(target_query(&arena, BYTES("a=%g0"), &args, &count, &why), ERR_INVALID);
    cr_assert_eq(target_query(&arena, BYTES("%=1"), &args, &count, &why), ERR_INVALID);
}

/* --- connections per client
 * ----------------------------------------------------------------------- */

Test(clients, count_up_to_the_limit_and_down_again)
{
    struct clients *c = clients_new();
    uint32_t slots[3];
    uint32_t other = 0;
    for (int i = 0; i < 3; i++) {
        cr_assert(clients_enter(c, BYTES("\x7f\x00\x00\x01"), 3, &slots[i]));
    }
    cr_assert_not(clients_enter(c, BYTES("\x7f\x00\x00\x01"), 3, &other));
    cr_assert(clients_enter(c, BYTES("\x7f\x00\x00\x02"), 3, &other));
    clients_leave(c, slots[0]);
    cr_assert(clients_enter(c, BYTES("\x7f\x00\x00\x01"), 3, &slots[0]));
    for (int i = 0; i < 3; i++) {
        clients_leave(c, slots[i]);
    }
    clients_leave(c, other);
    clients_leave(c, CLIENTS_NONE);
    clients_free(c);
}

/* More addresses than slots: nobody is refused for what others do. */
Test(clients, a_full_table_refuses_nobody)
{
    struct clients *c = clients_new();
    uint32_t slot = 0;
    for (uint32_t i = 0; i < CLIENTS_SLOTS * 2; i++) {
        cr_assert(
            clients_enter(c, (struct bytes){.ptr = (const char *)&i, .len = sizeof i}, 1, &slot));
    }
    clients_free(c);
}

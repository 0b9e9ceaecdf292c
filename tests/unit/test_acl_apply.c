/* What the commands about access control do to the state. */
#include "store_lib.h"

#include "store/acl_rows.h"
#include "store/fleet.h"

static struct bench b;
static struct buf row;

static void setup(void)
{
    bench_open(&b, NULL);
    buf_init(&row, KIB(64));
}

static void teardown(void)
{
    bench_close(&b);
    buf_close(&row);
}

TestSuite(acl_apply, .init = setup, .fini = teardown, .timeout = 20);

static enum err set_token(const char *accessor, const char *secret, bool create)
{
    struct acl_token t = {.accessor = bytes_of(accessor), .secret = bytes_of(secret)};
    buf_clear(&row);
    cr_assert_eq(acl_token_encode(&row, &t), OK);
    return bench_do(
        &b, (struct command){.type = COMMAND_ACL_SET,
                             .acl = {.kind = ACL_TOKEN, .create = create, .row = buf_view(&row)}});
}

static enum err set_policy(const char *id, const char *name, bool create)
{
    struct acl_policy p = {.id = bytes_of(id), .name = bytes_of(name)};
    buf_clear(&row);
    cr_assert_eq(acl_policy_encode(&row, &p), OK);
    return bench_do(
        &b, (struct command){.type = COMMAND_ACL_SET,
                             .acl = {.kind = ACL_POLICY, .create = create, .row = buf_view(&row)}});
}

static enum err bootstrap(const char *accessor, const char *secret, uint64_t index)
{
    struct acl_token t = {.accessor = bytes_of(accessor), .secret = bytes_of(secret)};
    buf_clear(&row);
    cr_assert_eq(acl_token_encode(&row, &t), OK);
    return bench_do(
        &b, (struct command){.type = COMMAND_ACL_BOOTSTRAP,
                             .acl = {.kind = ACL_TOKEN, .row = buf_view(&row), .index = index}});
}

static void delete_of(enum acl_kind kind, const char *id)
{
    cr_assert_eq(bench_do(&b, (struct command){.type = COMMAND_ACL_DELETE,
                                               .acl = {.kind = (uint8_t)kind, .id = bytes_of(id)}}),
                 OK);
}

/* The accessor that a secret leads to. */
static enum err look(const char *secret, const char *accessor)
{
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct acl_token t;
    enum err e = view_acl_token_by_secret(v, bytes_of(secret), &pin, &t);
    if (e == OK) {
        cr_assert_bytes(t.accessor, bytes_of(accessor));
        cr_assert_bytes(t.secret, bytes_of(secret));
    }
    view_pin_close(&pin);
    view_unref(v);
    return e;
}

static uint64_t acl_index(void)
{
    struct view *v = bench_view(&b);
    uint64_t index = view_fleet_index(v, BYTES(FLEET_INDEX_ACL));
    view_unref(v);
    return index;
}

Test(acl_apply, a_token_is_found_by_its_secret_until_it_is_deleted)
{
    cr_assert_eq(set_token("one", "secret", true), OK);
    cr_assert_eq(look("secret", "one"), OK);
    cr_assert_eq(look("Secret", "one"), ERR_NOT_FOUND);
    cr_assert_eq(acl_index(), 1);
    delete_of(ACL_TOKEN, "one");
    cr_assert_eq(look("secret", "one"), ERR_NOT_FOUND);
    cr_assert_eq(acl_index(), 2);
    delete_of(ACL_TOKEN, "one");
    cr_assert_eq(acl_index(), 2, "nothing was there");
}

/* A secret is one token's, and a token keeps its secret. */
Test(acl_apply, secrets_are_unique_and_do_not_change)
{
    cr_assert_eq(set_token("one", "secret", true), OK);
    cr_assert_eq(set_token("one", "other", true), ERR_CONFLICT);
    cr_assert_eq(set_token("two", "secret", true), ERR_CONFLICT);
    cr_assert_eq(set_token("one", "other", false), ERR_CONFLICT);
    cr_assert_eq(set_token("two", "other", false), ERR_CONFLICT);
    cr_assert_eq(set_token("one", "secret", false), OK);
    cr_assert_eq(look("secret", "one"), OK);
    cr_assert_eq(look("other", "one"), ERR_NOT_FOUND);
}

Test(acl_apply, names_of_policies_are_unique_and_follow_a_change)
{
    struct buf id;
    buf_init(&id, 64);
    cr_assert_eq(set_policy("p1", "read", true), OK);
    cr_assert_eq(set_policy("p2", "READ", true), ERR_CONFLICT);
    cr_assert_eq(set_policy("p1", "write", false), OK);
    cr_assert_eq(set_policy("p2", "read", true), OK);
    struct view *v = bench_view(&b);
    cr_assert_eq(view_acl_id_of(v, ACL_POLICY, BYTES("read"), &id), OK);
    cr_assert_bytes(buf_view(&id), BYTES("p2"));
    cr_assert_eq(view_acl_id_of(v, ACL_POLICY, BYTES("write"), &id), OK);
    cr_assert_bytes(buf_view(&id), BYTES("p1"));
    view_unref(v);
    buf_close(&id);
}

/* Only who knows the index of the last time may do it again. */
Test(acl_apply, bootstrapping_happens_once)
{
    cr_assert_eq(bootstrap("one", "s1", 0), OK);
    cr_assert_eq(bootstrap("two", "s2", 0), ERR_CONFLICT);
    cr_assert_eq(bootstrap("two", "s2", 7), ERR_CONFLICT);
    cr_assert_eq(look("s2", "two"), ERR_NOT_FOUND);
    cr_assert_eq(bootstrap("two", "s2", 1), OK);
    cr_assert_eq(look("s2", "two"), OK);
    struct view *v = bench_view(&b);
    cr_assert_eq(view_acl_bootstrapped(v), 4);
    view_unref(v);
}

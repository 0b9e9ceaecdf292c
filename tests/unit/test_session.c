/* Sessions, the keys they hold, and what expires: as commands on a state in memory. */
#include "fleet_lib.h"

#define ID_A "aaaaaaaa-0000-0000-0000-000000000001"
#define ID_B "bbbbbbbb-0000-0000-0000-000000000002"

static struct bench b;
static struct buf detail; /* of the newest command */

static void setup(void)
{
    bench_open(&b, NULL);
    buf_init(&detail, MIB(4));
    cr_assert_eq(wish(&b, (struct wish){.node = "n1",
                                        .address = "10.0.0.1",
                                        .check = "serfHealth",
                                        .status = CHECK_PASSING}),
                 OK);
}

static void teardown(void)
{
    buf_close(&detail);
    bench_close(&b);
}

TestSuite(session, .init = setup, .fini = teardown, .timeout = 60);

/* --- commands in one line -------------------------------------------------------------------- */

static enum err order(struct command c)
{
    struct apply_reply reply;
    struct reason why = {0};
    struct buf data;
    buf_init(&data, MIB(2));
    c.time_ms = b.time_ms;
    cr_assert_eq(command_encode(&data, &c), OK);
    cr_assert_eq(state_apply(b.state, ++b.index, buf_view(&data), &b.collect, &reply, &why), OK);
    buf_clear(&detail);
    buf_put(&detail, reply.detail);
    buf_close(&data);
    return reply.status;
}

struct want {
    const char *id;
    const char *node; /* NULL: n1 */
    const char *check;
    enum session_behavior behavior; /* 0: release */
    uint64_t delay_ms;
    uint64_t ttl_ms;
};

static enum err create(struct want w)
{
    struct buf row;
    struct buf checks;
    buf_init(&row, MIB(1));
    buf_init(&checks, MIB(1));
    if (w.check != NULL) {
        cr_assert_eq(texts_add(&checks, bytes_of(w.check)), OK);
    }
    const struct session_row session = {
        .id = bytes_of(w.id),
        .node = bytes_of(w.node != NULL ? w.node : "n1"),
        .behavior = w.behavior != 0 ? w.behavior : SESSION_RELEASE,
        .lock_delay_ms = w.delay_ms,
        .ttl_ms = w.ttl_ms,
        .ttl = w.ttl_ms > 0 ? S("10s") : S(""),
        .node_checks = buf_view(&checks),
    };
    cr_assert_eq(row_session_encode(&row, &session), OK);
    enum err e =
        order((struct command){.type = COMMAND_SESSION_CREATE, .session = {.row = buf_view(&row)}});
    buf_close(&row);
    buf_close(&checks);
    return e;
}

static enum err destroy(const char *id)
{
    return order((struct command){.type = COMMAND_SESSION_DESTROY, .session.id = bytes_of(id)});
}

static enum err renew(const char *id)
{
    return order((struct command){.type = COMMAND_SESSION_RENEW, .session.id = bytes_of(id)});
}

static enum err lock(const char *key, const char *id, const char *value, bool acquire)
{
    return order((struct command){
        .type = COMMAND_KV_LOCK,
        .kv_lock = {.key = bytes_of(key),
                    .session = bytes_of(id),
                    .value = bytes_of(value),
                    .acquire = acquire},
    });
}

static enum err set_ttl(const char *key, const char *value, uint64_t ttl_ms)
{
    return order((struct command){
        .type = COMMAND_KV_SET_TTL,
        .kv_set_ttl = {.set = {.key = bytes_of(key), .value = bytes_of(value)}, .ttl_ms = ttl_ms},
    });
}

static enum err end(enum expiry_kind kind, const char *name, uint64_t set_index)
{
    return order((struct command){
        .type = COMMAND_EXPIRE,
        .expire = {.kind = (uint8_t)kind, .name = bytes_of(name), .set_index = set_index},
    });
}

/* --- looking --------------------------------------------------------------------------------- */

/* "value session lock_index create modify", or "-". */
static const char *key_text(const char *key)
{
    static char text[256];
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct kv_row row;
    enum err e = view_kv_get(v, bytes_of(key), &pin, &row);
    if (e == OK && !row.dead) {
        snprintf(text, sizeof text, "%.*s %.*s %llu %llu %llu", BYTES_FORMAT(row.value),
                 row.session.len > 0 ? 1 : 0, row.session.len > 0 ? row.session.ptr : "",
                 (unsigned long long)row.lock_index, (unsigned long long)row.create_index,
                 (unsigned long long)row.modify_index);
    } else {
        snprintf(text, sizeof text, "-");
    }
    view_pin_close(&pin);
    view_unref(v);
    return text;
}

/* "kind name after set_index;..." */
static const char *expiries_text(void)
{
    static char text[1024];
    size_t len = 0;
    struct view *v = bench_view(&b);
    struct fleet_scan *scan = fleet_expiries(v);
    struct expiry x;
    text[0] = '\0';
    while (fleet_next_expiry(scan, &x) == OK) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%u %.4s %llu %llu;",
                                (unsigned)x.kind, x.name.ptr, (unsigned long long)x.after_ms,
                                (unsigned long long)x.set_index);
    }
    fleet_scan_close(scan);
    view_unref(v);
    return text;
}

static size_t held(const char *id)
{
    struct view *v = bench_view(&b);
    struct fleet_scan *scan = fleet_held_keys(v, bytes_of(id));
    struct bytes key;
    size_t count = 0;
    while (fleet_next_key(scan, &key) == OK) {
        count++;
    }
    fleet_scan_close(scan);
    view_unref(v);
    return count;
}

static bool there(const char *id)
{
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct session_row row;
    enum err e = view_session(v, bytes_of(id), &pin, &row);
    view_pin_close(&pin);
    view_unref(v);
    return e == OK;
}

static uint64_t index_of(const char *name)
{
    return fleet_index(&b, name);
}

#define assert_key(key, want) cr_assert_str_eq(key_text(key), want, "have %s", key_text(key))
#define assert_expiries(want) cr_assert_str_eq(expiries_text(), want, "have %s", expiries_text())
#define assert_detail(want)   cr_assert_bytes(buf_view(&detail), S(want))

/* --- life ------------------------------------------------------------------------------------ */

/* A session is there, its indexes say so, and one change tells it. */
Test(session, a_session_is_created_and_told)
{
    size_t before = b.collect.count;
    cr_assert_eq(create((struct want){.id = ID_A, .check = "serfHealth"}), OK);
    assert_detail(ID_A);
    cr_assert(there(ID_A));
    cr_assert_eq(index_of("sessions"), 2);
    cr_assert_eq(index_of("session." ID_A), 2);
    cr_assert_eq(b.collect.count, before + 1);
    cr_assert_eq(b.collect.changes[before].topic, CHANGE_SESSION);
    cr_assert_eq(b.collect.changes[before].op, CHANGE_SET);
    assert_expiries("");
}

/* What a session hangs on must be there, and well. */
Test(session, a_session_needs_its_node_and_checks)
{
    cr_assert_eq(create((struct want){.id = ID_A, .node = "n2"}), ERR_CONFLICT);
    assert_detail("Missing node registration");
    cr_assert_eq(create((struct want){.id = ID_A, .check = "x"}), ERR_CONFLICT);
    assert_detail("Missing check 'x' registration");
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .check = "x", .status = CHECK_CRITICAL}), OK);
    cr_assert_eq(create((struct want){.id = ID_A, .check = "x"}), ERR_CONFLICT);
    assert_detail("Check 'x' is in critical state");
    cr_assert_eq(create((struct want){.id = ID_A}), OK);
    cr_assert_eq(create((struct want){.id = ID_A}), ERR_CONFLICT);
    cr_assert_eq(index_of("sessions"), 6);
}

/* A critical check ends the session, and so does one that goes; another check does not. */
Test(session, a_critical_check_ends_it)
{
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .check = "x", .status = CHECK_PASSING}), OK);
    cr_assert_eq(create((struct want){.id = ID_A, .check = "serfHealth"}), OK);
    cr_assert_eq(create((struct want){.id = ID_B, .check = "x"}), OK);
    cr_assert_eq(
        wish(&b, (struct wish){.node = "n1", .check = "serfHealth", .status = CHECK_CRITICAL}), OK);
    cr_assert(!there(ID_A));
    cr_assert(there(ID_B));
    cr_assert_eq(unwish(&b, "n1", NULL, "x"), OK);
    cr_assert(!there(ID_B));
    cr_assert_eq(index_of("session." ID_A), 0);
    cr_assert_eq(index_of("sessions"), 6);
}

Test(session, a_node_takes_its_sessions_along)
{
    cr_assert_eq(create((struct want){.id = ID_A}), OK);
    cr_assert_eq(create((struct want){.id = ID_B}), OK);
    cr_assert_eq(lock("k", ID_B, "1", true), OK);
    cr_assert_eq(unwish(&b, "n1", NULL, NULL), OK);
    cr_assert(!there(ID_A) && !there(ID_B));
    assert_key("k", "1  1 4 5");
}

Test(session, an_unknown_session_is_destroyed_well_and_not_renewed)
{
    cr_assert_eq(destroy(ID_A), OK);
    cr_assert_eq(renew(ID_A), ERR_CONFLICT);
    cr_assert_eq(index_of("sessions"), 0);
}

/* --- locks ----------------------------------------------------------------------------------- */

/* LockIndex counts acquisitions; the holder's second one counts for nothing and writes. */
Test(session, a_lock_is_taken_kept_and_given_back)
{
    cr_assert_eq(create((struct want){.id = ID_A}), OK);
    cr_assert_eq(create((struct want){.id = ID_B}), OK);
    cr_assert_eq(lock("k", ID_A, "1", true), OK);
    assert_key("k", "1 a 1 4 4");
    cr_assert_eq(held(ID_A), 1);
    cr_assert_eq(lock("k", ID_B, "2", true), ERR_CONFLICT);
    assert_detail("");
    cr_assert_eq(lock("k", ID_A, "2", true), OK);
    assert_key("k", "2 a 1 4 6");
    /* As it is: no change. */
    cr_assert_eq(lock("k", ID_A, "2", true), OK);
    assert_key("k", "2 a 1 4 6");
    cr_assert_eq(lock("k", ID_B, "3", false), ERR_CONFLICT);
    cr_assert_eq(lock("k", ID_A, "3", false), OK);
    assert_key("k", "3  1 4 9");
    cr_assert_eq(held(ID_A), 0);
    /* A plain release has no delay. */
    cr_assert_eq(lock("k", ID_B, "4", true), OK);
    assert_key("k", "4 b 2 4 10");
}

Test(session, an_unknown_session_takes_nothing)
{
    cr_assert_eq(lock("k", ID_A, "1", true), ERR_CONFLICT);
    assert_detail("invalid session \"" ID_A "\"");
    cr_assert_eq(lock("k", ID_A, "1", false), ERR_CONFLICT);
    assert_key("k", "-");
}

/* A plain write keeps the holder and forgets LockIndex, as Consul does; a deletion forgets both. */
Test(session, writes_and_deletions_of_a_locked_key)
{
    cr_assert_eq(create((struct want){.id = ID_A}), OK);
    cr_assert_eq(lock("k", ID_A, "1", true), OK);
    cr_assert_eq(bench_set(&b, S("k"), S("2")), OK);
    assert_key("k", "2 a 0 3 4");
    cr_assert_eq(held(ID_A), 1);
    cr_assert_eq(bench_delete(&b, S("k")), OK);
    cr_assert_eq(held(ID_A), 0);
    cr_assert_eq(lock("k", ID_A, "3", true), OK);
    cr_assert_eq(lock("kk", ID_A, "3", true), OK);
    cr_assert_eq(held(ID_A), 2);
    cr_assert_eq(bench_delete_prefix(&b, S("k")), OK);
    cr_assert_eq(held(ID_A), 0);
    cr_assert_eq(destroy(ID_A), OK);
    assert_key("k", "-");
}

/* The end of a session frees or deletes its keys, all under one index, each told. */
Test(session, the_end_releases_or_deletes)
{
    cr_assert_eq(create((struct want){.id = ID_A}), OK);
    cr_assert_eq(create((struct want){.id = ID_B, .behavior = SESSION_DELETE}), OK);
    cr_assert_eq(lock("a1", ID_A, "x", true), OK);
    cr_assert_eq(lock("a2", ID_A, "y", true), OK);
    cr_assert_eq(lock("b1", ID_B, "z", true), OK);
    size_t before = b.collect.count;
    cr_assert_eq(destroy(ID_A), OK);
    assert_key("a1", "x  1 4 7");
    assert_key("a2", "y  1 5 7");
    cr_assert_eq(b.collect.count, before + 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(b.collect.changes[before + i].index, 7);
        cr_assert_eq(b.collect.changes[before + i].n, i);
    }
    cr_assert_eq(destroy(ID_B), OK);
    assert_key("b1", "-");
    assert_expiries("");
}

/* --- what expires ---------------------------------------------------------------------------- */

/* While a key's delay lasts nobody takes it; it ends by a command, and by no other. */
Test(session, a_lock_delay_keeps_a_key_closed)
{
    cr_assert_eq(create((struct want){.id = ID_A, .delay_ms = 90000}), OK);
    cr_assert_eq(create((struct want){.id = ID_B}), OK);
    cr_assert_eq(lock("k", ID_A, "1", true), OK);
    cr_assert_eq(destroy(ID_A), OK);
    assert_expiries("2 k 60000 5;");
    cr_assert_eq(lock("k", ID_B, "2", true), ERR_CONFLICT);
    assert_detail("lock delay");
    cr_assert_eq(bench_set(&b, S("k"), S("3")), OK);
    cr_assert_eq(end(EXPIRY_LOCK_DELAY, "k", 4), ERR_CONFLICT);
    cr_assert_eq(lock("k", ID_B, "2", true), ERR_CONFLICT);
    cr_assert_eq(end(EXPIRY_LOCK_DELAY, "k", 5), OK);
    cr_assert_eq(end(EXPIRY_LOCK_DELAY, "k", 5), ERR_CONFLICT);
    assert_expiries("");
    cr_assert_eq(lock("k", ID_B, "2", true), OK);
}

/* The TTL of a session begins anew with each renewal: an older end is none. */
Test(session, a_renewed_session_does_not_end)
{
    cr_assert_eq(create((struct want){.id = ID_A, .ttl_ms = 10000}), OK);
    assert_expiries("0 aaaa 10000 2;");
    uint64_t sessions = index_of("sessions");
    cr_assert_eq(renew(ID_A), OK);
    struct session_row row;
    cr_assert_eq(row_session_decode(buf_view(&detail), &row), OK);
    cr_assert_eq(row.create_index, 2);
    assert_expiries("0 aaaa 10000 3;");
    cr_assert_eq(index_of("sessions"), sessions);
    cr_assert_eq(end(EXPIRY_SESSION, ID_A, 2), ERR_CONFLICT);
    cr_assert(there(ID_A));
    cr_assert_eq(end(EXPIRY_SESSION, ID_A, 3), OK);
    cr_assert(!there(ID_A));
    assert_expiries("");
}

/* A key with a TTL: written again it lives anew, as it is (no change) or otherwise; without a TTL
 * it lives for ever. */
Test(session, a_key_with_a_ttl_expires)
{
    cr_assert_eq(set_ttl("k", "1", 5000), OK);
    assert_expiries("1 k 5000 2;");
    size_t before = b.collect.count;
    cr_assert_eq(set_ttl("k", "1", 6000), OK);
    assert_expiries("1 k 6000 3;");
    cr_assert_eq(b.collect.count, before);
    assert_key("k", "1  0 2 2");
    cr_assert_eq(end(EXPIRY_KEY, "k", 2), ERR_CONFLICT);
    cr_assert_eq(end(EXPIRY_KEY, "k", 3), OK);
    assert_key("k", "-");
    assert_expiries("");
    cr_assert_eq(set_ttl("k", "1", 5000), OK);
    cr_assert_eq(bench_set(&b, S("k"), S("1")), OK);
    assert_expiries("");
    assert_key("k", "1  0 6 7");
    cr_assert_eq(set_ttl("k", "2", 5000), OK);
    cr_assert_eq(bench_delete_prefix(&b, S("")), OK);
    assert_expiries("");
}

/* Each of them is told to the leader's clocks by name. */
Test(session, what_expires_is_told_by_name)
{
    buf_clear(&b.collect.moved);
    cr_assert_eq(create((struct want){.id = ID_A, .ttl_ms = 10000}), OK);
    cr_assert(texts_have(buf_view(&b.collect.moved), S("expiry.0" ID_A)));
    cr_assert_eq(set_ttl("k", "1", 5000), OK);
    cr_assert(texts_have(buf_view(&b.collect.moved), S("expiry.1k")));
    struct view *v = bench_view(&b);
    struct expiry x;
    cr_assert_eq(view_expiry(v, EXPIRY_KEY, S("k"), &x), OK);
    cr_assert_eq(x.after_ms, 5000);
    cr_assert_eq(x.set_index, 3);
    cr_assert_eq(view_expiry(v, EXPIRY_KEY, S("kk"), &x), ERR_NOT_FOUND);
    view_unref(v);
}

/* Any bytes for kind and name are answered. */
Test(session, an_expiry_of_nothing_is_refused)
{
    cr_assert_eq(
        order((struct command){.type = COMMAND_EXPIRE, .expire = {.kind = 9, .name = S("x")}}),
        ERR_INVALID);
    cr_assert_eq(end(EXPIRY_SESSION, "x", 1), ERR_CONFLICT);
}

/* --- events and coordinates ------------------------------------------------------------------ */

static enum err fire(unsigned number)
{
    char id[40];
    struct buf row;
    buf_init(&row, MIB(1));
    snprintf(id, sizeof id, "eeeeeeee-0000-0000-0000-%012u", number);
    const struct event_row event = {.id = bytes_of(id), .name = S("deploy"), .payload = S("x")};
    cr_assert_eq(row_event_encode(&row, &event), OK);
    enum err e = order((struct command){.type = COMMAND_EVENT, .rows = {.rows = buf_view(&row)}});
    buf_close(&row);
    return e;
}

/* The newest are kept, oldest first; the change stream has all. */
Test(session, the_newest_events_are_kept)
{
    size_t before = b.collect.count;
    for (unsigned i = 1; i <= EVENTS_KEPT + 3; i++) {
        cr_assert_eq(fire(i), OK);
    }
    cr_assert_eq(b.collect.count, before + EVENTS_KEPT + 3);
    struct view *v = bench_view(&b);
    struct fleet_scan *scan = fleet_events(v);
    struct event_row row;
    size_t count = 0;
    while (fleet_next_event(scan, &row) == OK) {
        cr_assert_eq(row.index, 1 + 4 + count);
        count++;
    }
    fleet_scan_close(scan);
    view_unref(v);
    cr_assert_eq(count, EVENTS_KEPT);
    cr_assert_eq(index_of("events"), b.index);
}

static enum err coordinate(const char *node, const char *json)
{
    struct buf row;
    struct buf rows;
    buf_init(&row, MIB(1));
    buf_init(&rows, MIB(1));
    const struct coordinate_row c = {.node = bytes_of(node), .coordinate = bytes_of(json)};
    cr_assert_eq(row_coordinate_encode(&row, &c), OK);
    cr_assert_eq(texts_add(&rows, buf_view(&row)), OK);
    enum err e =
        order((struct command){.type = COMMAND_COORDINATES, .rows = {.rows = buf_view(&rows)}});
    buf_close(&row);
    buf_close(&rows);
    return e;
}

Test(session, coordinates_are_of_nodes_that_are_there)
{
    cr_assert_eq(coordinate("n9", "{\"Vec\":[1]}"), OK);
    cr_assert_eq(index_of("coordinates"), 0);
    cr_assert_eq(coordinate("n1", "{\"Vec\":[1]}"), OK);
    cr_assert_eq(index_of("coordinates"), 3);
    cr_assert_eq(coordinate("n1", "{\"Vec\":[1]}"), OK);
    cr_assert_eq(index_of("coordinates"), 3);
}

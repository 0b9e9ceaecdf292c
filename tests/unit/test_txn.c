/* Transactions: their bytes, and all or none on a state in memory. What each verb answers is the
 * process test's (tests/process/sessions.py). */
#include "fleet_lib.h"

#include "store/txn.h"

static struct bench b;
static struct buf ops;
static struct buf detail;

static void setup(void)
{
    bench_open(&b, NULL);
    buf_init(&ops, MIB(2));
    buf_init(&detail, MIB(8));
}

static void teardown(void)
{
    buf_close(&ops);
    buf_close(&detail);
    bench_close(&b);
}

TestSuite(txn, .init = setup, .fini = teardown, .timeout = 60);

static void add(struct txn_op op)
{
    struct buf data;
    buf_init(&data, MIB(1));
    cr_assert_eq(txn_op_encode(&data, &op), OK);
    cr_assert_eq(texts_add(&ops, buf_view(&data)), OK);
    buf_close(&data);
}

static void add_kv(enum txn_verb verb, const char *key, const char *value)
{
    add((struct txn_op){
        .kind = TXN_KV, .verb = verb, .key = bytes_of(key), .value = bytes_of(value)});
}

/* As sent by a server: its `number`th; 0, 0: by the leader itself. */
static enum err commit_of(uint64_t proposer, uint64_t number)
{
    struct apply_reply reply;
    struct reason why = {0};
    struct buf data;
    buf_init(&data, MIB(2));
    struct command c = {.type = COMMAND_TXN, .time_ms = 1, .txn.ops = buf_view(&ops)};
    cr_assert_eq(command_encode(&data, &c), OK);
    command_stamp(data.ptr, data.len, proposer, number);
    cr_assert_eq(state_apply(b.state, ++b.index, buf_view(&data), &b.collect, &reply, &why), OK);
    buf_clear(&detail);
    buf_put(&detail, reply.detail);
    buf_clear(&ops);
    buf_close(&data);
    return reply.status;
}

static enum err commit(void)
{
    return commit_of(0, 0);
}

/* "0:text;" each */
static const char *errors_text(void)
{
    static char text[2048];
    struct bytes rest = buf_view(&detail);
    struct bytes what;
    uint32_t op;
    size_t len = 0;
    text[0] = '\0';
    while (txn_error_next(&rest, &op, &what)) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%u:%.*s;", op, BYTES_FORMAT(what));
    }
    return text;
}

static size_t results(void)
{
    struct bytes rest = buf_view(&detail);
    struct txn_result r;
    size_t count = 0;
    while (txn_result_next(&rest, &r)) {
        count++;
    }
    return count;
}

/* --- forwarded ------------------------------------------------------------------------------- */

/* What is undone was applied, too: it is not applied again when it comes again. */
Test(txn, a_refused_one_of_another_server_counts)
{
    add_kv(TXN_SET, "k", "1");
    add_kv(TXN_GET, "missing", "");
    cr_assert_eq(commit_of(7, 1), ERR_CONFLICT);
    cr_assert_eq(state_proposed(b.state, 7), 1);
    add_kv(TXN_SET, "k", "1");
    cr_assert_eq(commit_of(7, 1), ERR_IN_USE);
    add_kv(TXN_SET, "k", "2");
    cr_assert_eq(commit_of(7, 2), OK);
    cr_assert_eq(state_proposed(b.state, 7), 2);
}

/* --- bytes ----------------------------------------------------------------------------------- */

Test(txn, operations_come_back_and_damaged_ones_do_not)
{
    struct buf data;
    struct txn_op back;
    buf_init(&data, MIB(1));
    const struct txn_op op = {.kind = TXN_KV,
                              .verb = TXN_LOCK,
                              .index = 3,
                              .flags = UINT64_MAX,
                              .key = S("k"),
                              .id = S("s"),
                              .value = S("v")};
    cr_assert_eq(txn_op_encode(&data, &op), OK);
    cr_assert_eq(txn_op_decode(buf_view(&data), &back), OK);
    cr_assert_eq(back.verb, TXN_LOCK);
    cr_assert_eq(back.flags, UINT64_MAX);
    cr_assert_bytes(back.id, S("s"));
    for (size_t len = 0; len < data.len; len++) {
        cr_assert_eq(txn_op_decode(bytes_slice(buf_view(&data), 0, len), &back), ERR_INVALID);
    }
    for (size_t at = 0; at < 3; at++) {
        char kept = data.ptr[at];
        data.ptr[at] = 99;
        cr_assert_eq(txn_op_decode(buf_view(&data), &back), ERR_INVALID);
        data.ptr[at] = kept;
    }
    buf_close(&data);
}

Test(txn, what_cannot_be_is_not_encoded)
{
    struct buf data;
    buf_init(&data, MIB(1));
    const struct txn_op wrong[] = {
        {.kind = TXN_KV, .verb = TXN_SET},
        {.kind = TXN_NODE, .verb = TXN_SET, .value = S("no row")},
        {.kind = TXN_CHECK, .verb = TXN_LOCK},
        {.kind = TXN_SESSION, .verb = TXN_GET, .id = S("x")},
        {.kind = TXN_SESSION, .verb = TXN_DELETE},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(txn_op_encode(&data, &wrong[i]), ERR_INVALID, "%zu", i);
        cr_assert_eq(data.len, 0);
    }
    buf_close(&data);
}

Test(txn, verbs_are_words_of_their_kind)
{
    cr_assert_eq(txn_verb_parse(TXN_KV, S("check-index")), TXN_CHECK_INDEX);
    cr_assert_eq(txn_verb_parse(TXN_NODE, S("check-index")), TXN_UNKNOWN);
    cr_assert_eq(txn_verb_parse(TXN_SESSION, S("delete")), TXN_DELETE);
    cr_assert(txn_verb_writes(TXN_KV, TXN_DELETE_TREE));
    cr_assert_not(txn_verb_writes(TXN_KV, TXN_GET_TREE));
    cr_assert_not(txn_verb_writes(TXN_KV, TXN_UNKNOWN));
}

/* --- all or none ----------------------------------------------------------------------------- */

/* An operation sees those before it; all share one index and are numbered. */
Test(txn, operations_see_each_other_and_share_an_index)
{
    add_kv(TXN_SET, "a", "1");
    add_kv(TXN_GET, "a", "");
    add_kv(TXN_DELETE, "a", "");
    add_kv(TXN_CHECK_NOT_EXISTS, "a", "");
    add_kv(TXN_SET, "a", "2");
    cr_assert_eq(commit(), OK);
    cr_assert_eq(results(), 3);
    cr_assert_eq(b.collect.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(b.collect.changes[i].index, 1);
        cr_assert_eq(b.collect.changes[i].n, i);
    }
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(view_kv_get(v, S("a"), &pin, &row), OK);
    cr_assert_bytes(row.value, S("2"));
    view_pin_close(&pin);
    view_unref(v);
    /* Its one death was undone: there is nothing to reap. */
    bool reapable = true;
    cr_assert_eq(state_reapable(b.state, 1, &reapable, NULL), OK);
    cr_assert_not(reapable);
}

/* One failure undoes everything: rows, changes, indexes. */
Test(txn, a_failure_undoes_all)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    size_t changes = b.collect.count;
    add_kv(TXN_SET, "b", "2");
    add_kv(TXN_DELETE_TREE, "a", "");
    add_kv(TXN_GET, "a", "");
    add_kv(TXN_UNKNOWN, "a", "zz");
    cr_assert_eq(commit(), ERR_CONFLICT);
    cr_assert_str_eq(errors_text(), "2:key \"a\" doesn't exist;3:unknown KV verb \"zz\";");
    cr_assert_eq(b.collect.count, changes);
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(view_kv_index(v), 1);
    cr_assert_eq(view_kv_get(v, S("a"), &pin, &row), OK);
    cr_assert_eq(row.modify_index, 1);
    cr_assert_eq(view_kv_get(v, S("b"), &pin, &row), ERR_NOT_FOUND);
    view_pin_close(&pin);
    view_unref(v);
}

/* A tree that is deleted dies key by key, each to be reaped. */
Test(txn, a_deleted_tree_is_reaped)
{
    add_kv(TXN_SET, "t/1", "1");
    add_kv(TXN_SET, "t/2", "1");
    cr_assert_eq(commit(), OK);
    add_kv(TXN_DELETE_TREE, "t/", "");
    cr_assert_eq(commit(), OK);
    bool reapable = false;
    cr_assert_eq(state_reapable(b.state, 2, &reapable, NULL), OK);
    cr_assert(reapable);
    cr_assert_eq(bench_reap(&b, 2), OK);
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(view_kv_get(v, S("t/1"), &pin, &row), ERR_NOT_FOUND);
    view_pin_close(&pin);
    view_unref(v);
}

/* What reads bring back has a limit, and passing it is an error of that operation. */
Test(txn, too_much_is_an_error)
{
    static char value[KV_VALUE_MAX];
    for (unsigned i = 0; i < 10; i++) {
        char key[16];
        snprintf(key, sizeof key, "big%u", i);
        cr_assert_eq(bench_set(&b, bytes_of(key), (struct bytes){value, sizeof value}), OK);
    }
    add_kv(TXN_SET, "x", "1");
    add_kv(TXN_GET_TREE, "big", "");
    cr_assert_eq(commit(), ERR_CONFLICT);
    cr_assert_str_eq(errors_text(), "1:the transaction reads more than 4194304 bytes;");
}

/* The same operations that only read, on a view. */
Test(txn, a_view_answers_reads)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .service = "web"}), OK);
    add_kv(TXN_GET, "a", "");
    add_kv(TXN_GET_TREE, "", "");
    add((struct txn_op){.kind = TXN_SERVICE, .verb = TXN_GET, .key = S("n1"), .id = S("web")});
    struct view *v = bench_view(&b);
    cr_assert_eq(txn_read(v, buf_view(&ops), &detail), OK);
    cr_assert_eq(results(), 3);
    add((struct txn_op){.kind = TXN_NODE, .verb = TXN_GET, .key = S("n9")});
    cr_assert_eq(txn_read(v, buf_view(&ops), &detail), ERR_CONFLICT);
    cr_assert_str_eq(errors_text(), "3:node \"n9\" doesn't exist;");
    add_kv(TXN_SET, "a", "1");
    cr_assert_eq(txn_read(v, buf_view(&ops), &detail), ERR_INVALID);
    cr_assert_eq(txn_read(v, S("zz"), &detail), ERR_INVALID);
    view_unref(v);
}

/* A service's changes are told once, behind all operations. */
Test(txn, nodes_services_and_checks)
{
    struct buf row;
    buf_init(&row, MIB(1));
    const struct node_row node = {.name = S("n1"), .address = S("10.0.0.1")};
    cr_assert_eq(row_node_encode(&row, &node), OK);
    add((struct txn_op){.kind = TXN_NODE, .verb = TXN_SET, .value = buf_view(&row)});
    buf_clear(&row);
    const struct service_row service = {
        .node = S("n1"), .id = S("web"), .name = S("web"), .weight_passing = 1};
    cr_assert_eq(row_service_encode(&row, &service), OK);
    add((struct txn_op){.kind = TXN_SERVICE, .verb = TXN_SET, .value = buf_view(&row)});
    buf_clear(&row);
    const struct check_row check = {
        .node = S("n1"), .id = S("c"), .service_id = S("web"), .status = CHECK_CRITICAL};
    cr_assert_eq(row_check_encode(&row, &check), OK);
    add((struct txn_op){.kind = TXN_CHECK, .verb = TXN_CAS, .value = buf_view(&row)});
    cr_assert_eq(commit(), OK, "%s", errors_text());
    cr_assert_eq(results(), 3);
    cr_assert_str_eq(round_text(&b, &detail), "node n1\ncheck n1/c\n+web n1/web critical 0\n");
    add((struct txn_op){.kind = TXN_CHECK, .verb = TXN_CAS, .value = buf_view(&row)});
    cr_assert_eq(commit(), ERR_CONFLICT);
    cr_assert_str_eq(errors_text(), "0:failed to set check \"c\" on node \"n1\", index is stale;");
    buf_close(&row);
}

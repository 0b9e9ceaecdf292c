/* The state as a whole: against a model, over restarts and crashes. */
#include "store_lib.h"

static struct bench b;

TestSuite(state, .timeout = 60);

/* --- digest ---------------------------------------------------------------------------------- */

/* Everything in the database of a state that is closed. */
static uint64_t digest_of(const char *dir)
{
    struct rocks *db = NULL;
    struct reason why = {0};
    cr_assert_eq(rocks_open(dir, ROCKS_STATE, &db, &why), OK, "%s", why.text);
    struct rocks_iter *it = rocks_iter_new(db, NULL, S(""), S(""));
    uint64_t digest = 0;
    for (rocks_iter_first(it); rocks_iter_valid(it); rocks_iter_next(it)) {
        digest = digest * 31 + bytes_hash(rocks_iter_key(it));
        digest = digest * 31 + bytes_hash(rocks_iter_value(it));
    }
    cr_assert_eq(rocks_iter_error(it, &why), OK, "%s", why.text);
    rocks_iter_free(it);
    rocks_close(db);
    return digest;
}

/* --- random commands ------------------------------------------------------------------------- */

static uint64_t dice = 1;

static uint64_t roll(uint64_t limit)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % limit;
}

/* Keys of few letters, so that they meet and nest. */
static struct bytes roll_key(char *memory)
{
    static const char letters[] = {'a', 'b', '/', '\xff', '\0'};
    size_t len = 1 + roll(4);
    for (size_t i = 0; i < len; i++) {
        memory[i] = letters[roll(sizeof(letters))];
    }
    return (struct bytes){memory, len};
}

/* --- the model ------------------------------------------------------------------------------- */

#define MODEL_MAX 1024

struct model_row {
    char key[8];
    size_t key_len;
    char value[8];
    uint64_t flags;
    uint64_t create_index;
    uint64_t modify_index;
    bool dead;
};

struct model {
    struct model_row rows[MODEL_MAX];
    size_t count;
    uint64_t kv_index;
    size_t changes;
};

static struct model model;

static struct model_row *model_find(struct bytes key)
{
    for (size_t i = 0; i < model.count; i++) {
        struct model_row *row = &model.rows[i];
        if (bytes_equal(key, (struct bytes){row->key, row->key_len})) {
            return row;
        }
    }
    return NULL;
}

static void model_kill(struct model_row *row, uint64_t index)
{
    row->dead = true;
    row->modify_index = index;
}

static enum err model_set(const struct command_kv_set *c, uint64_t index)
{
    struct model_row *row = model_find(c->key);
    bool lives = row != NULL && !row->dead;
    if (c->check && (c->index == 0 ? lives : !lives || row->modify_index != c->index)) {
        return ERR_CONFLICT;
    }
    if (lives && bytes_equal(bytes_of(row->value), c->value) && row->flags == c->flags) {
        return OK;
    }
    if (row == NULL) {
        cr_assert_lt(model.count, MODEL_MAX);
        row = &model.rows[model.count++];
        memcpy(row->key, c->key.ptr, c->key.len);
        row->key_len = c->key.len;
    }
    row->create_index = lives ? row->create_index : index;
    row->modify_index = index;
    row->dead = false;
    row->flags = c->flags;
    snprintf(row->value, sizeof(row->value), "%.*s", BYTES_FORMAT(c->value));
    model.kv_index = index;
    model.changes++;
    return OK;
}

static enum err model_delete(const struct command_kv_delete *c, uint64_t index)
{
    struct model_row *row = model_find(c->key);
    if (row == NULL || row->dead) {
        return OK;
    }
    if (c->check && row->modify_index != c->index) {
        return ERR_CONFLICT;
    }
    model_kill(row, index);
    model.kv_index = index;
    model.changes++;
    return OK;
}

static void model_delete_prefix(struct bytes prefix, uint64_t index)
{
    bool any = false;
    for (size_t i = 0; i < model.count; i++) {
        struct model_row *row = &model.rows[i];
        if (!row->dead && bytes_begins((struct bytes){row->key, row->key_len}, prefix)) {
            model_kill(row, index);
            any = true;
        }
    }
    if (any) {
        model.kv_index = index;
        model.changes++;
    }
}

static void model_reap(uint64_t through)
{
    size_t kept = 0;
    for (size_t i = 0; i < model.count; i++) {
        if (!model.rows[i].dead || model.rows[i].modify_index > through) {
            model.rows[kept++] = model.rows[i];
        }
    }
    model.count = kept;
}

static enum err model_do(const struct command *c, uint64_t index)
{
    switch ((unsigned)c->type) {
    case COMMAND_KV_SET:
        return model_set(&c->kv_set, index);
    case COMMAND_KV_DELETE:
        return model_delete(&c->kv_delete, index);
    case COMMAND_KV_DELETE_PREFIX:
        model_delete_prefix(c->kv_delete_prefix.prefix, index);
        return OK;
    case COMMAND_TOMBSTONE_REAP:
        model_reap(c->tombstone_reap.through);
        return OK;
    default:
        return ERR_INVALID; /* tests of their own */
    }
}

/* Mostly right indexes, so that conditions hold about as often as not. */
static uint64_t roll_index(struct bytes key)
{
    struct model_row *row = model_find(key);
    return row != NULL && roll(2) == 0 ? row->modify_index : roll(3) * roll(b.index + 1);
}

static struct command roll_command(char *memory)
{
    static char value[8];
    snprintf(value, sizeof(value), "%lu", (unsigned long)roll(3));
    struct bytes key = roll_key(memory);
    bool check = roll(3) == 0;
    uint64_t index = check ? roll_index(key) : 0;
    uint64_t kind = roll(100);
    if (kind < 65) {
        return (struct command){.type = COMMAND_KV_SET,
                                .kv_set = {.key = key,
                                           .value = bytes_of(value),
                                           .flags = roll(2),
                                           .check = check,
                                           .index = index}};
    }
    if (kind < 90) {
        return (struct command){.type = COMMAND_KV_DELETE,
                                .kv_delete = {.key = key, .check = check, .index = index}};
    }
    if (kind < 98) {
        return (struct command){
            .type = COMMAND_KV_DELETE_PREFIX,
            .kv_delete_prefix = {.prefix = bytes_slice(key, 0, roll(key.len + 1))}};
    }
    return (struct command){.type = COMMAND_TOMBSTONE_REAP,
                            .tombstone_reap = {.through = roll(b.index + 10)}};
}

static int model_compare(const void *left, const void *right)
{
    const struct model_row *l = left;
    const struct model_row *r = right;
    return bytes_compare((struct bytes){l->key, l->key_len}, (struct bytes){r->key, r->key_len});
}

static void check_row(const struct model_row *want, const struct kv_row *have)
{
    cr_assert_bytes(have->key, ((struct bytes){want->key, want->key_len}));
    cr_assert_eq(have->dead, want->dead);
    cr_assert_eq(have->modify_index, want->modify_index);
    if (!want->dead) {
        cr_assert_bytes(have->value, bytes_of(want->value));
        cr_assert_eq(have->flags, want->flags);
        cr_assert_eq(have->create_index, want->create_index);
    }
}

static void check_against_model(void)
{
    qsort(model.rows, model.count, sizeof(model.rows[0]), model_compare);
    struct view *v = bench_view(&b);
    struct kv_scan *scan = kv_scan_open(v, S(""));
    struct kv_row row;
    for (size_t i = 0; i < model.count; i++) {
        cr_assert_eq(kv_scan_next(scan, &row), OK);
        check_row(&model.rows[i], &row);
        struct view_pin pin = {0};
        cr_assert_eq(view_kv_get(v, row.key, &pin, &row), OK);
        check_row(&model.rows[i], &row);
        view_pin_close(&pin);
    }
    cr_assert_eq(kv_scan_next(scan, &row), ERR_NOT_FOUND);
    kv_scan_close(scan);
    cr_assert_eq(view_kv_index(v), model.kv_index > 0 ? model.kv_index : 1);
    view_unref(v);
}

/* What the history says happened, done again on nothing, gives the live rows. */
static void check_history_replays(void)
{
    struct view *v = bench_view(&b);
    struct change_scan *scan = NULL;
    struct change c;
    size_t changes = 0;
    uint64_t last = 0;
    cr_assert_eq(change_scan_open(v, 0, &scan), OK);
    struct model *before = mem_alloc(sizeof(model));
    *before = model;
    model = (struct model){0};
    while (change_scan_next(scan, &c) == OK) {
        cr_assert_gt(c.index, last);
        last = c.index;
        changes++;
        struct command_kv_set set = {.key = c.key, .value = c.value, .flags = c.flags};
        if (c.op == CHANGE_SET) {
            cr_assert_eq(model_set(&set, c.index), OK);
            struct model_row *row = model_find(c.key);
            cr_assert(row != NULL && row->create_index == c.create_index);
        } else if (c.op == CHANGE_DELETE) {
            cr_assert_eq(model_delete(&(struct command_kv_delete){.key = c.key}, c.index), OK);
        } else {
            model_delete_prefix(c.key, c.index);
        }
    }
    change_scan_close(scan);
    cr_assert_eq(changes, before->changes);
    cr_assert_eq(model.changes, before->changes);
    for (size_t i = 0; i < before->count; i++) {
        struct model_row *row =
            model_find((struct bytes){before->rows[i].key, before->rows[i].key_len});
        cr_assert(row != NULL && row->dead == before->rows[i].dead &&
                  row->modify_index == before->rows[i].modify_index);
    }
    model = *before;
    free(before);
    view_unref(v);
}

Test(state, random_commands_do_what_a_simple_model_does)
{
    const char *given = getenv("HERALD_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20261122;
    printf("random_commands_do_what_a_simple_model_does: HERALD_TEST_SEED=%lu\n",
           (unsigned long)seed);
    dice = seed | 1;
    bench_open(&b, NULL);
    for (int i = 0; i < 10000; i++) {
        char memory[8];
        struct command c = roll_command(memory);
        enum err want = model_do(&c, b.index + 1);
        cr_assert_eq(bench_do(&b, c), want, "operation %d of seed %lu", i, (unsigned long)seed);
        cr_assert_eq(b.collect.count, model.changes);
        if (i % 500 == 0) {
            check_against_model();
        }
    }
    check_against_model();
    check_history_replays();
    cr_assert_eq(bench_reap(&b, UINT64_MAX), OK);
    bool left = true;
    cr_assert_eq(state_reapable(b.state, UINT64_MAX, &left, NULL), OK);
    cr_assert(!left);
    model_reap(UINT64_MAX);
    check_against_model();
    bench_close(&b);
}

/* --- restarts and crashes -------------------------------------------------------------------- */

/* The same commands for the same seed, from one index to another. */
static void replay(uint64_t from, uint64_t through)
{
    dice = 77;
    uint64_t keep = b.index;
    for (b.index = 0; b.index < through;) {
        char memory[8];
        struct command c = roll_command(memory);
        if (b.index < from) {
            b.index++;
        } else {
            (void)bench_do(&b, c);
        }
    }
    cr_assert_geq(b.index, keep);
}

Test(state, a_clean_end_keeps_everything)
{
    char *dir = bench_dir();
    bench_open(&b, dir);
    replay(0, 500);
    bench_close(&b);
    uint64_t digest = digest_of(dir);
    bench_open(&b, dir);
    cr_assert_eq(state_applied(b.state), 500);
    bench_close(&b);
    cr_assert_eq(digest_of(dir), digest);
    bench_dir_free(dir);
}

/* The files as they lie there while the database runs are what a crash leaves. */
Test(state, after_a_crash_the_same_commands_give_the_same_bytes)
{
    char *whole = bench_dir();
    char *crashed = bench_dir();
    bench_open(&b, whole);
    replay(0, 1000);
    uint64_t durable = 1;
    cr_assert_eq(state_durable(b.state, &durable, NULL), OK);
    cr_assert_eq(durable, 0);
    cr_assert_eq(state_flush(b.state, NULL), OK);
    cr_assert_eq(state_durable(b.state, &durable, NULL), OK);
    cr_assert_eq(durable, 1000);
    replay(1000, 2000);
    cr_assert_eq(state_durable(b.state, &durable, NULL), OK);
    cr_assert_eq(durable, 1000);
    bench_shell("cp -r '%s/.' '%s'", whole, crashed);
    bench_close(&b);

    bench_open(&b, crashed);
    cr_assert_eq(state_applied(b.state), 1000);
    replay(1000, 2000);
    bench_close(&b);
    cr_assert_eq(digest_of(crashed), digest_of(whole));
    bench_dir_free(whole);
    bench_dir_free(crashed);
}

Test(state, a_crash_before_the_first_flush_leaves_an_empty_state)
{
    char *dir = bench_dir();
    char *crashed = bench_dir();
    bench_open(&b, dir);
    replay(0, 100);
    bench_shell("cp -r '%s/.' '%s'", dir, crashed);
    bench_close(&b);
    bench_open(&b, crashed);
    cr_assert_eq(state_applied(b.state), 0);
    bench_close(&b);
    bench_dir_free(dir);
    bench_dir_free(crashed);
}

Test(state, two_cannot_open_one_directory)
{
    char *dir = bench_dir();
    struct state *second = NULL;
    struct reason why = {0};
    bench_open(&b, dir);
    cr_assert_eq(state_open(dir, &second, &why), ERR_IN_USE);
    cr_assert_not_null(strstr(why.text, dir));
    cr_assert_null(second);
    bench_close(&b);
    bench_dir_free(dir);
}

static void put_meta(const char *dir, struct bytes value)
{
    struct rocks *db = NULL;
    cr_assert_eq(rocks_open(dir, ROCKS_STATE, &db, NULL), OK);
    struct rocks_batch *batch = rocks_batch_new();
    rocks_batch_put(batch, S("M"), value);
    cr_assert_eq(rocks_write(db, batch, false, NULL), OK);
    rocks_batch_free(batch);
    rocks_close(db);
}

Test(state, a_state_of_another_version_or_of_another_program_is_refused)
{
    char *dir = bench_dir();
    struct state *s = NULL;
    struct reason why = {0};
    put_meta(dir, S("M\x63"));
    cr_assert_eq(state_open(dir, &s, &why), ERR_VERSION);
    cr_assert_not_null(strstr(why.text, "version"));
    put_meta(dir, S("something else"));
    cr_assert_eq(state_open(dir, &s, &why), ERR_CORRUPT);
    cr_assert_null(s);
    bench_dir_free(dir);
}

/* A row that is not of our format stops the apply, and nothing of the command happens. */
Test(state, a_corrupt_row_stops_the_apply)
{
    char *dir = bench_dir();
    bench_open(&b, dir);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    bench_close(&b);
    struct rocks *db = NULL;
    cr_assert_eq(rocks_open(dir, ROCKS_STATE, &db, NULL), OK);
    struct rocks_batch *batch = rocks_batch_new();
    rocks_batch_put(batch, S("Ka"), S("junk"));
    cr_assert_eq(rocks_write(db, batch, false, NULL), OK);
    rocks_batch_free(batch);
    rocks_close(db);

    bench_open(&b, dir);
    struct buf data;
    buf_init(&data, MIB(1));
    struct command c = {.type = COMMAND_KV_DELETE_PREFIX};
    cr_assert_eq(command_encode(&data, &c), OK);
    struct apply_reply reply;
    struct reason why = {0};
    cr_assert_eq(state_apply(b.state, 2, buf_view(&data), &b.collect, &reply, &why), ERR_CORRUPT);
    cr_assert_neq(why.text[0], '\0');
    cr_assert_eq(state_applied(b.state), 1);
    cr_assert_eq(b.collect.count, 0);
    buf_close(&data);
    bench_close(&b);
    bench_dir_free(dir);
}

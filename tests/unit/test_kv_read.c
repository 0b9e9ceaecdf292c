/* The KV answers, as pure functions of real views of a real store in memory. */
#include "core/api/kv.h"
#include "core/base/limit.h"
#include "store/backup.h"
#include "store/state.h"

#include <criterion/criterion.h>
#include <string.h>

static struct state *state;
static struct arena arena;
static uint64_t next_index;

static void setup(void)
{
    struct reason why;
    cr_assert_eq(state_open(NULL, &state, &why), OK, "%s", why.text);
    arena_init(&arena, 1 << 20);
    next_index = 7;
}

static void teardown(void)
{
    arena_close(&arena);
    state_close(state);
}

TestSuite(kv_read, .init = setup, .fini = teardown);

static void apply(const struct command *c)
{
    struct buf bytes;
    struct collect out;
    struct apply_reply reply;
    struct reason why;
    buf_init(&bytes, 1 << 20);
    collect_init(&out);
    cr_assert_eq(command_encode(&bytes, c), OK);
    cr_assert_eq(state_apply(state, ++next_index, buf_view(&bytes), &out, &reply, &why), OK);
    cr_assert_eq(reply.status, OK);
    collect_close(&out);
    buf_close(&bytes);
}

static void set(const char *key, const char *value)
{
    apply(&(struct command){.type = COMMAND_KV_SET,
                            .kv_set = {.key = bytes_of(key), .value = bytes_of(value)}});
}

static void delete (const char *key)
{
    apply(&(struct command){.type = COMMAND_KV_DELETE, .kv_delete = {.key = bytes_of(key)}});
}

static void delete_prefix(const char *prefix)
{
    apply(&(struct command){.type = COMMAND_KV_DELETE_PREFIX,
                            .kv_delete_prefix = {.prefix = bytes_of(prefix)}});
}

struct want {
    int status;
    uint64_t index;
    uint64_t wake_index;
    const char *body; /* NULL: none */
};

static void check(enum kv_form form, const char *target, const char *separator, struct want want)
{
    struct view *v = state_view(state);
    struct watch_answer got = {0};
    struct bytes variant = kv_variant(&arena, form, false, bytes_of(separator));
    enum err e = form == KV_KEYS || form == KV_RECURSE
                     ? kv_evaluate_prefix(v, bytes_of(target), variant, &got)
                     : kv_evaluate_key(v, bytes_of(target), variant, &got);
    cr_assert_eq(e, OK);
    cr_assert_eq(got.status, want.status, "%s: status %d", target, got.status);
    cr_assert_eq(got.index, want.index, "%s: index %lu", target, (unsigned long)got.index);
    cr_assert_eq(got.wake_index, want.wake_index, "%s: wake %lu", target,
                 (unsigned long)got.wake_index);
    if (want.body == NULL) {
        cr_assert_null(got.body);
    } else {
        struct bytes body = shared_view(got.body);
        cr_assert(bytes_equal(body, bytes_of(want.body)), "%s: %.*s", target, BYTES_FORMAT(body));
    }
    shared_unref(got.body);
    view_unref(v);
}

Test(kv_read, a_row_is_consuls)
{
    set("a", "hello");
    check(KV_ROW, "a", "",
          (struct want){200, 8, 8,
                        "[{\"LockIndex\":0,\"Key\":\"a\",\"Flags\":0,\"Value\":\"aGVsbG8=\","
                        "\"CreateIndex\":8,\"ModifyIndex\":8}]"});
    check(KV_RAW, "a", "", (struct want){200, 8, 8, "hello"});
    set("e", "");
    check(KV_ROW, "e", "",
          (struct want){200, 9, 9,
                        "[{\"LockIndex\":0,\"Key\":\"e\",\"Flags\":0,\"Value\":null,"
                        "\"CreateIndex\":9,\"ModifyIndex\":9}]"});
    check(KV_RAW, "e", "", (struct want){200, 9, 9, ""});
}

/* A missing key reports the table's index and is woken by its own fate alone. */
Test(kv_read, a_missing_key_wakes_for_itself_only)
{
    check(KV_ROW, "nope", "", (struct want){404, 1, 0, NULL});
    set("other", "1");
    check(KV_ROW, "nope", "", (struct want){404, 8, 0, NULL});
    set("gone", "1");
    delete ("gone");
    set("other", "2");
    check(KV_ROW, "gone", "", (struct want){404, 11, 10, NULL});
    check(KV_RAW, "gone", "", (struct want){404, 11, 10, NULL});
}

Test(kv_read, keys_are_cut_behind_the_separator)
{
    set("a", "1");
    set("dir/x/1", "1");
    set("dir/x/2", "1");
    set("dir/y", "1");
    set("e", "1");
    check(KV_KEYS, "dir/", "/", (struct want){200, 11, 11, "[\"dir/x/\",\"dir/y\"]"});
    check(KV_KEYS, "dir", "/", (struct want){200, 11, 11, "[\"dir/\"]"});
    check(KV_KEYS, "", "/", (struct want){200, 12, 12, "[\"a\",\"dir/\",\"e\"]"});
    check(KV_KEYS, "dir/", "", (struct want){200, 11, 11, "[\"dir/x/1\",\"dir/x/2\",\"dir/y\"]"});
}

/* The newest of the rows and of the deletions under the prefix. */
Test(kv_read, a_prefix_remembers_its_deletions)
{
    set("dir/a", "1");
    set("dir/b", "1");
    set("other", "1");
    delete ("dir/b");
    set("other", "2");
    check(KV_KEYS, "dir/", "", (struct want){200, 11, 11, "[\"dir/a\"]"});
    delete_prefix("dir/");
    set("other", "3");
    check(KV_RECURSE, "dir/", "", (struct want){404, 13, 13, NULL});
    check(KV_KEYS, "dir/", "", (struct want){404, 13, 13, NULL});
    check(KV_ROW, "dir/a", "", (struct want){404, 14, 13, NULL});
}

/* An empty prefix that never had keys: the table's index, and nothing elsewhere wakes it. */
Test(kv_read, an_empty_prefix_sleeps_on)
{
    check(KV_KEYS, "", "", (struct want){200, 1, 1, "[]"});
    check(KV_RECURSE, "", "", (struct want){404, 1, 1, NULL});
    set("other", "1");
    check(KV_KEYS, "none/", "", (struct want){404, 8, 0, NULL});
    check(KV_RECURSE, "none/", "", (struct want){404, 8, 0, NULL});
}

/* Four blanks and a newline at the end, as Consul's ?pretty. */
Test(kv_read, pretty_json_is_indented_and_its_strings_are_left_alone)
{
    struct buf out;
    buf_init(&out, 4096);
    cr_assert_eq(json_pretty(&out, BYTES("[{\"a\":\"x,{\\\"\",\"b\":[],\"c\":{},\"d\":[1,2]}]")),
                 OK);
    buf_put_char(&out, '\0');
    cr_assert_str_eq(
        out.ptr, "[\n    {\n        \"a\": \"x,{\\\"\",\n        \"b\": [],\n        \"c\": {},\n"
                 "        \"d\": [\n            1,\n            2\n        ]\n    }\n]\n");
    buf_close(&out);
}

/* A key keeps its index, but nobody who had seen a newer state is told less than the restore. */
Test(kv_read, behind_a_restored_backup_no_index_is_older_than_it)
{
    struct backup *backup;
    struct buf rows;
    set("a/b", "1");
    set("a/c", "2");
    struct view *v = state_view(state);
    buf_init(&rows, MIB(1));
    backup = backup_open(v);
    cr_assert_eq(backup_next(backup, &rows, NULL), OK);
    backup_close(backup);
    view_unref(v);
    delete_prefix("");
    apply(&(struct command){.type = COMMAND_RESTORE_BEGIN, .restore = {.id = 1}});
    apply(&(struct command){.type = COMMAND_RESTORE_CHUNK,
                            .restore = {.id = 1, .number = 1, .rows = buf_view(&rows)}});
    apply(&(struct command){.type = COMMAND_RESTORE_COMMIT, .restore = {.id = 1, .number = 1}});
    buf_close(&rows);
    cr_assert_eq(next_index, 13);
    check(KV_ROW, "a/b", "",
          (struct want){200, 13, 13,
                        "[{\"LockIndex\":0,\"Key\":\"a/b\",\"Flags\":0,"
                        "\"Value\":\"MQ==\",\"CreateIndex\":8,"
                        "\"ModifyIndex\":8}]"});
    check(KV_KEYS, "a/", "", (struct want){200, 13, 13, "[\"a/b\",\"a/c\"]"});
    check(KV_KEYS, "x/", "", (struct want){404, 13, 13, NULL});
    check(KV_ROW, "x", "", (struct want){404, 13, 13, NULL});
    set("a/b", "3");
    check(KV_KEYS, "a/", "", (struct want){200, 14, 14, "[\"a/b\",\"a/c\"]"});
}

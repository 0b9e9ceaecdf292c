/* Changes as bytes, and the batches they travel in. */
#include "store/schema.h"
#include "store_lib.h"

static const struct change sample = {
    .topic = CHANGE_KV,
    .op = CHANGE_SET,
    .key = {"app/\0key", 8},
    .value = {"value", 5},
    .flags = 7,
    .create_index = 3,
    .lock_index = 2,
    .session = {"6a0b3e1c-4f0d-4b52-9c9f-0d7f2f6f3a11", 36},
    .time_ms = 1234567890123ULL,
};

static void encode(struct buf *out, const struct change *c)
{
    buf_init(out, MIB(2));
    cr_assert_eq(change_encode(out, c), OK);
}

Test(change, a_set_comes_back_whole)
{
    struct buf data;
    struct change c;
    encode(&data, &sample);
    cr_assert_eq(change_decode(buf_view(&data), &c), OK);
    cr_assert_eq(c.topic, CHANGE_KV);
    cr_assert_eq(c.op, CHANGE_SET);
    cr_assert_bytes(c.key, sample.key);
    cr_assert_bytes(c.value, sample.value);
    cr_assert_bytes(c.session, sample.session);
    cr_assert_eq(c.flags, 7);
    cr_assert_eq(c.create_index, 3);
    cr_assert_eq(c.lock_index, 2);
    cr_assert_eq(c.time_ms, sample.time_ms);
    buf_close(&data);
}

Test(change, a_deletion_comes_back_without_a_value)
{
    struct buf data;
    struct change c;
    struct change deletion = {
        .topic = CHANGE_KV, .op = CHANGE_DELETE_PREFIX, .key = S("app/"), .time_ms = 9};
    encode(&data, &deletion);
    cr_assert_eq(change_decode(buf_view(&data), &c), OK);
    cr_assert_eq(c.op, CHANGE_DELETE_PREFIX);
    cr_assert_bytes(c.key, S("app/"));
    cr_assert_eq(c.value.len, 0);
    cr_assert_eq(c.time_ms, 9);
    buf_close(&data);
}

Test(change, truncated_bytes_are_corrupt_and_flipped_ones_never_crash)
{
    struct buf data;
    struct change c;
    encode(&data, &sample);
    /* Without its end, too: the value's length says how long it is. */
    for (size_t len = 0; len < data.len; len++) {
        char *part = mem_dup(data.ptr, len);
        cr_assert_eq(change_decode((struct bytes){part, len}, &c), ERR_CORRUPT);
        free(part);
    }
    for (size_t bit = 0; bit < data.len * 8; bit++) {
        data.ptr[bit / 8] ^= (char)(1 << bit % 8);
        enum err e = change_decode(buf_view(&data), &c);
        cr_assert(e == OK || e == ERR_CORRUPT);
        data.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_close(&data);
}

/* --- batches --------------------------------------------------------------------------------- */

Test(collect, a_batch_keeps_its_own_copies_in_order)
{
    struct bench b;
    bench_open(&b, NULL);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%d", i);
        cr_assert_eq(bench_set(&b, bytes_of(key), S("v")), OK);
    }
    cr_assert_eq(bench_delete(&b, S("key7")), OK);
    cr_assert_gt(b.collect.bytes, 100);
    struct change_batch *batch = bench_finish(&b, 0);
    cr_assert_eq(b.collect.count, 0);
    cr_assert_eq(b.collect.bytes, 0);
    cr_assert_eq(batch->after, 0);
    cr_assert_eq(batch->through, 101);
    cr_assert_eq(view_index(batch->view), 101);
    cr_assert_eq(batch->count, 101);
    for (size_t i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%zu", i);
        cr_assert_eq(batch->changes[i].index, i + 1);
        cr_assert_eq(batch->changes[i].n, 0);
        cr_assert_bytes(batch->changes[i].key, bytes_of(key));
        cr_assert_bytes(batch->changes[i].value, S("v"));
        cr_assert_eq(batch->changes[i].time_ms, 1000);
    }
    cr_assert_eq(batch->changes[100].op, CHANGE_DELETE);
    cr_assert_bytes(batch->changes[100].key, S("key7"));
    struct change_batch *second = change_batch_ref(batch);
    change_batch_unref(batch);
    cr_assert_bytes(second->changes[0].key, S("key0"));
    change_batch_unref(second);
    bench_close(&b);
}

Test(collect, a_round_without_changes_still_covers_its_indexes)
{
    struct bench b;
    bench_open(&b, NULL);
    cr_assert_eq(state_skip(b.state, ++b.index, NULL), OK);
    cr_assert_eq(bench_delete(&b, S("missing")), OK);
    struct change_batch *batch = bench_finish(&b, 0);
    cr_assert_eq(batch->count, 0);
    cr_assert_eq(batch->after, 0);
    cr_assert_eq(batch->through, 2);
    change_batch_unref(batch);
    bench_close(&b);
}

Test(collect, truncating_forgets_the_newest_only)
{
    struct bench b;
    bench_open(&b, NULL);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    size_t bytes = b.collect.bytes;
    cr_assert_eq(bench_set(&b, S("b"), S("2222")), OK);
    collect_truncate(&b.collect, 1);
    cr_assert_eq(b.collect.bytes, bytes);
    struct change_batch *batch = bench_finish(&b, 0);
    cr_assert_eq(batch->count, 1);
    cr_assert_bytes(batch->changes[0].key, S("a"));
    change_batch_unref(batch);
    bench_close(&b);
}

/* Keys on disk hold this hash: a change of the function would lose every key's history. */
Test(schema, the_hash_is_what_it_always_was)
{
    cr_assert_eq(schema_hash(S("")), 0x8570e250fe4c2473ULL);
    cr_assert_eq(schema_hash(S("app/key")), 0x6a944c5255b3fe12ULL);
}

Test(schema, the_end_of_a_prefix_is_the_first_key_that_does_not_begin_with_it)
{
    struct schema_key k;
    schema_key_kv(&k, 0, S("a"));
    schema_key_end(&k);
    cr_assert_bytes(schema_key_view(&k), S("Kb"));
    schema_key_kv(&k, 0, S("a\xff\xff"));
    schema_key_end(&k);
    cr_assert_bytes(schema_key_view(&k), S("Kb"));
    schema_key_kv(&k, 0, S("\xff"));
    schema_key_end(&k);
    cr_assert_bytes(schema_key_view(&k), S("L"));
    schema_key_kv(&k, 0, S(""));
    schema_key_end(&k);
    cr_assert_bytes(schema_key_view(&k), S("L"));
}

Test(schema, rows_come_back_and_damaged_ones_are_corrupt)
{
    struct buf data;
    buf_init(&data, MIB(1));
    struct kv_row row = {.value = S("value"),
                         .flags = 1,
                         .lock_index = 2,
                         .create_index = 3,
                         .modify_index = 4,
                         .session = S("session")};
    schema_row_encode(&data, &row);
    struct kv_row back = {.key = S("key")};
    cr_assert_eq(schema_row_decode(buf_view(&data), &back), OK);
    cr_assert_bytes(back.key, S("key"));
    cr_assert_bytes(back.value, row.value);
    cr_assert_bytes(back.session, row.session);
    cr_assert_eq(back.flags + back.lock_index * 10 + back.create_index * 100, 321);
    cr_assert_eq(back.modify_index, 4);
    /* Behind the session comes the value, which may have any length. */
    for (size_t len = 0; len < data.len - row.value.len; len++) {
        cr_assert_eq(schema_row_decode((struct bytes){data.ptr, len}, &back), ERR_CORRUPT);
    }
    data.ptr[0] = 4;
    cr_assert_eq(schema_row_decode(buf_view(&data), &back), ERR_CORRUPT);
    buf_close(&data);
}

Test(schema, the_meta_row_comes_back_and_tells_versions_apart)
{
    char data[SCHEMA_META_LEN];
    struct schema_meta meta = {1, 2, 3, 4, UINT64_MAX, 6, 7, 8, 9, 10};
    struct schema_meta back;
    schema_meta_encode(&meta, data);
    cr_assert_eq(schema_meta_decode((struct bytes){data, sizeof(data)}, &back), OK);
    cr_assert_eq(memcmp(&meta, &back, sizeof(meta)), 0);
    cr_assert_eq(schema_meta_decode((struct bytes){data, sizeof(data) - 1}, &back), ERR_CORRUPT);
    data[1]++;
    cr_assert_eq(schema_meta_decode((struct bytes){data, sizeof(data)}, &back), ERR_VERSION);
    data[0]++;
    cr_assert_eq(schema_meta_decode((struct bytes){data, sizeof(data)}, &back), ERR_CORRUPT);
}

/* As written before there were clusters: five numbers. */
Test(schema, the_meta_row_of_version_1_is_read)
{
    struct schema_meta back = {.restores = 9};
    char data[42] = {'M', 1, 5, 0, 0, 0, 0, 0, 0, 0, 4};
    cr_assert_eq(schema_meta_decode((struct bytes){data, sizeof(data)}, &back), OK);
    cr_assert_eq(back.applied, 5);
    cr_assert_eq(back.kv_index, 4);
    cr_assert_eq(back.restores, 0);
    cr_assert_eq(back.cluster, 0);
    data[1] = 2;
    cr_assert_eq(schema_meta_decode((struct bytes){data, sizeof(data)}, &back), ERR_CORRUPT);
}

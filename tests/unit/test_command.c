/* Commands as bytes: what is encoded comes back, and nothing else is taken. */
#include "store_lib.h"

static const struct command samples[] = {
    {.type = COMMAND_KV_SET,
     .time_ms = 1,
     .kv_set = {.key = {"k", 1}, .value = {"value", 5}, .flags = UINT64_MAX}},
    {.type = COMMAND_KV_SET,
     .time_ms = UINT64_MAX,
     .kv_set = {.key = {"a\0b", 3}, .check = true, .index = 77}},
    {.type = COMMAND_KV_DELETE, .time_ms = 5, .kv_delete = {.key = {"\xff\xff", 2}}},
    {.type = COMMAND_KV_DELETE, .kv_delete = {.key = {"x", 1}, .check = true, .index = 0}},
    {.type = COMMAND_KV_DELETE_PREFIX, .kv_delete_prefix = {.prefix = {"app/", 4}}},
    {.type = COMMAND_KV_DELETE_PREFIX},
    {.type = COMMAND_AUTOPILOT_SET,
     .autopilot_set = {.autopilot = {.cleanup_dead_servers = true,
                                     .last_contact_threshold_ms = 200,
                                     .max_trailing_logs = 250,
                                     .server_stabilization_ms = 10000,
                                     .min_quorum = UINT64_MAX},
                       .check = true,
                       .index = 9}},
    {.type = COMMAND_TOMBSTONE_REAP, .tombstone_reap = {.through = 1ULL << 60}},
    {.type = COMMAND_RESTORE_BEGIN, .restore = {.id = 1}},
    {.type = COMMAND_RESTORE_CHUNK, .restore = {.id = 1, .number = 3, .rows = {"row", 3}}},
    {.type = COMMAND_RESTORE_COMMIT, .restore = {.id = UINT64_MAX, .number = 3}},
    {.type = COMMAND_RESTORE_ABORT, .restore = {.id = 2}},
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

static void encode(struct buf *out, const struct command *c)
{
    buf_init(out, MIB(2));
    cr_assert_eq(command_encode(out, c), OK);
}

/* Encoding what was decoded gives the same bytes: there is one form for each command. */
static void check_again(struct bytes data, const struct command *c)
{
    struct buf again;
    encode(&again, c);
    cr_assert_bytes(buf_view(&again), data);
    buf_close(&again);
}

Test(command, what_is_encoded_comes_back)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buf data;
        struct command c;
        encode(&data, &samples[i]);
        cr_assert_eq(command_decode(buf_view(&data), &c), OK, "sample %zu", i);
        cr_assert_eq(c.type, samples[i].type);
        cr_assert_eq(c.time_ms, samples[i].time_ms);
        check_again(buf_view(&data), &c);
        buf_close(&data);
    }
}

Test(command, the_fields_of_a_set_come_back)
{
    struct buf data;
    struct command c;
    encode(&data, &samples[0]);
    cr_assert_eq(command_decode(buf_view(&data), &c), OK);
    cr_assert_bytes(c.kv_set.key, S("k"));
    cr_assert_bytes(c.kv_set.value, S("value"));
    cr_assert_eq(c.kv_set.flags, UINT64_MAX);
    cr_assert(!c.kv_set.check);
    cr_assert_eq(c.kv_set.index, 0);
    buf_close(&data);
}

Test(command, every_truncation_is_refused)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buf data;
        struct command c;
        encode(&data, &samples[i]);
        for (size_t len = 0; len < data.len; len++) {
            /* An exact copy, so that the sanitizer sees a byte read too many. */
            char *part = mem_dup(data.ptr, len);
            cr_assert_eq(command_decode((struct bytes){part, len}, &c), ERR_INVALID);
            free(part);
        }
        buf_close(&data);
    }
}

Test(command, a_byte_too_many_is_refused)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buf data;
        struct command c;
        encode(&data, &samples[i]);
        buf_put_char(&data, '\0');
        cr_assert_eq(command_decode(buf_view(&data), &c), ERR_INVALID);
        buf_close(&data);
    }
}

/* A flipped bit gives either another command of the same bytes, or none. */
Test(command, every_flipped_bit_is_another_command_or_none)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buf data;
        encode(&data, &samples[i]);
        for (size_t bit = 0; bit < data.len * 8; bit++) {
            struct command c;
            data.ptr[bit / 8] ^= (char)(1 << bit % 8);
            enum err e = command_decode(buf_view(&data), &c);
            cr_assert(e == OK || e == ERR_INVALID);
            if (e == OK) {
                check_again(buf_view(&data), &c);
            }
            data.ptr[bit / 8] ^= (char)(1 << bit % 8);
        }
        buf_close(&data);
    }
}

static enum err try_set(size_t key_len, size_t value_len)
{
    char *memory = mem_zalloc(1, MIB(1));
    struct buf data;
    buf_init(&data, MIB(2));
    buf_put_str(&data, "before");
    struct command c = {
        .type = COMMAND_KV_SET,
        .kv_set = {.key = {memory, key_len}, .value = {memory, value_len}},
    };
    enum err e = command_encode(&data, &c);
    if (e != OK) {
        cr_assert_bytes(buf_view(&data), S("before"));
    } else {
        cr_assert_leq(data.len - 6, COMMAND_MAX);
        cr_assert_eq(command_decode(bytes_slice(buf_view(&data), 6, data.len), &c), OK);
    }
    buf_close(&data);
    free(memory);
    return e;
}

Test(command, limits_are_exact_and_a_refusal_changes_nothing)
{
    cr_assert_eq(try_set(0, 0), ERR_INVALID);
    cr_assert_eq(try_set(1, KV_VALUE_MAX), OK);
    cr_assert_eq(try_set(1, KV_VALUE_MAX + 1), ERR_TOO_BIG);
    cr_assert_eq(try_set(KV_KEY_MAX, KV_VALUE_MAX), OK);
    cr_assert_eq(try_set(KV_KEY_MAX + 1, 0), ERR_TOO_BIG);
}

Test(command, an_index_without_a_check_is_refused)
{
    struct buf data;
    buf_init(&data, MIB(2));
    struct command c = {.type = COMMAND_KV_SET, .kv_set = {.key = S("a"), .index = 3}};
    cr_assert_eq(command_encode(&data, &c), ERR_INVALID);
    c = (struct command){.type = COMMAND_KV_DELETE, .kv_delete = {.key = S("a"), .index = 3}};
    cr_assert_eq(command_encode(&data, &c), ERR_INVALID);
    c = (struct command){.type = (enum command_type)99};
    cr_assert_eq(command_encode(&data, &c), ERR_INVALID);
    buf_close(&data);
}

Test(command, every_command_has_a_name)
{
    cr_assert_str_eq(command_name(COMMAND_KV_SET), "write one key");
    cr_assert_str_eq(command_name((enum command_type)99), "unknown command");
}

/* A log of before the stamp: the same fields without it, version 1. */
static void make_version_1(struct buf *data)
{
    const size_t stamp = 16;
    cr_assert_gt(data->len, 1 + stamp);
    data->ptr[0] = 1;
    memmove(data->ptr + 1, data->ptr + 1 + stamp, data->len - 1 - stamp);
    data->len -= stamp;
}

Test(command, the_first_version_is_read_and_has_no_sender)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buf data;
        struct command c;
        encode(&data, &samples[i]);
        cr_assert_eq(data.ptr[0], 2);
        make_version_1(&data);
        cr_assert_eq(command_decode(buf_view(&data), &c), OK, "sample %zu", i);
        cr_assert_eq(c.type, samples[i].type);
        cr_assert_eq(c.time_ms, samples[i].time_ms);
        cr_assert_eq(c.proposer, 0);
        cr_assert_eq(c.number, 0);
        /* Written again it is of this version. */
        struct buf again;
        struct buf now;
        encode(&again, &c);
        encode(&now, &samples[i]);
        cr_assert_bytes(buf_view(&again), buf_view(&now));
        for (size_t len = 0; len < data.len; len++) {
            cr_assert_eq(command_decode(bytes_slice(buf_view(&data), 0, len), &c), ERR_INVALID);
        }
        buf_close(&again);
        buf_close(&now);
        buf_close(&data);
    }
}

Test(command, other_versions_are_refused)
{
    struct buf data;
    struct command c;
    encode(&data, &samples[0]);
    for (int version = 0; version < 256; version++) {
        data.ptr[0] = (char)version;
        cr_assert_eq(command_decode(buf_view(&data), &c) == OK, version == 2);
    }
    buf_close(&data);
}

Test(command, a_stamp_names_the_sender_and_changes_nothing_else)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buf data;
        struct buf want;
        struct command c = samples[i];
        encode(&data, &samples[i]);
        c.proposer = 0xfedcba9876543210ULL;
        c.number = 77;
        encode(&want, &c);
        command_stamp(data.ptr, data.len, 1, 2);
        command_stamp(data.ptr, data.len, c.proposer, c.number);
        cr_assert_bytes(buf_view(&data), buf_view(&want));
        cr_assert_eq(command_decode(buf_view(&data), &c), OK);
        cr_assert_eq(c.proposer, 0xfedcba9876543210ULL);
        cr_assert_eq(c.number, 77);
        buf_close(&data);
        buf_close(&want);
    }
}

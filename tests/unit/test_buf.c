#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/shared.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(buf, append_over_limit_changes_nothing)
{
    struct buf b;
    buf_init(&b, 8);
    cr_assert_eq(buf_append_str(&b, "12345"), OK);
    cr_assert_eq(buf_append_str(&b, "6789"), ERR_TOO_BIG);
    cr_assert(bytes_equal(buf_view(&b), BYTES("12345")));
    cr_assert_eq(buf_append_str(&b, "678"), OK);
    cr_assert_eq(buf_append_char(&b, 'x'), ERR_TOO_BIG);
    cr_assert(bytes_equal(buf_view(&b), BYTES("12345678")));
    buf_close(&b);
}

Test(buf, consume_and_truncate_keep_the_rest)
{
    struct buf b;
    buf_init(&b, 100);
    buf_put_str(&b, "hello world");
    buf_consume(&b, 6);
    cr_assert(bytes_equal(buf_view(&b), BYTES("world")));
    buf_truncate(&b, 3);
    cr_assert(bytes_equal(buf_view(&b), BYTES("wor")));
    buf_put_u64(&b, UINT64_MAX);
    cr_assert(bytes_equal(buf_view(&b), BYTES("wor18446744073709551615")));
    buf_close(&b);
}

/* Taking moves the memory: the buf is empty and can be used again. */
Test(buf, take_leaves_it_empty)
{
    struct buf b;
    size_t len = 0;
    buf_init(&b, 100);
    buf_put_str(&b, "abc");
    char *taken = buf_take(&b, &len);
    cr_assert_eq(len, 3);
    cr_assert_eq(b.len, 0);
    cr_assert(memcmp(taken, "abc", 3) == 0);
    free(taken);
    buf_put_str(&b, "d");
    cr_assert(bytes_equal(buf_view(&b), BYTES("d")));
    buf_close(&b);
}

Test(bytes, numbers_are_decimal_and_fit)
{
    uint64_t value = 7;
    cr_assert_eq(bytes_to_u64(BYTES("18446744073709551615"), &value), OK);
    cr_assert_eq(value, UINT64_MAX);
    static const char *const bad[] = {"",   "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616",
                                      "1e3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 7;
        cr_assert_eq(bytes_to_u64(bytes_of(bad[i]), &value), ERR_INVALID, "%s", bad[i]);
        cr_assert_eq(value, 7);
    }
}

/* RFC 3629 section 3: shortest forms, no surrogates, nothing above U+10FFFF. */
Test(bytes, utf8_is_that_of_the_rfc)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xc2",         "\xe2\x82"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(bytes_utf8_valid(bytes_of(good[i])), "good %zu", i);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(bytes_utf8_valid(bytes_of(bad[i])), "bad %zu", i);
    }
}

Test(bytes, order_is_that_of_keys)
{
    cr_assert_lt(bytes_compare(BYTES("a"), BYTES("ab")), 0);
    cr_assert_lt(bytes_compare(BYTES("ab"), BYTES("b")), 0);
    cr_assert_gt(bytes_compare(BYTES("\xff"), BYTES("a")), 0);
    cr_assert_eq(bytes_compare(BYTES(""), BYTES("")), 0);
    cr_assert(bytes_begins(BYTES("abc"), BYTES("")));
    cr_assert(bytes_begins(BYTES("abc"), BYTES("ab")));
    cr_assert_not(bytes_begins(BYTES("ab"), BYTES("abc")));
}

Test(arena, past_the_limit_there_is_nothing)
{
    struct arena a;
    arena_init(&a, 100);
    cr_assert_not_null(arena_alloc(&a, 60));
    cr_assert_null(arena_alloc(&a, 60));
    struct bytes copy = arena_copy(&a, BYTES("abc"));
    cr_assert(bytes_equal(copy, BYTES("abc")));
    cr_assert_eq(copy.ptr[3], '\0');
    arena_reset(&a);
    cr_assert_not_null(arena_alloc(&a, 60));
    arena_close(&a);
}

Test(shared, headroom_lies_in_front_of_the_data)
{
    struct shared *s = shared_copy(16, BYTES("data"));
    cr_assert_eq(s->headroom, 16);
    memset(s->data - 16, 'x', 16);
    cr_assert(bytes_equal(shared_view(s), BYTES("data")));
    shared_unref(shared_ref(s));
    shared_unref(s);
}

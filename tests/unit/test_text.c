#include "core/base/text.h"

#include <criterion/criterion.h>

static struct buf out;

static void setup(void)
{
    buf_init(&out, 4096);
}

static void teardown(void)
{
    buf_close(&out);
}

TestSuite(text, .init = setup, .fini = teardown);

static void expect(const char *want)
{
    struct bytes got = buf_view(&out);
    cr_assert(bytes_equal(got, bytes_of(want)), "got %.*s, want %s", BYTES_FORMAT(got), want);
    buf_clear(&out);
}

/* RFC 4648 section 10. */
Test(text, base64_knows_the_vectors_of_the_rfc)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        cr_assert_eq(base64_encode(&out, bytes_of(pairs[i][0])), OK);
        expect(pairs[i][1]);
        cr_assert_eq(base64_decode(&out, bytes_of(pairs[i][1])), OK);
        expect(pairs[i][0]);
    }
    cr_assert_eq(base64_decode(&out, BYTES("Zg")), OK);
    expect("f");
    cr_assert_eq(base64_decode(&out, BYTES("Z")), ERR_INVALID);
    cr_assert_eq(base64_decode(&out, BYTES("Zm9\n")), ERR_INVALID);
}

/* What is not UTF-8 becomes U+FFFD byte by byte; markup cannot leave the string. */
Test(text, json_strings_are_always_valid_and_inert)
{
    cr_assert_eq(json_quote(&out, BYTES("a\"\\\n\x01<&>\xff\xc3\xa4\xed\xa0\x80")), OK);
    expect("\"a\\\"\\\\\\n\\u0001\\u003c\\u0026\\u003e\\ufffd\xc3\xa4\\ufffd\\ufffd\\ufffd\"");
    cr_assert_eq(json_quote(&out, BYTES("\xe2\x80\xa8")), OK);
    expect("\"\\u2028\"");
}

Test(text, durations_are_those_of_go)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"10s", 10000}, {"5m", 300000}, {"60000ms", 60000}, {"1h2m", 3720000}, {"1.5s", 1500},
        {"0", 0},       {"+1s", 1000},  {".5s", 500},       {"1us", 0},
    };
    static const char *const bad[] = {"", "10", "abc", "-1s", "1s2", "99999999999999h", "1d", "."};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ms = 1;
        cr_assert_eq(duration_parse(bytes_of(good[i].text), &ms), OK, "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t ms = 1;
        cr_assert_eq(duration_parse(bytes_of(bad[i]), &ms), ERR_INVALID, "%s", bad[i]);
    }
}

Test(text, urls_decode_once)
{
    cr_assert_eq(url_decode(&out, BYTES("a%2fb%252F+c"), false), OK);
    expect("a/b%2F+c");
    cr_assert_eq(url_decode(&out, BYTES("a+b"), true), OK);
    expect("a b");
    cr_assert_eq(url_decode(&out, BYTES("%"), true), ERR_INVALID);
    cr_assert_eq(url_decode(&out, BYTES("%4"), true), ERR_INVALID);
    cr_assert_eq(url_decode(&out, BYTES("%zz"), true), ERR_INVALID);
    cr_assert_eq(url_encode(&out, BYTES("a/b c"), true), OK);
    expect("a/b%20c");
}

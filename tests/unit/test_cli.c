#include "core/base/text.h"
#include "core/cli/kv.h"

#include <criterion/criterion.h>
#include <string.h>

static struct reason why;

static bool entry(const char *json, struct kv_entry *ret_entry, char *ret_value)
{
    json_t *entries = NULL;
    struct buf value;
    if (import_parse(bytes_of(json), &entries, &why) != OK) {
        return false;
    }
    buf_init(&value, 1024);
    enum err e = import_entry(entries, 0, ret_entry, &value, &why);
    if (e == OK) {
        snprintf(ret_value, 64, "%.*s", (int)value.len, value.len > 0 ? value.ptr : "");
    }
    buf_close(&value);
    json_decref(entries);
    return e == OK;
}

Test(cli, import_reads_an_entry_as_go_does)
{
    struct kv_entry e;
    char value[64];
    cr_assert(entry("[{\"key\":\"a\",\"flags\":7,\"value\":\"aGk=\",\"more\":{}}]", &e, value));
    cr_assert_eq(e.flags, 7);
    cr_assert_str_eq(value, "hi");
    cr_assert(entry("[{\"Key\":\"a\",\"FLAGS\":18446744073709551615}]", &e, value));
    cr_assert_eq(e.flags, UINT64_MAX);
    cr_assert_str_eq(value, "");
}

Test(cli, import_refuses_what_is_no_entry)
{
    static const char *const cases[] = {
        "{",
        "{}",
        "[1]",
        "[null]",
        "[] x",
        "",
        "[{\"key\":1}]",
        "[{\"key\":\"a\",\"value\":1}]",
        "[{\"key\":\"a\",\"flags\":-1}]",
        "[{\"key\":\"a\",\"flags\":1.5}]",
        "[{\"key\":\"a\",\"flags\":18446744073709551616}]",
        "[{\"key\":\"a\",\"value\":\"!!\"}]",
    };
    struct kv_entry e;
    char value[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_not(entry(cases[i], &e, value), "%s", cases[i]);
    }
}

Test(cli, export_is_what_consul_writes)
{
    json_t *rows = NULL;
    struct buf out;
    buf_init(&out, 4096);
    cr_assert_eq(export_write(&out, NULL), OK);
    cr_assert(bytes_equal(buf_view(&out), BYTES("[]\n")));
    buf_clear(&out);
    cr_assert_eq(
        json_parse(BYTES("[{\"LockIndex\":0,\"Key\":\"a<\",\"Flags\":16210313421097356768,"
                         "\"Value\":null,\"CreateIndex\":1,\"ModifyIndex\":1},{\"LockIndex\":0,"
                         "\"Key\":\"b\",\"Flags\":0,\"Value\":\"aGk=\",\"CreateIndex\":2,"
                         "\"ModifyIndex\":2}]"),
                   &rows, &why),
        OK, "%s", why.text);
    cr_assert_eq(export_write(&out, rows), OK);
    cr_assert(bytes_equal(
                  buf_view(&out),
                  BYTES("[\n\t{\n\t\t\"key\": \"a\\u003c\",\n\t\t\"flags\": 16210313421097356768,\n"
                        "\t\t\"value\": \"\"\n\t},\n\t{\n\t\t\"key\": \"b\",\n\t\t\"flags\": 0,\n"
                        "\t\t\"value\": \"aGk=\"\n\t}\n]\n")),
              "%.*s", BYTES_FORMAT(buf_view(&out)));
    json_decref(rows);
    buf_close(&out);
}

Test(cli, long_numbers_survive_and_texts_with_digits_stay)
{
    json_t *value = NULL;
    uint64_t number = 0;
    cr_assert_eq(
        json_parse(BYTES("{\"a\":18446744073709551615,\"b\":\"x\\\"99999999999999999999\"}"),
                   &value, &why),
        OK);
    cr_assert_eq(json_u64(json_object_get(value, "a"), &number), OK);
    cr_assert_eq(number, UINT64_MAX);
    cr_assert(
        bytes_equal(json_bytes(json_object_get(value, "b")), BYTES("x\"99999999999999999999")));
    json_decref(value);
}

Test(cli, deep_json_is_refused)
{
    char deep[257];
    json_t *value = NULL;
    memset(deep, '[', 256);
    deep[256] = '\0';
    cr_assert_eq(json_parse(bytes_of(deep), &value, &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "nested deeper than 64");
}

Test(cli, elements_are_taken_off_as_they_are)
{
    struct bytes rest = BYTES("{\"a\":[1,2],\"b\":\"],}\\\"\"},7,\"x,y\"]}");
    struct bytes element;
    cr_assert(json_next_element(&rest, &element));
    cr_assert(bytes_equal(element, BYTES("{\"a\":[1,2],\"b\":\"],}\\\"\"}")));
    cr_assert(json_next_element(&rest, &element));
    cr_assert(bytes_equal(element, BYTES("7")));
    cr_assert(json_next_element(&rest, &element));
    cr_assert(bytes_equal(element, BYTES("\"x,y\"")));
    cr_assert_not(json_next_element(&rest, &element));
    rest = BYTES("]}");
    cr_assert_not(json_next_element(&rest, &element));
}

/* Any bytes as an operation of a transaction, as what a transaction answers, and as the JSON that a
 * client sends: operations are refused or encode to the same bytes, answers end, and quoting long
 * numbers makes no JSON of what is none, nor the other way round. */
#include "core/api/long_numbers.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/txn.h"

#include <jansson.h>

static void operation(struct bytes input)
{
    struct txn_op op;
    struct buf again;
    enum err e = txn_op_decode(input, &op);
    CHECK(e == OK || e == ERR_INVALID);
    if (e == OK) {
        buf_init(&again, COMMAND_MAX);
        CHECK(txn_op_encode(&again, &op) == OK);
        CHECK(bytes_equal(buf_view(&again), input));
        buf_close(&again);
    }
}

static void answer(struct bytes input)
{
    struct bytes rest = input;
    struct txn_result result;
    struct bytes what;
    uint32_t op = 0;
    size_t steps = 0;
    while (txn_result_next(&rest, &result)) {
        CHECK(++steps <= input.len);
    }
    rest = input;
    steps = 0;
    while (txn_error_next(&rest, &op, &what)) {
        CHECK(++steps <= input.len);
    }
}

static bool is_json(struct bytes text)
{
    json_t *json = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    bool is = json != NULL;
    json_decref(json);
    return is;
}

static void body(struct bytes input)
{
    struct buf quoted;
    buf_init(&quoted, 3 * input.len + 64);
    CHECK(long_numbers_quote(input, &quoted) == OK);
    CHECK(quoted.len >= input.len);
    if (quoted.len == input.len) {
        CHECK(bytes_equal(buf_view(&quoted), input));
    } else if (is_json(input)) {
        CHECK(is_json(buf_view(&quoted)));
    }
    buf_close(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = {(const char *)data, size};
    operation(input);
    answer(input);
    body(input);
    return 0;
}

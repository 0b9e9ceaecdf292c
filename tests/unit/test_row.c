/* Rows of the fleet as bytes: back as they went, limits, and garbage. */
#include "fleet_lib.h"

TestSuite(row, .timeout = 20);

static struct buf data;
static struct buf list;

static void setup(void)
{
    buf_init(&data, MIB(2));
    buf_init(&list, MIB(2));
}

static void teardown(void)
{
    buf_close(&data);
    buf_close(&list);
}

static struct service_row service(void)
{
    return (struct service_row){
        .node = S("n1"),
        .id = S("web-1"),
        .name = S("web"),
        .tags = buf_view(&list),
        .address = S("10.0.0.1"),
        .extra = S("{}"),
        .port = 80,
        .weight_passing = 1,
        .weight_warning = 2,
        .enable_tag_override = true,
        .create_index = 3,
        .modify_index = UINT64_MAX,
    };
}

Test(row, a_service_comes_back_as_it_went, .init = setup, .fini = teardown)
{
    struct service_row back;
    struct bytes tags;
    struct bytes tag;
    cr_assert_eq(texts_add(&list, S("a")), OK);
    cr_assert_eq(texts_add(&list, S("")), OK);
    struct service_row row = service();
    cr_assert_eq(row_service_encode(&data, &row), OK);
    cr_assert_eq(row_service_decode(buf_view(&data), &back), OK);
    cr_assert_bytes(back.id, row.id);
    cr_assert_bytes(back.extra, row.extra);
    cr_assert_eq(back.port, 80);
    cr_assert_eq(back.weight_warning, 2);
    cr_assert(back.enable_tag_override);
    cr_assert_eq(back.modify_index, UINT64_MAX);
    tags = back.tags;
    cr_assert_eq(texts_count(tags), 2);
    cr_assert(texts_next(&tags, &tag) && bytes_equal(tag, S("a")));
}

/* A cut row, one with a byte more, one of another version: none is taken, none crashes. */
Test(row, what_is_no_row_is_corrupt, .init = setup, .fini = teardown)
{
    struct service_row row = service();
    struct service_row back;
    cr_assert_eq(row_service_encode(&data, &row), OK);
    struct bytes whole = buf_view(&data);
    for (size_t len = 0; len < whole.len; len++) {
        cr_assert_eq(row_service_decode(bytes_slice(whole, 0, len), &back), ERR_CORRUPT);
    }
    buf_put_char(&data, 'x');
    cr_assert_eq(row_service_decode(buf_view(&data), &back), ERR_CORRUPT);
    buf_truncate(&data, data.len - 1);
    data.ptr[0]++;
    cr_assert_eq(row_service_decode(buf_view(&data), &back), ERR_CORRUPT);
}

/* Each flipped bit is refused, or gives a row that encodes to the same bytes. */
Test(row, a_flipped_bit_gives_a_row_or_none, .init = setup, .fini = teardown)
{
    struct buf again;
    buf_init(&again, MIB(1));
    cr_assert_eq(texts_add(&list, S("tag")), OK);
    struct service_row row = service();
    cr_assert_eq(row_service_encode(&data, &row), OK);
    for (size_t i = 0; i < data.len * 8; i++) {
        struct service_row back;
        data.ptr[i / 8] ^= (char)(1 << i % 8);
        buf_clear(&again);
        if (row_service_decode(buf_view(&data), &back) == OK) {
            cr_assert_eq(row_service_encode(&again, &back), OK);
            cr_assert(bytes_equal(buf_view(&again), buf_view(&data)));
        }
        data.ptr[i / 8] ^= (char)(1 << i % 8);
    }
    buf_close(&again);
}

Test(row, limits_are_kept, .init = setup, .fini = teardown)
{
    static char longest[ROW_OUTPUT_MAX + 1];
    memset(longest, 'a', sizeof longest);
    struct node_row node = {.name = {longest, ROW_NAME_MAX}};
    cr_assert_eq(row_node_encode(&data, &node), OK);
    node.name.len++;
    cr_assert_eq(row_node_encode(&data, &node), ERR_TOO_BIG);
    node.name = S("");
    cr_assert_eq(row_node_encode(&data, &node), ERR_INVALID);
    node.name = S("a\0b");
    cr_assert_eq(row_node_encode(&data, &node), ERR_INVALID);
    struct check_row check = {.node = S("n"), .id = S("c"), .status = CHECK_PASSING};
    check.output = (struct bytes){longest, ROW_OUTPUT_MAX};
    cr_assert_eq(row_check_encode(&data, &check), OK);
    check.output.len++;
    cr_assert_eq(row_check_encode(&data, &check), ERR_TOO_BIG);
    check.output.len = 0;
    check.status = 0;
    cr_assert_eq(row_check_encode(&data, &check), ERR_INVALID);
}

Test(row, pairs_are_in_order_and_the_last_wins, .init = setup, .fini = teardown)
{
    struct pair pairs[] = {{S("b"), S("1")}, {S("a"), S("2")}, {S("b"), S("3")}};
    struct bytes value;
    cr_assert_eq(pairs_add(&list, pairs, 3), OK);
    cr_assert(pairs_valid(buf_view(&list)));
    cr_assert_eq(texts_count(buf_view(&list)), 4);
    cr_assert(pairs_get(buf_view(&list), S("b"), &value));
    cr_assert_bytes(value, S("3"));
    cr_assert(!pairs_get(buf_view(&list), S("c"), &value));
}

/* An instance that went says what it was. */
Test(row, an_instance_that_went_has_no_node, .init = setup, .fini = teardown)
{
    struct instance_row back;
    struct instance_row row = {
        .was = true,
        .service = {.node = S("n1"), .id = S("i"), .name = S("web")},
        .before = CHECK_WARNING,
        .address_before = S("10.0.0.9"),
        .port_before = 80,
    };
    cr_assert_eq(row_instance_encode(&data, &row), OK);
    cr_assert_eq(row_instance_decode(buf_view(&data), &back), OK);
    cr_assert(!back.is && back.was);
    cr_assert_eq(back.node.name.len, 0);
    cr_assert_bytes(back.service.name, S("web"));
    cr_assert_bytes(back.address_before, S("10.0.0.9"));
    cr_assert_eq(back.before, CHECK_WARNING);
    cr_assert_eq(back.port_before, 80);
}

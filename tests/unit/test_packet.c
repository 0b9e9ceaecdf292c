#include "core/gossip/packet.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct packet_address address(const char *text)
{
    struct packet_address a;
    cr_assert_eq(packet_address_parse(text, 8301, &a), OK, "%s", text);
    return a;
}

/* One of each type, with every field that it has. */
static size_t all_messages(struct packet_message *m)
{
    struct packet_message all[] = {
        {.type = PACKET_PING, .seq = 7, .name = BYTES("b"), .from = BYTES("a")},
        {.type = PACKET_PING_REQ, .seq = 8, .flags = PACKET_WANT_NACK, .name = BYTES("b")},
        {.type = PACKET_ACK, .seq = 0xffffffff},
        {.type = PACKET_NACK, .seq = 1},
        {.type = PACKET_ALIVE,
         .incarnation = 1ULL << 40,
         .flags = PACKET_LEAVING,
         .name = BYTES("node"),
         .address = address("10.1.2.3:99"),
         .tags = BYTES("\4role\6server\2id\0")},
        {.type = PACKET_ALIVE, .name = BYTES("\xc3\xa9"), .address = address("[fe80::1]:1")},
        {.type = PACKET_SUSPECT, .incarnation = 3, .name = BYTES("b"), .from = BYTES("c")},
        {.type = PACKET_DEAD, .incarnation = 4, .name = BYTES("b"), .from = BYTES("b")},
        {.type = PACKET_REMOVE,
         .flags = PACKET_PRUNE,
         .incarnation = 5,
         .name = BYTES("b"),
         .from = BYTES("c")},
        {.type = PACKET_ORDER, .id = 9, .order = GOSSIP_KEY_USE, .text = BYTES("\0key")},
        {.type = PACKET_ORDER_REPLY,
         .id = 9,
         .flags = PACKET_FAILED,
         .text = BYTES("no"),
         .keys = BYTES("\1k")},
    };
    memcpy(m, all, sizeof all);
    return sizeof all / sizeof all[0];
}

static void same(const struct packet_message *a, const struct packet_message *b)
{
    cr_assert_eq(a->type, b->type);
    cr_assert_eq(a->flags, b->flags);
    cr_assert_eq(a->order, b->order);
    cr_assert_eq(a->seq, b->seq);
    cr_assert_eq(a->incarnation, b->incarnation);
    cr_assert_eq(a->id, b->id);
    cr_assert(packet_address_equal(&a->address, &b->address));
    cr_assert(bytes_equal(a->name, b->name));
    cr_assert(bytes_equal(a->from, b->from));
    cr_assert(bytes_equal(a->tags, b->tags));
    cr_assert(bytes_equal(a->text, b->text));
    cr_assert(bytes_equal(a->keys, b->keys));
}

static void put_all(struct buf *out)
{
    struct packet_message m[16];
    size_t count = all_messages(m);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(packet_append(out, &m[i]), OK);
    }
}

/* All types one after another come back as they were; unknown ones between them are skipped. */
Test(packet, what_is_written_is_read)
{
    struct packet_message m[16];
    struct packet_message got;
    struct buf out;
    size_t count = all_messages(m);
    buf_init(&out, KIB(4));
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(packet_append(&out, &m[i]), OK);
        buf_put(&out, BYTES("\xf0\3\0new"));
    }
    struct bytes rest = buf_view(&out);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(packet_next(&rest, &got), OK, "message %zu", i);
        same(&m[i], &got);
    }
    cr_assert_eq(packet_next(&rest, &got), ERR_NOT_FOUND);
    buf_close(&out);
}

/* Reads all messages; how it ended, and how many there were. */
static enum err read_all(struct bytes data, size_t *ret_count)
{
    struct packet_message m;
    enum err e = OK;
    *ret_count = 0;
    while ((e = packet_next(&data, &m)) == OK) {
        ++*ret_count;
    }
    return e;
}

/* Cut anywhere, it is invalid, or ends between two messages. */
Test(packet, truncation_is_noticed)
{
    struct buf out;
    size_t clean = 0;
    size_t count = 0;
    buf_init(&out, KIB(4));
    put_all(&out);
    for (size_t len = 0; len < out.len; len++) {
        /* Of its own size, so that the sanitizer sees a read behind it. */
        char *copy = malloc(len > 0 ? len : 1);
        memcpy(copy, out.ptr, len);
        enum err e = read_all((struct bytes){copy, len}, &count);
        cr_assert(e == ERR_INVALID || e == ERR_NOT_FOUND);
        clean += e == ERR_NOT_FOUND;
        free(copy);
    }
    cr_assert_eq(clean, 11, "one clean end before each of the eleven messages");
    buf_close(&out);
}

/* Flips are read as something valid or refused; never more than is there. */
Test(packet, any_flipped_bit_is_survived)
{
    struct buf out;
    size_t count = 0;
    buf_init(&out, KIB(4));
    put_all(&out);
    char *copy = malloc(out.len);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        memcpy(copy, out.ptr, out.len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        (void)read_all((struct bytes){copy, out.len}, &count);
        cr_assert_leq(count, out.len / 3);
    }
    free(copy);
    buf_close(&out);
}

/* What may not be said: empty or broken names, incarnations without end, ports of nobody. */
Test(packet, nonsense_is_refused)
{
    char long_name[200];
    memset(long_name, 'n', sizeof long_name);
    struct packet_message bad[] = {
        {.type = PACKET_PING, .name = BYTES(""), .from = BYTES("a")},
        {.type = PACKET_PING, .name = BYTES("a\nb"), .from = BYTES("a")},
        {.type = PACKET_PING, .name = BYTES("\xff"), .from = BYTES("a")},
        {.type = PACKET_PING, .name = {long_name, 129}, .from = BYTES("a")},
        {.type = PACKET_ALIVE, .name = BYTES("a")},
        {.type = PACKET_ALIVE, .name = BYTES("a"), .address = address("::1"), .tags = BYTES("\1")},
        {.type = PACKET_ALIVE,
         .name = BYTES("a"),
         .address = address("::1"),
         .tags = BYTES("\1a\0\1a\0")},
        {.type = PACKET_SUSPECT,
         .incarnation = GOSSIP_INCARNATION_MAX + 1,
         .name = BYTES("a"),
         .from = BYTES("b")},
        {.type = PACKET_ORDER, .order = 4},
        {.type = PACKET_ORDER_REPLY, .text = BYTES("a\x1b[0m")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct packet_message got;
        struct buf out;
        buf_init(&out, KIB(4));
        cr_assert_eq(packet_append(&out, &bad[i]), OK);
        struct bytes rest = buf_view(&out);
        cr_assert_eq(packet_next(&rest, &got), ERR_INVALID, "message %zu", i);
        buf_close(&out);
    }
}

/* The longest that a node may say of itself fits a packet beside nothing else. */
Test(packet, the_longest_alive_message_fits)
{
    struct gossip_tag tags[GOSSIP_TAGS_MAX] = {0};
    struct gossip_tag back[GOSSIP_TAGS_MAX];
    struct reason why;
    struct buf wire;
    struct buf out;
    char name[GOSSIP_NAME_MAX];
    size_t count = 0;
    memset(name, 'n', sizeof name);
    for (size_t i = 0; i < GOSSIP_TAGS_MAX; i++) {
        (void)snprintf(tags[i].name, sizeof tags[i].name, "tag-%02zu", i);
        memset(tags[i].value, 'v', 20);
    }
    buf_init(&wire, GOSSIP_TAGS_BYTES_MAX);
    cr_assert_eq(packet_tags_encode(&wire, tags, GOSSIP_TAGS_MAX, &why), OK, "%s", why.text);
    cr_assert_eq(wire.len, GOSSIP_TAGS_MAX * 28);
    cr_assert_eq(packet_tags_decode(buf_view(&wire), back, &count), OK);
    cr_assert_eq(count, GOSSIP_TAGS_MAX);
    cr_assert_str_eq(back[31].name, "tag-31");
    memset(tags[0].value, 'v', 24);
    buf_clear(&wire);
    cr_assert_eq(packet_tags_encode(&wire, tags, GOSSIP_TAGS_MAX, &why), OK);
    cr_assert_eq(wire.len, GOSSIP_TAGS_BYTES_MAX);
    struct packet_message alive = {
        .type = PACKET_ALIVE,
        .name = {name, sizeof name},
        .address = address("fe80::1"),
        .tags = buf_view(&wire),
    };
    buf_init(&out, PACKET_BODY_MAX - 1);
    cr_assert_eq(packet_append(&out, &alive), OK);
    tags[0].value[24] = 'v';
    buf_clear(&wire);
    cr_assert_eq(packet_tags_encode(&wire, tags, GOSSIP_TAGS_MAX, &why), ERR_TOO_BIG);
    cr_assert_not_null(strstr(why.text, "901"));
    buf_close(&wire);
    buf_close(&out);
}

Test(packet, records_are_read_as_written_and_nothing_else)
{
    struct packet_record r = {
        .status = GOSSIP_LEAVING,
        .suspect = true,
        .alive = {.type = PACKET_ALIVE, .name = BYTES("a"), .address = address("1.2.3.4")},
    };
    struct packet_record got;
    struct buf out;
    buf_init(&out, KIB(1));
    cr_assert_eq(packet_record_append(&out, &r), OK);
    struct bytes rest = buf_view(&out);
    cr_assert_eq(packet_record_next(&rest, &got), OK);
    cr_assert_eq(got.status, GOSSIP_LEAVING);
    cr_assert(got.suspect);
    same(&got.alive, &r.alive);
    cr_assert_eq(packet_record_next(&rest, &got), ERR_NOT_FOUND);
    for (size_t len = 1; len < out.len; len++) {
        rest = bytes_slice(buf_view(&out), 0, len);
        cr_assert_eq(packet_record_next(&rest, &got), ERR_INVALID);
    }
    /* Another type, known or not, is no record. */
    buf_clear(&out);
    buf_put(&out, BYTES("\1\x20\1\0x"));
    rest = buf_view(&out);
    cr_assert_eq(packet_record_next(&rest, &got), ERR_INVALID);
    buf_close(&out);
}

Test(packet, addresses_are_literal)
{
    static const char *const good[][3] = {
        {"10.0.0.2", "10.0.0.2", "8301"}, {"10.0.0.2:1", "10.0.0.2", "1"},
        {"[::1]:65535", "::1", "65535"},  {"::1", "::1", "8301"},
        {"[fe80::2]", "fe80::2", "8301"}, {"::ffff:1.2.3.4", "1.2.3.4", "8301"},
    };
    static const char *const bad[] = {
        "",
        "a",
        "10.0.0",
        "10.0.0.2:",
        "10.0.0.2:0",
        "10.0.0.2:65536",
        "[10.0.0.2]",
        "[::1",
        "[::1]x",
        "[::1]:",
        "::1:x",
        "1.2.3.4:5:6",
        "10.0.0.2:-1",
        "10.0.0.2 ",
        "1111111111111111111111111111111111111111111111111111111111111",
    };
    struct packet_address a;
    char text[GOSSIP_ADDRESS_LEN];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        a = address(good[i][0]);
        packet_address_text(&a, text);
        cr_assert_str_eq(text, good[i][1]);
        cr_assert_eq(a.port, atoi(good[i][2]), "%s", good[i][0]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(packet_address_parse(bad[i], 8301, &a), ERR_INVALID, "%s", bad[i]);
    }
}

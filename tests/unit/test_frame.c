#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/replica/frame.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct hello HELLO = {.channel = 1,
                                   .cluster = 0x1122334455667788,
                                   .sender = 7,
                                   .receiver = UINT64_MAX};

static struct bytes view(const char *data, size_t len)
{
    return (struct bytes){data, len};
}

/* What was encoded is decoded to the same, and lies there as the contract says. */
Test(hello, comes_back_as_it_was)
{
    char data[HELLO_LEN];
    struct hello got;
    hello_encode(&HELLO, data);
    cr_assert_eq(hello_decode(view(data, HELLO_LEN), &got), NULL);
    cr_assert_eq(got.channel, HELLO.channel);
    cr_assert_eq(got.cluster, HELLO.cluster);
    cr_assert_eq(got.sender, HELLO.sender);
    cr_assert_eq(got.receiver, HELLO.receiver);
    cr_assert_eq(memcmp(data, "HRLD\1\1\x88\x77\x66\x55\x44\x33\x22\x11\7\0", 16), 0);
}

/* No byte of a hello may change. */
Test(hello, any_flipped_bit_is_refused)
{
    char data[HELLO_LEN];
    struct hello got;
    for (size_t bit = 0; bit < 8UL * HELLO_LEN; bit++) {
        hello_encode(&HELLO, data);
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
        cr_assert_neq(hello_decode(view(data, HELLO_LEN), &got), NULL, "bit %zu", bit);
    }
}

/* A frame is found when it is whole, not before, and says how much there will be. */
Test(frame, is_found_when_it_is_whole)
{
    char data[FRAME_HEAD_LEN + 5 + 1];
    struct bytes payload = {0};
    size_t len = 0;
    frame_head(BYTES("horse"), data);
    memcpy(data + FRAME_HEAD_LEN, "horsex", 6);
    for (size_t i = 0; i < FRAME_HEAD_LEN + 5; i++) {
        cr_assert_eq(frame_find(view(data, i), &payload, &len), FRAME_PART);
        cr_assert_eq(len, i < FRAME_HEAD_LEN ? FRAME_HEAD_LEN : FRAME_HEAD_LEN + 5);
    }
    cr_assert_eq(frame_find(view(data, sizeof data), &payload, &len), FRAME_WHOLE);
    cr_assert(bytes_equal(payload, BYTES("horse")));
    cr_assert_eq(len, FRAME_HEAD_LEN + 5);
}

/* No bit of a frame may change: it is refused, or waits for a longer one that will be refused. */
Test(frame, any_flipped_bit_is_refused)
{
    char data[FRAME_HEAD_LEN + 5];
    struct bytes payload = {0};
    size_t len = 0;
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        frame_head(BYTES("horse"), data);
        memcpy(data + FRAME_HEAD_LEN, "horse", 5);
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
        cr_assert_neq(frame_find(view(data, sizeof data), &payload, &len), FRAME_WHOLE);
    }
}

/* The length is judged before there is any payload. */
Test(frame, a_length_that_cannot_be_is_refused_at_once)
{
    struct bytes payload = {0};
    size_t len = 0;
    cr_assert_eq(frame_find(view("\0\0\0\0\0\0\0\0", 8), &payload, &len), FRAME_LENGTH_BAD);
    cr_assert_eq(frame_find(view("\1\0\x20\0\0\0\0\0", 8), &payload, &len), FRAME_LENGTH_BAD);
    cr_assert_eq(frame_find(view("\377\377\377\377\0\0\0\0", 8), &payload, &len), FRAME_LENGTH_BAD);
    cr_assert_eq(frame_find(view("\0\0\x20\0\0\0\0\0", 8), &payload, &len), FRAME_PART);
    cr_assert_eq(len, FRAME_HEAD_LEN + RPC_MESSAGE_MAX);
}

#include "store/replica/frame.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "store/pack.h"

#include <string.h>

static const char HELLO_MAGIC[4] = {'H', 'R', 'L', 'D'};

_Static_assert(HELLO_LEN == sizeof HELLO_MAGIC + 1 + 1 + 8 + 8 + 8 + 4, "as on the wire");

static void frame_put(char *at, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        at[i] = (char)(value >> (8 * i));
    }
}

bool hello_begins(struct bytes data)
{
    return bytes_begins(data, (struct bytes){HELLO_MAGIC, sizeof HELLO_MAGIC});
}

void hello_encode(const struct hello *h, char ret_data[HELLO_LEN])
{
    CHECK(h->channel <= HELLO_CHANNEL_MAX);
    memcpy(ret_data, HELLO_MAGIC, sizeof HELLO_MAGIC);
    ret_data[4] = (char)HELLO_VERSION;
    ret_data[5] = (char)h->channel;
    frame_put(ret_data + 6, h->cluster, 8);
    frame_put(ret_data + 14, h->sender, 8);
    frame_put(ret_data + 22, h->receiver, 8);
    frame_put(ret_data + 30, checksum((struct bytes){ret_data, HELLO_LEN - 4}), 4);
}

const char *hello_decode(struct bytes data, struct hello *ret_hello)
{
    CHECK(data.len == HELLO_LEN);
    struct unpack in = {.rest = data};
    struct bytes magic = {HELLO_MAGIC, sizeof HELLO_MAGIC};
    if (!bytes_equal(unpack_raw(&in, magic.len), magic)) {
        return "it does not speak our protocol";
    }
    if (unpack_u8(&in) != HELLO_VERSION) {
        return "another version of the protocol";
    }
    struct hello h = {.channel = unpack_u8(&in)};
    h.cluster = unpack_u64(&in);
    h.sender = unpack_u64(&in);
    h.receiver = unpack_u64(&in);
    if (unpack_u32(&in) != checksum(bytes_slice(data, 0, HELLO_LEN - 4))) {
        return "the checksum of its hello is wrong";
    }
    if (h.channel > HELLO_CHANNEL_MAX) {
        return "unknown channel";
    }
    *ret_hello = h;
    return NULL;
}

/* The length is under the checksum too. */
static uint32_t frame_sum(const char *length, struct bytes payload)
{
    return checksum_more(checksum((struct bytes){length, 4}), payload);
}

void frame_head(struct bytes payload, char ret_head[FRAME_HEAD_LEN])
{
    CHECK(payload.len > 0 && payload.len <= RPC_MESSAGE_MAX);
    frame_put(ret_head, payload.len, 4);
    frame_put(ret_head + 4, frame_sum(ret_head, payload), 4);
}

enum frame_found frame_find(struct bytes data, struct bytes *ret_payload, size_t *ret_len)
{
    struct unpack in = {.rest = data};
    uint32_t len = unpack_u32(&in);
    uint32_t sum = unpack_u32(&in);
    if (in.failed) {
        *ret_len = FRAME_HEAD_LEN;
        return FRAME_PART;
    }
    if (len == 0 || len > RPC_MESSAGE_MAX) {
        return FRAME_LENGTH_BAD;
    }
    *ret_len = FRAME_HEAD_LEN + len;
    struct bytes payload = unpack_raw(&in, len);
    if (in.failed) {
        return FRAME_PART;
    }
    if (frame_sum(data.ptr, payload) != sum) {
        return FRAME_CHECKSUM_BAD;
    }
    *ret_payload = payload;
    return FRAME_WHOLE;
}

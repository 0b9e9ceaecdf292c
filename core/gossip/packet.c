#include "core/gossip/packet.h"

#include "core/base/check.h"
#include "core/base/pack.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Type and length in front of each message. */
#define PACKET_FRAME 3

static const uint8_t V4_PREFIX[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* --- names, tags, addresses ------------------------------------------------------------------ */

static bool text_valid(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return bytes_utf8_valid(text);
}

bool packet_name_valid(struct bytes name)
{
    return name.len >= 1 && name.len <= GOSSIP_NAME_MAX && text_valid(name);
}

static enum err tags_check(const struct gossip_tag *tags, size_t count, struct reason *why)
{
    size_t total = 0;
    if (count > GOSSIP_TAGS_MAX) {
        reason_set(why, "%zu tags, at most %d", count, GOSSIP_TAGS_MAX);
        return ERR_TOO_BIG;
    }
    for (size_t i = 0; i < count; i++) {
        size_t name = strnlen(tags[i].name, sizeof tags[i].name);
        size_t value = strnlen(tags[i].value, sizeof tags[i].value);
        if (name == 0 || name == sizeof tags[i].name || value == sizeof tags[i].value) {
            reason_set(why, "tag %zu: a name has 1 to 31 bytes, a value at most 127", i);
            return ERR_INVALID;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(tags[j].name, tags[i].name) == 0) {
                reason_set(why, "tag %s is there twice", tags[i].name);
                return ERR_INVALID;
            }
        }
        total += name + value + 2;
    }
    if (total > GOSSIP_TAGS_BYTES_MAX) {
        reason_set(why,
                   "the tags take %zu bytes, at most %u: all that a node says of itself must "
                   "fit one packet",
                   total, GOSSIP_TAGS_BYTES_MAX);
        return ERR_TOO_BIG;
    }
    return OK;
}

static void pack_short(struct buf *out, struct bytes text)
{
    CHECK(text.len <= UINT8_MAX);
    pack_u8(out, (uint8_t)text.len);
    buf_put(out, text);
}

static struct bytes unpack_short(struct unpack *in)
{
    uint8_t len = unpack_u8(in);
    return unpack_raw(in, len);
}

enum err
packet_tags_encode(struct buf *out, const struct gossip_tag *tags, size_t count, struct reason *why)
{
    enum err e = tags_check(tags, count, why);
    if (e == OK) {
        e = buf_reserve(out, GOSSIP_TAGS_BYTES_MAX);
    }
    for (size_t i = 0; e == OK && i < count; i++) {
        pack_short(out, bytes_of(tags[i].name));
        pack_short(out, bytes_of(tags[i].value));
    }
    return e;
}

/* Copies `text` as a string; false if it does not fit or holds what no text of ours does. */
static bool text_copy(char *to, size_t size, struct bytes text)
{
    if (text.len >= size || !text_valid(text)) {
        return false;
    }
    if (text.len > 0) {
        memcpy(to, text.ptr, text.len);
    }
    to[text.len] = '\0';
    return true;
}

enum err packet_tags_decode(struct bytes wire, struct gossip_tag *ret_tags, size_t *ret_count)
{
    struct unpack in = {.rest = wire};
    size_t count = 0;
    if (wire.len > GOSSIP_TAGS_BYTES_MAX) {
        return ERR_INVALID;
    }
    for (; in.rest.len > 0; count++) {
        struct bytes name = unpack_short(&in);
        struct bytes value = unpack_short(&in);
        if (in.failed || count == GOSSIP_TAGS_MAX || name.len == 0 ||
            !text_copy(ret_tags[count].name, sizeof ret_tags[count].name, name) ||
            !text_copy(ret_tags[count].value, sizeof ret_tags[count].value, value)) {
            return ERR_INVALID;
        }
    }
    if (tags_check(ret_tags, count, &(struct reason){{0}}) != OK) {
        return ERR_INVALID;
    }
    *ret_count = count;
    return OK;
}

bool packet_address_equal(const struct packet_address *a, const struct packet_address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool packet_address_v4(const struct packet_address *a)
{
    return memcmp(a->ip, V4_PREFIX, sizeof V4_PREFIX) == 0;
}

void packet_address_text(const struct packet_address *a, char ret_text[GOSSIP_ADDRESS_LEN])
{
    bool v4 = packet_address_v4(a);
    const char *text = inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->ip + sizeof V4_PREFIX : a->ip,
                                 ret_text, GOSSIP_ADDRESS_LEN);
    CHECK(text != NULL);
}

enum err packet_address_parse(const char *text, uint16_t port, struct packet_address *ret_address)
{
    char host[GOSSIP_ADDRESS_LEN];
    struct packet_address a = {.port = port};
    const char *colon = strrchr(text, ':');
    bool bracket = text[0] == '[';
    const char *end = text + strlen(text);
    if (bracket) {
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return ERR_INVALID;
        }
        text++;
        colon = end[1] == ':' ? end + 1 : NULL;
    } else if (colon != NULL && strchr(text, ':') == colon) {
        end = colon;
    } else {
        colon = NULL;
    }
    uint64_t number = 0;
    if (colon != NULL &&
        (bytes_to_u64(bytes_of(colon + 1), &number) != OK || number == 0 || number > UINT16_MAX)) {
        return ERR_INVALID;
    }
    if (colon != NULL) {
        a.port = (uint16_t)number;
    }
    size_t len = (size_t)(end - text);
    if (len >= sizeof host) {
        return ERR_INVALID;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    if (!bracket && inet_pton(AF_INET, host, a.ip + sizeof V4_PREFIX) == 1) {
        memcpy(a.ip, V4_PREFIX, sizeof V4_PREFIX);
    } else if (inet_pton(AF_INET6, host, a.ip) != 1) {
        return ERR_INVALID;
    }
    *ret_address = a;
    return OK;
}

/* --- messages -------------------------------------------------------------------------------- */

static void pack_u16(struct buf *out, size_t value)
{
    CHECK(value <= UINT16_MAX);
    pack_u8(out, (uint8_t)value);
    pack_u8(out, (uint8_t)(value >> 8));
}

static void pack_long(struct buf *out, struct bytes text)
{
    pack_u16(out, text.len);
    buf_put(out, text);
}

static struct bytes unpack_long(struct unpack *in)
{
    size_t len = (size_t)unpack_number(in, 2);
    return unpack_raw(in, len);
}

static void pack_address(struct buf *out, const struct packet_address *a)
{
    bool v4 = packet_address_v4(a);
    pack_u8(out, v4 ? 4 : 16);
    buf_put(out, v4 ? (struct bytes){(const char *)a->ip + sizeof V4_PREFIX, 4}
                    : (struct bytes){(const char *)a->ip, 16});
    pack_u16(out, a->port);
}

static struct packet_address unpack_address(struct unpack *in)
{
    struct packet_address a = {0};
    uint8_t len = unpack_u8(in);
    struct bytes ip = {0};
    if (len == 4 || len == 16) {
        ip = unpack_raw(in, len);
    } else {
        in->failed = true;
    }
    if (ip.len == 4) {
        memcpy(a.ip, V4_PREFIX, sizeof V4_PREFIX);
        memcpy(a.ip + sizeof V4_PREFIX, ip.ptr, 4);
    } else if (ip.len == 16) {
        memcpy(a.ip, ip.ptr, 16);
    }
    a.port = (uint16_t)unpack_number(in, 2);
    return a;
}

static void pack_fields(struct buf *out, const struct packet_message *m)
{
    switch (m->type) {
    case PACKET_PING:
        pack_u32(out, m->seq);
        pack_short(out, m->name);
        pack_short(out, m->from);
        break;
    case PACKET_PING_REQ:
        pack_u32(out, m->seq);
        pack_u8(out, m->flags);
        pack_short(out, m->name);
        break;
    case PACKET_ACK:
    case PACKET_NACK:
        pack_u32(out, m->seq);
        break;
    case PACKET_ALIVE:
        pack_u64(out, m->incarnation);
        pack_u8(out, m->flags);
        pack_short(out, m->name);
        pack_address(out, &m->address);
        pack_long(out, m->tags);
        break;
    case PACKET_REMOVE:
        pack_u8(out, m->flags);
        __attribute__((fallthrough));
    case PACKET_SUSPECT:
    case PACKET_DEAD:
        pack_u64(out, m->incarnation);
        pack_short(out, m->name);
        pack_short(out, m->from);
        break;
    case PACKET_ORDER:
        pack_u64(out, m->id);
        pack_u8(out, m->order);
        pack_short(out, m->text);
        break;
    case PACKET_ORDER_REPLY:
        pack_u64(out, m->id);
        pack_u8(out, m->flags);
        pack_short(out, m->text);
        pack_long(out, m->keys);
        break;
    }
}

enum err packet_append(struct buf *out, const struct packet_message *m)
{
    /* Above the fixed fields of any type. */
    size_t bound =
        PACKET_FRAME + 48 + m->name.len + m->from.len + m->tags.len + m->text.len + m->keys.len;
    struct buf fields;
    buf_init(&fields, bound);
    pack_fields(&fields, m);
    size_t len = PACKET_FRAME + fields.len;
    enum err e = out->len + len > out->max ? ERR_TOO_BIG : OK;
    if (e == OK) {
        pack_u8(out, (uint8_t)m->type);
        pack_u16(out, fields.len);
        buf_put(out, buf_view(&fields));
    }
    buf_close(&fields);
    return e;
}

static void unpack_about(struct unpack *in, struct packet_message *m)
{
    m->incarnation = unpack_u64(in);
    m->name = unpack_short(in);
    m->from = unpack_short(in);
}

static void unpack_order_reply(struct unpack *in, struct packet_message *m)
{
    m->id = unpack_u64(in);
    m->flags = unpack_u8(in);
    m->text = unpack_short(in);
    m->keys = unpack_long(in);
}

static void unpack_fields(struct unpack *in, struct packet_message *m)
{
    switch (m->type) {
    case PACKET_PING:
        m->seq = unpack_u32(in);
        m->name = unpack_short(in);
        m->from = unpack_short(in);
        break;
    case PACKET_PING_REQ:
        m->seq = unpack_u32(in);
        m->flags = unpack_u8(in);
        m->name = unpack_short(in);
        break;
    case PACKET_ACK:
    case PACKET_NACK:
        m->seq = unpack_u32(in);
        break;
    case PACKET_ALIVE:
        m->incarnation = unpack_u64(in);
        m->flags = unpack_u8(in);
        m->name = unpack_short(in);
        m->address = unpack_address(in);
        m->tags = unpack_long(in);
        break;
    case PACKET_REMOVE:
        m->flags = unpack_u8(in);
        unpack_about(in, m);
        break;
    case PACKET_SUSPECT:
    case PACKET_DEAD:
        unpack_about(in, m);
        break;
    case PACKET_ORDER:
        m->id = unpack_u64(in);
        m->order = unpack_u8(in);
        m->text = unpack_short(in);
        break;
    case PACKET_ORDER_REPLY:
        unpack_order_reply(in, m);
        break;
    }
}

static bool fields_valid(const struct packet_message *m)
{
    bool named = packet_name_valid(m->name);
    switch (m->type) {
    case PACKET_PING:
        return named && packet_name_valid(m->from);
    case PACKET_PING_REQ:
        return named;
    case PACKET_ACK:
    case PACKET_NACK:
        return true;
    case PACKET_ALIVE: {
        struct gossip_tag tags[GOSSIP_TAGS_MAX];
        size_t count = 0;
        return named && m->address.port != 0 && m->incarnation <= GOSSIP_INCARNATION_MAX &&
               packet_tags_decode(m->tags, tags, &count) == OK;
    }
    case PACKET_SUSPECT:
    case PACKET_DEAD:
    case PACKET_REMOVE:
        return named && packet_name_valid(m->from) && m->incarnation <= GOSSIP_INCARNATION_MAX;
    case PACKET_ORDER:
        return m->order <= GOSSIP_KEY_REMOVE && m->text.len <= GOSSIP_KEY_MAX;
    case PACKET_ORDER_REPLY:
        return text_valid(m->text);
    }
    return false;
}

enum err packet_next(struct bytes *rest, struct packet_message *ret_message)
{
    while (rest->len > 0) {
        struct unpack in = {.rest = *rest};
        uint8_t type = unpack_u8(&in);
        struct unpack fields = {.rest = unpack_long(&in)};
        if (in.failed || type == 0) {
            return ERR_INVALID;
        }
        *rest = in.rest;
        if (type > PACKET_ORDER_REPLY) {
            continue;
        }
        struct packet_message m = {.type = (enum packet_type)type};
        unpack_fields(&fields, &m);
        if (!unpack_done(&fields) || !fields_valid(&m)) {
            return ERR_INVALID;
        }
        *ret_message = m;
        return OK;
    }
    return ERR_NOT_FOUND;
}

/* --- state exchange -------------------------------------------------------------------------- */

#define RECORD_SUSPECT 0x80U

enum err packet_record_append(struct buf *out, const struct packet_record *r)
{
    size_t before = out->len;
    unsigned head = (unsigned)r->status | (r->suspect ? RECORD_SUSPECT : 0U);
    enum err e = buf_append_char(out, (char)head);
    if (e == OK) {
        e = packet_append(out, &r->alive);
    }
    if (e != OK) {
        buf_truncate(out, before);
    }
    return e;
}

enum err packet_record_next(struct bytes *rest, struct packet_record *ret_record)
{
    struct packet_record r = {0};
    struct unpack in = {.rest = *rest};
    if (rest->len == 0) {
        return ERR_NOT_FOUND;
    }
    unsigned head = unpack_u8(&in);
    unsigned status = head & ~RECORD_SUSPECT;
    /* A record is of a known type: what follows must not be skipped. */
    if (status < GOSSIP_ALIVE || status > GOSSIP_FAILED || in.rest.len == 0 ||
        in.rest.ptr[0] != PACKET_ALIVE || packet_next(&in.rest, &r.alive) != OK) {
        return ERR_INVALID;
    }
    r.status = (enum gossip_status)status;
    r.suspect = (head & RECORD_SUSPECT) != 0;
    *ret_record = r;
    *rest = in.rest;
    return OK;
}

/* What gossip says, as values and as bytes. Pure: no socket, no clock.
 *
 * Format   a packet is the protocol's version (1 byte), then messages: type (1), length (2),
 * fields, little-endian; names and tags have a length of 1 byte in front. A type that is not known
 *          is skipped by its length, so that a newer node can say more.
 * Promise  any other bytes are ERR_INVALID and never a crash: whoever holds the key may be broken
 *          or hostile. Counts and lengths are checked against what is there.
 * Owner    a decoded message borrows its names, tags and texts from the bytes.
 * Limits   GOSSIP_PACKET_MAX, GOSSIP_TAGS_BYTES_MAX, GOSSIP_NAME_MAX
 * Threads  any.
 */
#ifndef CORE_GOSSIP_PACKET_H
#define CORE_GOSSIP_PACKET_H

#include "core/base/buf.h"
#include "core/base/limit.h"
#include "core/gossip/gossip.h"

#define PACKET_VERSION  1
/* Room for messages in one datagram, the version included. */
#define PACKET_BODY_MAX (GOSSIP_PACKET_MAX - GOSSIP_SEAL_MAX)

enum packet_type {
    PACKET_PING = 1,        /* seq, name (whom I mean), from (who asks) */
    PACKET_PING_REQ = 2,    /* seq, flags, name (ping that one for me) */
    PACKET_ACK = 3,         /* seq */
    PACKET_NACK = 4,        /* seq: I got no answer either, but I am here */
    PACKET_ALIVE = 5,       /* incarnation, flags, name, address, tags */
    PACKET_SUSPECT = 6,     /* incarnation, name, from */
    PACKET_DEAD = 7,        /* incarnation, name, from; from == name: it left */
    PACKET_REMOVE = 8,      /* incarnation, flags, name, from: an operator's force-leave */
    PACKET_ORDER = 9,       /* id, order, text (a key, raw): to each member directly */
    PACKET_ORDER_REPLY = 10 /* id, flags, text (an error), keys (raw, each with its length) */
};

enum {
    PACKET_LEAVING = 1,   /* ALIVE: it is about to leave */
    PACKET_WANT_NACK = 1, /* PING_REQ */
    PACKET_PRUNE = 1,     /* REMOVE: forget it at once */
    PACKET_FAILED = 1,    /* ORDER_REPLY: `text` says why */
};

/* An IPv4 address is written as ::ffff:a.b.c.d. */
struct packet_address {
    uint8_t ip[16];
    uint16_t port;
};

struct packet_message {
    enum packet_type type;
    uint8_t flags;
    uint8_t order; /* enum gossip_key_order */
    uint32_t seq;
    uint64_t incarnation;
    uint64_t id;
    struct packet_address address;
    struct bytes name;
    struct bytes from;
    struct bytes tags; /* as packet_tags_encode() writes them */
    struct bytes text;
    struct bytes keys;
};

/* Appends; ERR_TOO_BIG leaves `out` unchanged. */
enum err packet_append(struct buf *out, const struct packet_message *m) ERR_MUST_USE;
/* Takes the next message off `*rest`; ERR_NOT_FOUND at the end, ERR_INVALID. Unknown types are
 * skipped. */
enum err packet_next(struct bytes *rest, struct packet_message *ret_message) ERR_MUST_USE;

/* One member in a state exchange: its status, and what its alive message would say. */
struct packet_record {
    enum gossip_status status;
    bool suspect;
    struct packet_message alive;
};
enum err packet_record_append(struct buf *out, const struct packet_record *r) ERR_MUST_USE;
/* As packet_next(), but nothing is skipped. */
enum err packet_record_next(struct bytes *rest, struct packet_record *ret_record) ERR_MUST_USE;

/* Up to GOSSIP_TAGS_MAX tags of GOSSIP_TAGS_BYTES_MAX bytes altogether; ERR_TOO_BIG, ERR_INVALID
 * (an empty or repeated name), with `why`. */
enum err packet_tags_encode(struct buf *out,
                            const struct gossip_tag *tags,
                            size_t count,
                            struct reason *why) ERR_MUST_USE;
/* `ret_tags` has room for GOSSIP_TAGS_MAX. */
enum err
packet_tags_decode(struct bytes wire, struct gossip_tag *ret_tags, size_t *ret_count) ERR_MUST_USE;
/* 1 to GOSSIP_NAME_MAX bytes of UTF-8 without control characters. */
bool packet_name_valid(struct bytes name);

bool packet_address_equal(const struct packet_address *a, const struct packet_address *b);
bool packet_address_v4(const struct packet_address *a);
/* The literal address alone, without the port. */
void packet_address_text(const struct packet_address *a, char ret_text[GOSSIP_ADDRESS_LEN]);
/* "10.0.0.2", "10.0.0.2:8301", "[::1]:8301", "::1"; `port` if none is said. ERR_INVALID. */
enum err packet_address_parse(const char *text,
                              uint16_t port,
                              struct packet_address *ret_address) ERR_MUST_USE;

#endif

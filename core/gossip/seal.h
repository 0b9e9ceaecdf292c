/* What goes over the wire, and what is let in: packets sealed with the cluster's keys (or in clear
 * where there are none), bound to the protocol's version and the cluster's label, and each let in
 * only once.
 *
 * Forms    clear   0, checksum of the label (4), the packet
 *          sealed  1, keyring form of: sender (8), counter (8), the packet
 * Replay   a node draws a random sender number when it starts, and counts its packets. A receiver
 *          remembers the newest GOSSIP_REPLAY_WINDOW counters of each sender; what is older or was
 *          there is refused. A sender that is not remembered (it has just started, or this node
 *          has) is believed once: there the incarnations keep old rumours from mattering.
 * Owner    the ring is borrowed.
 * Limits   GOSSIP_SENDERS_MAX, GOSSIP_PACKET_MAX
 * Errors   ERR_DENIED: not ours; ERR_CONFLICT: a replay.
 * Threads  one at a time.
 */
#ifndef CORE_GOSSIP_SEAL_H
#define CORE_GOSSIP_SEAL_H

#include "core/gossip/keyring.h"

struct seal;

struct seal *seal_new(struct env *env, struct keyring *keyring, const char *label);
void seal_free(struct seal *s);
/* Whether there are keys: then nothing is let in that is not sealed. */
bool seal_closed(const struct seal *s);
uint32_t seal_label(const struct seal *s);

/* Replaces `out` with the packet's wire form. */
void seal_packet(struct seal *s, struct bytes packet, struct buf *out);
/* Replaces `out` with the packet in the wire form. */
enum err seal_open_packet(struct seal *s, struct bytes wire, struct buf *out) ERR_MUST_USE;

/* One piece of a stream; `context` says which stream, direction and place it belongs to. */
void seal_piece(struct seal *s, struct bytes piece, struct bytes context, struct buf *out);
enum err seal_open_piece(struct seal *s, struct bytes wire, struct bytes context, struct buf *out)
    ERR_MUST_USE;

#endif

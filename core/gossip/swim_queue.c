#include "core/gossip/swim_priv.h"

#include "core/base/check.h"

#include <math.h>
#include <string.h>

void swim_queue_init(struct swim_queue *q)
{
    for (size_t i = 0; i <= GOSSIP_RETRANSMIT_MAX; i++) {
        list_init(&q->tiers[i]);
    }
    q->count = 0;
}

/* So often each rumour is sent by each who heard it: SWIM's lambda log n. */
static unsigned queue_limit(const struct swim *s)
{
    double members = (double)(s->others + 1);
    unsigned limit = GOSSIP_RETRANSMIT_MULT * (unsigned)ceil(log10(members + 1));
    return limit < GOSSIP_RETRANSMIT_MAX ? limit : GOSSIP_RETRANSMIT_MAX;
}

static void queue_drop(struct swim *s, struct swim_member *m)
{
    CHECK(m->queued);
    list_remove(&m->link);
    m->queued = false;
    s->queue.count--;
    if (m->erased) {
        swim_free_member(m);
    }
}

void swim_queue_add(struct swim *s,
                    struct swim_member *m,
                    enum packet_type rumour,
                    struct bytes from)
{
    CHECK(!m->erased && from.len <= GOSSIP_NAME_MAX);
    if (m->queued) {
        queue_drop(s, m);
    }
    m->rumour = rumour;
    m->transmits = 0;
    m->queued = true;
    if (from.len > 0) {
        memmove(m->from, from.ptr, from.len);
    }
    m->from[from.len] = '\0';
    /* In front of the others: news first. */
    list_append(s->queue.tiers[0].next, &m->link);
    s->queue.count++;
}

struct packet_message swim_rumour_of(const struct swim_member *m)
{
    if (m->rumour == PACKET_ALIVE) {
        return swim_alive_of(m);
    }
    return (struct packet_message){
        .type = m->rumour,
        .flags = m->rumour == PACKET_REMOVE && m->prune ? PACKET_PRUNE : 0,
        .incarnation = m->shown.incarnation,
        .name = swim_name(m),
        .from = bytes_of(m->from),
    };
}

void swim_queue_fill(struct swim *s, struct buf *out)
{
    unsigned limit = queue_limit(s);
    struct list sent;
    if (s->queue.count == 0) {
        return;
    }
    list_init(&sent);
    for (unsigned tier = 0; tier <= GOSSIP_RETRANSMIT_MAX; tier++) {
        LIST_FOREACH (at, &s->queue.tiers[tier]) {
            struct swim_member *m = LIST_OWNER(at, struct swim_member, link);
            struct packet_message message = swim_rumour_of(m);
            if (tier >= limit || packet_append(out, &message) == OK) {
                list_remove(at);
                list_append(&sent, at);
            }
        }
    }
    LIST_FOREACH (at, &sent) {
        struct swim_member *m = LIST_OWNER(at, struct swim_member, link);
        m->transmits++;
        list_remove(at);
        if (m->transmits >= limit) {
            queue_drop(s, m);
        } else {
            list_append(&s->queue.tiers[m->transmits], at);
        }
    }
}

void swim_queue_close(struct swim *s)
{
    for (size_t tier = 0; tier <= GOSSIP_RETRANSMIT_MAX; tier++) {
        LIST_FOREACH (at, &s->queue.tiers[tier]) {
            queue_drop(s, LIST_OWNER(at, struct swim_member, link));
        }
    }
}

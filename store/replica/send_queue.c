#include "store/replica/send_queue.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

struct block {
    struct list link;
    size_t cap;
    size_t sent;
    size_t len;
    char data[];
};

void send_queue_init(struct send_queue *q)
{
    *q = (struct send_queue){0};
    list_init(&q->blocks);
}

static void block_free(struct block *b)
{
    list_remove(&b->link);
    free(b);
}

void send_queue_clear(struct send_queue *q)
{
    LIST_FOREACH (at, &q->blocks) {
        block_free(LIST_OWNER(at, struct block, link));
    }
    q->bytes = 0;
    q->frames = 0;
}

/* The last block, if it has room, or a new one. */
static struct block *send_queue_room(struct send_queue *q, size_t len)
{
    if (!list_empty(&q->blocks)) {
        struct block *last = LIST_OWNER(q->blocks.prev, struct block, link);
        if (last->cap - last->len >= len) {
            return last;
        }
    }
    size_t cap = len > TRANSPORT_BLOCK_BYTES ? len : TRANSPORT_BLOCK_BYTES;
    struct block *b = mem_alloc(sizeof *b + cap);
    b->cap = cap;
    b->sent = 0;
    b->len = 0;
    list_append(&q->blocks, &b->link);
    return b;
}

void send_queue_put(struct send_queue *q, struct bytes head, struct bytes payload)
{
    struct block *b = send_queue_room(q, head.len + payload.len);
    memcpy(b->data + b->len, head.ptr, head.len);
    b->len += head.len;
    if (payload.len > 0) {
        memcpy(b->data + b->len, payload.ptr, payload.len);
        b->len += payload.len;
    }
    q->bytes += head.len + payload.len;
    q->frames++;
}

int send_queue_peek(const struct send_queue *q, struct iovec *ret_pieces, int count, size_t max)
{
    int used = 0;
    LIST_FOREACH (at, &q->blocks) {
        struct block *b = LIST_OWNER(at, struct block, link);
        if (used == count || max == 0) {
            break;
        }
        size_t len = b->len - b->sent;
        len = len < max ? len : max;
        ret_pieces[used++] = (struct iovec){.iov_base = b->data + b->sent, .iov_len = len};
        max -= len;
    }
    return used;
}

void send_queue_sent(struct send_queue *q, size_t len)
{
    CHECK(len <= q->bytes);
    q->bytes -= len;
    LIST_FOREACH (at, &q->blocks) {
        struct block *b = LIST_OWNER(at, struct block, link);
        size_t part = b->len - b->sent;
        part = part < len ? part : len;
        b->sent += part;
        len -= part;
        if (b->sent < b->len) {
            break;
        }
        block_free(b);
    }
    CHECK(len == 0);
    if (q->bytes == 0) {
        q->frames = 0;
    }
}

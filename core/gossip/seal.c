#include "core/gossip/seal.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/pack.h"
#include "core/base/text.h"
#include "core/gossip/packet.h"

#include <stdlib.h>
#include <string.h>

#define SEAL_CLEAR  0
#define SEAL_SEALED 1
#define SEAL_WORDS  (GOSSIP_REPLAY_WINDOW / 64)
#define SEAL_WAYS   8
#define SEAL_SETS   (GOSSIP_SENDERS_MAX / SEAL_WAYS)

/* What the sealed bytes are bound to, beside what a stream adds. */
#define SEAL_CONTEXT_MAX (16 + GOSSIP_LABEL_MAX + 64)

struct sender {
    uint64_t id;
    uint64_t newest;
    uint64_t used; /* by how recently it was heard */
    uint64_t seen[SEAL_WORDS];
};

struct seal {
    struct env *env;
    struct keyring *keyring;
    uint32_t label;
    struct buf packet_context;
    struct buf scratch;
    uint64_t id;
    uint64_t counter;
    uint64_t heard;
    struct sender *senders[GOSSIP_SENDERS_MAX]; /* SEAL_SETS times SEAL_WAYS */
};

struct seal *seal_new(struct env *env, struct keyring *keyring, const char *label)
{
    struct seal *s = mem_zalloc(1, sizeof *s);
    s->env = env;
    s->keyring = keyring;
    s->label = checksum(bytes_of(label));
    env_random(env, &s->id, sizeof s->id);
    buf_init(&s->packet_context, SEAL_CONTEXT_MAX);
    buf_put_str(&s->packet_context, "herald gossip");
    buf_put_char(&s->packet_context, PACKET_VERSION);
    buf_put_str(&s->packet_context, label);
    buf_init(&s->scratch, GOSSIP_CHUNK_MAX + KIB(1));
    return s;
}

void seal_free(struct seal *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < GOSSIP_SENDERS_MAX; i++) {
        free(s->senders[i]);
    }
    buf_close(&s->packet_context);
    buf_close(&s->scratch);
    free(s);
}

bool seal_closed(const struct seal *s)
{
    return keyring_count(s->keyring) > 0;
}

uint32_t seal_label(const struct seal *s)
{
    return s->label;
}

/* --- replay ---------------------------------------------------------------------------------- */

static struct sender *sender_of(struct seal *s, uint64_t id, uint64_t counter)
{
    struct sender **set = &s->senders[id % SEAL_SETS * SEAL_WAYS];
    size_t oldest = 0;
    for (size_t i = 0; i < SEAL_WAYS; i++) {
        if (set[i] == NULL) {
            oldest = i;
            break;
        }
        if (set[i]->id == id) {
            set[i]->used = ++s->heard;
            return set[i];
        }
        oldest = set[i]->used < set[oldest]->used ? i : oldest;
    }
    if (set[oldest] == NULL) {
        set[oldest] = mem_alloc(sizeof(struct sender));
    }
    *set[oldest] = (struct sender){.id = id, .newest = counter, .used = ++s->heard};
    return set[oldest];
}

/* True the first time. */
static bool replay_admit(struct seal *s, uint64_t id, uint64_t counter)
{
    struct sender *sender = sender_of(s, id, counter);
    if (counter + GOSSIP_REPLAY_WINDOW <= sender->newest) {
        return false;
    }
    /* The places between the newest and this one belonged to counters that are too old now. */
    uint64_t ahead = counter > sender->newest ? counter - sender->newest : 0;
    if (ahead >= GOSSIP_REPLAY_WINDOW) {
        memset(sender->seen, 0, sizeof sender->seen);
        sender->newest = counter;
    }
    while (sender->newest < counter) {
        sender->newest++;
        uint64_t place = sender->newest % GOSSIP_REPLAY_WINDOW;
        sender->seen[place / 64] &= ~(UINT64_C(1) << (place % 64));
    }
    uint64_t place = counter % GOSSIP_REPLAY_WINDOW;
    uint64_t bit = UINT64_C(1) << (place % 64);
    bool first = (sender->seen[place / 64] & bit) == 0;
    sender->seen[place / 64] |= bit;
    return first;
}

/* --- packets --------------------------------------------------------------------------------- */

void seal_packet(struct seal *s, struct bytes packet, struct buf *out)
{
    buf_clear(out);
    if (!seal_closed(s)) {
        pack_u8(out, SEAL_CLEAR);
        pack_u32(out, s->label);
        buf_put(out, packet);
        return;
    }
    buf_clear(&s->scratch);
    pack_u64(&s->scratch, s->id);
    pack_u64(&s->scratch, ++s->counter);
    buf_put(&s->scratch, packet);
    pack_u8(out, SEAL_SEALED);
    keyring_seal(s->keyring, buf_view(&s->scratch), buf_view(&s->packet_context), out);
}

enum err seal_open_packet(struct seal *s, struct bytes wire, struct buf *out)
{
    struct unpack in = {.rest = wire};
    uint8_t form = unpack_u8(&in);
    buf_clear(out);
    if (in.failed || form != (seal_closed(s) ? SEAL_SEALED : SEAL_CLEAR)) {
        return ERR_DENIED;
    }
    if (form == SEAL_CLEAR) {
        uint32_t label = unpack_u32(&in);
        return in.failed || label != s->label ? ERR_DENIED : buf_append(out, in.rest);
    }
    buf_clear(&s->scratch);
    enum err e = keyring_unseal(s->keyring, in.rest, buf_view(&s->packet_context), &s->scratch);
    if (e != OK) {
        return e;
    }
    struct unpack plain = {.rest = buf_view(&s->scratch)};
    uint64_t id = unpack_u64(&plain);
    uint64_t counter = unpack_u64(&plain);
    if (plain.failed) {
        return ERR_DENIED;
    }
    return replay_admit(s, id, counter) ? buf_append(out, plain.rest) : ERR_CONFLICT;
}

/* --- streams --------------------------------------------------------------------------------- */

static struct bytes piece_context(struct seal *s, struct bytes context, struct buf *whole)
{
    buf_init(whole, SEAL_CONTEXT_MAX);
    buf_put(whole, buf_view(&s->packet_context));
    buf_put(whole, context);
    return buf_view(whole);
}

void seal_piece(struct seal *s, struct bytes piece, struct bytes context, struct buf *out)
{
    struct buf whole;
    if (!seal_closed(s)) {
        buf_put(out, piece);
        return;
    }
    keyring_seal(s->keyring, piece, piece_context(s, context, &whole), out);
    buf_close(&whole);
}

enum err seal_open_piece(struct seal *s, struct bytes wire, struct bytes context, struct buf *out)
{
    struct buf whole;
    if (!seal_closed(s)) {
        return buf_append(out, wire);
    }
    enum err e = keyring_unseal(s->keyring, wire, piece_context(s, context, &whole), out);
    buf_close(&whole);
    return e;
}

#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/replica/rpc.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS      2000
#define ENTRIES_MAX 5U

static char text[256];
static struct journal_entry entries[ENTRIES_MAX];
static struct rpc_room room;
static struct buf encoded;

/* xorshift: the same messages in each run. */
static uint64_t dice_state = 88172645463325252;

static uint64_t dice(void)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    /* Small, large and the largest. */
    return dice_state % 4 == 0 ? UINT64_MAX : dice_state >> dice_state % 64;
}

static uint64_t some(void)
{
    uint64_t n = dice();
    return n == 0 ? 1 : n;
}

static bool coin(void)
{
    return dice() % 2 == 1;
}

static struct bytes string(size_t max)
{
    size_t len = dice() % (max + 1);
    return bytes_slice((struct bytes){text, sizeof text}, 0, len);
}

static uint32_t some_entries(bool commands)
{
    uint32_t count = dice() % (ENTRIES_MAX + 1);
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct journal_entry){
            .term = commands ? 0 : some(),
            .type = commands ? JOURNAL_COMMAND : (enum journal_type)(1 + dice() % 3),
            .data = string(60),
        };
    }
    return count;
}

static struct rpc_message raft_message(enum rpc_type type)
{
    struct rpc_message m;
    memset(&m, 0, sizeof m);
    m.type = type;
    if (type == RPC_VOTE) {
        m.vote = (struct rpc_vote){some(), dice(), dice(), coin(), coin()};
    } else if (type == RPC_VOTE_REPLY) {
        m.vote_reply = (struct rpc_vote_reply){dice(), coin(), coin()};
    } else if (type == RPC_APPEND) {
        uint32_t count = some_entries(false);
        m.append = (struct rpc_append){some(), dice() / 2, dice(), dice(), entries, count};
    } else if (type == RPC_APPEND_REPLY) {
        m.append_reply = (struct rpc_append_reply){dice(), dice(), dice()};
    } else if (type == RPC_INSTALL) {
        m.install = (struct rpc_install){some(), some(), some(), dice(), string(200)};
    } else if (type == RPC_TIMEOUT_NOW) {
        m.timeout_now = (struct rpc_timeout_now){some(), dice(), dice()};
    } else {
        m.round = (struct rpc_round){some(), dice()};
    }
    return m;
}

static struct rpc_message random_message(enum rpc_type type)
{
    if (type <= RPC_ROUND_REPLY) {
        return raft_message(type);
    }
    struct rpc_message m;
    memset(&m, 0, sizeof m);
    m.type = type;
    if (type == RPC_READ) {
        m.read = (struct rpc_read){dice(), coin()};
    } else if (type == RPC_READ_REPLY) {
        m.read_reply = (struct rpc_read_reply){dice(), dice() % 5, dice(), dice()};
    } else if (type == RPC_FORWARD) {
        uint32_t count = some_entries(true);
        m.forward = (struct rpc_forward){entries, count};
    } else if (type == RPC_FORWARD_REPLY) {
        m.forward_reply = (struct rpc_forward_reply){dice(), dice(), ERR_NOT_LEADER};
    } else if (type == RPC_FETCH) {
        m.fetch = (struct rpc_fetch){dice(), dice()};
    } else if (type == RPC_CHUNK) {
        m.chunk = (struct rpc_chunk){dice(), dice(), OK,          coin(),     dice(),
                                     dice(), dice(), string(100), string(250)};
    } else if (type == RPC_CHANGE) {
        m.change = (struct rpc_change){dice(), STORE_ADD + dice() % 5, dice(), string(36),
                                       string(STORE_ADDRESS_MAX - 1)};
    } else if (type == RPC_CHANGE_REPLY) {
        m.change_reply = (struct rpc_change_reply){dice(), ERR_BUSY};
    } else if (type == RPC_BOOTSTRAP) {
        m.bootstrap = (struct rpc_bootstrap){dice(), coin(), string(200)};
    } else {
        m.bootstrap_reply = (struct rpc_bootstrap_reply){dice(), ERR_IN_USE};
    }
    return m;
}

static void setup(void)
{
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(i == 0 ? 'a' : i);
    }
    buf_init(&encoded, RPC_MESSAGE_MAX);
}

static void teardown(void)
{
    buf_close(&encoded);
    rpc_room_close(&room);
}

static struct bytes encode(const struct rpc_message *m)
{
    buf_clear(&encoded);
    cr_assert_eq(rpc_encode(&encoded, m), OK);
    return buf_view(&encoded);
}

static void entries_equal(const struct journal_entry *got, uint32_t got_count, uint32_t count)
{
    cr_assert_eq(got_count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(got[i].term, entries[i].term);
        cr_assert_eq(got[i].type, entries[i].type);
        cr_assert(bytes_equal(got[i].data, entries[i].data));
    }
}

/* The values came back, not only the bytes: the widest message of each shape, member by member. */
static void message_equal(const struct rpc_message *m, const struct rpc_message *got)
{
    cr_assert_eq(got->type, m->type);
    if (m->type == RPC_APPEND) {
        cr_assert_eq(got->append.term, m->append.term);
        cr_assert_eq(got->append.prev_index, m->append.prev_index);
        cr_assert_eq(got->append.prev_term, m->append.prev_term);
        cr_assert_eq(got->append.commit, m->append.commit);
        entries_equal(got->append.entries, got->append.count, m->append.count);
    } else if (m->type == RPC_FORWARD) {
        entries_equal(got->forward.commands, got->forward.count, m->forward.count);
    } else if (m->type == RPC_CHUNK) {
        cr_assert_eq(got->chunk.token, m->chunk.token);
        cr_assert_eq(got->chunk.number, m->chunk.number);
        cr_assert_eq(got->chunk.status, m->chunk.status);
        cr_assert_eq(got->chunk.last, m->chunk.last);
        cr_assert_eq(got->chunk.index, m->chunk.index);
        cr_assert_eq(got->chunk.index_term, m->chunk.index_term);
        cr_assert_eq(got->chunk.configuration_index, m->chunk.configuration_index);
        cr_assert(bytes_equal(got->chunk.configuration, m->chunk.configuration));
        cr_assert(bytes_equal(got->chunk.data, m->chunk.data));
    } else if (m->type == RPC_CHANGE) {
        cr_assert_eq(got->change.id, m->change.id);
        cr_assert_eq(got->change.kind, m->change.kind);
        cr_assert_eq(got->change.server, m->change.server);
        cr_assert(bytes_equal(got->change.node_id, m->change.node_id));
        cr_assert(bytes_equal(got->change.address, m->change.address));
    } else if (m->type == RPC_VOTE) {
        cr_assert_eq(got->vote.term, m->vote.term);
        cr_assert_eq(got->vote.last_index, m->vote.last_index);
        cr_assert_eq(got->vote.last_term, m->vote.last_term);
        cr_assert_eq(got->vote.disrupt, m->vote.disrupt);
        cr_assert_eq(got->vote.pre_vote, m->vote.pre_vote);
    }
}

/* Decoding gives the values back, and encoding those gives the bytes back. */
Test(rpc, every_type_comes_back_as_it_was, .init = setup, .fini = teardown)
{
    struct buf again;
    buf_init(&again, RPC_MESSAGE_MAX);
    for (int round = 0; round < ROUNDS; round++) {
        for (enum rpc_type type = RPC_VOTE; type <= RPC_BOOTSTRAP_REPLY; type++) {
            struct rpc_message m = random_message(type);
            struct bytes data = encode(&m);
            struct rpc_message got;
            cr_assert_eq(rpc_decode(data, &room, &got), OK, "type %d", type);
            message_equal(&m, &got);
            buf_clear(&again);
            cr_assert_eq(rpc_encode(&again, &got), OK);
            cr_assert(bytes_equal(buf_view(&again), data), "type %d", type);
        }
    }
    buf_close(&again);
}

/* Decodes a copy of exactly those bytes, so that a read past the end is seen. */
static enum err decode_copy(struct bytes data, bool *ret_same)
{
    struct rpc_message got;
    struct buf again;
    char *copy = mem_alloc(data.len + (data.len == 0));
    memcpy(copy, data.ptr, data.len);
    enum err e = rpc_decode((struct bytes){copy, data.len}, &room, &got);
    *ret_same = false;
    if (e == OK) {
        buf_init(&again, RPC_MESSAGE_MAX);
        cr_assert_eq(rpc_encode(&again, &got), OK);
        *ret_same = bytes_equal(buf_view(&again), data);
        buf_close(&again);
    }
    free(copy);
    return e;
}

/* A message that is cut, or has a byte too many, is none. */
Test(rpc, every_truncation_is_refused, .init = setup, .fini = teardown)
{
    bool same = false;
    for (int round = 0; round < 20; round++) {
        for (enum rpc_type type = RPC_VOTE; type <= RPC_BOOTSTRAP_REPLY; type++) {
            struct rpc_message m = random_message(type);
            struct bytes data = encode(&m);
            for (size_t len = 0; len < data.len; len++) {
                cr_assert_eq(decode_copy(bytes_slice(data, 0, len), &same), ERR_INVALID);
            }
            buf_put_char(&encoded, '\0');
            cr_assert_eq(decode_copy(buf_view(&encoded), &same), ERR_INVALID);
        }
    }
}

/* Any changed byte: refused, or another message of the one form. */
Test(rpc, every_flip_is_refused_or_means_itself, .init = setup, .fini = teardown)
{
    static const char FLIPS[] = {1, 2, 16, (char)128, (char)255};
    bool same = false;
    for (int round = 0; round < 10; round++) {
        for (enum rpc_type type = RPC_VOTE; type <= RPC_BOOTSTRAP_REPLY; type++) {
            struct rpc_message m = random_message(type);
            struct bytes data = encode(&m);
            for (size_t i = 0; i < data.len * sizeof FLIPS; i++) {
                char *at = &encoded.ptr[i / sizeof FLIPS];
                *at = (char)(*at ^ FLIPS[i % sizeof FLIPS]);
                enum err e = decode_copy(data, &same);
                cr_assert(e == ERR_INVALID || (e == OK && same), "type %d byte %zu", type, i);
                *at = (char)(*at ^ FLIPS[i % sizeof FLIPS]);
            }
        }
    }
}

static void refused(struct bytes data)
{
    struct rpc_message got;
    cr_assert_eq(rpc_decode(data, &room, &got), ERR_INVALID);
    cr_assert_eq(room.cap, 0, "nothing was allocated");
}

#define ZEROS_8 "\0\0\0\0\0\0\0\0"
#define ONE_8   "\1\0\0\0\0\0\0\0"

/* What each rule of the contract refuses, one by one. */
Test(rpc, what_must_not_be_is_refused, .init = setup, .fini = teardown)
{
    refused(BYTES(""));
    refused(BYTES("\0"));
    refused(BYTES("\023"));
    refused(BYTES("\377"));
    /* a vote in term 0; a bool of 2 */
    refused(BYTES("\1" ZEROS_8 ONE_8 ONE_8 "\0\0"));
    refused(BYTES("\1" ONE_8 ONE_8 ONE_8 "\2\0"));
    /* counts that the bytes cannot hold */
    refused(BYTES("\3" ONE_8 ONE_8 ONE_8 ONE_8 "\377\377\377\377"));
    refused(BYTES("\3" ONE_8 ONE_8 ONE_8 ONE_8 "\1\0\0\0" ONE_8 "\1\0\0\0"));
    /* an append whose last entry has no index */
    refused(BYTES("\3" ONE_8 "\377\377\377\377\377\377\377\377" ONE_8 ONE_8 "\1\0\0\0" ONE_8
                  "\1\0\0\0\0"));
    /* an order of an unknown kind, a status nobody has */
    refused(BYTES("\17" ONE_8 "\0\0\0\0" ONE_8 "\0\0\0\0\0\0\0\0"));
    refused(BYTES("\17" ONE_8 "\6\0\0\0" ONE_8 "\0\0\0\0\0\0\0\0"));
    refused(BYTES("\20" ONE_8 "\377\0\0\0"));
    /* a name with a NUL */
    refused(BYTES("\17" ONE_8 "\1\0\0\0" ONE_8 "\2\0\0\0a\0\0\0\0\0"));
}

/* An entry of a type nobody knows, or without a term; a forwarded one that has a term, or would
 * change the configuration. */
Test(rpc, entries_are_judged_by_where_they_are, .init = setup, .fini = teardown)
{
    struct rpc_message got;
    static const char APPEND[] = "\3" ONE_8 ONE_8 ONE_8 ONE_8 "\1\0\0\0" ONE_8 "\1\0\0\0\0";
    static const char FORWARD[] = "\13\1\0\0\0" ZEROS_8 "\1\0\0\0\0";
    char data[sizeof APPEND];
    for (char type = 0; type < 6; type++) {
        for (char term = 0; term < 2; term++) {
            memcpy(data, APPEND, sizeof APPEND);
            data[37] = term;
            data[45] = type;
            enum err e = rpc_decode((struct bytes){data, sizeof APPEND - 1}, &room, &got);
            cr_assert_eq(e, term == 1 && type >= 1 && type <= 3 ? OK : ERR_INVALID);
            memcpy(data, FORWARD, sizeof FORWARD);
            data[5] = term;
            data[13] = type;
            e = rpc_decode((struct bytes){data, sizeof FORWARD - 1}, &room, &got);
            cr_assert_eq(e, term == 0 && type == 1 ? OK : ERR_INVALID);
        }
    }
}

/* What is too large is not begun. */
Test(rpc, too_large_leaves_the_buffer_as_it_was, .init = setup, .fini = teardown)
{
    char *large = mem_zalloc(1, RPC_MESSAGE_MAX);
    struct journal_entry e = {.term = 1, .type = JOURNAL_COMMAND};
    struct rpc_message m = {.type = RPC_APPEND,
                            .append = {.term = 1, .prev_index = 1, .entries = &e, .count = 1}};
    size_t frame = 1 + 4 * 8 + 4 + 13;
    e.data = (struct bytes){large, RPC_MESSAGE_MAX - frame};
    cr_assert_eq(rpc_encode(&encoded, &m), OK);
    cr_assert_eq(encoded.len, RPC_MESSAGE_MAX);
    buf_clear(&encoded);
    buf_put_char(&encoded, 'x');
    e.data.len++;
    cr_assert_eq(rpc_encode(&encoded, &m), ERR_TOO_BIG);
    e.data.len = 1000;
    buf_close(&encoded);
    buf_init(&encoded, frame + 1000);
    buf_put_char(&encoded, 'x');
    cr_assert_eq(rpc_encode(&encoded, &m), ERR_TOO_BIG);
    cr_assert(bytes_equal(buf_view(&encoded), BYTES("x")));
    m = (struct rpc_message){.type = RPC_BOOTSTRAP};
    m.bootstrap.configuration = (struct bytes){large, RAFT_CONFIGURATION_MAX + 1};
    cr_assert_eq(rpc_encode(&encoded, &m), ERR_TOO_BIG);
    cr_assert(bytes_equal(buf_view(&encoded), BYTES("x")));
    free(large);
}

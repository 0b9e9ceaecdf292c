/* One table says what each message is made of; measuring, writing and reading walk it alike. */
#include "store/replica/rpc.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/pack.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of an entry without its data: term, type, length. */
#define RPC_ENTRY_FRAME 13U

/* A status on the wire is one of ours. */
enum {
#define X(name, http, text) RPC_STATUS_##name,
    RPC_STATUS_OK,
#include "core/base/err.tbl.h"
#undef X
    RPC_STATUS_COUNT,
};

enum rpc_kind {
    RPC_U64 = 1,
    RPC_NONZERO, /* the same, but 0 is none: terms and indices that must be there */
    RPC_STATUS,  /* 4 bytes */
    RPC_KIND,    /* 4 bytes, enum store_change, but for STORE_LIST, which nobody is asked for */
    RPC_BOOL,
    RPC_TEXT, /* bytes without a NUL: they end up in C strings */
    RPC_BYTES,
    RPC_ENTRIES,  /* of the log: each has a term */
    RPC_COMMANDS, /* of nobody's log yet: commands alone, and none has a term */
};

struct rpc_field {
    enum rpc_kind kind;
    size_t at;  /* where in struct rpc_message */
    size_t max; /* of text and bytes */
};

#define FIELDS_MAX 9
#define F(field_kind, member)                                                                      \
    {                                                                                              \
        .kind = (field_kind), .at = offsetof(struct rpc_message, member)                           \
    }
#define S(field_kind, member, most)                                                                \
    {                                                                                              \
        .kind = (field_kind), .at = offsetof(struct rpc_message, member), .max = (most)            \
    }

static const struct rpc_field FIELDS[][FIELDS_MAX] = {
    [RPC_VOTE] = {F(RPC_NONZERO, vote.term), F(RPC_U64, vote.last_index),
                  F(RPC_U64, vote.last_term), F(RPC_BOOL, vote.disrupt),
                  F(RPC_BOOL, vote.pre_vote)},
    /* A reply's term may be 0: that of a server which has never voted. */
    [RPC_VOTE_REPLY] = {F(RPC_U64, vote_reply.term), F(RPC_BOOL, vote_reply.granted),
                        F(RPC_BOOL, vote_reply.pre_vote)},
    [RPC_APPEND] = {F(RPC_NONZERO, append.term), F(RPC_U64, append.prev_index),
                    F(RPC_U64, append.prev_term), F(RPC_U64, append.commit),
                    F(RPC_ENTRIES, append.entries)},
    [RPC_APPEND_REPLY] = {F(RPC_U64, append_reply.term), F(RPC_U64, append_reply.rejected),
                          F(RPC_U64, append_reply.last_index)},
    [RPC_INSTALL] = {F(RPC_NONZERO, install.term), F(RPC_NONZERO, install.index),
                     F(RPC_NONZERO, install.index_term), F(RPC_U64, install.configuration_index),
                     S(RPC_BYTES, install.configuration, RAFT_CONFIGURATION_MAX)},
    [RPC_TIMEOUT_NOW] = {F(RPC_NONZERO, timeout_now.term), F(RPC_U64, timeout_now.last_index),
                         F(RPC_U64, timeout_now.last_term)},
    [RPC_ROUND] = {F(RPC_NONZERO, round.term), F(RPC_U64, round.round)},
    [RPC_ROUND_REPLY] = {F(RPC_U64, round.term), F(RPC_U64, round.round)},
    [RPC_READ] = {F(RPC_U64, read.id), F(RPC_BOOL, read.consistent)},
    [RPC_READ_REPLY] = {F(RPC_U64, read_reply.id), F(RPC_STATUS, read_reply.status),
                        F(RPC_U64, read_reply.index), F(RPC_U64, read_reply.term)},
    [RPC_FORWARD] = {F(RPC_COMMANDS, forward.commands)},
    [RPC_FORWARD_REPLY] = {F(RPC_U64, forward_reply.proposer), F(RPC_U64, forward_reply.number),
                           F(RPC_STATUS, forward_reply.status)},
    [RPC_FETCH] = {F(RPC_U64, fetch.token), F(RPC_U64, fetch.number)},
    [RPC_CHUNK] = {F(RPC_U64, chunk.token), F(RPC_U64, chunk.number), F(RPC_STATUS, chunk.status),
                   F(RPC_BOOL, chunk.last), F(RPC_U64, chunk.index), F(RPC_U64, chunk.index_term),
                   F(RPC_U64, chunk.configuration_index),
                   S(RPC_BYTES, chunk.configuration, RAFT_CONFIGURATION_MAX),
                   S(RPC_BYTES, chunk.data, RPC_MESSAGE_MAX)},
    [RPC_CHANGE] = {F(RPC_U64, change.id), F(RPC_KIND, change.kind), F(RPC_U64, change.server),
                    S(RPC_TEXT, change.node_id, 36),
                    S(RPC_TEXT, change.address, STORE_ADDRESS_MAX - 1)},
    [RPC_CHANGE_REPLY] = {F(RPC_U64, change_reply.id), F(RPC_STATUS, change_reply.status)},
    [RPC_BOOTSTRAP] = {F(RPC_U64, bootstrap.cluster), F(RPC_BOOL, bootstrap.commit),
                       S(RPC_BYTES, bootstrap.configuration, RAFT_CONFIGURATION_MAX)},
    [RPC_BOOTSTRAP_REPLY] = {F(RPC_U64, bootstrap_reply.cluster),
                             F(RPC_STATUS, bootstrap_reply.status)},
    [RPC_COMMIT] = {F(RPC_NONZERO, commit.term), F(RPC_NONZERO, commit.index),
                    F(RPC_NONZERO, commit.index_term), F(RPC_U64, commit.commit)},
};
#define TYPES (sizeof FIELDS / sizeof *FIELDS)

static bool rpc_known(unsigned type)
{
    return type > 0 && type < TYPES;
}

/* --- fields, as numbers and strings ------------------------------------------------------------
 */

/* How many bytes a field with a number takes; 0: it is something else. */
static size_t rpc_number_len(enum rpc_kind kind)
{
    switch (kind) {
    case RPC_U64:
    case RPC_NONZERO:
        return 8;
    case RPC_STATUS:
    case RPC_KIND:
        return 4;
    case RPC_BOOL:
        return 1;
    case RPC_TEXT:
    case RPC_BYTES:
    case RPC_ENTRIES:
    case RPC_COMMANDS:
        return 0;
    }
    return 0;
}

static bool rpc_number_valid(enum rpc_kind kind, uint64_t value)
{
    switch (kind) {
    case RPC_NONZERO:
        return value != 0;
    case RPC_STATUS:
        return value < RPC_STATUS_COUNT;
    case RPC_KIND:
        return value >= STORE_ADD && value <= STORE_TRANSFER;
    case RPC_BOOL:
        return value <= 1;
    case RPC_U64:
    case RPC_TEXT:
    case RPC_BYTES:
    case RPC_ENTRIES:
    case RPC_COMMANDS:
        return true;
    }
    return false;
}

static uint64_t rpc_number(const struct rpc_message *m, const struct rpc_field *f)
{
    const char *at = (const char *)m + f->at;
    uint64_t u64 = 0;
    uint32_t u32 = 0;
    bool flag = false;
    switch (rpc_number_len(f->kind)) {
    case 8:
        memcpy(&u64, at, sizeof u64);
        return u64;
    case 4:
        memcpy(&u32, at, sizeof u32);
        return u32;
    default:
        memcpy(&flag, at, sizeof flag);
        return flag;
    }
}

static void rpc_set_number(struct rpc_message *m, const struct rpc_field *f, uint64_t value)
{
    char *at = (char *)m + f->at;
    uint32_t u32 = (uint32_t)value;
    bool flag = value != 0;
    switch (rpc_number_len(f->kind)) {
    case 8:
        memcpy(at, &value, sizeof value);
        return;
    case 4:
        memcpy(at, &u32, sizeof u32);
        return;
    default:
        memcpy(at, &flag, sizeof flag);
        return;
    }
}

static struct bytes rpc_string(const struct rpc_message *m, const struct rpc_field *f)
{
    struct bytes b;
    memcpy(&b, (const char *)m + f->at, sizeof b);
    return b;
}

static bool rpc_string_valid(const struct rpc_field *f, struct bytes b)
{
    return b.len <= f->max && (f->kind != RPC_TEXT || bytes_find(b, '\0') == b.len);
}

/* --- entries -----------------------------------------------------------------------------------
 */

struct rpc_list {
    struct journal_entry *entries;
    uint32_t count;
};

static struct rpc_list rpc_list(const struct rpc_message *m)
{
    return m->type == RPC_APPEND ? (struct rpc_list){m->append.entries, m->append.count}
                                 : (struct rpc_list){m->forward.commands, m->forward.count};
}

static void rpc_set_list(struct rpc_message *m, struct rpc_list list)
{
    if (m->type == RPC_APPEND) {
        m->append.entries = list.entries;
        m->append.count = list.count;
    } else {
        m->forward.commands = list.entries;
        m->forward.count = list.count;
    }
}

static bool rpc_entry_valid(enum rpc_kind kind, uint64_t term, unsigned type)
{
    if (kind == RPC_COMMANDS) {
        return term == 0 && type == JOURNAL_COMMAND;
    }
    return term != 0 && type >= JOURNAL_COMMAND && type <= JOURNAL_CONFIGURATION;
}

/* The last entry has an index too. */
static bool rpc_list_valid(const struct rpc_message *m, uint32_t count)
{
    return count <= RPC_ENTRIES_MAX &&
           (m->type != RPC_APPEND || m->append.prev_index <= UINT64_MAX - count);
}

/* --- encoding ----------------------------------------------------------------------------------
 */

static size_t rpc_field_len(const struct rpc_message *m, const struct rpc_field *f)
{
    size_t len = rpc_number_len(f->kind);
    if (len > 0) {
        return len;
    }
    if (f->kind == RPC_TEXT || f->kind == RPC_BYTES) {
        return 4 + rpc_string(m, f).len;
    }
    struct rpc_list list = rpc_list(m);
    len = 4;
    for (uint32_t i = 0; i < list.count; i++) {
        len += RPC_ENTRY_FRAME + list.entries[i].data.len;
    }
    return len;
}

static void rpc_encode_list(struct buf *out, const struct rpc_message *m, enum rpc_kind kind)
{
    struct rpc_list list = rpc_list(m);
    CHECK(rpc_list_valid(m, list.count));
    pack_u32(out, list.count);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct journal_entry *e = &list.entries[i];
        CHECK(rpc_entry_valid(kind, e->term, e->type));
        pack_u64(out, e->term);
        pack_u8(out, (uint8_t)e->type);
        pack_bytes(out, e->data);
    }
}

/* What would not be taken on the other side is our bug. */
static void
rpc_encode_field(struct buf *out, const struct rpc_message *m, const struct rpc_field *f)
{
    size_t len = rpc_number_len(f->kind);
    if (f->kind == RPC_ENTRIES || f->kind == RPC_COMMANDS) {
        rpc_encode_list(out, m, f->kind);
        return;
    }
    if (len == 0) {
        CHECK(rpc_string_valid(f, rpc_string(m, f)));
        pack_bytes(out, rpc_string(m, f));
        return;
    }
    uint64_t value = rpc_number(m, f);
    CHECK(rpc_number_valid(f->kind, value));
    for (size_t i = 0; i < len; i++) {
        pack_u8(out, (uint8_t)(value >> (8 * i)));
    }
}

enum err rpc_encode(struct buf *out, const struct rpc_message *m)
{
    CHECK(rpc_known(m->type));
    const struct rpc_field *fields = FIELDS[m->type];
    size_t len = 1;
    for (size_t i = 0; i < FIELDS_MAX && fields[i].kind != 0; i++) {
        size_t more = rpc_field_len(m, &fields[i]);
        bool string = fields[i].kind == RPC_TEXT || fields[i].kind == RPC_BYTES;
        if (more > RPC_MESSAGE_MAX - len || (string && more - 4 > fields[i].max)) {
            return ERR_TOO_BIG;
        }
        len += more;
    }
    enum err e = buf_reserve(out, len);
    if (e != OK) {
        return e;
    }
    size_t end = out->len + len;
    pack_u8(out, (uint8_t)m->type);
    for (size_t i = 0; i < FIELDS_MAX && fields[i].kind != 0; i++) {
        rpc_encode_field(out, m, &fields[i]);
    }
    CHECK(out->len == end);
    return OK;
}

/* --- decoding ----------------------------------------------------------------------------------
 */

static void rpc_room_grow(struct rpc_room *room, size_t count)
{
    if (count > room->cap) {
        room->entries = mem_realloc(room->entries, count * sizeof *room->entries);
        room->cap = count;
    }
}

static bool
rpc_decode_list(struct unpack *in, enum rpc_kind kind, struct rpc_room *room, struct rpc_message *m)
{
    uint32_t count = unpack_u32(in);
    if (in->failed || count > in->rest.len / RPC_ENTRY_FRAME || !rpc_list_valid(m, count)) {
        return false;
    }
    rpc_room_grow(room, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t term = unpack_u64(in);
        unsigned type = unpack_u8(in);
        struct bytes data = unpack_bytes(in, RPC_MESSAGE_MAX);
        if (in->failed || !rpc_entry_valid(kind, term, type)) {
            return false;
        }
        room->entries[i] = (struct journal_entry){term, (enum journal_type)type, data};
    }
    rpc_set_list(m, (struct rpc_list){count > 0 ? room->entries : NULL, count});
    return true;
}

static bool rpc_decode_field(struct unpack *in,
                             const struct rpc_field *f,
                             struct rpc_room *room,
                             struct rpc_message *m)
{
    size_t len = rpc_number_len(f->kind);
    if (f->kind == RPC_ENTRIES || f->kind == RPC_COMMANDS) {
        return rpc_decode_list(in, f->kind, room, m);
    }
    if (len == 0) {
        struct bytes b = unpack_bytes(in, f->max);
        memcpy((char *)m + f->at, &b, sizeof b);
        return !in->failed && rpc_string_valid(f, b);
    }
    uint64_t value = unpack_number(in, len);
    if (in->failed || !rpc_number_valid(f->kind, value)) {
        return false;
    }
    rpc_set_number(m, f, value);
    return true;
}

enum err rpc_decode(struct bytes data, struct rpc_room *room, struct rpc_message *ret_message)
{
    struct unpack in = {.rest = data};
    unsigned type = unpack_u8(&in);
    if (data.len > RPC_MESSAGE_MAX || !rpc_known(type)) {
        return ERR_INVALID;
    }
    struct rpc_message m = {.type = (enum rpc_type)type};
    const struct rpc_field *fields = FIELDS[type];
    for (size_t i = 0; i < FIELDS_MAX && fields[i].kind != 0; i++) {
        if (!rpc_decode_field(&in, &fields[i], room, &m)) {
            return ERR_INVALID;
        }
    }
    if (!unpack_done(&in)) {
        return ERR_INVALID;
    }
    *ret_message = m;
    return OK;
}

void rpc_room_close(struct rpc_room *room)
{
    free(room->entries);
    *room = (struct rpc_room){0};
}

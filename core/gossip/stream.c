/* One request and its answer over a stream:
 *
 *     caller   CONNECT --> HELLO --> MESSAGE (the answer) --> done
 *     called               HELLO --> MESSAGE (the request) --> ANSWER --> closed
 *
 * Each may end at any state: by its deadline, by the other side, by garbage. */
#include "core/gossip/socket_priv.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/base/pack.h"
#include "core/base/sm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELLO_LEN    24
#define HELLO_RANDOM 16
/* One piece on the wire: what sealing adds, and the byte that says whether it is the last. */
#define PIECE_MAX    (GOSSIP_CHUNK_MAX + KEYRING_OVERHEAD + 1)
#define PIECES_MAX   (GOSSIP_STATE_MAX / GOSSIP_CHUNK_MAX + 2)
#define CONTEXT_MAX  64
#define STREAM_READ  KIB(64)

enum stream_state {
    STREAM_CONNECT,
    STREAM_HELLO,
    STREAM_MESSAGE,
    STREAM_ANSWER,
};

static const struct sm_state STREAM_STATES[] = {
    [STREAM_CONNECT] = {"connect", SM_TO(STREAM_HELLO)},
    [STREAM_HELLO] = {"hello", SM_TO(STREAM_MESSAGE)},
    [STREAM_MESSAGE] = {"message", SM_TO(STREAM_ANSWER)},
    [STREAM_ANSWER] = {"answer", 0},
};

struct stream {
    struct list link;
    struct socket *socket;
    struct sm sm;
    struct io io;
    struct timer deadline;
    struct socket_call *call; /* NULL: the other side called */
    const char *failed;       /* it could not even be tried */
    char mine[HELLO_RANDOM];
    char theirs[HELLO_RANDOM];
    uint32_t received; /* pieces */
    struct buf in;     /* bytes as they came */
    struct buf message;
    struct buf request; /* waits for the other's hello */
    struct buf out;
    size_t sent;
};

/* --- its end --------------------------------------------------------------------------------- */

static void stream_free(struct stream *t)
{
    int fd = t->io.fd;
    timer_stop(&t->deadline);
    if (fd >= 0) {
        io_close(&t->io);
        (void)close(fd);
    }
    list_remove(&t->link);
    t->socket->stream_count--;
    buf_close(&t->in);
    buf_close(&t->message);
    buf_close(&t->request);
    buf_close(&t->out);
    free(t);
}

static void stream_end(struct stream *t, enum err e, const char *why)
{
    struct socket_call *call = t->call;
    struct buf answer = t->message;
    if (call == NULL && e != OK) {
        metric_add(METRIC_GOSSIP_DROPPED, 1);
    }
    t->message = (struct buf){0};
    stream_free(t);
    if (call != NULL) {
        call->done(call, e, e == OK ? buf_view(&answer) : (struct bytes){0}, why);
    }
    buf_close(&answer);
}

static void stream_late(struct timer *timer)
{
    struct stream *t = LIST_OWNER(timer, struct stream, deadline);
    const char *late = t->sm.state == STREAM_CONNECT ? "no answer to the connection attempt"
                                                     : "the answer took too long";
    stream_end(t, ERR_TIMEOUT, t->failed == NULL ? late : t->failed);
}

void stream_close_all(struct socket *s)
{
    LIST_FOREACH (at, &s->streams) {
        stream_end(LIST_OWNER(at, struct stream, link), ERR_CLOSED, "shutting down");
    }
}

/* --- what is said ---------------------------------------------------------------------------- */

static void say_hello(struct stream *t)
{
    struct seal *seal = t->socket->options.seal;
    env_random(loop_env(t->socket->options.loop), t->mine, sizeof t->mine);
    buf_put_str(&t->out, "HG");
    pack_u8(&t->out, PACKET_VERSION);
    pack_u8(&t->out, seal_closed(seal) ? 1 : 0);
    pack_u32(&t->out, seal_label(seal));
    buf_put(&t->out, (struct bytes){t->mine, sizeof t->mine});
}

/* What piece `number` of the caller or of the called one is bound to. */
static void
piece_context(const struct stream *t, bool from_caller, uint32_t number, struct buf *out)
{
    bool caller = t->call != NULL;
    buf_init(out, CONTEXT_MAX);
    buf_put_str(out, from_caller ? "request" : "answer");
    buf_put(out, (struct bytes){caller ? t->mine : t->theirs, HELLO_RANDOM});
    buf_put(out, (struct bytes){caller ? t->theirs : t->mine, HELLO_RANDOM});
    pack_u32(out, number);
}

static void say_piece(struct stream *t, struct bytes part, bool last, uint32_t number)
{
    struct buf plain;
    struct buf context;
    struct buf sealed;
    buf_init(&plain, GOSSIP_CHUNK_MAX + 1);
    buf_init(&sealed, PIECE_MAX);
    pack_u8(&plain, last ? 1 : 0);
    buf_put(&plain, part);
    piece_context(t, t->call != NULL, number, &context);
    seal_piece(t->socket->options.seal, buf_view(&plain), buf_view(&context), &sealed);
    pack_bytes(&t->out, buf_view(&sealed));
    buf_close(&plain);
    buf_close(&context);
    buf_close(&sealed);
}

static void say_message(struct stream *t, struct bytes message)
{
    uint32_t number = 0;
    do {
        size_t len = message.len < GOSSIP_CHUNK_MAX ? message.len : GOSSIP_CHUNK_MAX;
        struct bytes part = bytes_slice(message, 0, len);
        message = bytes_slice(message, len, message.len);
        say_piece(t, part, message.len == 0, number++);
    } while (message.len > 0);
}

/* --- what is heard --------------------------------------------------------------------------- */

/* NULL, or what is wrong with the other's hello. */
static const char *hear_hello(struct stream *t)
{
    struct seal *seal = t->socket->options.seal;
    struct unpack in = {.rest = buf_view(&t->in)};
    struct bytes magic = unpack_raw(&in, 2);
    uint8_t version = unpack_u8(&in);
    uint8_t form = unpack_u8(&in);
    uint32_t label = unpack_u32(&in);
    struct bytes dice = unpack_raw(&in, HELLO_RANDOM);
    CHECK(!in.failed);
    if (!bytes_equal(magic, BYTES("HG"))) {
        return "something else than gossip of ours listens there";
    }
    if (version != PACKET_VERSION) {
        return "it speaks another version of the protocol";
    }
    if (form > 1 || (form == 1) != seal_closed(seal)) {
        return form == 0 ? "it has no gossip key, and this node has one"
                         : "it has a gossip key, and this node has none";
    }
    if (label != seal_label(seal)) {
        return "it belongs to another cluster (datacenter)";
    }
    memcpy(t->theirs, dice.ptr, HELLO_RANDOM);
    buf_consume(&t->in, HELLO_LEN);
    return NULL;
}

/* Takes one piece off what came: OK and `*ret_last`; ERR_BUSY: it is not whole yet. */
static enum err hear_piece(struct stream *t, bool *ret_last)
{
    struct unpack in = {.rest = buf_view(&t->in)};
    struct buf context;
    struct buf plain;
    if (in.rest.len < 4) {
        return ERR_BUSY;
    }
    uint32_t len = unpack_u32(&in);
    if (len > PIECE_MAX || t->received >= PIECES_MAX) {
        return ERR_TOO_BIG;
    }
    if (in.rest.len < len) {
        return ERR_BUSY;
    }
    buf_init(&plain, PIECE_MAX + 1);
    piece_context(t, t->call == NULL, t->received, &context);
    enum err e =
        seal_open_piece(t->socket->options.seal, unpack_raw(&in, len), buf_view(&context), &plain);
    if (e == OK && (plain.len < 1 || (unsigned char)plain.ptr[0] > 1)) {
        e = ERR_INVALID;
    }
    if (e == OK) {
        *ret_last = plain.ptr[0] == 1;
        e = buf_append(&t->message, bytes_slice(buf_view(&plain), 1, plain.len));
    }
    buf_close(&context);
    buf_close(&plain);
    if (e == OK) {
        t->received++;
        buf_consume(&t->in, 4 + (size_t)len);
    }
    if (e == OK && t->received == 1 && t->call == NULL) {
        /* No stranger (if there is a key): it gets the time that a whole state may take. */
        env_timer_start(loop_env(t->socket->options.loop), &t->deadline, GOSSIP_STREAM_MS);
    }
    return e;
}

/* The other's whole message is here. False: the stream is gone. */
static bool hear_message(struct stream *t)
{
    struct socket *s = t->socket;
    struct buf answer;
    if (t->call != NULL) {
        stream_end(t, OK, "");
        return false;
    }
    buf_init(&answer, GOSSIP_STATE_MAX);
    enum err e = s->options.request(s->options.ctx, buf_view(&t->message), &answer);
    if (e == OK) {
        say_message(t, buf_view(&answer));
        sm_move(&t->sm, STREAM_ANSWER);
    }
    buf_close(&answer);
    if (e != OK) {
        stream_end(t, e, "");
        return false;
    }
    return true;
}

/* False: the stream is gone. */
static bool stream_hear(struct stream *t)
{
    bool last = false;
    if (t->sm.state == STREAM_HELLO && t->in.len >= HELLO_LEN) {
        const char *wrong = hear_hello(t);
        if (wrong != NULL) {
            stream_end(t, ERR_DENIED, wrong);
            return false;
        }
        sm_move(&t->sm, STREAM_MESSAGE);
        if (t->call != NULL) {
            say_message(t, buf_view(&t->request));
        }
    }
    while (t->sm.state == STREAM_MESSAGE && !last) {
        enum err e = hear_piece(t, &last);
        if (e == ERR_BUSY) {
            return true;
        }
        if (e != OK) {
            stream_end(t, e,
                       e == ERR_DENIED ? "its answer is sealed with another key"
                                       : "its answer is malformed");
            return false;
        }
    }
    return !last || hear_message(t);
}

/* --- the socket ------------------------------------------------------------------------------ */

/* False: the stream is gone. */
static bool stream_read(struct stream *t)
{
    if (t->sm.state == STREAM_ANSWER) {
        /* All is said; the caller closes when it has read it. */
        char rest[256];
        ssize_t more = read(t->io.fd, rest, sizeof rest);
        if (more == 0 || (more < 0 && errno != EAGAIN && errno != EINTR)) {
            stream_end(t, OK, "");
            return false;
        }
        return true;
    }
    enum err e = buf_reserve(&t->in, STREAM_READ);
    CHECK(e == OK);
    ssize_t got = read(t->io.fd, t->in.ptr + t->in.len, STREAM_READ);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got <= 0) {
        /* A called one does not say why: who cannot be read is not told more. */
        stream_end(t, ERR_CLOSED,
                   got < 0 ? strerror(errno)
                           : "it closed the connection: has it the same gossip key?");
        return false;
    }
    t->in.len += (size_t)got;
    return stream_hear(t);
}

/* False: the stream is gone. */
static bool stream_write(struct stream *t)
{
    while (t->sent < t->out.len) {
        ssize_t sent = send(t->io.fd, t->out.ptr + t->sent, t->out.len - t->sent, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
            return true;
        }
        if (sent < 0) {
            stream_end(t, ERR_IO, strerror(errno));
            return false;
        }
        t->sent += (size_t)sent;
    }
    buf_clear(&t->out);
    t->sent = 0;
    return true;
}

static bool stream_connected(struct stream *t)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(t->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        stream_end(t, ERR_IO, strerror(error));
        return false;
    }
    sm_move(&t->sm, STREAM_HELLO);
    say_hello(t);
    return true;
}

static void stream_ready(struct io *io, unsigned ready)
{
    struct stream *t = LIST_OWNER(io, struct stream, io);
    if (t->sm.state == STREAM_CONNECT && !stream_connected(t)) {
        return;
    }
    /* Ours first: who is then refused has at least read who we are. */
    if (!stream_write(t) || ((ready & IO_READ) != 0 && !stream_read(t)) || !stream_write(t)) {
        return;
    }
    io_want(io, IO_READ | (t->out.len > 0 ? IO_WRITE : 0U));
}

static struct stream *stream_new(struct socket *s, int fd, uint64_t timeout_ms)
{
    struct env *env = loop_env(s->options.loop);
    struct stream *t = mem_zalloc(1, sizeof *t);
    t->socket = s;
    t->io.fd = -1;
    buf_init(&t->in, 4 + PIECE_MAX + STREAM_READ);
    buf_init(&t->message, GOSSIP_STATE_MAX);
    buf_init(&t->request, GOSSIP_STATE_MAX);
    buf_init(&t->out, GOSSIP_STATE_MAX + PIECES_MAX * ((size_t)KEYRING_OVERHEAD + 5) + HELLO_LEN);
    list_append(&s->streams, &t->link);
    s->stream_count++;
    env_timer_init(env, &t->deadline, stream_late);
    env_timer_start(env, &t->deadline, timeout_ms);
    if (fd >= 0) {
        io_open(&t->io, s->options.loop, fd, stream_ready);
    }
    return t;
}

/* The oldest that has said nothing yet makes room: who holds connections open keeps nobody out. */
static void accept_room(struct socket *s)
{
    LIST_FOREACH (at, &s->streams) {
        struct stream *t = LIST_OWNER(at, struct stream, link);
        if (t->call == NULL && t->received == 0) {
            stream_end(t, ERR_LIMIT, "");
            return;
        }
    }
}

void stream_accept(struct socket *s, int fd)
{
    if (s->stream_count >= GOSSIP_STREAMS_MAX) {
        accept_room(s);
    }
    if (s->stream_count >= GOSSIP_STREAMS_MAX) {
        metric_add(METRIC_GOSSIP_DROPPED, 1);
        (void)close(fd);
        return;
    }
    struct stream *t = stream_new(s, fd, GOSSIP_HELLO_MS);
    sm_init(&t->sm, STREAM_STATES, STREAM_HELLO);
    say_hello(t);
    io_want(&t->io, IO_READ | IO_WRITE);
}

/* -1 and `*ret_why` if the connection cannot even be begun. */
static int call_connect(struct socket *s, const struct packet_address *to, const char **ret_why)
{
    if (s->family == AF_INET && !packet_address_v4(to)) {
        *ret_why = "an IPv6 address, and this node gossips on an IPv4 one";
        return -1;
    }
    if (s->stream_count >= (size_t)2 * GOSSIP_STREAMS_MAX) {
        *ret_why = "too many exchanges at one time";
        return -1;
    }
    int fd = socket(s->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct socket_name name = socket_name_of(to, s->family);
    int rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&name.storage, name.len);
    if (rc != 0 && (fd < 0 || errno != EINPROGRESS)) {
        *ret_why = strerror(errno);
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    return fd;
}

void socket_call(struct socket *s,
                 struct socket_call *call,
                 struct bytes request,
                 uint64_t timeout_ms)
{
    const char *failed = NULL;
    int fd = call_connect(s, &call->to, &failed);
    /* What failed at once is told at the next turn: never from inside. */
    struct stream *t = stream_new(s, fd, failed != NULL ? 0 : timeout_ms);
    sm_init(&t->sm, STREAM_STATES, STREAM_CONNECT);
    t->call = call;
    t->failed = failed;
    if (fd >= 0) {
        buf_put(&t->request, request);
        io_want(&t->io, IO_WRITE);
    }
}

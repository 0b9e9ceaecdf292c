/* Answers: their heads, their way to the connection. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/metric.h"
#include "core/front/inside.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define TEXT_PLAIN "text/plain; charset=utf-8"
/* Longest text of an error. */
#define TEXT_MAX   1024

static struct exchange *exchange_of(struct request *r)
{
    return LIST_OWNER(r, struct exchange, request);
}

/* `HTTP/1.1 200 OK` and its line end, ready made for what we say; empty for other statuses. */
static struct bytes reply_status_line(int status)
{
    static const struct {
        int status;
        struct bytes line;
    } lines[] = {
#define LINE(status, text)                                                                         \
    {                                                                                              \
        status,                                                                                    \
        {                                                                                          \
            "HTTP/1.1 " text "\r\n", sizeof "HTTP/1.1 " text "\r\n" - 1                            \
        }                                                                                          \
    }
        LINE(200, "200 OK"),
        LINE(404, "404 Not Found"),
        LINE(204, "204 No Content"),
        LINE(301, "301 Moved Permanently"),
        LINE(304, "304 Not Modified"),
        LINE(307, "307 Temporary Redirect"),
        LINE(400, "400 Bad Request"),
        LINE(401, "401 Unauthorized"),
        LINE(403, "403 Forbidden"),
        LINE(405, "405 Method Not Allowed"),
        LINE(408, "408 Request Timeout"),
        LINE(409, "409 Conflict"),
        LINE(410, "410 Gone"),
        LINE(411, "411 Length Required"),
        LINE(413, "413 Request Entity Too Large"),
        LINE(415, "415 Unsupported Media Type"),
        LINE(417, "417 Expectation Failed"),
        LINE(426, "426 Upgrade Required"),
        LINE(429, "429 Too Many Requests"),
        LINE(431, "431 Request Header Fields Too Large"),
        LINE(500, "500 Internal Server Error"),
        LINE(501, "501 Not Implemented"),
        LINE(502, "502 Bad Gateway"),
        LINE(503, "503 Service Unavailable"),
        LINE(504, "504 Gateway Timeout"),
        LINE(505, "505 HTTP Version Not Supported"),
#undef LINE
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (lines[i].status == status) {
            return lines[i].line;
        }
    }
    return (struct bytes){0};
}

bool reply_knows(int status)
{
    return reply_status_line(status).len > 0;
}

/* RFC 9110 section 5.6.7; made once per second. */
static struct bytes reply_date(struct front *f)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t now_s = env_wall_ms(f->env) / 1000;
    if (now_s != f->date_s) {
        time_t seconds = (time_t)now_s;
        struct tm tm = {0};
        CHECK(gmtime_r(&seconds, &tm) != NULL);
        (void)snprintf(f->date, sizeof f->date, "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n",
                       days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 32, months[tm.tm_mon % 12],
                       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 24,
                       (unsigned)tm.tm_min % 60, (unsigned)tm.tm_sec % 61);
        f->date_s = now_s;
    }
    return bytes_of(f->date);
}

/* --- headers -----------------------------------------------------------------------------------
 */

/* Past the arena's limit a header is left out: the answer matters more. */
void reply_header_lines(struct request *r, struct bytes lines)
{
    struct exchange *x = exchange_of(r);
    if (x->lines_len + lines.len > x->lines_cap) {
        size_t cap = (x->lines_len + lines.len) * 2 < 160 ? 160 : (x->lines_len + lines.len) * 2;
        char *more = arena_alloc(&x->arena, cap);
        if (more == NULL) {
            return;
        }
        if (x->lines_len > 0) {
            memcpy(more, x->lines, x->lines_len);
        }
        x->lines = more;
        x->lines_cap = (uint32_t)cap;
    }
    if (lines.len > 0) {
        memcpy(x->lines + x->lines_len, lines.ptr, lines.len);
        x->lines_len += (uint32_t)lines.len;
    }
}

void reply_header(struct request *r, const char *name, const char *format, ...)
{
    struct exchange *x = exchange_of(r);
    char small[256];
    va_list args;
    va_start(args, format);
    int need = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    CHECK(need >= 0);
    char *value = small;
    if ((size_t)need >= sizeof small) {
        value = arena_alloc(&x->arena, (size_t)need + 1);
        if (value == NULL) {
            return;
        }
        va_start(args, format);
        (void)vsnprintf(value, (size_t)need + 1, format, args);
        va_end(args);
    }
    /* A line end in a value would begin a header of somebody else's choice. */
    for (int i = 0; i < need; i++) {
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) {
            value[i] = ' ';
        }
    }
    reply_header_lines(r, bytes_of(name));
    reply_header_lines(r, BYTES(": "));
    reply_header_lines(r, (struct bytes){.ptr = value, .len = (size_t)need});
    reply_header_lines(r, BYTES("\r\n"));
}

/* --- heads -------------------------------------------------------------------------------------
 */

struct reply_head {
    int status;
    const char *content_type;
    bool has_length;
    size_t length;
    bool gzip;
};

static bool reply_keeps_alive(const struct exchange *x)
{
    return x->keep_alive && !x->request.front->draining;
}

/* The whole head, in the front's own buffer: good until the next answer. */
static struct bytes reply_head_make(struct exchange *x, const struct reply_head *h)
{
    struct front *f = x->request.front;
    struct buf *b = &f->answer_head;
    buf_clear(b);
    CHECK(reply_knows(h->status));
    buf_put(b, reply_status_line(h->status));
    if (h->content_type != NULL) {
        buf_put(b, BYTES("Content-Type: "));
        buf_put_str(b, h->content_type);
        buf_put(b, BYTES("\r\n"));
    }
    if (h->gzip) {
        buf_put(b, BYTES("Content-Encoding: gzip\r\n"));
    }
    if (x->routed) {
        buf_put(b, BYTES("Vary: Accept-Encoding\r\n"));
    }
    buf_put(b, (struct bytes){.ptr = x->lines, .len = x->lines_len});
    buf_put(b, buf_view(&f->extra));
    buf_put(b, reply_date(f));
    bool keep_alive = reply_keeps_alive(x);
    if (!keep_alive || x->minor == 0) {
        buf_put(b,
                keep_alive ? BYTES("Connection: keep-alive\r\n") : BYTES("Connection: close\r\n"));
    }
    if (h->has_length) {
        buf_put(b, BYTES("Content-Length: "));
        buf_put_u64(b, h->length);
        buf_put(b, BYTES("\r\n"));
    } else if (x->stream_chunked) {
        buf_put(b, BYTES("Transfer-Encoding: chunked\r\n"));
    }
    buf_put(b, BYTES("\r\n"));
    return buf_view(b);
}

static void reply_count(const struct request *r, int status)
{
    metric_add(METRIC_HTTP_REQUESTS, 1);
    if (status >= 400) {
        metric_add(METRIC_HTTP_ERRORS, 1);
    }
    if (log_wants(LOG_HTTP_REQUEST)) {
        log_line(LOG_HTTP_REQUEST, "method=%.*s url=%.*s from=%.*s status=%d",
                 BYTES_FORMAT(r->method_name), BYTES_FORMAT(r->path), BYTES_FORMAT(r->client),
                 status);
    }
}

/* --- whole answers -----------------------------------------------------------------------------
 */

/* `owner` NULL: the body is borrowed. */
static void reply_whole(struct request *r,
                        int status,
                        const char *content_type,
                        struct bytes body,
                        struct shared *owner)
{
    struct exchange *x = exchange_of(r);
    struct connection *c = r->connection;
    struct shared *small = NULL;
    CHECK(c->sm.state == CONNECTION_HANDLING);
    if (x->accepts_gzip && body.len >= HTTP_GZIP_MIN) {
        small = owner != NULL ? gzip_shared(r->front, owner) : gzip_bytes(r->front, body);
        if (small != NULL) {
            owner = small;
            body = shared_view(small);
        }
    }
    bool bodiless = status == 204 || status == 304;
    struct reply_head h = {
        .status = status,
        .content_type = content_type,
        .has_length = !bodiless,
        .length = body.len,
        .gzip = small != NULL,
    };
    struct part part = {.head = reply_head_make(x, &h)};
    if (!bodiless && r->method != METHOD_HEAD) {
        part.body = body;
        part.owner = owner;
    }
    reply_count(r, status);
    bool keep_alive = reply_keeps_alive(x);
    connection_send(c, &part);
    connection_answered(c, keep_alive);
    shared_unref(small);
}

void reply_bytes(struct request *r, int status, const char *content_type, struct bytes body)
{
    reply_whole(r, status, content_type, body, NULL);
}

void reply_shared(struct request *r, int status, const char *content_type, struct shared *body)
{
    reply_whole(r, status, content_type, body == NULL ? (struct bytes){0} : shared_view(body),
                body);
}

void reply_text(struct request *r, int status, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    int need = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CHECK(need >= 0);
    size_t len = (size_t)need < sizeof text ? (size_t)need : sizeof text - 1;
    reply_whole(r, status, len > 0 ? TEXT_PLAIN : NULL, (struct bytes){.ptr = text, .len = len},
                NULL);
}

void reply_err(struct request *r, enum err e)
{
    reply_text(r, err_http_status(e), "%s", err_text(e));
}

/* --- answers without an end --------------------------------------------------------------------
 */

void reply_stream_begin(struct request *r,
                        int status,
                        const char *content_type,
                        const struct reply_stream_ops *ops)
{
    struct exchange *x = exchange_of(r);
    struct connection *c = r->connection;
    CHECK(c->sm.state == CONNECTION_HANDLING);
    x->stream = ops;
    /* HTTP/1.0 knows no chunks: there the end of the connection is the end of the answer. */
    x->stream_chunked = x->minor >= 1;
    x->keep_alive = x->keep_alive && x->stream_chunked;
    struct reply_head h = {.status = status, .content_type = content_type};
    struct part part = {.head = reply_head_make(x, &h)};
    reply_count(r, status);
    sm_move(&c->sm, CONNECTION_STREAMING);
    connection_endless(c);
    connection_send(c, &part);
}

void reply_stream_send(struct request *r, struct shared *data)
{
    struct exchange *x = exchange_of(r);
    struct connection *c = r->connection;
    char size[24];
    struct part part = {.body = shared_view(data), .owner = data};
    CHECK(c->sm.state == CONNECTION_STREAMING);
    /* An empty chunk would be the end. */
    if (data->len == 0) {
        return;
    }
    if (x->stream_chunked) {
        int len = snprintf(size, sizeof size, "%x\r\n", data->len);
        part.head = (struct bytes){.ptr = size, .len = (size_t)len};
        part.tail = BYTES("\r\n");
    }
    connection_send(c, &part);
}

size_t reply_stream_pending(const struct request *r)
{
    return r->connection->out_bytes;
}

void reply_stream_break(struct request *r)
{
    CHECK(r->connection->sm.state == CONNECTION_STREAMING);
    connection_break(r->connection);
}

void reply_stream_end(struct request *r)
{
    struct exchange *x = exchange_of(r);
    struct connection *c = r->connection;
    CHECK(c->sm.state == CONNECTION_STREAMING);
    if (x->stream_chunked) {
        struct part part = {.head = BYTES("0\r\n\r\n")};
        connection_send(c, &part);
    }
    connection_answered(c, reply_keeps_alive(x));
}

/* --- what is not a request ---------------------------------------------------------------------
 */

void reply_refuse(struct connection *c, int status, const char *why)
{
    struct front *f = c->front;
    struct buf *b = &f->answer_head;
    metric_add(METRIC_HTTP_BAD_REQUESTS, 1);
    log_line(LOG_HTTP_BAD_REQUEST, "from=%.*s status=%d error=\"%s\"", (int)c->client_len,
             c->client, status, why);
    buf_clear(b);
    buf_put(b, reply_status_line(status));
    buf_put(b, BYTES("Content-Type: " TEXT_PLAIN "\r\n"));
    buf_put(b, buf_view(&f->extra));
    buf_put(b, reply_date(f));
    buf_put(b, BYTES("Connection: close\r\nContent-Length: "));
    buf_put_u64(b, strlen(why));
    buf_put(b, BYTES("\r\n\r\n"));
    struct part part = {.head = buf_view(b), .body = bytes_of(why)};
    connection_send(c, &part);
    connection_answered(c, false);
}

void reply_raw(int fd, int status, const char *text)
{
    struct bytes line = reply_status_line(status);
    char answer[512];
    int len = snprintf(answer, sizeof answer,
                       "%.*sContent-Type: " TEXT_PLAIN
                       "\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                       BYTES_FORMAT(line), strlen(text), text);
    CHECK(len > 0);
    CHECK((size_t)len < sizeof answer);
    /* What the socket does not take at once is lost: nobody will wait for it. */
    ssize_t put = send(fd, answer, (size_t)len, MSG_NOSIGNAL);
    (void)put;
    (void)shutdown(fd, SHUT_WR);
}

#include "core/agent/check/http.h"

#include "core/agent/check/run.h"
#include "core/agent/check/wire.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* An answer to a gRPC or PING question is small. */
#define WIRE_ANSWER_MAX KIB(64)
#define URL_MAX         (ROW_TEXT_MAX + 64)

struct check_http {
    struct loop *loop;
    CURLM *multi;
    struct timer timer;
    struct list sockets;
    struct list probes;
    struct timer finish; /* what libcurl has finished is told from here, never from inside it */
};

/* A descriptor that libcurl wants to have watched. */
struct http_socket {
    struct list link;
    struct check_http *http;
    struct io io;
};

struct http_probe {
    struct probe probe;
    struct list link;
    struct check_http *http;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    struct buf body;
    struct buf question; /* gRPC, PING */
    char status_line[96];
    char grpc_status[8];
    bool cut;     /* there was more */
    bool refused; /* its address may not be connected to */
    struct io ping_io;
    bool pinging;
    char ping[H2_PING_LEN];
    char error[CURL_ERROR_SIZE];
};

/* --- addresses ----------------------------------------------------------------------------------
 */

static bool address_refused(const struct sockaddr *address)
{
    static const unsigned char metadata6[16] = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0,    0,
                                                0,    0,    0,    0,    0, 0, 0x02, 0x54};
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return (ntohl(in.sin_addr.s_addr) >> 16) == 0xa9fe;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        const unsigned char *b = in.sin6_addr.s6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in.sin6_addr) && b[12] == 0xa9 && b[13] == 0xfe;
        return mapped || IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr) || memcmp(b, metadata6, 16) == 0;
    }
    return true;
}

static curl_socket_t http_on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_probe *p = ctx;
    (void)purpose;
    if (address_refused(&address->addr)) {
        p->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  address->protocol);
}

/* --- libcurl on the loop ------------------------------------------------------------------------
 */

static void http_finish_soon(struct check_http *h)
{
    if (!timer_armed(&h->finish)) {
        env_timer_start(loop_env(h->loop), &h->finish, 0);
    }
}

static void http_act(struct check_http *h, curl_socket_t fd, int events)
{
    int running = 0;
    (void)curl_multi_socket_action(h->multi, fd, events, &running);
    http_finish_soon(h);
}

static void http_on_ready(struct io *io, unsigned ready)
{
    struct http_socket *s = LIST_OWNER(io, struct http_socket, io);
    int events = ((ready & IO_READ) != 0 ? CURL_CSELECT_IN : 0) |
                 ((ready & IO_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    http_act(s->http, io->fd, events);
}

static void socket_free(struct http_socket *s)
{
    io_close(&s->io);
    list_remove(&s->link);
    free(s);
}

static int http_on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct check_http *h = ctx;
    struct http_socket *s = socket_ctx;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            (void)curl_multi_assign(h->multi, fd, NULL);
            socket_free(s);
        }
        return 0;
    }
    if (s == NULL) {
        s = mem_zalloc(1, sizeof *s);
        s->http = h;
        list_append(&h->sockets, &s->link);
        io_open(&s->io, h->loop, fd, http_on_ready);
        (void)curl_multi_assign(h->multi, fd, s);
    }
    io_want(&s->io, ((what & CURL_POLL_IN) != 0 ? (unsigned)IO_READ : 0) |
                        ((what & CURL_POLL_OUT) != 0 ? (unsigned)IO_WRITE : 0));
    return 0;
}

static int http_on_timer(CURLM *multi, long ms, void *ctx)
{
    struct check_http *h = ctx;
    (void)multi;
    if (ms < 0) {
        timer_stop(&h->timer);
    } else {
        env_timer_start(loop_env(h->loop), &h->timer, (uint64_t)ms);
    }
    return 0;
}

static void http_on_time(struct timer *t)
{
    http_act(LIST_OWNER(t, struct check_http, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* --- what comes back ----------------------------------------------------------------------------
 */

/* NOLINTNEXTLINE(readability-non-const-parameter): the form is libcurl's */
static size_t http_on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http_probe *p = ctx;
    size_t len = size * count;
    size_t room = p->body.max - p->body.len;
    size_t take = len < room ? len : room;
    buf_put(&p->body, (struct bytes){.ptr = data, .len = take});
    p->cut = p->cut || take < len;
    /* Enough is known: the rest of a body without an end is not waited for. */
    return p->cut ? 0 : len;
}

static bool header_is(struct bytes line, const char *name, struct bytes *ret_value)
{
    size_t len = strlen(name);
    if (line.len <= len || strncasecmp(line.ptr, name, len) != 0 || line.ptr[len] != ':') {
        return false;
    }
    *ret_value = bytes_slice(line, len + 1, line.len);
    while (ret_value->len > 0 && ret_value->ptr[0] == ' ') {
        *ret_value = bytes_slice(*ret_value, 1, ret_value->len);
    }
    return true;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the form is libcurl's */
static size_t http_on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct http_probe *p = ctx;
    struct bytes line = {.ptr = data, .len = size * count};
    struct bytes value = {0};
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
        line.len--;
    }
    if (bytes_begins(line, BYTES("HTTP/"))) {
        size_t blank = bytes_find(line, ' ');
        struct bytes rest = bytes_slice(line, blank < line.len ? blank + 1 : blank, line.len);
        (void)snprintf(p->status_line, sizeof p->status_line, "%.*s", (int)(rest.len & 0xffff),
                       rest.ptr);
    } else if (header_is(line, "grpc-status", &value)) {
        (void)snprintf(p->grpc_status, sizeof p->grpc_status, "%.*s", (int)(value.len & 0xf),
                       value.ptr);
    }
    return size * count;
}

static void probe_free(struct http_probe *p)
{
    if (p->pinging) {
        io_close(&p->ping_io);
    }
    (void)curl_multi_remove_handle(p->http->multi, p->easy);
    curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    curl_slist_free_all(p->connect_to);
    buf_close(&p->body);
    buf_close(&p->question);
    list_remove(&p->link);
    free(p);
}

static void probe_end(struct http_probe *p, enum check_status status, struct buf *text)
{
    struct probe probe = p->probe;
    probe_free(p);
    probe.done(&probe, status, buf_view(text));
    buf_close(text);
}

/* A sentence and an end; what does not fit is cut. */
static void probe_say(struct http_probe *p, enum check_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void probe_say(struct http_probe *p, enum check_status status, const char *format, ...)
{
    char line[URL_MAX + 256];
    struct buf text;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buf_init(&text, sizeof line);
    buf_put_str(&text, line);
    probe_end(p, status, &text);
}

static const char *probe_error(const struct http_probe *p, CURLcode code)
{
    if (p->refused) {
        return "link-local and metadata addresses are not checked";
    }
    return p->error[0] != '\0' ? p->error : curl_easy_strerror(code);
}

static void http_done(struct http_probe *p, CURLcode code)
{
    const struct check_definition *d = p->probe.definition;
    const char *method = d->method.len > 0 ? d->method.ptr : "GET";
    long status = 0;
    struct buf text;
    /* A body that was cut short is what was wanted of it. */
    if (code != CURLE_OK && !p->cut) {
        probe_say(p, CHECK_CRITICAL, "%s \"%s\": %s", method, d->http.ptr, probe_error(p, code));
        return;
    }
    (void)curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
    buf_init(&text, p->body.max + URL_MAX + 256);
    enum err e =
        buf_printf(&text, "HTTP %.16s %.4096s: %s Output: ", method, d->http.ptr, p->status_line);
    CHECK(e == OK);
    buf_put(&text, buf_view(&p->body));
    probe_end(p,
              status >= 200 && status < 300 ? CHECK_PASSING
              : status == 429               ? CHECK_WARNING
                                            : CHECK_CRITICAL,
              &text);
}

static void grpc_done(struct http_probe *p, CURLcode code)
{
    const char *target = p->probe.definition->grpc.ptr;
    struct reason why = {{0}};
    if (code != CURLE_OK) {
        probe_say(p, CHECK_CRITICAL, "gRPC check %s: %s", target, probe_error(p, code));
    } else if (p->grpc_status[0] != '\0' && strcmp(p->grpc_status, "0") != 0) {
        probe_say(p, CHECK_CRITICAL, "gRPC check %s: grpc-status %s", target, p->grpc_status);
    } else if (grpc_serving(buf_view(&p->body), &why)) {
        probe_say(p, CHECK_PASSING, "gRPC check %s: success", target);
    } else {
        probe_say(p, CHECK_CRITICAL, "gRPC check %s: %s", target, why.text);
    }
}

static void ping_on_ready(struct io *io, unsigned ready)
{
    struct http_probe *p = LIST_OWNER(io, struct http_probe, ping_io);
    const char *target = p->probe.definition->h2ping.ptr;
    char data[4096];
    size_t got = 0;
    (void)ready;
    CURLcode code = curl_easy_recv(p->easy, data, sizeof data, &got);
    if (code == CURLE_AGAIN) {
        return;
    }
    enum err e = ERR_INVALID;
    if (code == CURLE_OK && got > 0 &&
        buf_append(&p->body, (struct bytes){.ptr = data, .len = got}) == OK) {
        e = h2_pinged(buf_view(&p->body), p->ping);
    }
    if (e == OK) {
        probe_say(p, CHECK_PASSING, "HTTP2 ping %s: success", target);
    } else if (e != ERR_NOT_FOUND) {
        probe_say(p, CHECK_CRITICAL, "HTTP2 ping %s: no answer to a ping", target);
    }
}

/* Connected: the question goes out, and the loop waits for its answer. */
static void ping_done(struct http_probe *p, CURLcode code)
{
    const char *target = p->probe.definition->h2ping.ptr;
    curl_socket_t fd = CURL_SOCKET_BAD;
    size_t sent = 0;
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(p->easy, CURLINFO_ACTIVESOCKET, &fd);
        code = curl_easy_send(p->easy, p->question.ptr, p->question.len, &sent);
    }
    /* A fresh connection takes so few bytes at once. */
    if (code != CURLE_OK || sent != p->question.len) {
        probe_say(p, CHECK_CRITICAL, "HTTP2 ping %s: %s", target, probe_error(p, code));
        return;
    }
    p->pinging = true;
    io_open(&p->ping_io, p->http->loop, fd, ping_on_ready);
    io_want(&p->ping_io, IO_READ);
}

static void tcp_done(struct http_probe *p, CURLcode code)
{
    const char *target = p->probe.definition->tcp.ptr;
    if (code == CURLE_OK) {
        probe_say(p, CHECK_PASSING, "TCP connect %s: Success", target);
    } else {
        probe_say(p, CHECK_CRITICAL, "dial tcp %s: %s", target, probe_error(p, code));
    }
}

static void probe_done(struct http_probe *p, CURLcode code)
{
    enum check_kind kind = p->probe.definition->kind;
    if (kind == CHECK_HTTP) {
        http_done(p, code);
    } else if (kind == CHECK_GRPC) {
        grpc_done(p, code);
    } else if (kind == CHECK_H2PING) {
        ping_done(p, code);
    } else {
        tcp_done(p, code);
    }
}

static void http_on_finish(struct timer *t)
{
    struct check_http *h = LIST_OWNER(t, struct check_http, finish);
    int left = 0;
    for (const CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;) {
        char *ctx = NULL;
        CURLcode code = m->data.result;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &ctx);
        probe_done((struct http_probe *)(void *)ctx, code);
    }
}

/* --- what is asked ------------------------------------------------------------------------------
 */

static bool has_header(const struct check_definition *d, const char *name)
{
    for (size_t i = 0; i < d->headers.count; i++) {
        if (strcasecmp(d->headers.items[i].name.ptr, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A header that HTTP cannot carry is left out: it could be two. */
static void add_header(struct http_probe *p, const char *name, struct bytes value)
{
    struct buf line;
    buf_init(&line, ROW_TEXT_MAX);
    enum err e =
        buf_printf(&line, value.len > 0 ? "%s: %.*s" : "%s;%.*s", name, BYTES_FORMAT(value));
    bool good = e == OK && bytes_find(buf_view(&line), '\n') == line.len &&
                bytes_find(buf_view(&line), '\r') == line.len;
    if (good) {
        buf_put_char(&line, '\0');
        struct curl_slist *longer = curl_slist_append(p->headers, line.ptr);
        p->headers = longer == NULL ? p->headers : longer;
    }
    buf_close(&line);
}

static void ask_headers(struct http_probe *p)
{
    const struct check_definition *d = p->probe.definition;
    if (!has_header(d, "User-Agent")) {
        add_header(p, "User-Agent", BYTES("Consul Health Check"));
    }
    if (!has_header(d, "Accept")) {
        add_header(p, "Accept", BYTES("text/plain, text/*, */*"));
    }
    /* libcurl would send these of its own. */
    if (!has_header(d, "Content-Type")) {
        p->headers = curl_slist_append(p->headers, "Content-Type:");
    }
    p->headers = curl_slist_append(p->headers, "Expect:");
    for (size_t i = 0; i < d->headers.count; i++) {
        add_header(p, d->headers.items[i].name.ptr, d->headers.items[i].value);
    }
}

static void ask_http(struct http_probe *p)
{
    const struct check_definition *d = p->probe.definition;
    (void)curl_easy_setopt(p->easy, CURLOPT_URL, d->http.ptr);
    if (d->body.len > 0) {
        (void)curl_easy_setopt(p->easy, CURLOPT_POSTFIELDSIZE, (long)d->body.len);
        (void)curl_easy_setopt(p->easy, CURLOPT_POSTFIELDS, d->body.ptr);
    }
    if (d->method.len > 0 || d->body.len > 0) {
        const char *method = d->method.len > 0 ? d->method.ptr : "GET";
        (void)curl_easy_setopt(p->easy, CURLOPT_CUSTOMREQUEST, method);
        (void)curl_easy_setopt(p->easy, CURLOPT_NOBODY, (long)(strcmp(method, "HEAD") == 0));
    }
    ask_headers(p);
    (void)curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers);
    (void)curl_easy_setopt(p->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

/* host:port/service */
static enum err ask_grpc(struct http_probe *p, struct reason *why)
{
    const struct check_definition *d = p->probe.definition;
    char url[URL_MAX];
    size_t slash = bytes_find(d->grpc, '/');
    struct bytes service =
        bytes_slice(d->grpc, slash < d->grpc.len ? slash + 1 : slash, d->grpc.len);
    enum err e = grpc_question(&p->question, service);
    if (e != OK) {
        reason_set(why, "gRPC check: the service's name is longer than 127 bytes");
        return e;
    }
    (void)snprintf(url, sizeof url, "%s://%.*s/grpc.health.v1.Health/Check",
                   d->grpc_use_tls ? "https" : "http", (int)slash, d->grpc.ptr);
    p->headers = curl_slist_append(p->headers, "Content-Type: application/grpc");
    p->headers = curl_slist_append(p->headers, "TE: trailers");
    p->headers = curl_slist_append(p->headers, "User-Agent: Consul Health Check");
    (void)curl_easy_setopt(p->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers);
    (void)curl_easy_setopt(p->easy, CURLOPT_POSTFIELDSIZE, (long)p->question.len);
    (void)curl_easy_setopt(p->easy, CURLOPT_POSTFIELDS, p->question.ptr);
    (void)curl_easy_setopt(
        p->easy, CURLOPT_HTTP_VERSION,
        (long)(d->grpc_use_tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
    return OK;
}

static enum err ask_connect(struct http_probe *p, struct reason *why)
{
    const struct check_definition *d = p->probe.definition;
    char url[URL_MAX];
    bool ping = d->kind == CHECK_H2PING;
    bool tls = ping ? d->h2ping_use_tls : d->tcp_use_tls;
    struct bytes target = ping ? d->h2ping : d->tcp;
    if (target.len > ROW_ADDRESS_MAX || bytes_find(target, '/') < target.len ||
        bytes_find(target, '@') < target.len) {
        reason_set(why, "\"%.100s\" is not host:port", target.ptr);
        return ERR_INVALID;
    }
    (void)snprintf(url, sizeof url, "%s://%s", tls ? "https" : "http", target.ptr);
    (void)curl_easy_setopt(p->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(p->easy, CURLOPT_CONNECT_ONLY, 1L);
    (void)curl_easy_setopt(p->easy, CURLOPT_HTTP_VERSION,
                           (long)(ping ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    if (ping) {
        /* What is not to be used again would be closed before the question goes out. */
        (void)curl_easy_setopt(p->easy, CURLOPT_FORBID_REUSE, 0L);
        env_random(p->probe.host->env, p->ping, sizeof p->ping);
        return h2_ping(&p->question, p->ping);
    }
    return OK;
}

static void ask_common(struct http_probe *p)
{
    const struct check_definition *d = p->probe.definition;
    CURL *easy = p->easy;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, p);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, p->error);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, (long)!d->tls_skip_verify);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, d->tls_skip_verify ? 0L : 2L);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, http_on_open);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, p);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, p);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, http_on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, p);
}

/* The name that the certificate is to have, where it is not the one that is connected to. */
static void ask_server_name(struct http_probe *p)
{
    const struct check_definition *d = p->probe.definition;
    CURLU *url = curl_url();
    char *before = NULL;
    char *host = NULL;
    char *port = NULL;
    char to[URL_MAX];
    if (d->tls_server_name.len == 0 || d->tls_server_name.len > 255 || url == NULL ||
        curl_easy_getinfo(p->easy, CURLINFO_EFFECTIVE_URL, &before) != CURLE_OK ||
        curl_url_set(url, CURLUPART_URL, before, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        curl_url_cleanup(url);
        curl_free(host);
        return;
    }
    char *after = NULL;
    (void)snprintf(to, sizeof to, "::%s:%s", host, port);
    p->connect_to = curl_slist_append(NULL, to);
    if (curl_url_set(url, CURLUPART_HOST, d->tls_server_name.ptr, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &after, 0) == CURLUE_OK) {
        (void)curl_easy_setopt(p->easy, CURLOPT_URL, after);
        (void)curl_easy_setopt(p->easy, CURLOPT_CONNECT_TO, p->connect_to);
    }
    curl_free(after);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
}

static struct probe *http_start(const struct probe *probe, struct reason *why)
{
    struct http_probe *p = mem_zalloc(1, sizeof *p);
    enum check_kind kind = probe->definition->kind;
    p->probe = *probe;
    p->http = probe->host->http;
    p->easy = curl_easy_init();
    if (p->easy == NULL) {
        fatal("libcurl cannot begin");
    }
    list_append(&p->http->probes, &p->link);
    buf_init(&p->body, kind == CHECK_HTTP ? probe->output_max : WIRE_ANSWER_MAX);
    buf_init(&p->question, GRPC_QUESTION_MAX);
    ask_common(p);
    enum err e = OK;
    if (kind == CHECK_HTTP) {
        ask_http(p);
    } else if (kind == CHECK_GRPC) {
        e = ask_grpc(p, why);
    } else {
        e = ask_connect(p, why);
    }
    if (e == OK) {
        ask_server_name(p);
        CURLMcode code = curl_multi_add_handle(p->http->multi, p->easy);
        e = code == CURLM_OK ? OK : ERR_IO;
        if (e != OK) {
            reason_set(why, "libcurl: %s", curl_multi_strerror(code));
        }
    }
    if (e != OK) {
        probe_free(p);
        return NULL;
    }
    return &p->probe;
}

static void http_cancel(struct probe *p)
{
    probe_free(LIST_OWNER(p, struct http_probe, probe));
}

const struct probe_kind PROBE_HTTP = {.start = http_start, .cancel = http_cancel};

/* --- life ---------------------------------------------------------------------------------------
 */

struct check_http *check_http_open(struct loop *loop)
{
    struct check_http *h = mem_zalloc(1, sizeof *h);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (h->multi = curl_multi_init()) == NULL) {
        fatal("libcurl cannot begin");
    }
    h->loop = loop;
    list_init(&h->sockets);
    list_init(&h->probes);
    env_timer_init(loop_env(loop), &h->timer, http_on_time);
    env_timer_init(loop_env(loop), &h->finish, http_on_finish);
    (void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, http_on_socket);
    (void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    (void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, http_on_timer);
    (void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    return h;
}

void check_http_close(struct check_http *h)
{
    if (h == NULL) {
        return;
    }
    CHECK(list_empty(&h->probes));
    (void)curl_multi_cleanup(h->multi);
    LIST_FOREACH (at, &h->sockets) {
        socket_free(LIST_OWNER(at, struct http_socket, link));
    }
    timer_stop(&h->timer);
    timer_stop(&h->finish);
    free(h);
}

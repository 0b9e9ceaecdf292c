#include "core/cli/http_client.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/cli/cli.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define TOKEN_MAX 4096

struct http_client {
    CURL *curl;
    struct curl_slist *headers;
    char *base;  /* "http://127.0.0.1:8500" */
    char *dial;  /* "tcp 127.0.0.1:8500", for messages */
    char *query; /* what the flags add to each call: "&dc=x&stale=" */
    char error[CURL_ERROR_SIZE];
};

/* One call under way. */
struct transfer {
    const struct http_call *call;
    struct http_answer *answer;
    enum err err;
    bool ended; /* by `data` */
};

void http_flags(struct http_options *options, struct flag ret_flags[HTTP_FLAGS_COUNT])
{
    const struct flag flags[HTTP_FLAGS_COUNT] = {
        {"ca-file", FLAG_TEXT, &options->tls[0], "value", "Accepted; TLS is not available yet."},
        {"ca-path", FLAG_TEXT, &options->tls[1], "value", "Accepted; TLS is not available yet."},
        {"client-cert", FLAG_TEXT, &options->tls[2], "value",
         "Accepted; TLS is not available yet."},
        {"client-key", FLAG_TEXT, &options->tls[3], "value", "Accepted; TLS is not available yet."},
        {"datacenter", FLAG_TEXT, &options->datacenter, "value",
         "Name of the datacenter to query. The default is the agent's own."},
        {"http-addr", FLAG_TEXT, &options->addr, "address",
         "Address and port of the agent, or unix:// and a path. Also HERALD_HTTP_ADDR or "
         "CONSUL_HTTP_ADDR. The default is http://127.0.0.1:8500."},
        {"stale", FLAG_SWITCH, &options->stale, NULL,
         "Lets any server answer, which may know less than the leader."},
        {"tls-server-name", FLAG_TEXT, &options->tls[4], "value",
         "Accepted; TLS is not available yet."},
        {"token", FLAG_TEXT, &options->token, "value",
         "ACL token of the request. Also HERALD_HTTP_TOKEN or CONSUL_HTTP_TOKEN."},
        {"token-file", FLAG_TEXT, &options->token_file, "value",
         "File that holds the ACL token. Also HERALD_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN_FILE."},
    };
    memcpy(ret_flags, flags, sizeof flags);
}

/* --- opening ------------------------------------------------------------------------------------
 */

/* HERALD_<name>, else CONSUL_<name>, else NULL; an empty one is none. */
static const char *setting(const char *name)
{
    static const char *const prefixes[] = {"HERALD_", "CONSUL_"};
    for (size_t i = 0; i < 2; i++) {
        char full[64];
        (void)snprintf(full, sizeof full, "%s%s", prefixes[i], name);
        const char *value = getenv(full); /* NOLINT(concurrency-mt-unsafe): one thread */
        if (value != NULL && value[0] != '\0') {
            return value;
        }
    }
    return NULL;
}

static const char *choose(const char *flag, const char *name)
{
    return flag != NULL && flag[0] != '\0' ? flag : setting(name);
}

static void client_set(CURLcode code)
{
    CHECK(code == CURLE_OK);
}

static char *text_join(const char *a, const char *b)
{
    size_t len = strlen(a) + strlen(b) + 1;
    char *text = mem_alloc(len);
    (void)snprintf(text, len, "%s%s", a, b);
    return text;
}

static enum err open_address(struct http_client *h, const char *flag, struct reason *why)
{
    const char *addr = choose(flag, "HTTP_ADDR");
    const char *ssl = setting("HTTP_SSL");
    bool secure = false;
    addr = addr == NULL ? "127.0.0.1:8500" : addr;
    if (strncasecmp(addr, "https://", 8) == 0 ||
        (ssl != NULL && flag_bool(bytes_of(ssl), &secure) == OK && secure)) {
        reason_set(why, "https is not available in this build yet: use http:// or unix://");
        return ERR_INVALID;
    }
    if (strncmp(addr, "unix://", 7) == 0) {
        client_set(curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, addr + 7));
        h->base = mem_strdup("http://localhost");
        h->dial = text_join("unix ", addr + 7);
        return OK;
    }
    const char *scheme = strstr(addr, "://");
    if (scheme != NULL && strncasecmp(addr, "http://", 7) != 0) {
        reason_set(why, "Unknown protocol scheme: %.*s", (int)(scheme - addr), addr);
        return ERR_INVALID;
    }
    const char *host = scheme == NULL ? addr : scheme + 3;
    struct bytes rest = bytes_of(host);
    size_t slash = bytes_find(rest, '/');
    if (slash == 0 || rest.len == 0 || slash + 1 < rest.len) {
        reason_set(why,
                   "\"%s\" is not an address: expected host:port, http://host:port or "
                   "unix:///path",
                   addr);
        return ERR_INVALID;
    }
    char *clean = mem_dup(host, slash);
    h->base = text_join("http://", clean);
    h->dial = text_join("tcp ", clean);
    free(clean);
    return OK;
}

static void header_add(struct http_client *h, const char *name, const char *value)
{
    char *line = text_join(name, value);
    h->headers = curl_slist_append(h->headers, line);
    CHECK(h->headers != NULL);
    free(line);
}

static enum err open_token_file(struct http_client *h, const char *path, struct reason *why)
{
    char token[TOKEN_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, token, sizeof token - 1);
    if (len < 0) {
        char cause[SYSTEM_TEXT_LEN];
        cli_system_text(errno, cause);
        reason_set(why, "Error loading token file: open %s: %s", path, cause);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (len < 0) {
        return ERR_IO;
    }
    token[len] = '\0';
    token[strcspn(token, "\r\n")] = '\0';
    header_add(h, "X-Consul-Token: ", token);
    return OK;
}

static enum err open_token(struct http_client *h, const struct http_options *o, struct reason *why)
{
    const char *auth = setting("HTTP_AUTH");
    const char *token = choose(o->token, "HTTP_TOKEN");
    const char *file = choose(o->token_file, "HTTP_TOKEN_FILE");
    if (auth != NULL) {
        client_set(curl_easy_setopt(h->curl, CURLOPT_USERPWD, auth));
    }
    if (token != NULL) {
        if (strpbrk(token, "\r\n") != NULL) {
            reason_set(why, "the token holds a line break");
            return ERR_INVALID;
        }
        header_add(h, "X-Consul-Token: ", token);
        return OK;
    }
    return file == NULL ? OK : open_token_file(h, file, why);
}

static void open_query(struct http_client *h, const struct http_options *o)
{
    struct buf query;
    buf_init(&query, HTTP_TARGET_MAX);
    if (o->datacenter != NULL && o->datacenter[0] != '\0') {
        CHECK(http_query(&query, "dc", bytes_of(o->datacenter)) == OK);
    }
    if (o->stale) {
        buf_put_str(&query, "&stale=");
    }
    h->query = mem_dup(query.len > 0 ? query.ptr : "", query.len);
    buf_close(&query);
}

enum err http_client_open(const struct http_options *options,
                          struct http_client **ret_client,
                          struct reason *why)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    struct http_client *h = mem_zalloc(1, sizeof *h);
    h->curl = curl_easy_init();
    CHECK(h->curl != NULL);
    client_set(curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L));
    client_set(curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->error));
    client_set(curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http"));
    client_set(curl_easy_setopt(h->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1));
    /* A key is any text: its dots are not the file system's. */
    client_set(curl_easy_setopt(h->curl, CURLOPT_PATH_AS_IS, 1L));
    /* The agent is beside us or named on purpose; a proxy for the web is not meant. */
    client_set(curl_easy_setopt(h->curl, CURLOPT_PROXY, ""));
    client_set(curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT_MS, HTTP_CONNECT_MS));
    header_add(h, "Expect:", "");
    enum err e = open_address(h, options->addr, why);
    if (e == OK) {
        e = open_token(h, options, why);
    }
    if (e != OK) {
        http_client_close(h);
        return e;
    }
    open_query(h, options);
    client_set(curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers));
    *ret_client = h;
    return OK;
}

void http_client_close(struct http_client *h)
{
    if (h == NULL) {
        return;
    }
    curl_easy_cleanup(h->curl);
    curl_slist_free_all(h->headers);
    free(h->base);
    free(h->dial);
    free(h->query);
    free(h);
}

/* --- calling ------------------------------------------------------------------------------------
 */

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static size_t on_body(char *ptr, size_t size, size_t count, void *ctx)
{
    struct transfer *t = ctx;
    struct bytes piece = {.ptr = ptr, .len = size * count};
    long status = t->answer->status;
    if (t->call->data != NULL && status == 200) {
        t->ended = !t->call->data(t->call->ctx, piece);
        return t->ended ? 0 : piece.len;
    }
    t->err = buf_append(&t->answer->body, piece);
    return t->err == OK ? piece.len : 0;
}

static bool header_value(struct bytes line, const char *name, struct bytes *ret_value)
{
    struct bytes prefix = bytes_of(name);
    if (line.len < prefix.len || !bytes_equal_nocase(bytes_slice(line, 0, prefix.len), prefix)) {
        return false;
    }
    size_t from = prefix.len;
    size_t to = line.len;
    while (from < to && line.ptr[from] == ' ') {
        from++;
    }
    while (to > from && strchr("\r\n ", line.ptr[to - 1]) != NULL) {
        to--;
    }
    *ret_value = bytes_slice(line, from, to);
    return true;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static size_t on_header(char *ptr, size_t size, size_t count, void *ctx)
{
    struct transfer *t = ctx;
    struct http_answer *a = t->answer;
    struct bytes line = {.ptr = ptr, .len = size * count};
    struct bytes value;
    if (bytes_begins(line, BYTES("HTTP/1.")) && line.len >= 12) {
        a->status = (line.ptr[9] - '0') * 100 + (line.ptr[10] - '0') * 10 + (line.ptr[11] - '0');
    } else if (header_value(line, "X-Consul-Index:", &value)) {
        if (bytes_to_u64(value, &a->index) != OK) {
            a->index = 0;
        }
    } else if (header_value(line, "X-Herald-Epoch:", &value)) {
        (void)snprintf(a->epoch, sizeof a->epoch, "%.*s", BYTES_FORMAT(value));
    }
    return line.len;
}
static void call_prepare(struct http_client *h, struct transfer *t, const char *url)
{
    const struct http_call *call = t->call;
    CURL *curl = h->curl;
    bool put =
        strcmp(call->method, "PUT") == 0 || strcmp(call->method, "POST") == 0 || call->body.len > 0;
    client_set(curl_easy_setopt(curl, CURLOPT_URL, url));
    client_set(curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L));
    client_set(curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method));
    if (put) {
        client_set(curl_easy_setopt(curl, CURLOPT_POST, 1L));
        client_set(curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len));
        client_set(
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.ptr : ""));
    }
    client_set(curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body));
    client_set(curl_easy_setopt(curl, CURLOPT_WRITEDATA, t));
    client_set(curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header));
    client_set(curl_easy_setopt(curl, CURLOPT_HEADERDATA, t));
    client_set(curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms));
    client_set(curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L));
    client_set(curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                                call->timeout_ms > 0 || call->endless ? 0L : HTTP_STALL_S));
}

/* In the words that users of the original know: `Get "http://...": dial tcp ...: connect:
 * connection refused`. */
static void call_failed(struct http_client *h,
                        const struct http_call *call,
                        const char *url,
                        CURLcode code,
                        struct reason *why)
{
    char cause[160];
    long number = 0;
    (void)curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_COULDNT_CONNECT && number != 0) {
        char system[SYSTEM_TEXT_LEN];
        cli_system_text((int)number, system);
        (void)snprintf(cause, sizeof cause, "connect: %s", system);
    } else {
        (void)snprintf(cause, sizeof cause, "%.150s",
                       h->error[0] != '\0' ? h->error : curl_easy_strerror(code));
    }
    reason_set(why, "%c%.*s \"%.200s\": dial %.100s: %s", call->method[0],
               (int)strlen(call->method) - 1,
               strcmp(call->method, "GET") == 0    ? "et"
               : strcmp(call->method, "PUT") == 0  ? "ut"
               : strcmp(call->method, "POST") == 0 ? "ost"
                                                   : "elete",
               url, h->dial, cause);
}

/* curl_easy_perform() with a tick: the same transfer by steps. */
static CURLcode call_perform(struct http_client *h, struct transfer *t)
{
    CURLcode code = CURLE_FAILED_INIT;
    int running = 1;
    int left = 0;
    CURLM *multi = curl_multi_init();
    if (multi == NULL || curl_multi_add_handle(multi, h->curl) != CURLM_OK) {
        (void)curl_multi_cleanup(multi);
        return code;
    }
    while (running > 0 && curl_multi_perform(multi, &running) == CURLM_OK) {
        t->ended = t->ended || !t->call->tick(t->call->ctx);
        if (t->ended || running == 0 ||
            curl_multi_poll(multi, NULL, 0, (int)t->call->tick_ms, NULL) != CURLM_OK) {
            break;
        }
    }
    const CURLMsg *message = curl_multi_info_read(multi, &left);
    if (message != NULL && message->msg == CURLMSG_DONE) {
        code = message->data.result;
    }
    (void)curl_multi_remove_handle(multi, h->curl);
    (void)curl_multi_cleanup(multi);
    return code;
}

enum err http_client_call(struct http_client *h,
                          const struct http_call *call,
                          struct http_answer *ret_answer,
                          struct reason *why)
{
    struct transfer t = {.call = call, .answer = ret_answer};
    struct buf url;
    *ret_answer = (struct http_answer){0};
    buf_init(&ret_answer->body, HTTP_ANSWER_MAX);
    buf_init(&url, HTTP_TARGET_MAX);
    enum err e = buf_printf(&url, "%s%s", h->base, call->path);
    const char *separator = "?";
    const char *parts[] = {call->query, h->query};
    for (size_t i = 0; i < 2 && e == OK; i++) {
        const char *part = parts[i][0] == '&' ? parts[i] + 1 : parts[i];
        if (part[0] != '\0') {
            e = buf_printf(&url, "%s%s", separator, part);
            separator = "&";
        }
    }
    if (e != OK) {
        reason_set(why, "the request is longer than %zu bytes", HTTP_TARGET_MAX);
        buf_close(&url);
        return e;
    }
    h->error[0] = '\0';
    call_prepare(h, &t, url.ptr);
    CURLcode code = call->tick == NULL ? curl_easy_perform(h->curl) : call_perform(h, &t);
    if (code != CURLE_OK && !t.ended) {
        e = t.err != OK ? t.err : ERR_IO;
        call_failed(h, call, url.ptr, code, why);
        if (t.err != OK) {
            reason_set(why, "the answer is larger than %zu bytes", HTTP_ANSWER_MAX);
        }
    }
    buf_close(&url);
    return e;
}

void http_answer_close(struct http_answer *a)
{
    buf_close(&a->body);
}

void http_answer_reason(const struct http_answer *a, struct reason *why)
{
    struct bytes text = buf_view(&a->body);
    while (text.len > 0 && strchr("\r\n ", text.ptr[text.len - 1]) != NULL) {
        text.len--;
    }
    text = text.len > 400 ? bytes_slice(text, 0, 400) : text;
    if (text.len == 0) {
        reason_set(why, "Unexpected response code: %d", a->status);
    } else {
        reason_set(why, "Unexpected response code: %d (%.*s)", a->status, BYTES_FORMAT(text));
    }
}

/* A NUL behind the contents, which `len` does not count. */
static enum err text_end(struct buf *out)
{
    enum err e = buf_reserve(out, 1);
    if (e == OK) {
        out->ptr[out->len] = '\0';
    }
    return e;
}

enum err http_path(struct buf *out, const char *path, struct bytes tail)
{
    enum err e = buf_append_str(out, path);
    if (e == OK) {
        e = url_encode(out, tail, true);
    }
    return e == OK ? text_end(out) : e;
}

enum err http_query(struct buf *out, const char *name, struct bytes value)
{
    enum err e = buf_printf(out, "&%s=", name);
    if (e == OK) {
        e = url_encode(out, value, false);
    }
    return e == OK ? text_end(out) : e;
}

/* The client side of the command line: blocking calls to one agent over TCP or a unix socket.
 * The only file that knows libcurl.
 *
 * Life     http_client_open() -> calls, one at a time, connection reused -> http_client_close()
 * Owner    options are borrowed for http_client_open(); a call's text and body for the call.
 * Limits   an answer is at most HTTP_ANSWER_MAX bytes; a call without `timeout_ms` waits as long
 *          as bytes keep coming at least every HTTP_STALL_S seconds.
 * Errors   ERR_INVALID (an address that cannot be used), ERR_IO (no answer; `why` is the sentence
 *          for the user), ERR_TOO_BIG.
 * Threads  one client belongs to one thread.
 */
#ifndef CORE_CLI_HTTP_CLIENT_H
#define CORE_CLI_HTTP_CLIENT_H

#include "core/flag.h"

#define HTTP_ANSWER_MAX ((size_t)1 << 30)
#define HTTP_CONNECT_MS 10000L
#define HTTP_STALL_S    60L
/* Longest request: method, path, arguments. */
#define HTTP_TARGET_MAX ((size_t)64 * 1024)

/* What the flags of every client command say; all zero is the default. */
struct http_options {
    const char *addr;
    const char *token;
    const char *token_file;
    const char *datacenter;
    bool stale;
    const char *tls[5]; /* accepted; https is refused */
};

#define HTTP_FLAGS_COUNT 10
/* Fills `ret_flags` with the flags that set `options`. */
void http_flags(struct http_options *options, struct flag ret_flags[HTTP_FLAGS_COUNT]);

struct http_client;

/* Environment: HERALD_HTTP_ADDR, then CONSUL_HTTP_ADDR, and so with _TOKEN, _TOKEN_FILE, _AUTH,
 * _SSL; a flag wins over both. */
enum err http_client_open(const struct http_options *options,
                          struct http_client **ret_client,
                          struct reason *why) ERR_MUST_USE;
void http_client_close(struct http_client *h);

struct http_call {
    const char *method;  /* "GET" "PUT" "POST" "DELETE" */
    const char *path;    /* escaped: "/v1/kv/a%20b" */
    const char *query;   /* without `?`; "" for none */
    struct bytes body;   /* of all but GET */
    uint64_t timeout_ms; /* 0: see Limits */
    bool endless;        /* no limit of time, and none of silence */
    /* Instead of keeping a 200's body: each piece as it comes. False ends the call with OK. */
    bool (*data)(void *ctx, struct bytes piece);
    /* Besides: called at least every `tick_ms` until the call ends. False ends it with OK. */
    bool (*tick)(void *ctx);
    uint64_t tick_ms;
    void *ctx;
};

struct http_answer {
    int status;
    uint64_t index; /* X-Consul-Index; 0: none */
    char epoch[32]; /* X-Herald-Epoch; "" none */
    struct buf body;
};

/* Any status is OK. `ret_answer` is initialised by it, and is the caller's to http_answer_close()
 * whatever it returns. */
enum err http_client_call(struct http_client *h,
                          const struct http_call *call,
                          struct http_answer *ret_answer,
                          struct reason *why) ERR_MUST_USE;
void http_answer_close(struct http_answer *a);
/* `Unexpected response code: 500 (text)`. */
void http_answer_reason(const struct http_answer *a, struct reason *why);

/* `path` + escaped `tail`; slashes stay. Both leave a NUL behind what they have written. */
enum err http_path(struct buf *out, const char *path, struct bytes tail) ERR_MUST_USE;
/* Adds `&name=value`, the value escaped, to a query. */
enum err http_query(struct buf *out, const char *name, struct bytes value) ERR_MUST_USE;

#endif

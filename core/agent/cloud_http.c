#include "core/agent/cloud_http.h"

#include "core/base/limit.h"

#include <curl/curl.h>

static size_t http_take(const char *data, size_t size, size_t count, void *ctx)
{
    /* Too much: the transfer fails. */
    return buf_append(ctx, (struct bytes){data, size * count}) == OK ? size * count : 0;
}

static int http_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const atomic_bool *stop = ctx;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load(stop) ? 1 : 0;
}

static void http_set(CURL *curl, const struct cloud_http *q, struct buf *out)
{
    (void)curl_easy_setopt(curl, CURLOPT_URL, q->url);
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q->method);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "169.254.169.254");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)CLOUD_HTTP_MS);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CLOUD_HTTP_MS / 2);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, http_take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, http_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)q->stop);
    if (q->body.len > 0) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, q->body.ptr);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)q->body.len);
    }
}

enum err cloud_http(const struct cloud_http *q, struct buf *out, struct reason *why)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    long status = 0;
    if (curl == NULL) {
        reason_set(why, "%s: no memory", q->url);
        return ERR_IO;
    }
    for (size_t i = 0; i < q->header_count; i++) {
        headers = curl_slist_append(headers, q->headers[i]);
    }
    buf_clear(out);
    http_set(curl, q, out);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK) {
        reason_set(why, "%s: %s", q->url, curl_easy_strerror(code));
        return ERR_IO;
    }
    if (status != 200) {
        reason_set(why, "%s: status %ld", q->url, status);
        return ERR_IO;
    }
    return OK;
}

#include "core/agent/cloud_sign.h"

#include "core/base/check.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HASH_LEN 32U
#define HEX_LEN  (2 * HASH_LEN + 1)
#define FORM     "application/x-www-form-urlencoded; charset=utf-8"

static void sign_hex(const unsigned char hash[HASH_LEN], char ret_hex[HEX_LEN])
{
    for (size_t i = 0; i < HASH_LEN; i++) {
        (void)snprintf(ret_hex + 2 * i, 3, "%02x", hash[i]);
    }
}

static void sign_hash(struct bytes data, char ret_hex[HEX_LEN])
{
    unsigned char hash[HASH_LEN];
    int ok = EVP_Digest(data.ptr, data.len, hash, NULL, EVP_sha256(), NULL);
    CHECK(ok == 1);
    sign_hex(hash, ret_hex);
}

static void sign_mac(struct bytes key, struct bytes data, unsigned char ret_mac[HASH_LEN])
{
    unsigned len = 0;
    const unsigned char *mac = HMAC(EVP_sha256(), key.ptr, (int)key.len,
                                    (const unsigned char *)data.ptr, data.len, ret_mac, &len);
    CHECK(mac != NULL && len == HASH_LEN);
}

static enum err sign_canonical(const struct cloud_post *p,
                               const struct cloud_key *key,
                               const char *date,
                               struct buf *out)
{
    char hash[HEX_LEN];
    sign_hash(p->body, hash);
    enum err e = buf_printf(out, "POST\n/\n\ncontent-type:" FORM "\nhost:%s\nx-amz-date:%s\n",
                            p->host, date);
    if (e == OK && key->token != NULL) {
        e = buf_printf(out, "x-amz-security-token:%s\n", key->token);
    }
    return e != OK ? e
                   : buf_printf(out, "\ncontent-type;host;x-amz-date%s\n%s",
                                key->token != NULL ? ";x-amz-security-token" : "", hash);
}

/* The key of the day, the region and the service, then the signature itself. */
static enum err sign_make(const struct cloud_post *p,
                          const struct cloud_key *key,
                          const char *date,
                          struct bytes text,
                          char ret_hex[HEX_LEN])
{
    unsigned char mac[HASH_LEN];
    unsigned char next[HASH_LEN];
    const struct bytes steps[] = {
        {date, 8}, bytes_of(p->region), bytes_of(p->service), BYTES("aws4_request"), text};
    struct buf first;
    buf_init(&first, 1024);
    enum err e = buf_printf(&first, "AWS4%s", key->secret);
    struct bytes with = buf_view(&first);
    for (size_t i = 0; e == OK && i < sizeof steps / sizeof steps[0]; i++) {
        sign_mac(with, steps[i], next);
        memcpy(mac, next, sizeof mac);
        with = (struct bytes){(const char *)mac, sizeof mac};
    }
    if (e == OK) {
        sign_hex(mac, ret_hex);
    }
    buf_close(&first);
    return e;
}

enum err cloud_sign(const struct cloud_post *p, const struct cloud_key *key, struct buf *out)
{
    char date[20];
    char hash[HEX_LEN];
    char signature[HEX_LEN];
    struct tm tm = {0};
    time_t seconds = (time_t)(p->wall_ms / 1000);
    struct buf work;
    CHECK(gmtime_r(&seconds, &tm) != NULL);
    CHECK(strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &tm) > 0);
    buf_init(&work, 16384);
    enum err e = sign_canonical(p, key, date, &work);
    if (e == OK) {
        sign_hash(buf_view(&work), hash);
        buf_clear(&work);
        e = buf_printf(&work, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n%s", date, date,
                       p->region, p->service, hash);
    }
    e = e == OK ? sign_make(p, key, date, buf_view(&work), signature) : e;
    buf_close(&work);
    e = e == OK ? buf_printf(out, "X-Amz-Date: %s%c", date, '\0') : e;
    if (e == OK && key->token != NULL) {
        e = buf_printf(out, "X-Amz-Security-Token: %s%c", key->token, '\0');
    }
    return e != OK ? e
                   : buf_printf(out,
                                "Authorization: AWS4-HMAC-SHA256 "
                                "Credential=%s/%.8s/%s/%s/aws4_request, "
                                "SignedHeaders=content-type;host;x-amz-date%s, Signature=%s%c",
                                key->id, date, p->region, p->service,
                                key->token != NULL ? ";x-amz-security-token" : "", signature, '\0');
}

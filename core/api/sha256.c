#include "core/api/sha256.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define SHA256_LEN 32U

struct sha256 {
    EVP_MD_CTX *context;
};

/* It can fail only for want of memory. */
static void sha256_begin(struct sha256 *h)
{
    CHECK(EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) == 1);
}

struct sha256 *sha256_new(void)
{
    struct sha256 *h = mem_zalloc(1, sizeof(*h));
    h->context = EVP_MD_CTX_new();
    CHECK(h->context != NULL);
    sha256_begin(h);
    return h;
}

void sha256_update(struct sha256 *h, struct bytes data)
{
    CHECK(EVP_DigestUpdate(h->context, data.ptr, data.len) == 1);
}

void sha256_hex(struct sha256 *h, char ret_hex[SHA256_HEX_LEN])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    CHECK(EVP_DigestFinal_ex(h->context, digest, &len) == 1);
    CHECK(len == SHA256_LEN);
    for (size_t i = 0; i < SHA256_LEN; i++) {
        ret_hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        ret_hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    sha256_begin(h);
}

void sha256_free(struct sha256 *h)
{
    if (h == NULL) {
        return;
    }
    EVP_MD_CTX_free(h->context);
    free(h);
}

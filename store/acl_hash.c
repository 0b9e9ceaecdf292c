#include "store/acl_rows.h"

#include "core/base/check.h"

#include <openssl/evp.h>

void acl_hash(struct bytes data, char ret_hex[ACL_HASH_LEN])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    /* It can fail only for want of memory. */
    CHECK(EVP_Digest(data.ptr, data.len, digest, &len, EVP_sha256(), NULL) == 1);
    CHECK(2 * len == ACL_HASH_LEN);
    for (size_t i = 0; i < len; i++) {
        ret_hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        ret_hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
}

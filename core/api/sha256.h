/* SHA-256, as hex. The only file that knows OpenSSL here is sha256.c.
 *
 * Owner    sha256_new() -> sha256_update() -> sha256_hex(), as often as wanted -> sha256_free().
 * Threads  one at a time.
 */
#ifndef CORE_API_SHA256_H
#define CORE_API_SHA256_H

#include "core/base/buf.h"

#define SHA256_HEX_LEN 64

struct sha256;

struct sha256 *sha256_new(void);
void sha256_update(struct sha256 *h, struct bytes data);
/* Of all that came; without a NUL. Begins anew. */
void sha256_hex(struct sha256 *h, char ret_hex[SHA256_HEX_LEN]);
/* NULL is allowed. */
void sha256_free(struct sha256 *h);

#endif

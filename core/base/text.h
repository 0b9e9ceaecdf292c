/* Bytes as text and back: base64 (RFC 4648), hex, JSON strings (RFC 8259), URL escapes (RFC 3986),
 * Go's durations, as the contract's clients write them.
 *
 * Errors   ERR_INVALID for input that is not of the form; the output is then unspecified.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_BASE_TEXT_H
#define CORE_BASE_TEXT_H

#include "core/base/buf.h"

/* Standard alphabet, padded. */
enum err base64_encode(struct buf *out, struct bytes data) ERR_MUST_USE;
/* Padded or not; line breaks are refused. */
enum err base64_decode(struct buf *out, struct bytes text) ERR_MUST_USE;
/* URL alphabet, without padding. */
enum err base64url_decode(struct buf *out, struct bytes text) ERR_MUST_USE;

/* A quoted JSON string. Bytes that are not UTF-8 become U+FFFD one by one, as Go does it; `<`,
 * `>`, `&`, U+2028 and U+2029 are escaped, as Go does it too, so no browser takes a value for
 * markup. */
enum err json_quote(struct buf *out, struct bytes text) ERR_MUST_USE;

/* Percent-decoding; `plus` says whether `+` is a space (query strings, not paths). */
enum err url_decode(struct buf *out, struct bytes text, bool plus) ERR_MUST_USE;
/* Everything but unreserved characters is escaped; `keep_slash` leaves `/` as it is. */
enum err url_encode(struct buf *out, struct bytes text, bool keep_slash) ERR_MUST_USE;

/* Go's time.ParseDuration: "300ms", "1h2m", "1.5s"; negative ones and "" are ERR_INVALID; below
 * a millisecond is rounded down. */
enum err duration_parse(struct bytes text, uint64_t *ret_ms) ERR_MUST_USE;

/* The other way: "1m30s", "200ms", "0s". */
#define DURATION_TEXT_LEN 40
void duration_text(uint64_t ms, char ret_text[DURATION_TEXT_LEN]);

/* `2026-11-22T17:10:17.425Z`. */
#define TIME_TEXT_LEN 25
void time_text(uint64_t wall_ms, char ret_text[TIME_TEXT_LEN]);

/* A random (version 4) UUID, 36 characters and a NUL. */
#define UUID_TEXT_LEN 37
void uuid_make(char ret_text[UUID_TEXT_LEN]);
bool uuid_valid(struct bytes text);

/* Of what goes to disk and between servers: CRC-32 (zlib). */
uint32_t checksum(struct bytes data);
/* The same of what lies in pieces: `sum` is that of the bytes before, 0 at the start. */
uint32_t checksum_more(uint32_t sum, struct bytes data);

#endif

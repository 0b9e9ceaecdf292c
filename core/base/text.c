#include "core/base/text.h"

#include "core/base/check.h"
#include "core/base/env.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char HEX_LOWER[] = "0123456789abcdef";
static const char HEX_UPPER[] = "0123456789ABCDEF";

enum err base64_encode(struct buf *out, struct bytes data)
{
    size_t groups = data.len / 3 + (data.len % 3 != 0);
    enum err e = groups > out->max / 4 ? ERR_TOO_BIG : buf_reserve(out, groups * 4);
    if (e != OK) {
        return e;
    }
    const unsigned char *in = (const unsigned char *)data.ptr;
    char *to = out->ptr + out->len;
    size_t left = data.len;
    for (; left >= 3; left -= 3, in += 3) {
        *to++ = BASE64[in[0] >> 2];
        *to++ = BASE64[(in[0] & 3) << 4 | in[1] >> 4];
        *to++ = BASE64[(in[1] & 15) << 2 | in[2] >> 6];
        *to++ = BASE64[in[2] & 63];
    }
    if (left > 0) {
        unsigned second = left == 2 ? in[1] : 0U;
        *to++ = BASE64[in[0] >> 2];
        *to++ = BASE64[(in[0] & 3U) << 4 | second >> 4];
        *to++ = left == 2 ? BASE64[(second & 15) << 2] : '=';
        *to++ = '=';
    }
    out->len += groups * 4;
    return OK;
}

static int base64_digit(char c, bool url)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == (url ? '-' : '+')) {
        return 62;
    }
    return c == (url ? '_' : '/') ? 63 : -1;
}

static enum err base64_decode_any(struct buf *out, struct bytes text, bool url)
{
    while (text.len > 0 && text.len % 4 != 1 && text.ptr[text.len - 1] == '=') {
        text.len--;
    }
    if (text.len % 4 == 1) {
        return ERR_INVALID;
    }
    enum err e = buf_reserve(out, text.len / 4 * 3 + 3);
    if (e != OK) {
        return e;
    }
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.ptr[i], url);
        if (digit < 0) {
            return ERR_INVALID;
        }
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_put_char(out, (char)(bits >> have & 0xff));
        }
    }
    return OK;
}

enum err base64_decode(struct buf *out, struct bytes text)
{
    return base64_decode_any(out, text, false);
}

enum err base64url_decode(struct buf *out, struct bytes text)
{
    return base64_decode_any(out, text, true);
}

/* Length of the UTF-8 sequence at the start of `b`, 0 if there is none. */
static size_t json_sequence(struct bytes b)
{
    unsigned char first = (unsigned char)b.ptr[0];
    size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (len > b.len || !bytes_utf8_valid(bytes_slice(b, 0, len))) {
        return 0;
    }
    return len;
}

static bool json_is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* One character that cannot stand as it is; returns how many bytes of input it was. */
static size_t json_quote_special(struct buf *out, struct bytes rest)
{
    unsigned char c = (unsigned char)rest.ptr[0];
    size_t len = json_sequence(rest);
    if (len == 0) {
        buf_put_str(out, "\\ufffd");
        return 1;
    }
    if (c == '"' || c == '\\') {
        buf_put_char(out, '\\');
        buf_put_char(out, (char)c);
    } else if (c == '\n') {
        buf_put_str(out, "\\n");
    } else if (c == '\r') {
        buf_put_str(out, "\\r");
    } else if (c == '\t') {
        buf_put_str(out, "\\t");
    } else if (c < 0x80 && c != 0x7f) {
        buf_put_str(out, "\\u00");
        buf_put_char(out, HEX_LOWER[c >> 4]);
        buf_put_char(out, HEX_LOWER[c & 15]);
    } else if (len == 3 && memcmp(rest.ptr, "\xe2\x80\xa8", 3) == 0) {
        buf_put_str(out, "\\u2028");
    } else if (len == 3 && memcmp(rest.ptr, "\xe2\x80\xa9", 3) == 0) {
        buf_put_str(out, "\\u2029");
    } else {
        buf_put(out, bytes_slice(rest, 0, len));
    }
    return len;
}

enum err json_quote(struct buf *out, struct bytes text)
{
    /* Six bytes is the longest a byte can become. */
    enum err e = text.len > (out->max - 2) / 6 ? ERR_TOO_BIG : buf_reserve(out, text.len + 2);
    if (e != OK) {
        return e;
    }
    buf_put_char(out, '"');
    for (size_t i = 0; i < text.len;) {
        size_t run = i;
        while (run < text.len && json_is_plain(text.ptr[run])) {
            run++;
        }
        if (out->max - out->len < run - i + 7) {
            return ERR_TOO_BIG;
        }
        buf_put(out, bytes_slice(text, i, run));
        i = run;
        if (i < text.len) {
            i += json_quote_special(out, bytes_slice(text, i, text.len));
        }
    }
    return buf_append_char(out, '"');
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum err url_decode(struct buf *out, struct bytes text, bool plus)
{
    enum err e = buf_reserve(out, text.len);
    if (e != OK) {
        return e;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            if (text.len - i < 3) {
                return ERR_INVALID;
            }
            int high = hex_digit(text.ptr[i + 1]);
            int low = hex_digit(text.ptr[i + 2]);
            if (high < 0 || low < 0) {
                return ERR_INVALID;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        buf_put_char(out, c);
    }
    return OK;
}

static bool url_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

enum err url_encode(struct buf *out, struct bytes text, bool keep_slash)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        enum err e = buf_reserve(out, 3);
        if (e != OK) {
            return e;
        }
        if (url_unreserved((char)c) || (c == '/' && keep_slash)) {
            buf_put_char(out, (char)c);
            continue;
        }
        buf_put_char(out, '%');
        buf_put_char(out, HEX_UPPER[c >> 4]);
        buf_put_char(out, HEX_UPPER[c & 15]);
    }
    return OK;
}

/* Nanoseconds of the unit at the start of `text`, and its length; 0 if there is none. */
static uint64_t duration_unit(struct bytes text, size_t *ret_len)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
        {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_begins(text, bytes_of(units[i].name))) {
            *ret_len = strlen(units[i].name);
            return units[i].ns;
        }
    }
    return 0;
}

/* One `<number><unit>` at the start of `text`. */
static enum err duration_term(struct bytes text, uint64_t *ret_ns, size_t *ret_len)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    uint64_t scale = 1;
    size_t i = 0;
    size_t digits = 0;
    for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++, digits++) {
        if (__builtin_mul_overflow(whole, 10U, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(text.ptr[i] - '0'), &whole)) {
            return ERR_INVALID;
        }
    }
    if (i < text.len && text.ptr[i] == '.') {
        for (i++; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++, digits++) {
            /* What is finer than a nanosecond is read and dropped. */
            if (scale < 1000000000) {
                fraction = fraction * 10 + (uint64_t)(text.ptr[i] - '0');
                scale *= 10;
            }
        }
    }
    size_t unit_len = 0;
    uint64_t unit_ns = duration_unit(bytes_slice(text, i, text.len), &unit_len);
    uint64_t ns = 0;
    if (digits == 0 || unit_ns == 0 || __builtin_mul_overflow(whole, unit_ns, &ns)) {
        return ERR_INVALID;
    }
    uint64_t rest = (uint64_t)((__uint128_t)fraction * unit_ns / scale);
    if (__builtin_add_overflow(ns, rest, &ns)) {
        return ERR_INVALID;
    }
    *ret_ns = ns;
    *ret_len = i + unit_len;
    return OK;
}

enum err duration_parse(struct bytes text, uint64_t *ret_ms)
{
    uint64_t total_ns = 0;
    if (bytes_equal(text, BYTES("0"))) {
        *ret_ms = 0;
        return OK;
    }
    if (text.len > 0 && text.ptr[0] == '+') {
        text = bytes_slice(text, 1, text.len);
    }
    if (text.len == 0) {
        return ERR_INVALID;
    }
    while (text.len > 0) {
        uint64_t ns = 0;
        size_t len = 0;
        enum err e = duration_term(text, &ns, &len);
        if (e != OK) {
            return e;
        }
        if (__builtin_add_overflow(total_ns, ns, &total_ns) || total_ns > INT64_MAX) {
            return ERR_INVALID;
        }
        text = bytes_slice(text, len, text.len);
    }
    *ret_ms = total_ns / 1000000;
    return OK;
}

void time_text(uint64_t wall_ms, char ret_text[TIME_TEXT_LEN])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    CHECK(gmtime_r(&seconds, &tm) != NULL);
    char date[TIME_TEXT_LEN];
    size_t len = strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    CHECK(len == 19);
    (void)snprintf(ret_text, TIME_TEXT_LEN, "%.19s.%03uZ", date, (unsigned)(wall_ms % 1000));
}

void uuid_make(char ret_text[UUID_TEXT_LEN])
{
    unsigned char raw[16];
    env_real_random(raw, sizeof raw);
    raw[6] = (unsigned char)((raw[6] & 0x0f) | 0x40); /* version 4 (RFC 9562 section 5.4) */
    raw[8] = (unsigned char)((raw[8] & 0x3f) | 0x80); /* variant */
    char *to = ret_text;
    for (size_t i = 0; i < sizeof raw; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *to++ = '-';
        }
        *to++ = HEX_LOWER[raw[i] >> 4];
        *to++ = HEX_LOWER[raw[i] & 15];
    }
    *to = '\0';
}

bool uuid_valid(struct bytes text)
{
    if (text.len != UUID_TEXT_LEN - 1) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text.ptr[i] != '-' : hex_digit(text.ptr[i]) < 0) {
            return false;
        }
    }
    return true;
}

uint32_t checksum(struct bytes data)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)data.ptr, data.len);
}

uint32_t checksum_more(uint32_t sum, struct bytes data)
{
    return (uint32_t)crc32_z(sum, (const unsigned char *)data.ptr, data.len);
}

void duration_text(uint64_t ms, char ret_text[DURATION_TEXT_LEN])
{
    uint64_t hours = ms / 3600000;
    uint64_t minutes = ms / 60000 % 60;
    uint64_t seconds = ms / 1000 % 60;
    char fraction[8] = "";
    int at = 0;
    if (ms > 0 && ms < 1000) {
        (void)snprintf(ret_text, DURATION_TEXT_LEN, "%llums", (unsigned long long)ms);
        return;
    }
    if (ms % 1000 > 0) {
        (void)snprintf(fraction, sizeof fraction, ".%03u", (unsigned)(ms % 1000));
        for (size_t len = 4; len > 1 && fraction[len - 1] == '0'; len--) {
            fraction[len - 1] = '\0';
        }
    }
    if (hours > 0) {
        at += snprintf(ret_text, DURATION_TEXT_LEN, "%lluh", (unsigned long long)hours);
    }
    if (ms >= 60000) {
        at += snprintf(ret_text + at, DURATION_TEXT_LEN - (size_t)at, "%llum",
                       (unsigned long long)minutes);
    }
    (void)snprintf(ret_text + at, DURATION_TEXT_LEN - (size_t)at, "%llu%ss",
                   (unsigned long long)seconds, fraction);
}

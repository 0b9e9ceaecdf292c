#include "core/dns/name.h"

#include "core/base/check.h"

#include <arpa/inet.h>
#include <string.h>

#define LABELS_MAX 128

/* --- names ------------------------------------------------------------------------------------
 */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* Lengths of labels are below 64, so they are no letters. */
void name_lower(struct dns_name *name)
{
    for (size_t i = 0; i < name->len; i++) {
        name->wire[i] = lower(name->wire[i]);
    }
}

static bool wire_equal_nocase(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool name_equal_nocase(const struct dns_name *a, const struct dns_name *b)
{
    return a->len == b->len && wire_equal_nocase(a->wire, b->wire, a->len);
}

bool name_under(const struct dns_name *name, const struct dns_name *domain)
{
    size_t at = 0;
    while (at < name->len && (size_t)(name->len - at) > domain->len) {
        at += 1U + name->wire[at];
    }
    return at < name->len && (size_t)(name->len - at) == domain->len &&
           wire_equal_nocase(name->wire + at, domain->wire, domain->len);
}

enum err name_prepend(struct dns_name *ret_name, struct bytes text, const struct dns_name *behind)
{
    struct dns_name n = {0};
    if (text.len > 0 && text.ptr[text.len - 1] == '.') {
        text.len--;
    }
    if (text.len == 0) {
        return ERR_INVALID;
    }
    for (bool more = true; more;) {
        size_t end = bytes_find(text, '.');
        if (end == 0 || end > DNS_LABEL_MAX || n.len + 1 + end + behind->len > DNS_NAME_MAX) {
            return ERR_INVALID;
        }
        n.wire[n.len] = (uint8_t)end;
        memcpy(n.wire + n.len + 1, text.ptr, end);
        n.len = (uint8_t)(n.len + 1 + end);
        more = end < text.len;
        text = bytes_slice(text, more ? end + 1 : end, text.len);
    }
    memcpy(n.wire + n.len, behind->wire, behind->len);
    n.len = (uint8_t)(n.len + behind->len);
    *ret_name = n;
    return OK;
}

enum err name_from_text(struct dns_name *ret_name, struct bytes text)
{
    static const struct dns_name root = {.len = 1};
    if (bytes_equal(text, BYTES("."))) {
        *ret_name = root;
        return OK;
    }
    return name_prepend(ret_name, text, &root);
}

/* --- addresses --------------------------------------------------------------------------------
 */

struct dns_ip dns_ip_of(struct bytes text)
{
    struct dns_ip ip = {0};
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL) {
        return ip;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, ip.raw) == 1) {
        ip.len = 4;
    } else if (inet_pton(AF_INET6, copy, ip.raw) == 1) {
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        ip.len = 16;
        if (memcmp(ip.raw, mapped, sizeof mapped) == 0) {
            memmove(ip.raw, ip.raw + 12, 4);
            ip.len = 4;
        }
    }
    return ip;
}

struct bytes dns_ip_hex(const struct dns_ip *ip, char scratch[DNS_IP_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < ip->len; i++) {
        scratch[2 * i] = digits[ip->raw[i] >> 4];
        scratch[2 * i + 1] = digits[ip->raw[i] & 15];
    }
    return (struct bytes){scratch, (size_t)2 * ip->len};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool ip_from_hex(struct bytes text, struct dns_ip *ret_ip)
{
    struct dns_ip ip = {.len = (uint8_t)(text.len / 2)};
    if (text.len != 8 && text.len != 32) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.ptr[i]);
        if (digit < 0) {
            return false;
        }
        ip.raw[i / 2] = (uint8_t)(ip.raw[i / 2] << 4 | digit);
    }
    *ret_ip = ip;
    return true;
}

/* --- questions ----------------------------------------------------------------------------------
 */

struct labels {
    struct bytes at[LABELS_MAX];
    size_t count;
};

/* Copied in lower case into `ask->text`, with dots between: neighbours are one text. */
static void labels_of(struct labels *ls, struct dns_ask *ask, const uint8_t *wire, size_t len)
{
    size_t at = 0;
    ls->count = 0;
    while (at < len && wire[at] != 0 && ls->count < LABELS_MAX) {
        size_t label = wire[at];
        CHECK(at + 1 + label <= len);
        for (size_t i = 0; i < label; i++) {
            ask->text[at + i] = (char)lower(wire[at + 1 + i]);
        }
        ask->text[at + label] = '.';
        ls->at[ls->count++] = (struct bytes){ask->text + at, label};
        at += 1 + label;
    }
}

/* Labels [from, to) as one text. */
static struct bytes labels_join(const struct labels *ls, size_t from, size_t to)
{
    if (from >= to) {
        return (struct bytes){0};
    }
    const char *end = ls->at[to - 1].ptr + ls->at[to - 1].len;
    return (struct bytes){ls->at[from].ptr, (size_t)(end - ls->at[from].ptr)};
}

static bool label_underscored(struct bytes label)
{
    return label.len > 0 && label.ptr[0] == '_';
}

/* `_name._tag` (RFC 2782), or `[tag.]name`; `_tcp` and `_udp` are no tags but protocols. */
static void ask_service(struct dns_ask *ask, const struct labels *ls, size_t count)
{
    ask->kind = DNS_SERVICE;
    if (count == 2 && label_underscored(ls->at[0]) && label_underscored(ls->at[1])) {
        ask->name = bytes_slice(ls->at[0], 1, ls->at[0].len);
        ask->tag = bytes_slice(ls->at[1], 1, ls->at[1].len);
        if (bytes_equal(ask->tag, BYTES("tcp")) || bytes_equal(ask->tag, BYTES("udp"))) {
            ask->tag = (struct bytes){0};
        }
    } else {
        ask->name = ls->at[count - 1];
        ask->tag = labels_join(ls, 0, count - 1);
    }
    if (ask->name.len == 0) {
        ask->kind = DNS_NONE;
    }
}

/* What stands behind the kind: nothing, or our datacenter. */
static bool suffix_is_ours(const struct dns_zone *zone, const struct labels *ls, size_t from)
{
    return from == ls->count ||
           (from + 1 == ls->count && bytes_equal(ls->at[from], zone->datacenter));
}

static void
ask_inside(const struct dns_zone *zone, const struct labels *ls, bool srv, struct dns_ask *ask)
{
    ask->kind = DNS_NONE;
    for (size_t i = ls->count; i > 0; i--) {
        struct bytes word = ls->at[i - 1];
        size_t before = i - 1;
        bool service = bytes_equal(word, BYTES("service"));
        bool short_srv = srv && label_underscored(word);
        bool node = bytes_equal(word, BYTES("node"));
        bool addr = bytes_equal(word, BYTES("addr"));
        bool query = bytes_equal(word, BYTES("query"));
        if (!service && !short_srv && !node && !addr && !query) {
            continue;
        }
        before += short_srv ? 1 : 0;
        if (before == 0 || !suffix_is_ours(zone, ls, i)) {
            return;
        }
        if (service || short_srv) {
            ask_service(ask, ls, before);
            return;
        }
        ask->name = labels_join(ls, 0, before);
        if (!addr) {
            ask->kind = node ? DNS_NODE : DNS_QUERY;
        } else if (before == 1 && ip_from_hex(ask->name, &ask->ip)) {
            ask->kind = DNS_ADDR;
        }
        return;
    }
}

/* `4.3.2.1.in-addr.arpa.` (RFC 1035, 3.5), 32 nibbles `.ip6.arpa.` (RFC 3596, 2.5). */
static bool ask_arpa(const struct labels *ls, struct dns_ask *ask)
{
    struct dns_ip ip = {0};
    if (ls->count < 2 || !bytes_equal(ls->at[ls->count - 1], BYTES("arpa"))) {
        return false;
    }
    struct bytes family = ls->at[ls->count - 2];
    if (ls->count == 6 && bytes_equal(family, BYTES("in-addr"))) {
        ip.len = 4;
        for (size_t i = 0; i < 4; i++) {
            uint64_t part = 0;
            if (ls->at[i].len > 3 || bytes_to_u64(ls->at[i], &part) != OK || part > 255) {
                return false;
            }
            ip.raw[3 - i] = (uint8_t)part;
        }
    } else if (ls->count == 34 && bytes_equal(family, BYTES("ip6"))) {
        ip.len = 16;
        for (size_t i = 0; i < 32; i++) {
            int digit = ls->at[i].len == 1 ? hex_digit(ls->at[i].ptr[0]) : -1;
            if (digit < 0) {
                return false;
            }
            ip.raw[15 - i / 2] |= (uint8_t)(i % 2 == 0 ? digit : digit << 4);
        }
    } else {
        return false;
    }
    ask->kind = DNS_PTR;
    ask->ip = ip;
    return true;
}

void name_parse(const struct dns_zone *zone,
                const struct dns_name *name,
                bool srv,
                struct dns_ask *ret_ask)
{
    struct labels ls;
    *ret_ask = (struct dns_ask){.kind = DNS_OUTSIDE, .domain = &zone->domain};
    const struct dns_name *domain = NULL;
    if (name_under(name, &zone->domain)) {
        domain = &zone->domain;
    } else if (zone->alt_domain.len > 1 && name_under(name, &zone->alt_domain)) {
        domain = &zone->alt_domain;
    }
    if (domain == NULL) {
        labels_of(&ls, ret_ask, name->wire, name->len);
        (void)ask_arpa(&ls, ret_ask);
        return;
    }
    ret_ask->domain = domain;
    labels_of(&ls, ret_ask, name->wire, (size_t)(name->len - domain->len));
    ask_inside(zone, &ls, srv, ret_ask);
}

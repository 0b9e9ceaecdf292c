/* What the configuration says about DNS, made ready for use.
 *
 * Owner    settings_open() copies: the configuration may go.
 * Limits   DNS_RECURSORS_MAX, DNS_TTL_RULES_MAX: ERR_INVALID past them.
 * Errors   ERR_INVALID with a reason that names the key.
 * Threads  one set of settings belongs to one thread.
 */
#ifndef CORE_DNS_SETTINGS_H
#define CORE_DNS_SETTINGS_H

#include "core/dns/name.h"

#include <sys/socket.h>

struct config;

/* A name, or the beginning of names (`*` behind it in the configuration). */
struct dns_ttl_rule {
    char *name; /* lower case */
    bool prefix;
    uint32_t ttl;
};

struct dns_recursor {
    struct sockaddr_storage address;
    socklen_t len;
};

struct dns_settings {
    struct dns_zone zone;
    char *datacenter;
    uint32_t node_ttl;
    struct dns_ttl_rule ttl_rules[DNS_TTL_RULES_MAX];
    size_t ttl_rule_count;
    uint32_t soa_refresh;
    uint32_t soa_retry;
    uint32_t soa_expire;
    uint32_t soa_min_ttl;
    bool allow_stale;
    bool only_passing;
    bool enable_truncate;
    bool disable_compression;
    bool node_meta_txt;
    size_t udp_answer_limit;
    size_t a_record_limit; /* 0: none */
    struct dns_recursor recursors[DNS_RECURSORS_MAX];
    size_t recursor_count;
    uint64_t recursor_timeout_ms;
    bool recursor_random;
    uint64_t max_stale_ms;
    uint64_t rate_limit; /* 0: none */
};

enum err
settings_open(struct dns_settings *s, const struct config *config, struct reason *why) ERR_MUST_USE;
void settings_close(struct dns_settings *s);
/* The TTL of a service; of the longest rule that fits. */
uint32_t settings_service_ttl(const struct dns_settings *s, struct bytes service);
/* `address`, `address:port` or `[v6]:port`; the port is 53 if none is said. */
enum err settings_recursor(const char *text, struct dns_recursor *ret_recursor) ERR_MUST_USE;

#endif

#include "core/dns/settings.h"

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/config.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RECURSOR_PORT 53

static char *lower_copy(const char *text, size_t len)
{
    char *copy = mem_dup(text, len);
    for (char *p = copy; *p != '\0'; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    }
    return copy;
}

static enum err
settings_domain(const char *key, const char *text, struct dns_name *ret_name, struct reason *why)
{
    if (name_from_text(ret_name, bytes_of(text)) != OK || ret_name->len < 2 ||
        ret_name->len > DNS_NAME_MAX / 2) {
        reason_set(why, "%s: \"%.100s\" is not a domain", key, text);
        return ERR_INVALID;
    }
    name_lower(ret_name);
    return OK;
}

static enum err
settings_rule(struct dns_settings *s, const char *item, const char *ttl, struct reason *why)
{
    uint64_t ms = 0;
    if (s->ttl_rule_count == DNS_TTL_RULES_MAX || duration_parse(bytes_of(ttl), &ms) != OK ||
        ms / 1000 > INT32_MAX) {
        reason_set(why,
                   "dns_config.service_ttl: expected names and durations such as \"10s\", at "
                   "most %u of them, got \"%.100s\" for \"%.100s\"",
                   DNS_TTL_RULES_MAX, ttl, item);
        return ERR_INVALID;
    }
    size_t len = strlen(item);
    bool prefix = len > 0 && item[len - 1] == '*';
    s->ttl_rules[s->ttl_rule_count++] = (struct dns_ttl_rule){
        .name = lower_copy(item, prefix ? len - 1 : len),
        .prefix = prefix,
        .ttl = (uint32_t)(ms / 1000),
    };
    return OK;
}

enum err settings_recursor(const char *text, struct dns_recursor *ret_recursor)
{
    struct join_address at;
    struct reason why;
    struct dns_recursor r = {0};
    if (join_address_parse(text, &at, &why) != OK) {
        return ERR_INVALID;
    }
    struct dns_ip ip = dns_ip_of(bytes_of(at.host));
    in_port_t port = htons(at.port == 0 ? RECURSOR_PORT : at.port);
    if (ip.len == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)&r.address;
        in->sin_family = AF_INET;
        in->sin_port = port;
        memcpy(&in->sin_addr, ip.raw, 4);
        r.len = sizeof *in;
    } else if (ip.len == 16) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&r.address;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        memcpy(&in6->sin6_addr, ip.raw, 16);
        r.len = sizeof *in6;
    } else {
        return ERR_INVALID;
    }
    *ret_recursor = r;
    return OK;
}

static enum err
settings_lists(struct dns_settings *s, const struct config_dns *c, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; i < c->service_ttl.count && e == OK; i++) {
        e = settings_rule(s, c->service_ttl.names[i], c->service_ttl.values[i], why);
    }
    for (size_t i = 0; i < c->recursors.count && e == OK; i++) {
        if (s->recursor_count == DNS_RECURSORS_MAX ||
            settings_recursor(c->recursors.items[i], &s->recursors[s->recursor_count]) != OK) {
            reason_set(why,
                       "recursors: expected IP addresses with or without a port, at most %u, "
                       "got \"%.100s\"",
                       DNS_RECURSORS_MAX, c->recursors.items[i]);
            return ERR_INVALID;
        }
        s->recursor_count++;
    }
    return e;
}

enum err settings_open(struct dns_settings *s, const struct config *config, struct reason *why)
{
    const struct config_dns *c = &config->dns;
    *s = (struct dns_settings){
        .zone = {.alt_domain = {.len = 1}},
        .datacenter = lower_copy(config->datacenter, strlen(config->datacenter)),
        .node_ttl = (uint32_t)(c->node_ttl_ms / 1000),
        .soa_refresh = (uint32_t)c->soa_refresh,
        .soa_retry = (uint32_t)c->soa_retry,
        .soa_expire = (uint32_t)c->soa_expire,
        .soa_min_ttl = (uint32_t)c->soa_min_ttl,
        .allow_stale = c->allow_stale,
        .only_passing = c->only_passing,
        .enable_truncate = c->enable_truncate,
        .disable_compression = c->disable_compression,
        .node_meta_txt = c->node_meta_txt,
        .udp_answer_limit = c->udp_answer_limit,
        .a_record_limit = c->a_record_limit,
        .recursor_timeout_ms = c->recursor_timeout_ms,
        .recursor_random = strcasecmp(c->recursor_strategy, "random") == 0,
        .max_stale_ms = c->max_stale_ms,
        .rate_limit = c->rate_limit,
    };
    s->zone.datacenter = bytes_of(s->datacenter);
    enum err e = settings_domain("domain", c->domain, &s->zone.domain, why);
    if (e == OK && c->alt_domain != NULL && c->alt_domain[0] != '\0') {
        e = settings_domain("alt_domain", c->alt_domain, &s->zone.alt_domain, why);
    }
    e = e == OK ? settings_lists(s, c, why) : e;
    if (e != OK) {
        settings_close(s);
    }
    return e;
}

void settings_close(struct dns_settings *s)
{
    for (size_t i = 0; i < s->ttl_rule_count; i++) {
        free(s->ttl_rules[i].name);
    }
    free(s->datacenter);
    *s = (struct dns_settings){0};
}

uint32_t settings_service_ttl(const struct dns_settings *s, struct bytes service)
{
    uint32_t ttl = 0;
    size_t best = 0;
    for (size_t i = 0; i < s->ttl_rule_count; i++) {
        struct bytes rule = bytes_of(s->ttl_rules[i].name);
        if (!s->ttl_rules[i].prefix && bytes_equal(rule, service)) {
            return s->ttl_rules[i].ttl;
        }
        if (s->ttl_rules[i].prefix && rule.len + 1 > best && bytes_begins(service, rule)) {
            ttl = s->ttl_rules[i].ttl;
            best = rule.len + 1;
        }
    }
    return ttl;
}

/* Where DNS listens, and what it does as long as nobody says otherwise. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/config_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DNS_PORT 8600

void config_default_dns(struct config *c)
{
    c->dns = (struct config_dns){
        .port = CONFIG_DNS_PORT_UNSAID,
        .domain = mem_strdup("consul."),
        .recursor_strategy = mem_strdup("sequential"),
        .recursor_timeout_ms = DNS_RECURSOR_TIMEOUT_MS,
        .max_stale_ms = DNS_MAX_STALE_MS,
        .udp_answer_limit = DNS_UDP_ANSWERS,
        .soa_refresh = 3600,
        .soa_retry = 600,
        .soa_expire = 86400,
        .rate_limit = DNS_RATE_DEFAULT,
        .allow_stale = true,
        .node_meta_txt = true,
    };
}

void config_close_dns(struct config *c)
{
    for (size_t i = 0; i < c->dns.listen_count; i++) {
        free((char *)(uintptr_t)c->dns.listen[i].address);
    }
    c->dns.listen_count = 0;
}

static enum err
dns_listen_add(struct config *c, const char *key, struct bytes item, struct reason *why)
{
    char text[128];
    struct config_dns *d = &c->dns;
    if (item.len == 0 || bytes_begins(item, BYTES("unix://"))) {
        return OK;
    }
    if (item.len >= sizeof text || d->listen_count == CONFIG_LISTENERS_MAX) {
        reason_set(why, "%s: too long for an address, or more than %d of them", key,
                   CONFIG_LISTENERS_MAX);
        return ERR_INVALID;
    }
    (void)snprintf(text, sizeof text, "%.*s", BYTES_FORMAT(item));
    enum err e = config_ip_check(key, text, why);
    if (e == OK) {
        d->listen[d->listen_count++] = (struct front_listen){
            .address = mem_strdup(text),
            .port = (uint16_t)(d->port_said ? d->port : DNS_PORT),
        };
    }
    return e;
}

enum err config_finish_dns(struct config *c, struct reason *why)
{
    struct config_dns *d = &c->dns;
    const char *key = d->addr == NULL ? "client_addr" : "addresses.dns";
    struct bytes rest = bytes_of(d->addr == NULL ? c->client_addr : d->addr);
    enum err e = OK;
    config_close_dns(c);
    d->port_said = d->port != CONFIG_DNS_PORT_UNSAID;
    if (strcasecmp(d->recursor_strategy, "sequential") != 0 &&
        strcasecmp(d->recursor_strategy, "random") != 0) {
        reason_set(why, "dns_config.recursor_strategy: expected sequential or random, got \"%s\"",
                   d->recursor_strategy);
        return ERR_INVALID;
    }
    while (e == OK && rest.len > 0 && d->port != -1) {
        size_t end = bytes_find(rest, ' ');
        e = dns_listen_add(c, key, bytes_slice(rest, 0, end), why);
        rest = bytes_slice(rest, end < rest.len ? end + 1 : end, rest.len);
    }
    return e;
}

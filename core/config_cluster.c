/* What an agent needs to meet others: addresses, keys, names to join. */
#include "core/agent/cloud.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/config_key.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRIVATE_ADDRESSES_MAX 64

/* --- addresses ---------------------------------------------------------------------------------
 */

enum err config_ip_check(const char *key, const char *text, struct reason *why)
{
    unsigned char ip[16];
    if (strstr(text, "{{") != NULL) {
        reason_set(why, "%s: \"%s\" is an address template; this build takes IP addresses only",
                   key, text);
        return ERR_INVALID;
    }
    if (inet_pton(AF_INET, text, ip) != 1 && inet_pton(AF_INET6, text, ip) != 1) {
        reason_set(why, "%s: \"%s\" is not an IP address", key, text);
        return ERR_INVALID;
    }
    return OK;
}

static bool ip_is_any(const char *text)
{
    struct in6_addr six;
    return strcmp(text, "0.0.0.0") == 0 ||
           (inet_pton(AF_INET6, text, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six));
}

static bool ip_is_loopback(const char *text)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, text, &four) == 1) {
        return ntohl(four.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, text, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* 10/8, 172.16/12, 192.168/16 (RFC 1918) and 100.64/10 (RFC 6598). */
static bool ip_is_private(const char *text)
{
    struct in_addr four;
    if (inet_pton(AF_INET, text, &four) != 1) {
        return false;
    }
    uint32_t ip = ntohl(four.s_addr);
    return ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8 || ip >> 22 == 0x191;
}

const char *config_private_address(const char *const *addresses, size_t count, struct reason *why)
{
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!ip_is_private(addresses[i])) {
            continue;
        }
        if (found != NULL && strcmp(found, addresses[i]) != 0) {
            reason_set(why,
                       "advertise_addr: this machine has several private IPv4 addresses (%s, %s): "
                       "say with -advertise or -bind which one the others are to use",
                       found, addresses[i]);
            return NULL;
        }
        found = addresses[i];
    }
    if (found == NULL) {
        reason_set(why, "advertise_addr: this machine has no private IPv4 address: say with "
                        "-advertise or -bind which address the others are to use");
    }
    return found;
}

/* The bind address is any: the one private address of this machine, or why there is none. */
static void advertise_choose(struct config *c)
{
    char texts[PRIVATE_ADDRESSES_MAX][INET_ADDRSTRLEN];
    const char *addresses[PRIVATE_ADDRESSES_MAX];
    size_t count = 0;
    struct reason why = {{0}};
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) == 0) {
        for (struct ifaddrs *at = all; at != NULL && count < PRIVATE_ADDRESSES_MAX;
             at = at->ifa_next) {
            if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET) {
                continue;
            }
            struct sockaddr_in four;
            memcpy(&four, at->ifa_addr, sizeof four);
            if (inet_ntop(AF_INET, &four.sin_addr, texts[count], INET_ADDRSTRLEN) != NULL) {
                addresses[count] = texts[count];
                count++;
            }
        }
        freeifaddrs(all);
    }
    const char *chosen = config_private_address(addresses, count, &why);
    if (strchr(c->bind_addr, ':') != NULL) {
        chosen = NULL;
        reason_set(&why, "advertise_addr: bind_addr is ::, so say with -advertise which address "
                         "the others are to use");
    }
    /* A server that nobody joins needs none. */
    c->advertise_addr = mem_strdup(chosen == NULL ? "127.0.0.1" : chosen);
    c->advertise_problem = chosen == NULL ? mem_strdup(why.text) : NULL;
}

static enum err finish_addresses(struct config *c, struct reason *why)
{
    enum err e = config_ip_check("bind_addr", c->bind_addr, why);
    if (e != OK) {
        return e;
    }
    if (c->advertise_addr == NULL && ip_is_any(c->bind_addr)) {
        advertise_choose(c);
    } else if (c->advertise_addr == NULL) {
        c->advertise_addr = mem_strdup(c->bind_addr);
    }
    if ((e = config_ip_check("advertise_addr", c->advertise_addr, why)) != OK) {
        return e;
    }
    if (ip_is_any(c->advertise_addr)) {
        reason_set(why, "advertise_addr: \"%s\" is no address that others could reach",
                   c->advertise_addr);
        return ERR_INVALID;
    }
    return OK;
}

/* --- names to join -----------------------------------------------------------------------------
 */

static enum err join_refuse(const char *text, const char *what, struct reason *why)
{
    reason_set(why, "\"%.100s\" %s", text, what);
    return ERR_INVALID;
}

enum err join_address_parse(const char *text, struct join_address *ret_address, struct reason *why)
{
    struct join_address a = {.port = 0};
    struct bytes host = bytes_of(text);
    struct bytes port = {0};
    struct in6_addr six;
    if (cloud_is_query(text)) {
        /* It may ask for a program to be run, and hold secrets. */
        reason_set(why, "a provider= string is taken from the configuration's retry_join alone");
        return ERR_INVALID;
    }
    if (strstr(text, "{{") != NULL) {
        return join_refuse(text, "is an address template; write addresses or names", why);
    }
    const char *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
    if (bracket != NULL) {
        host = bytes_slice(host, 1, (size_t)(bracket - text));
        port = bytes_of(bracket + 1);
    } else if (inet_pton(AF_INET6, text, &six) != 1) {
        size_t colon = bytes_find(host, ':');
        port = bytes_slice(host, colon, host.len);
        host = bytes_slice(host, 0, colon);
    }
    uint64_t number = 0;
    if (port.len > 0 &&
        (port.ptr[0] != ':' || bytes_to_u64(bytes_slice(port, 1, port.len), &number) != OK ||
         number == 0 || number > UINT16_MAX)) {
        return join_refuse(text, "is no address: the port is a number from 1 to 65535", why);
    }
    if (host.len == 0 || host.len >= sizeof a.host) {
        return join_refuse(text, "is no address: write host, host:port or [IPv6]:port", why);
    }
    for (size_t i = 0; i < host.len; i++) {
        bool fits = (unsigned char)host.ptr[i] > 0x20 && strchr("/[]@\x7f", host.ptr[i]) == NULL;
        if (!fits) {
            return join_refuse(text, "is no address: write host, host:port or [IPv6]:port", why);
        }
    }
    memcpy(a.host, host.ptr, host.len);
    a.port = (uint16_t)number;
    *ret_address = a;
    return OK;
}

static enum err finish_joins(const char *key, const struct config_texts *joins, struct reason *why)
{
    for (size_t i = 0; i < joins->count; i++) {
        struct join_address address;
        struct cloud_query query;
        struct reason what;
        enum err e = cloud_is_query(joins->items[i])
                         ? cloud_parse(joins->items[i], &query, &what)
                         : join_address_parse(joins->items[i], &address, &what);
        if (e != OK) {
            reason_set(why, "%s: %s", key, what.text);
            return ERR_INVALID;
        }
    }
    return OK;
}

/* --- the key -----------------------------------------------------------------------------------
 */

static enum err finish_key(struct config *c, struct reason *why)
{
    if (c->encrypt != NULL && c->encrypt[0] == '\0') {
        free(c->encrypt);
        c->encrypt = NULL;
    }
    if (c->encrypt == NULL) {
        return OK;
    }
    struct buf key;
    buf_init(&key, KIB(1));
    bool fits = base64_decode(&key, bytes_of(c->encrypt)) == OK &&
                (key.len == 16 || key.len == 24 || key.len == 32);
    buf_close(&key);
    if (!fits) {
        /* The key itself is not repeated: messages end up in logs. */
        reason_set(why, "encrypt: expected 16, 24 or 32 bytes in base64, as `keygen` prints them");
        return ERR_INVALID;
    }
    if (!c->encrypt_verify_incoming || !c->encrypt_verify_outgoing) {
        config_warn(c, "encrypt_verify_incoming and encrypt_verify_outgoing: false is not "
                       "followed: with a key, what is in clear is refused");
    }
    return OK;
}

static bool config_may_gossip(const struct config *c)
{
    return c->encrypt != NULL || c->gossip_allow_clear || ip_is_loopback(c->bind_addr);
}

bool config_gossips(const struct config *c)
{
    return c->serf_lan_port >= 0 && config_may_gossip(c);
}

bool config_gossips_wan(const struct config *c)
{
    return c->server && c->serf_wan_port > 0 && config_may_gossip(c);
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static void finish_warnings(struct config *c)
{
    if (c->bootstrap_expect > 1 && c->bootstrap_expect % 2 == 0) {
        config_warn(c,
                    "bootstrap_expect = %llu: an even number of servers bears the loss of no more "
                    "of them than one server less",
                    (unsigned long long)c->bootstrap_expect);
    }
    if (!c->server && c->join_wan.start.count + c->join_wan.retry.count > 0) {
        config_warn(c, "retry_join_wan and start_join_wan are not used: only servers are in the "
                       "WAN pool");
    }
    if (c->server && !c->dev && !config_gossips(c)) {
        config_warn(c, "gossip is off, so no other agent can join: set encrypt (`keygen` makes a "
                       "key), or herald.gossip_allow_clear on a network you trust");
    }
}

enum err config_finish_cluster(struct config *c, struct reason *why)
{
    enum err e = finish_addresses(c, why);
    if (e == OK) {
        e = finish_joins("start_join", &c->join.start, why);
    }
    if (e == OK) {
        e = finish_joins("retry_join", &c->join.retry, why);
    }
    if (e == OK) {
        e = finish_joins("start_join_wan", &c->join_wan.start, why);
    }
    if (e == OK) {
        e = finish_joins("retry_join_wan", &c->join_wan.retry, why);
    }
    if (e == OK) {
        e = finish_key(c, why);
    }
    if (e == OK) {
        finish_warnings(c);
    }
    return e;
}

enum err config_check_cluster(const struct config *c, struct reason *why)
{
    size_t joins = c->join.start.count + c->join.retry.count;
    bool alone = c->dev || c->bootstrap || c->bootstrap_expect == 1;
    if (!c->server && c->serf_lan_port < 0) {
        reason_set(why, "ports.serf_lan is off: a client agent finds its servers by gossip");
        return ERR_INVALID;
    }
    if (!config_gossips(c) && (!alone || joins > 0)) {
        reason_set(why, c->serf_lan_port < 0
                            ? "ports.serf_lan is off: servers find each other by gossip; only one "
                              "with bootstrap_expect = 1 can do without"
                            : "encrypt is not set: agents on several machines need a gossip key, "
                              "the same on all (`keygen` makes one); in clear they gossip on "
                              "loopback only, or where herald.gossip_allow_clear = true says that "
                              "the network can be trusted. One server alone: bootstrap_expect = 1");
        return ERR_INVALID;
    }
    if (c->server && !config_gossips_wan(c) &&
        c->join_wan.start.count + c->join_wan.retry.count > 0) {
        reason_set(why, c->serf_wan_port > 0
                            ? "encrypt is not set: servers of several datacenters need a gossip "
                              "key, the same on all (`keygen` makes one)"
                            : "retry_join_wan, start_join_wan: this server has no WAN pool: set "
                              "ports.serf_wan (8302 is usual)");
        return ERR_INVALID;
    }
    if ((config_gossips(c) || config_gossips_wan(c)) && c->advertise_problem != NULL) {
        reason_set(why, "%s", c->advertise_problem);
        return ERR_INVALID;
    }
    return OK;
}

#include "store/replica/engine_members.h"

#include "core/base/check.h"
#include "core/base/text.h"

#include <raft.h>
#include <stdio.h>
#include <string.h>

/* Address, slash, node id. */
#define MEMBERS_TEXT_MAX (STORE_ADDRESS_MAX + 40)

struct store_server *members_find(struct store_servers *servers, uint64_t id)
{
    for (size_t i = 0; i < servers->count; i++) {
        if (servers->servers[i].id == id) {
            return &servers->servers[i];
        }
    }
    return NULL;
}

unsigned members_voters(const struct store_servers *servers)
{
    unsigned voters = 0;
    for (size_t i = 0; i < servers->count; i++) {
        voters += servers->servers[i].role == STORE_VOTER;
    }
    return voters;
}

enum err members_encode(const struct store_servers *servers, struct buf *out)
{
    struct raft_configuration configuration;
    struct raft_buffer encoded = {0};
    raft_configuration_init(&configuration);
    int rv = 0;
    for (size_t i = 0; i < servers->count && rv == 0; i++) {
        const struct store_server *server = &servers->servers[i];
        char text[MEMBERS_TEXT_MAX];
        (void)snprintf(text, sizeof text, server->node_id[0] != '\0' ? "%s/%s" : "%s",
                       server->address, server->node_id);
        rv = raft_configuration_add(&configuration, server->id, text,
                                    server->role == STORE_VOTER ? RAFT_VOTER : RAFT_STANDBY);
    }
    if (rv == 0) {
        rv = raft_configuration_encode(&configuration, &encoded);
    }
    raft_configuration_close(&configuration);
    if (rv != 0) {
        return ERR_INVALID;
    }
    enum err e = buf_append(out, (struct bytes){.ptr = encoded.base, .len = encoded.len});
    raft_free(encoded.base);
    return e;
}

static enum err members_take(const struct raft_server *from, struct store_server *ret_server)
{
    struct store_server server = {
        .id = from->id,
        .role = from->role == RAFT_VOTER ? STORE_VOTER : STORE_STANDBY,
    };
    const char *slash = strrchr(from->address, '/');
    size_t len = slash != NULL ? (size_t)(slash - from->address) : strlen(from->address);
    if (from->id == 0 || len >= sizeof server.address ||
        (slash != NULL && (slash[1] == '\0' || strlen(slash + 1) >= sizeof server.node_id))) {
        return ERR_CORRUPT;
    }
    memcpy(server.address, from->address, len);
    if (slash != NULL) {
        (void)snprintf(server.node_id, sizeof server.node_id, "%s", slash + 1);
    }
    *ret_server = server;
    return OK;
}

/* The library reads past the end of what is cut short: format (1 byte), count (8), and for each an
 * id (8), an address with its zero, a role (1). */
static bool members_sound(struct bytes data)
{
    if (data.len < 9 || data.ptr[0] != 1) {
        return false;
    }
    uint64_t count = (unsigned char)data.ptr[1];
    for (unsigned i = 2; i < 9; i++) {
        if (data.ptr[i] != 0) {
            return false;
        }
    }
    size_t at = 9;
    for (uint64_t i = 0; i < count; i++) {
        if (data.len - at < 10) {
            return false;
        }
        at += 8;
        const char *zero = memchr(data.ptr + at, '\0', data.len - at);
        if (zero == NULL || zero + 1 >= data.ptr + data.len || (unsigned char)zero[1] > 2) {
            return false;
        }
        at = (size_t)(zero - data.ptr) + 2;
    }
    return true;
}

enum err members_decode(struct bytes data, struct store_servers *ret_servers)
{
    struct raft_buffer encoded = {.base = (void *)(uintptr_t)data.ptr, .len = data.len};
    struct raft_configuration configuration;
    struct store_servers servers = {0};
    if (!members_sound(data)) {
        return ERR_CORRUPT;
    }
    raft_configuration_init(&configuration);
    int rv = raft_configuration_decode(&encoded, &configuration);
    if (rv != 0) {
        /* It has freed what it had, and left the pointers. */
        return ERR_CORRUPT;
    }
    enum err e = configuration.n <= STORE_SERVERS_MAX ? OK : ERR_CORRUPT;
    for (unsigned i = 0; e == OK && i < configuration.n; i++) {
        e = members_take(&configuration.servers[i], &servers.servers[i]);
        e = e == OK && members_find(&servers, servers.servers[i].id) == NULL ? OK : ERR_CORRUPT;
        servers.count += e == OK ? 1 : 0;
    }
    raft_configuration_close(&configuration);
    if (e == OK && members_voters(&servers) == 0) {
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        *ret_servers = servers;
    }
    return e;
}

enum err members_configuration(struct bytes data, struct raft_configuration *ret_configuration)
{
    struct raft_buffer encoded = {.base = (void *)(uintptr_t)data.ptr, .len = data.len};
    struct store_servers servers;
    if (members_decode(data, &servers) != OK) {
        return ERR_CORRUPT;
    }
    raft_configuration_init(ret_configuration);
    int rv = raft_configuration_decode(&encoded, ret_configuration);
    CHECK(rv == 0);
    return OK;
}

/* Any bytes as a set of servers: refused, or one that comes back from its own encoding. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/replica/engine_members.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = {(const char *)data, size};
    struct store_servers servers;
    struct store_servers back;
    enum err e = members_decode(input, &servers);
    CHECK(e == OK || e == ERR_CORRUPT);
    if (e == OK) {
        struct buf again;
        buf_init(&again, RAFT_CONFIGURATION_MAX);
        CHECK(members_voters(&servers) > 0);
        e = members_encode(&servers, &again);
        CHECK(e == OK || e == ERR_TOO_BIG || e == ERR_INVALID);
        if (e == OK) {
            CHECK(members_decode(buf_view(&again), &back) == OK);
            CHECK(back.count == servers.count);
            for (size_t i = 0; i < servers.count; i++) {
                CHECK(back.servers[i].id == servers.servers[i].id);
                CHECK(strcmp(back.servers[i].address, servers.servers[i].address) == 0);
                CHECK(strcmp(back.servers[i].node_id, servers.servers[i].node_id) == 0);
            }
        }
        buf_close(&again);
    }
    return 0;
}

/* `sync haproxy`: whatever HAProxy or a server says, the answer is a list or an error, and no word
 * of it gets into a command but as an address, a number or a server's name. The first byte says
 * which of the two speaks. */
#include "core/base/check.h"
#include "core/cli/sync_feed.h"
#include "core/cli/sync_plan.h"
#include "core/client.h"
#include "core/server.h"

#include <string.h>

/* The commands are linked with the agent's, which is not run here. */
int server_main(struct config *config)
{
    (void)config;
    return 1;
}

int client_main(struct config *config)
{
    (void)config;
    return 1;
}

static bool told(void *ctx, uint64_t time_ms)
{
    (void)ctx;
    (void)time_ms;
    return true;
}

/* Every line of the plan is one command. */
static void try_plan(struct sync_servers *s, const struct sync_instances *l, struct sync_wish *wish)
{
    struct buf commands;
    struct buf words;
    buf_init(&commands, UINT32_MAX);
    buf_init(&words, UINT32_MAX);
    CHECK(sync_plan(s, l, wish, &commands, &words) == OK);
    struct bytes rest = buf_view(&commands);
    while (rest.len > 0) {
        size_t end = bytes_find(rest, '\n');
        struct bytes line = bytes_slice(rest, 0, end);
        CHECK(bytes_begins(line, BYTES("set server api/")) ||
              bytes_begins(line, BYTES("add server api/")) ||
              bytes_begins(line, BYTES("del server api/")));
        CHECK(bytes_find(line, ';') == line.len);
        rest = bytes_slice(rest, end + 1, rest.len);
    }
    buf_close(&commands);
    buf_close(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sync_wish wish = {.backend = "api", .slots = "", .drain_ms = 10, .now_ms = 1000};
    struct sync_servers none = {0};
    struct sync_servers servers = {0};
    struct sync_feed feed = {.changed = told};
    if (size == 0) {
        return 0;
    }
    struct bytes text = {.ptr = (const char *)data + 1, .len = size - 1};
    if (data[0] % 2 == 0) {
        if (sync_servers_read(text, &wish, &none, &servers) != OK) {
            return 0;
        }
    }
    while (data[0] % 2 == 1 && text.len > 0) {
        size_t end = bytes_find(text, '\n');
        if (sync_feed_line(&feed, bytes_slice(text, 0, end)) != OK) {
            break;
        }
        text = bytes_slice(text, end < text.len ? end + 1 : end, text.len);
    }
    try_plan(&servers, &feed.list, &wish);
    sync_servers_close(&servers);
    sync_feed_close(&feed);
    return 0;
}

/* The instances of one service, kept like the servers' list by the change stream: a snapshot, then
 * what changes it, resumed by cursor when the connection was lost, and a snapshot again when the
 * changes in between are no longer kept.
 *
 *     connect --> snapshot pages (kept aside) --whole--> list --events--> list ...
 *        ^                                                  |
 *        '-------- backoff with jitter, or what `bye` asked <'   the list stays meanwhile
 *
 * Owner    text of the options is borrowed.
 * Threads  the main thread; sync_feed_run() blocks.
 */
#ifndef CORE_CLI_SYNC_FEED_H
#define CORE_CLI_SYNC_FEED_H

#include "core/cli/http_client.h"
#include "core/cli/sync_plan.h"

struct sync_feed {
    /* to be set */
    struct http_client *client;
    const char *service;
    const struct flag_texts *tags;
    /* The list is another one; `time_ms`: when the newest change was proposed (Unix), 0 unknown. */
    bool (*changed)(void *ctx, uint64_t time_ms);
    /* Every `tick_ms`, connected or not. Both: false ends it. */
    bool (*tick)(void *ctx);
    uint64_t tick_ms;
    void *ctx;
    /* read-only */
    struct sync_instances list;
    bool ready; /* there has been a whole list */
    /* private */
    struct sync_instances next; /* of a snapshot that is not whole yet */
    struct buf line;
    uint64_t index;
    char epoch[32];
    uint64_t time_ms;
    uint64_t retry_ms;
    bool connected;
    bool broken;
    bool done;
};

/* Until a callback says so (OK), or the server will never answer this (ERR_INVALID, `why`). */
enum err sync_feed_run(struct sync_feed *f, struct reason *why) ERR_MUST_USE;
/* One line of the stream, for tests. ERR_INVALID: it cannot be read. */
enum err sync_feed_line(struct sync_feed *f, struct bytes line) ERR_MUST_USE;
void sync_feed_close(struct sync_feed *f);

#endif

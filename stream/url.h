/* What the query string of /v1/stream asks for, and the resume token.
 *
 *   topic=T   key=K | prefix=P        what (kv, service, node, check, session, event; absent: kv);
 *                                     neither key nor prefix: everything of the topic. Names of
 *                                     the fleet are compared without regard to ASCII case
 *   tag=G  status=S  node=N           topic `service`: instances with all these tags (`tag` may
 *                                     come several times), no worse than S (`passing`,
 *                                     `passing,warning`, `any`), on this node (`node` also for
 *                                     `check` and `session`)
 *   index=N  epoch=E                  after N (0: from the oldest kept); absent: from now on
 *   last_event_id=E:N                 the same as one token; the header Last-Event-ID wins over
 *                                     both, as a browser sends it when it connects again
 *   snapshot=1                        the present state first
 *   on_compacted=snapshot             go on with a snapshot instead of ending
 *   filter=...                        filter.h
 *   max=N  wait_ms=N                  batches: events in one, how long to wait for more
 *   limit=N  until=INDEX  timeout=30s end after so much (whole indexes), with a last mark
 *   batch=1  raw=1  heartbeat=newline NDJSON: batch lines, values as JSON, empty lines
 *   subscribe=...                     once for each of several subscriptions on this connection:
 *                                     the JSON of a `subscribe` message without its type, or
 *                                     name:value pairs joined by commas, as
 *                                     `topic:kv,prefix:app/,filter:op%20==%20"set"` (names: topic,
 *                                     key, prefix, tag, status, node, index, epoch, snapshot,
 *                                     filter, id; values
 *                                     percent-decoded once more, for commas). ids count from 0.
 *
 * `token`, `format`, `stale`, `dc` and names that begin with `_` are accepted and
 * left to others; any other name is ERR_INVALID, because a misspelt `prefix` would subscribe to
 * everything.
 *
 * Owner    a parsed query owns what its bytes point to, until stream_url_close().
 * Limits   STREAM_URL_SUBSCRIBES, HTTP_HEAD_MAX bytes of query.
 * Threads  none.
 */
#ifndef STREAM_URL_H
#define STREAM_URL_H

#include "stream/protocol.h"

struct stream_url {
    /* read-only */
    struct subscribe *subscribes;
    size_t count;
    bool multiplexed; /* by `subscribe=`: messages carry ids */
    uint64_t limit;   /* events; 0: none */
    uint64_t until;   /* index; 0: none */
    uint64_t timeout_ms;
    bool batch;
    bool raw;
    bool newline;
    /* private */
    struct client_message *messages; /* one per subscription; owns the JSON */
    struct buf memory;
};

/* `last_event_id` empty: none. ERR_INVALID with `why`. */
enum err stream_url_parse(struct bytes query,
                          struct bytes last_event_id,
                          struct stream_url *ret_url,
                          struct reason *why) ERR_MUST_USE;
void stream_url_close(struct stream_url *u);

/* `epoch:index`, or an index alone (then the epoch is empty). Borrows from `text`. */
enum err
resume_token_parse(struct bytes text, struct bytes *ret_epoch, uint64_t *ret_index) ERR_MUST_USE;

#endif

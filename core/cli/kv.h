/* What the commands on keys and values share.
 *
 * Threads  the main thread.
 */
#ifndef CORE_CLI_KV_H
#define CORE_CLI_KV_H

#include "core/cli/http_client.h"
#include "core/cli/json.h"

/* One row of /v1/kv. */
struct kv_entry {
    struct bytes key;     /* borrowed from the JSON */
    struct bytes session; /* the same; empty: none */
    uint64_t flags;
    uint64_t create_index;
    uint64_t modify_index;
    uint64_t lock_index;
    struct bytes value64; /* base64, borrowed from the JSON */
};

enum err kv_entry_read(const json_t *row, struct kv_entry *ret_entry) ERR_MUST_USE;

/* GET /v1/kv/<key>?<query>. `*ret_rows` is an array (to json_decref), NULL for a 404. */
enum err kv_fetch(struct http_client *h,
                  struct bytes key,
                  const char *query,
                  json_t **ret_rows,
                  struct reason *why) ERR_MUST_USE;
struct kv_write {
    const char *method; /* "PUT" "DELETE" */
    struct bytes key;
    const char *query;
    struct bytes body;
};

/* `*ret_done` is what the answer says: true, or false (a condition failed). */
enum err kv_change(struct http_client *h,
                   const struct kv_write *write,
                   bool *ret_done,
                   struct reason *why) ERR_MUST_USE;

/* DATA of put and import: `@file`, `-` for standard input, or the text itself. */
enum err data_read(const char *arg, struct buf *out, struct reason *why) ERR_MUST_USE;

/* "Error connecting to Consul agent: ..." for an address that cannot be used. */
bool cli_open(const struct http_options *options, struct http_client **ret_client, int *ret_status);

/* What import reads and export writes: an array of {key, flags, value in base64}. */
enum err import_parse(struct bytes text, json_t **ret_entries, struct reason *why) ERR_MUST_USE;
enum err import_entry(const json_t *entries,
                      size_t i,
                      struct kv_entry *ret_entry,
                      struct buf *ret_value,
                      struct reason *why) ERR_MUST_USE;
enum err export_write(struct buf *out, const json_t *rows) ERR_MUST_USE;

#endif

/* `<data_dir>/raft/peers.json`: the operator's word on who the servers are, after a majority of
 * them was lost; and `peers.info` beside it, which explains it.
 *
 *     [{"id": "<node id>", "address": "10.1.0.1:8300", "non_voter": false}, ...]
 *     ["10.1.0.1:8300", ...]
 *
 * Life     recovery_read() -> store_open() with what it gave -> recovery_keep_info().
 * Limits   PEERS_FILE_MAX.
 * Errors   ERR_INVALID (the file is not of that form), ERR_IO; `why` names the file and what is
 *          wrong with it, and nothing was changed.
 * Threads  any.
 */
#ifndef CORE_RECOVERY_H
#define CORE_RECOVERY_H

#include "store/store.h"

/* What the file says; no servers if there is none, or no peers.info beside it. */
enum err recovery_read(const char *data_dir,
                       struct store_recovery *ret_recovery,
                       struct reason *why) ERR_MUST_USE;
/* What the store said of the servers, with the file's name. */
void recovery_explain(const char *data_dir, struct reason *why);
/* Writes peers.info, unless it is there. Without it this is the first start: a peers.json is
 * removed, and the log says so. Once the store is open. */
enum err recovery_keep_info(const char *data_dir, struct reason *why) ERR_MUST_USE;

#endif

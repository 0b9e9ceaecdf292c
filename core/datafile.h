/* Small files of the process beside its databases: the node's id, the pid.
 *
 * Errors   ERR_INVALID (a file that holds something else), ERR_IO; `why` names the file.
 * Threads  any.
 */
#ifndef CORE_DATAFILE_H
#define CORE_DATAFILE_H

#include "core/base/text.h"

/* The id in `<data_dir>/node-id`, or a new one if there is no such file or `data_dir` is NULL. */
enum err
datafile_node_id(const char *data_dir, char ret_id[UUID_TEXT_LEN], struct reason *why) ERR_MUST_USE;
/* Writes it there, synced, unless it is there already. */
enum err
datafile_keep_node_id(const char *data_dir, const char *id, struct reason *why) ERR_MUST_USE;
/* The directory and every missing part of its path. */
enum err datafile_make_dir(const char *path, struct reason *why) ERR_MUST_USE;
/* Replaces what is there: a number from before a reboot says nothing about who runs today, and two
 * servers on one data directory are kept apart by its lock. */
enum err datafile_write_pid(const char *path, struct reason *why) ERR_MUST_USE;

#endif

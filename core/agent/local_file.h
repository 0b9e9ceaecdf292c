/* What was registered by the API, as files: <data_dir>/services and <data_dir>/checks, one JSON
 * file for each, so that a restart knows them again. Each is written whole, synced, and renamed
 * into its place.
 *
 * Errors   ERR_IO with a sentence; a file that cannot be read is named in the log and left alone.
 * Threads  none.
 */
#ifndef CORE_AGENT_LOCAL_FILE_H
#define CORE_AGENT_LOCAL_FILE_H

#include "core/agent/local.h"

struct local_files {
    char *services; /* directories; NULL: nothing is kept */
    char *checks;
};

/* `data_dir` NULL: nothing is kept. */
enum err
local_files_open(struct local_files *f, const char *data_dir, struct reason *why) ERR_MUST_USE;
void local_files_close(struct local_files *f);

/* Log what goes wrong. */
void local_files_put_service(const struct local_files *f, const struct local_service *s);
void local_files_put_check(const struct local_files *f, const struct local_check *c);
void local_files_remove(const struct local_files *f, bool check, struct bytes id);

/* Calls back for each file that holds an object; borrowed for the call. */
void local_files_each(const struct local_files *f,
                      bool check,
                      void (*each)(void *ctx, json_t *object),
                      void *ctx);

#endif

/* One call to the agent, for commands that are no more than that.
 *
 * Owner    `ret_answer` is the caller's to http_answer_close() when it returns true.
 * Threads  the main thread.
 */
#ifndef CORE_CLI_CALL_H
#define CORE_CLI_CALL_H

#include "core/cli/http_client.h"
#include "core/cli/kv.h"

/* Opens, calls, and wants a 200. False: `failed` and why have been said, and `*ret_status` is the
 * exit status. `failed` begins the sentence. */
bool cli_call(const struct http_options *options,
              const struct http_call *call,
              const char *failed,
              struct http_answer *ret_answer,
              int *ret_status);
/* The same without a word: `why` says what went wrong. */
enum err cli_try(const struct http_options *options,
                 const struct http_call *call,
                 struct http_answer *ret_answer,
                 struct reason *why) ERR_MUST_USE;

#endif

/* What the commands about access control share: calls, and how rows are printed.
 *
 * Owner    json_t values are the caller's.
 * Threads  the main thread.
 */
#ifndef CORE_CLI_ACL_H
#define CORE_CLI_ACL_H

#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"

struct acl_call {
    const char *method;
    const char *path;  /* "/v1/acl/token/" */
    const char *tail;  /* escaped behind it; NULL: nothing */
    const char *after; /* behind that; NULL: nothing */
    const json_t *body;
    const char *failed; /* begins the sentence of a failure */
};

/* Calls, wants a 200. NULL: said, and `*ret_status` is the exit status. */
json_t *acl_call(const struct http_options *options, const struct acl_call *call, int *ret_status);

/* As Consul prints it, or the JSON itself (`format` is "json"). Returns the exit status. */
int acl_print(const json_t *row, const char *format, void (*print)(const json_t *row));
void acl_print_token(const json_t *token);
void acl_print_tokens(const json_t *tokens);
void acl_print_policy(const json_t *policy);
void acl_print_policies(const json_t *policies);
/* False: neither "pretty" nor "json", which has been said. */
bool acl_format_fits(const char *format, int *ret_status);

#endif

/* Cloud auto-join: `provider=aws tag_key=... tag_value=...` in retry_join, as Consul's users write
 * it, and which addresses it stands for.
 *
 * Forms    key=value, with spaces between; a value may be in double quotes, with \" and \\ in it.
 *          All of Consul's providers are known by name. These are there: aws (DescribeInstances by
 *          tag), dns (host= [port=]), exec (cmd=, whose output is addresses). dns and exec are
 *          ours.
 * Owner    a query points into its own copy of the text.
 * Limits   CLOUD_*
 * Errors   ERR_INVALID with a sentence that says what would be right.
 * Threads  cloud_parse() any; cloud_find() blocks: on a thread that may wait.
 */
#ifndef CORE_AGENT_CLOUD_H
#define CORE_AGENT_CLOUD_H

#include "core/base/buf.h"
#include "core/base/limit.h"

#include <stdatomic.h>

enum cloud_provider {
    CLOUD_AWS,
    CLOUD_DNS,
    CLOUD_EXEC,
};

struct cloud_arg {
    const char *name;
    const char *value;
};

struct cloud_query {
    enum cloud_provider provider;
    size_t count;
    struct cloud_arg args[CLOUD_ARGS_MAX];
    char text[CLOUD_TEXT_MAX]; /* names and values, each with a NUL behind it */
};

/* Whether `text` is of this kind at all, not a host. */
bool cloud_is_query(const char *text);
enum err
cloud_parse(const char *text, struct cloud_query *ret_query, struct reason *why) ERR_MUST_USE;
/* NULL: it was not said. */
const char *cloud_arg(const struct cloud_query *q, const char *name);

struct cloud_found {
    size_t count;
    char addresses[CLOUD_ADDRESSES_MAX][64]; /* literal IP addresses */
};

/* Of aws and exec; a dns name is resolved as any other. Ends soon when `stop` becomes true. ERR_IO
 * and others, with a sentence; none found is ERR_NOT_FOUND. */
enum err cloud_find(const struct cloud_query *q,
                    const atomic_bool *stop,
                    struct cloud_found *ret_found,
                    struct reason *why) ERR_MUST_USE;

/* One of the providers (cloud_aws.c, cloud_exec.c). */
enum err cloud_find_aws(const struct cloud_query *q,
                        const atomic_bool *stop,
                        struct cloud_found *ret_found,
                        struct reason *why) ERR_MUST_USE;
enum err cloud_find_exec(const struct cloud_query *q,
                         const atomic_bool *stop,
                         struct cloud_found *ret_found,
                         struct reason *why) ERR_MUST_USE;
/* Adds a literal address; anything else, and what is too much, is left out. */
void cloud_add(struct cloud_found *f, struct bytes address);

#endif

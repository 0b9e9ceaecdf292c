/* join, force-leave, keygen, keyring: who belongs to the cluster. */
#include "core/base/env.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"

#include <stdio.h>
#include <string.h>

/* PUT /v1/agent/<what>/<name>?<query>. */
static enum err agent_order(const struct http_options *options,
                            const char *what,
                            const char *name,
                            const char *query,
                            struct reason *why)
{
    struct buf path;
    struct http_answer answer;
    buf_init(&path, HTTP_TARGET_MAX);
    enum err e = http_path(&path, what, bytes_of(name));
    if (e == OK) {
        struct http_call call = {.method = "PUT", .path = path.ptr, .query = query};
        call.body = (struct bytes){.ptr = "", .len = 0};
        e = cli_try(options, &call, &answer, why);
    } else {
        reason_set(why, "the name is too long");
    }
    buf_close(&path);
    if (e == OK) {
        http_answer_close(&answer);
    }
    return e;
}

int cli_join(const struct cli *cli, int argc, char **argv)
{
    bool wan = false;
    int joined = 0;
    int status = 0;
    struct http_options options = {0};
    struct flag_rest rest;
    const struct flag flags[] = {
        {"wan", FLAG_SWITCH, &wan, NULL, "Joins a server of another datacenter."},
    };
    const struct cli_help help = {
        .usage = "join [options] ADDRESS...",
        .text = "  Makes the agent join others: each address is a host or host:port of their "
                "gossip.\n  Agents that gossip with each other share all their members.\n",
        .http = true,
        .flags = {.flags = flags, .count = 1},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc == 0) {
        return cli_fail("At least one address to join must be specified.");
    }
    for (int i = 0; i < rest.argc; i++) {
        struct reason why;
        if (agent_order(&options, "/v1/agent/join/", rest.argv[i], wan ? "wan=1" : "", &why) ==
            OK) {
            joined++;
        } else {
            (void)cli_fail("Error joining address '%s': %s", rest.argv[i], why.text);
        }
    }
    if (joined == 0) {
        return cli_fail("Failed to join any nodes.");
    }
    (void)printf("Successfully joined cluster by contacting %d nodes.\n", joined);
    return 0;
}

int cli_force_leave(const struct cli *cli, int argc, char **argv)
{
    bool prune = false;
    bool wan = false;
    int status = 0;
    struct http_options options = {0};
    struct flag_rest rest;
    struct reason why;
    const struct flag flags[] = {
        {"prune", FLAG_SWITCH, &prune, NULL, "Forgets the node altogether."},
        {"wan", FLAG_SWITCH, &wan, NULL, "A server in the WAN pool, by its name NODE.DATACENTER."},
    };
    const struct cli_help help = {
        .usage = "force-leave [options] NODE",
        .text = "  Declares a failed node to have left, so that nobody waits for it any more. A "
                "node\n  that is alive says so, and stays.\n",
        .http = true,
        .flags = {.flags = flags, .count = 2},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc != 1) {
        return cli_fail("A single node name must be specified to force leave.");
    }
    const char *query = wan ? (prune ? "prune=1&wan=1" : "wan=1") : prune ? "prune=1" : "";
    if (agent_order(&options, "/v1/agent/force-leave/", rest.argv[0], query, &why) != OK) {
        return cli_fail("Error force leaving: %s", why.text);
    }
    return 0;
}

/* --- keys ---------------------------------------------------------------------------------------
 */

int cli_keygen(const struct cli *cli, int argc, char **argv)
{
    struct flag_rest rest;
    int status = 0;
    char key[32];
    struct buf text;
    const struct cli_help help = {
        .usage = "keygen",
        .text = "  Prints a new key for the gossip, 32 random bytes in base64. It goes into the\n"
                "  configuration of every agent, as `encrypt`.\n",
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, NULL, &args, &rest, &status)) {
        return status;
    }
    env_real_random(key, sizeof key);
    buf_init(&text, KIB(1));
    if (base64_encode(&text, (struct bytes){.ptr = key, .len = sizeof key}) != OK) {
        return cli_fail("Error: no room for the key");
    }
    (void)printf("%.*s\n", (int)text.len, text.ptr);
    buf_close(&text);
    return 0;
}

static void keyring_print(const json_t *pools)
{
    for (size_t i = 0; i < json_array_size(pools); i++) {
        const json_t *pool = json_array_get(pools, i);
        const char *dc = json_string_value(json_object_get(pool, "Datacenter"));
        json_int_t nodes = json_integer_value(json_object_get(pool, "NumNodes"));
        json_t *keys = json_object_get(pool, "Keys");
        if (json_is_true(json_object_get(pool, "WAN"))) {
            (void)printf("\nWAN:\n");
        } else {
            (void)printf("\n%s (LAN):\n", dc == NULL ? "" : dc);
        }
        for (void *k = json_object_iter(keys); k != NULL; k = json_object_iter_next(keys, k)) {
            (void)printf("  %s [%lld/%lld]\n", json_object_iter_key(k),
                         (long long)json_integer_value(json_object_iter_value(k)),
                         (long long)nodes);
        }
    }
}

struct keyring_job {
    const char *method;
    const char *key; /* NULL: list */
    const char *saying;
};

static int keyring_run(const struct http_options *options, const struct keyring_job *job)
{
    struct buf body;
    struct http_answer answer;
    struct reason why;
    json_t *pools = NULL;
    buf_init(&body, KIB(64));
    enum err e = buf_append_str(&body, "{\"Key\":");
    e = e == OK ? json_quote(&body, bytes_of(job->key == NULL ? "" : job->key)) : e;
    e = e == OK ? buf_append_char(&body, '}') : e;
    struct http_call call = {.method = job->method, .path = "/v1/operator/keyring", .query = ""};
    call.body = buf_view(&body);
    (void)printf("==> %s...\n", job->saying);
    if (e != OK) {
        reason_set(&why, "the key is too long");
    } else {
        e = cli_try(options, &call, &answer, &why);
    }
    buf_close(&body);
    if (e != OK) {
        return cli_fail("error: %s", why.text);
    }
    if (job->key == NULL && json_parse(buf_view(&answer.body), &pools, &why) != OK) {
        http_answer_close(&answer);
        return cli_fail("error: %s", why.text);
    }
    keyring_print(pools);
    json_decref(pools);
    http_answer_close(&answer);
    return 0;
}

/* Consul takes it as 0 to 5. */
#define RELAY_MAX 5

int cli_keyring(const struct cli *cli, int argc, char **argv)
{
    struct keyring_job jobs[3] = {
        {"POST", NULL, "Installing new gossip encryption key"},
        {"PUT", NULL, "Changing primary gossip encryption key"},
        {"DELETE", NULL, "Removing gossip encryption key"},
    };
    const struct keyring_job list_job = {"GET", NULL, "Gathering installed encryption keys"};
    bool list = false;
    bool local = false;
    uint64_t relay = 0;
    int status = 0;
    struct http_options options = {0};
    struct flag_rest rest;
    const struct flag flags[] = {
        {"install", FLAG_TEXT, &jobs[0].key, "string", "Gives every agent a new key."},
        {"list", FLAG_SWITCH, &list, NULL, "Lists the keys, and how many agents have each."},
        {"local-only", FLAG_SWITCH, &local, NULL, "Accepted: there is one datacenter."},
        {"relay-factor", FLAG_U64, &relay, "number", "Accepted, not used."},
        {"remove", FLAG_TEXT, &jobs[2].key, "string", "Takes a key away that is not in use."},
        {"use", FLAG_TEXT, &jobs[1].key, "string", "Makes an installed key the one to send with."},
    };
    const struct cli_help help = {
        .usage = "keyring [options]",
        .text = "  Exchanges the key of the gossip while the agents run: install the new one, use "
                "it,\n  remove the old one. One of -install, -list, -remove and -use.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    const struct keyring_job *job = list ? &list_job : NULL;
    int asked = list;
    for (size_t i = 0; i < 3; i++) {
        if (jobs[i].key != NULL) {
            asked++;
            job = &jobs[i];
        }
    }
    if (asked != 1 || relay > RELAY_MAX) {
        return cli_fail(asked != 1 ? "Only a single action is allowed: one of -install, -list, "
                                     "-remove and -use (-h explains them)"
                                   : "Relay factor must be between 0 and 5");
    }
    return keyring_run(&options, job);
}

/* agent, validate, version: what needs no running agent. */
#include "core/cli/cli.h"
#include "core/client.h"
#include "core/config.h"
#include "core/server.h"
#include "core/version.h"

#include <stdio.h>
#include <string.h>

#define AGENT_HELP_MAX KIB(64)

static int agent_help(const struct cli *cli)
{
    struct buf out;
    buf_init(&out, AGENT_HELP_MAX);
    enum err e = config_flags_help(&out);
    (void)printf("Usage: %s agent [options]\n\n"
                 "  Starts the agent and runs until it is told to stop: SIGTERM and SIGINT end it\n"
                 "  cleanly, SIGHUP reads the configuration again. To try it:\n\n"
                 "      $ %s agent -dev\n\n"
                 "  Three servers: each with -server -bootstrap-expect=3, a -data-dir, the same\n"
                 "  -encrypt (`keygen` makes one) and -retry-join with an address of another.\n"
                 "  performance.raft_multiplier (1 to 10, here 1 by default; Consul's is 5) makes\n"
                 "  the time without a leader's sign before an election longer: 1 s times it.\n\n"
                 "Command Options\n%.*s",
                 cli->program, cli->program, (int)out.len, e == OK ? out.ptr : "");
    buf_close(&out);
    return 0;
}

static bool is_help(const char *arg)
{
    return strcmp(arg, "-h") == 0 || strcmp(arg, "-help") == 0 || strcmp(arg, "--help") == 0;
}

int cli_agent(const struct cli *cli, int argc, char **argv)
{
    struct config *config = NULL;
    struct reason why;
    for (int i = 0; i < argc; i++) {
        if (is_help(argv[i])) {
            return agent_help(cli);
        }
    }
    if (config_load(argc, argv, &config, &why) != OK) {
        return cli_fail("==> %s", why.text);
    }
    if (config_check_agent(config, &why) != OK) {
        config_free(config);
        return cli_fail("==> %s", why.text);
    }
    return config->server ? server_main(config) : client_main(config);
}

int cli_validate(const struct cli *cli, int argc, char **argv)
{
    bool quiet = false;
    const char *format = NULL;
    int status = 0;
    struct flag_rest rest;
    struct config *config = NULL;
    struct reason why;
    const struct flag flags[] = {
        {"config-format", FLAG_TEXT, &format, "string", "Format of the files: json."},
        {"quiet", FLAG_SWITCH, &quiet, NULL, "Says nothing when all is well."},
    };
    const struct cli_help help = {
        .usage = "validate [options] FILE_OR_DIRECTORY...",
        .text =
            "  Reads configuration files as the agent would, and says what is wrong with them.\n"
            "  Returns 0 if the configuration is valid, or 1 if there are problems.\n",
        .flags = {.flags = flags, .count = 2},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, NULL, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc == 0) {
        return cli_fail("Must specify at least one config file or directory");
    }
    if (format != NULL && strcmp(format, "json") != 0) {
        return cli_fail("Config validation failed: -config-format: only json is supported");
    }
    if (config_validate(rest.argc, rest.argv, &config, &why) != OK) {
        return cli_fail("Config validation failed: %s", why.text);
    }
    for (size_t i = 0; i < config->warning_count && !quiet; i++) {
        (void)fprintf(stderr, "%s\n", config->warnings[i]);
    }
    config_free(config);
    if (!quiet) {
        (void)puts("Configuration is valid!");
    }
    return 0;
}

int cli_version(const struct cli *cli, int argc, char **argv)
{
    const char *format = "pretty";
    int status = 0;
    struct flag_rest rest;
    const struct flag flags[] = {
        {"format", FLAG_TEXT, &format, "string", "Output format {pretty|json}"},
    };
    const struct cli_help help = {
        .usage = "version [options]",
        .text =
            "  As `consul`, the first line and the JSON's Version name the Consul whose interface\n"
            "  this is, for the scripts that read them; Herald's own version follows.\n",
        .flags = {.flags = flags, .count = 1},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, NULL, &args, &rest, &status)) {
        return status;
    }
    const char *version = cli->consul ? CONSUL_API_VERSION : HERALD_VERSION;
    if (strcmp(format, "json") == 0) {
        (void)printf(
            "{\n   \"Version\": \"%s\",\n   \"Revision\": \"\",\n   \"Prerelease\": \"\",\n"
            "   \"RPC\": {\n      \"Default\": 2,\n      \"Min\": 2,\n      \"Max\": 3\n   },\n"
            "   \"Herald\": \"%s\",\n   \"Consul\": \"%s\"\n}\n",
            version, HERALD_VERSION, CONSUL_API_VERSION);
        return 0;
    }
    if (strcmp(format, "pretty") != 0) {
        return cli_fail("Unknown format: %s", format);
    }
    if (cli->consul) {
        (void)printf("Consul v%s\nProvided by Herald %s, which speaks Consul's interface\n",
                     CONSUL_API_VERSION, HERALD_VERSION);
    } else {
        (void)printf("Herald v%s\nSpeaks the interface of Consul %s\n", HERALD_VERSION,
                     CONSUL_API_VERSION);
    }
    return 0;
}

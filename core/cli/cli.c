#include "core/cli/cli.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/cli/http_client.h"
#include "core/version.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HELP_MAX KIB(64)

static const struct cli_command commands[] = {
#define X(name, handler, own, synopsis) {name, handler, synopsis, own},
#include "core/cli/command.tbl.h"
#undef X
};

#define COMMAND_WORDS_MAX 3
#define COMMAND_COUNT     (sizeof commands / sizeof commands[0])

/* What Consul has and this build has not: said plainly, so that nobody takes it for a typing
 * error. */
static const char *const LATER[] = {
    "config", "connect", "debug", "exec", "intention", "login", "logout", "rtt", "tls",
};

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return 1;
}

void cli_system_text(int number, char ret_text[SYSTEM_TEXT_LEN])
{
    (void)snprintf(ret_text, SYSTEM_TEXT_LEN, "%s", strerror(number));
    if (ret_text[0] >= 'A' && ret_text[0] <= 'Z') {
        ret_text[0] = (char)(ret_text[0] - 'A' + 'a');
    }
}

/* --- help ---------------------------------------------------------------------------------------
 */

/* A buffer that prints itself: help is far below its limit. */
static void print_buf(FILE *file, const struct buf *b)
{
    (void)fwrite(b->ptr, 1, b->len, file);
}

int cli_help(const struct cli *cli, const struct cli_help *help)
{
    struct http_options options = {0};
    struct flag http[HTTP_FLAGS_COUNT];
    struct buf out;
    http_flags(&options, http);
    buf_init(&out, HELP_MAX);
    enum err e = buf_printf(&out, "Usage: %s %s\n\n%s", cli->program, help->usage, help->text);
    if (e == OK && help->http) {
        struct flag_set set = {.flags = http, .count = HTTP_FLAGS_COUNT};
        buf_put_str(&out, "\nHTTP API Options\n");
        e = flags_help(&out, &set);
    }
    if (e == OK && help->flags.count > 0) {
        buf_put_str(&out, "\nCommand Options\n");
        e = flags_help(&out, &help->flags);
    }
    CHECK(e == OK);
    print_buf(stdout, &out);
    buf_close(&out);
    return 0;
}

bool cli_flags(const struct cli *cli,
               const struct cli_help *help,
               struct http_options *http,
               const struct cli_args *args,
               struct flag_rest *ret_rest,
               int *ret_status)
{
    struct flag common[HTTP_FLAGS_COUNT];
    struct reason why;
    struct flag_set sets[2] = {help->flags, {.flags = common, .count = HTTP_FLAGS_COUNT}};
    if (http != NULL) {
        http_flags(http, common);
    }
    enum err e = flags_parse(sets, http == NULL ? 1 : 2, args->argc, args->argv, ret_rest, &why);
    if (e != OK) {
        *ret_status = cli_fail("%s\nUsage: %s %s (-h shows the options)", why.text, cli->program,
                               help->usage);
        return false;
    }
    if (ret_rest->help) {
        *ret_status = cli_help(cli, help);
        return false;
    }
    return true;
}

/* Commands below `group` ("kv"), or the first level for "". */
static void print_commands(FILE *file, const struct cli *cli, const char *group)
{
    size_t len = strlen(group);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const char *name = commands[i].name;
        bool below = len == 0 ? strchr(name, ' ') == NULL
                              : strncmp(name, group, len) == 0 && name[len] == ' ' &&
                                    strchr(name + len + 1, ' ') == NULL;
        if (below && !(cli->consul && commands[i].own)) {
            (void)fprintf(file, "    %-15s %s\n", len == 0 ? name : name + len + 1,
                          commands[i].synopsis);
        }
    }
}

static void print_usage(FILE *file, const struct cli *cli)
{
    (void)fprintf(file,
                  "Usage: %s [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n",
                  cli->program);
    print_commands(file, cli, "");
    (void)fputs("\n`<command> -h` explains one. The interface is that of Consul " CONSUL_API_VERSION
                "; this is Herald " HERALD_VERSION ".\n",
                file);
}

/* What a group of commands answers by itself; the exit status. */
static int cli_group(const struct cli *cli, const char *group, const char *text, const char *first)
{
    bool help = first != NULL && (strcmp(first, "-h") == 0 || strcmp(first, "-help") == 0 ||
                                  strcmp(first, "--help") == 0);
    FILE *file = help ? stdout : stderr;
    (void)fprintf(file, "Usage: %s %s <subcommand> [options] [args]\n\n%s\nSubcommands:\n",
                  cli->program, group, text);
    print_commands(file, cli, group);
    return help ? 0 : 1;
}

int cli_catalog(const struct cli *cli, int argc, char **argv)
{
    return cli_group(cli, "catalog", "  What is registered: nodes and services.\n",
                     argc > 0 ? argv[0] : NULL);
}

int cli_kv(const struct cli *cli, int argc, char **argv)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "  Reads and writes the key-value store.\n\n"
                   "      $ %s kv put redis/config/connections 5\n"
                   "      $ %s kv get redis/config/connections\n"
                   "      $ %s kv delete redis/config/connections\n",
                   cli->program, cli->program, cli->program);
    return cli_group(cli, "kv", text, argc > 0 ? argv[0] : NULL);
}

int cli_acl(const struct cli *cli, int argc, char **argv)
{
    return cli_group(cli, "acl", "  Tokens, and the policies that say what they may.\n",
                     argc > 0 ? argv[0] : NULL);
}

int cli_acl_token(const struct cli *cli, int argc, char **argv)
{
    return cli_group(cli, "acl token", "  Tokens: what a request shows to be let in.\n",
                     argc > 0 ? argv[0] : NULL);
}

int cli_acl_policy(const struct cli *cli, int argc, char **argv)
{
    return cli_group(cli, "acl policy", "  Policies: rules under a name.\n",
                     argc > 0 ? argv[0] : NULL);
}

int cli_sync(const struct cli *cli, int argc, char **argv)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "  Tells load balancers about instances as they come and go.\n\n"
                   "      $ %s sync haproxy -service=api -socket=/run/haproxy/admin.sock\n",
                   cli->program);
    return cli_group(cli, "sync", text, argc > 0 ? argv[0] : NULL);
}

int cli_snapshot(const struct cli *cli, int argc, char **argv)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "  Backups of the servers' state, in one file each.\n\n"
                   "      $ %s snapshot save backup.snap\n"
                   "      $ %s snapshot inspect backup.snap\n"
                   "      $ %s snapshot restore backup.snap\n",
                   cli->program, cli->program, cli->program);
    return cli_group(cli, "snapshot", text, argc > 0 ? argv[0] : NULL);
}

int cli_operator(const struct cli *cli, int argc, char **argv)
{
    return cli_group(cli, "operator",
                     "  The servers: who they are, who leads, what goes by itself.\n",
                     argc > 0 ? argv[0] : NULL);
}

int cli_operator_raft(const struct cli *cli, int argc, char **argv)
{
    return cli_group(cli, "operator raft", "  The set of servers that agree on every write.\n",
                     argc > 0 ? argv[0] : NULL);
}

int cli_operator_autopilot(const struct cli *cli, int argc, char **argv)
{
    return cli_group(cli, "operator autopilot", "  What the leader does by itself.\n",
                     argc > 0 ? argv[0] : NULL);
}

/* --- dispatch -----------------------------------------------------------------------------------
 */

/* The command that the first `words` of these are. */
static const struct cli_command *command_find(const struct cli *cli, char **argv, int words)
{
    char name[64] = "";
    size_t len = 0;
    for (int i = 0; i < words && len < sizeof name; i++) {
        len += (size_t)snprintf(name + len, sizeof name - len, "%s%s", i > 0 ? " " : "", argv[i]);
    }
    for (size_t i = 0; i < COMMAND_COUNT && len < sizeof name; i++) {
        if (strcmp(commands[i].name, name) == 0 && !(cli->consul && commands[i].own)) {
            return &commands[i];
        }
    }
    return NULL;
}

static int command_unknown(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < sizeof LATER / sizeof LATER[0]; i++) {
        if (strcmp(LATER[i], name) == 0) {
            return cli_fail("Error! The command `%s` is not available in this build of Herald yet.",
                            name);
        }
    }
    (void)fprintf(stderr, "Error! There is no command `%s`.\n\n", name);
    print_usage(stderr, cli);
    return 127;
}

int cli_main(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "herald";
    const char *slash = strrchr(name, '/');
    struct cli cli = {.program = slash == NULL ? name : slash + 1};
    cli.consul = strcmp(cli.program, "consul") == 0;
    if (argc < 2) {
        print_usage(stderr, &cli);
        return 127;
    }
    const char *first = argv[1];
    if (strcmp(first, "-h") == 0 || strcmp(first, "-help") == 0 || strcmp(first, "--help") == 0 ||
        strcmp(first, "help") == 0) {
        print_usage(stdout, &cli);
        return 0;
    }
    if (strcmp(first, "-v") == 0 || strcmp(first, "-version") == 0 ||
        strcmp(first, "--version") == 0) {
        return cli_version(&cli, 0, argv + argc);
    }
    /* The longest name wins. "kv get" in one word is not how anybody calls it. */
    for (int words = argc > COMMAND_WORDS_MAX ? COMMAND_WORDS_MAX : argc - 1;
         words > 0 && strchr(first, ' ') == NULL; words--) {
        const struct cli_command *command = command_find(&cli, argv + 1, words);
        if (command != NULL) {
            return command->run(&cli, argc - 1 - words, argv + 1 + words);
        }
    }
    return command_unknown(&cli, first);
}

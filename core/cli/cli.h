/* The command line: which commands there are, and what they share.
 *
 * Called as `consul` (a link to this program) it speaks that command line; as anything else it
 * knows its own commands too. Results go to standard output, everything else to standard error.
 * A command returns the exit status: 0, 1 for a failure, or what Consul returns there.
 *
 * Owner    text is borrowed from `argv` and the environment.
 * Threads  the main thread.
 */
#ifndef CORE_CLI_CLI_H
#define CORE_CLI_CLI_H

#include "core/flag.h"

struct cli {
    const char *program; /* base name of argv[0] */
    bool consul;         /* called by that name */
};

struct cli_command {
    const char *name; /* "agent"; "kv get" */
    int (*run)(const struct cli *cli, int argc, char **argv);
    const char *synopsis; /* one line, for the list of commands */
    bool own;             /* not shown to, and not found by, a `consul` */
};

int cli_main(int argc, char **argv);

#define X(name, handler, own, synopsis) int handler(const struct cli *cli, int argc, char **argv);
#include "core/cli/command.tbl.h"
#undef X

/* What the help of a command says. */
struct cli_help {
    const char *usage; /* behind the program's name */
    const char *text;  /* indented lines */
    bool http;         /* with the flags of every client command */
    struct flag_set flags;
};
/* On standard output; returns 0. */
int cli_help(const struct cli *cli, const struct cli_help *help);

/* Standard error, with a newline; returns 1. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* strerror() as Go's programs print it: its first letter small. */
#define SYSTEM_TEXT_LEN 96
void cli_system_text(int number, char ret_text[SYSTEM_TEXT_LEN]);

struct cli_args {
    int argc;
    char **argv;
};

/* Parses a command's flags, the common ones of client commands with them (`http`, may be NULL).
 * True: go on with `ret_rest`. False: `*ret_status` is the exit status; what there was to say
 * (help, a wrong flag) is said. */
struct http_options;
bool cli_flags(const struct cli *cli,
               const struct cli_help *help,
               struct http_options *http,
               const struct cli_args *args,
               struct flag_rest *ret_rest,
               int *ret_status);

#endif

/* Command-line flags as Go's programs take them, and Consul's users know them: `-name value`,
 * `-name=value`, two dashes as one, `-switch` or `-switch=false`, `--` ends the flags.
 *
 * Owner    all text is borrowed from `argv`.
 * Errors   ERR_INVALID with a reason that names the flag.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_FLAG_H
#define CORE_FLAG_H

#include "core/base/buf.h"

#define FLAG_TEXTS_MAX 64

enum flag_kind {
    FLAG_SWITCH, /* bool */
    FLAG_TEXT,   /* const char * */
    FLAG_TEXTS,  /* struct flag_texts: may be given several times */
    FLAG_U64,    /* uint64_t */
};

struct flag_texts {
    const char *items[FLAG_TEXTS_MAX];
    size_t count;
};

struct flag {
    const char *name;
    enum flag_kind kind;
    void *target;      /* of the kind's type; holds the default */
    const char *value; /* what the help calls the value; NULL for a switch */
    const char *help;
};

struct flag_set {
    const struct flag *flags;
    size_t count;
};

/* Where the flags end. */
struct flag_rest {
    int argc;
    char **argv;
    bool help; /* -h or -help was among them */
};

/* Sets what was given; stops at the first argument that is no flag. */
enum err flags_parse(const struct flag_set *sets,
                     size_t set_count,
                     int argc,
                     char **argv,
                     struct flag_rest *ret_rest,
                     struct reason *why) ERR_MUST_USE;
/* Paragraphs in the order of their names. */
enum err flags_help(struct buf *out, const struct flag_set *set) ERR_MUST_USE;
/* One such paragraph; `value` is NULL for a switch. */
enum err
flag_help(struct buf *out, const char *name, const char *value, const char *help) ERR_MUST_USE;

/* --- one step at a time, for a caller with a table of its own ----------------------------------
 */

struct flag_cursor {
    int argc;
    char **argv; /* what is left */
};

/* Takes one flag. ERR_NOT_FOUND: no flag is left (and `--` has been skipped). `ret_value->ptr` is
 * NULL when it came without `=`. */
enum err flag_next(struct flag_cursor *cursor,
                   struct bytes *ret_name,
                   struct bytes *ret_value,
                   struct reason *why) ERR_MUST_USE;
/* The next argument, for a flag without `=` that needs a value. */
enum err flag_value(struct flag_cursor *cursor,
                    struct bytes name,
                    struct bytes *ret_value,
                    struct reason *why) ERR_MUST_USE;
/* "1" "t" "true" "0" "f" "false" and so on, as Go's strconv. */
enum err flag_bool(struct bytes text, bool *ret_value) ERR_MUST_USE;

#endif

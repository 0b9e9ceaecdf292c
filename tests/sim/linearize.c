/* `linearize [--steps N] [--search] FILE|-`: judges a history (history.h) and prints the verdict
 * (`ok`, `violation`, `undecided`) in the first line, then figures, then the reason. Exits with 0,
 * 1, 2; 3 when the file or the arguments are wrong. */
#include "tests/sim/linear.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#define EXIT_WRONG 3

static int linearize_usage(void)
{
    fputs("usage: linearize [--steps N] [--search] FILE|-\n", stderr);
    return EXIT_WRONG;
}

static bool linearize_read(struct history *h, const char *name)
{
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    if (f == NULL) {
        fprintf(stderr, "linearize: %s: %s\n", name, strerror(errno));
        return false;
    }
    struct reason why = {0};
    enum err e = history_read(h, f, &why);
    if (e != OK) {
        fprintf(stderr, "linearize: %s: %s\n", name, why.text);
    }
    if (f != stdin) {
        fclose(f);
    }
    return e == OK;
}

static enum linear_verdict linearize_judge(const struct history *h, const struct linear_options *o)
{
    static struct linear_report linear;
    static struct linear_report stale;
    linear_check(h, o, &linear);
    linear_check_stale(h, &stale);
    enum linear_verdict v = linear.verdict;
    if (stale.verdict != LINEAR_OK && v != LINEAR_VIOLATION) {
        v = stale.verdict;
    }
    printf("%s\n", linear_verdict_name(v));
    printf("operations=%zu judged=%zu stale=%zu keys=%zu searched=%zu violated=%zu undecided=%zu "
           "unknown=%zu steps=%lu\n",
           h->count, linear.ops, stale.ops, linear.keys, linear.keys_searched, linear.keys_violated,
           linear.keys_undecided, linear.unknown, linear.steps);
    fputs(linear.text, stdout);
    fputs(stale.text, stdout);
    return v;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"steps", required_argument, NULL, 's'},
        {"search", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct linear_options o = {0};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's' && bytes_to_u64(bytes_of(optarg), &o.steps_max) == OK) {
            continue;
        }
        if (c != 'w') {
            return linearize_usage();
        }
        o.search_only = true;
    }
    if (optind + 1 != argc) {
        return linearize_usage();
    }
    struct history h;
    history_init(&h);
    int code = EXIT_WRONG;
    if (linearize_read(&h, argv[optind])) {
        code = (int)linearize_judge(&h, &o);
    }
    history_close(&h);
    return code;
}

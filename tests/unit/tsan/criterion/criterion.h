/* The part of Criterion that our unit tests use, for builds with ThreadSanitizer: Criterion itself
 * runs its tests in processes whose memory it lays out, where ThreadSanitizer cannot live. Each
 * test runs in a fork of its own, one after another.
 *
 * Threads  an assertion may fail in any: it ends the test's process.
 */
#ifndef TESTS_UNIT_TSAN_CRITERION_H
#define TESTS_UNIT_TSAN_CRITERION_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct stand_in_options {
    int none; /* so that a list of designators may be empty */
    void (*init)(void);
    void (*fini)(void);
    double timeout;
};

struct stand_in {
    const char *suite;
    const char *name; /* NULL: the suite's own options */
    void (*run)(void);
    struct stand_in_options options;
    struct stand_in *next;
};

static struct stand_in *stand_ins;

#define STAND_IN(id, suite_, name_, run_, ...)                                                     \
    __attribute__((constructor)) static void id##_register(void)                                   \
    {                                                                                              \
        static struct stand_in self = {suite_, name_, run_, {__VA_ARGS__}, NULL};                  \
        self.next = stand_ins;                                                                     \
        stand_ins = &self;                                                                         \
    }
#define TestSuite(suite, ...)                                                                      \
    STAND_IN(suite##_suite, #suite, NULL, NULL, 0, __VA_ARGS__)                                    \
    _Static_assert(1, "takes the semicolon")
#define Test(suite, name, ...)                                                                     \
    static void suite##_##name##_impl(void);                                                       \
    STAND_IN(suite##_##name, #suite, #name, suite##_##name##_impl, 0, __VA_ARGS__)                 \
    static void suite##_##name##_impl(void)

#define STAND_IN_FAIL(what, ...)                                                                   \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, what);                                  \
        fprintf(stderr, "" __VA_ARGS__);                                                           \
        fprintf(stderr, "\n");                                                                     \
        _exit(1);                                                                                  \
    } while (0)
#define STAND_IN_ASSERT(cond, what, ...)                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            STAND_IN_FAIL(what, __VA_ARGS__);                                                      \
        }                                                                                          \
    } while (0)

#define cr_assert_fail(...)         STAND_IN_FAIL("failed", __VA_ARGS__)
#define cr_assert(cond, ...)        STAND_IN_ASSERT(cond, #cond, __VA_ARGS__)
#define cr_assert_not(cond, ...)    STAND_IN_ASSERT(!(cond), "not " #cond, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)     STAND_IN_ASSERT((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)    STAND_IN_ASSERT((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)     STAND_IN_ASSERT((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)    STAND_IN_ASSERT((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)     STAND_IN_ASSERT((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)    STAND_IN_ASSERT((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(a, ...)      STAND_IN_ASSERT((a) == NULL, #a " is NULL", __VA_ARGS__)
#define cr_assert_not_null(a, ...)  STAND_IN_ASSERT((a) != NULL, #a " is not NULL", __VA_ARGS__)
#define cr_assert_str_empty(a, ...) STAND_IN_ASSERT((a)[0] == '\0', #a " is empty", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) STAND_IN_ASSERT(strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...)                                                           \
    STAND_IN_ASSERT(fabs((a) - (b)) <= (e), #a " == " #b, __VA_ARGS__)
#define cr_log_info(...) (void)(printf(__VA_ARGS__), printf("\n"))

static int stand_in_run(struct stand_in *test, const struct stand_in_options *suite)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        double timeout = test->options.timeout > 0 ? test->options.timeout : suite->timeout;
        void (*init)(void) = test->options.init != NULL ? test->options.init : suite->init;
        void (*fini)(void) = test->options.fini != NULL ? test->options.fini : suite->fini;
        /* ThreadSanitizer is slower than what the limits were chosen for. */
        alarm(timeout > 0 ? (unsigned)timeout * 4 : 0);
        if (init != NULL) {
            init();
        }
        test->run();
        if (fini != NULL) {
            fini();
        }
        exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                   WEXITSTATUS(status) == 0
               ? 0
               : 1;
}

/* `--tap=FILE` and `--filter=TEXT` (part of `suite/name`); what else Criterion knows is ignored. */
int main(int argc, char **argv)
{
    FILE *tap = NULL;
    const char *filter = "";
    int failed = 0;
    int count = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--tap=", 6) == 0) {
            tap = fopen(argv[i] + 6, "we");
        } else if (strncmp(argv[i], "--filter=", 9) == 0) {
            filter = argv[i] + 9;
        }
    }
    for (struct stand_in *test = stand_ins; test != NULL; test = test->next) {
        struct stand_in_options suite = {0, NULL, NULL, 0};
        char id[256];
        (void)snprintf(id, sizeof id, "%s/%s", test->suite, test->name);
        if (test->name == NULL || strstr(id, filter) == NULL) {
            continue;
        }
        for (struct stand_in *at = stand_ins; at != NULL; at = at->next) {
            if (at->name == NULL && strcmp(at->suite, test->suite) == 0) {
                suite = at->options;
            }
        }
        int bad = stand_in_run(test, &suite);
        count++;
        failed += bad;
        if (bad != 0) {
            printf("[FAIL] %s\n", id);
        }
        if (tap != NULL) {
            fprintf(tap, "%s - %s::%s\n", bad != 0 ? "not ok" : "ok", test->suite, test->name);
        }
    }
    if (tap != NULL) {
        fclose(tap);
    }
    printf("[====] Synthesis: Tested: %d | Passing: %d | Failing: %d\n", count, count - failed,
           failed);
    return failed == 0 ? 0 : 1;
}

#endif

/* What our unit tests use of Criterion, on fork() alone: Criterion itself keeps an arena where
 * ThreadSanitizer keeps its shadow, and does not start under it. Takes `--tap=FILE`; other
 * arguments are ignored.
 *
 * Owner    each test runs in a process of its own, one after the other.
 * Errors   a failed assertion aborts the test's process.
 * Threads  assertions from any.
 */
#ifndef TESTS_LIB_PLAIN_CRITERION_H
#define TESTS_LIB_PLAIN_CRITERION_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct plain_options {
    void (*init)(void);
    void (*fini)(void);
    double timeout;
    bool disabled;
    int signal;
    int exit_code;
};

struct plain_test {
    const char *suite;
    const char *name; /* NULL: what the suite's tests have in common */
    void (*run)(void);
    struct plain_options options;
    struct plain_test *next;
};

static struct plain_test *plain_tests;

static inline void plain_add(struct plain_test *t)
{
    t->next = plain_tests;
    plain_tests = t;
}

#define PLAIN_REGISTER(label, suite_text, name_text, fn, ...)                                      \
    __attribute__((constructor)) static void plain_register_##label(void)                          \
    {                                                                                              \
        static struct plain_test t;                                                                \
        t = (struct plain_test){.suite = (suite_text),                                             \
                                .name = (name_text),                                               \
                                .run = (fn),                                                       \
                                .options = {.disabled = false, __VA_ARGS__}};                      \
        plain_add(&t);                                                                             \
    }

#define Test(suite, test, ...)                                                                     \
    static void suite##_##test##_run(void);                                                        \
    PLAIN_REGISTER(suite##_##test, #suite, #test, suite##_##test##_run, __VA_ARGS__)               \
    static void suite##_##test##_run(void)

#define TestSuite(suite, ...)                                                                      \
    PLAIN_REGISTER(suite, #suite, NULL, NULL, __VA_ARGS__)                                         \
    struct plain_test

static inline _Noreturn __attribute__((format(printf, 4, 5))) void
plain_failed(const char *file, int line, const char *what, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "%s:%d: %s: ", file, line, what);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    abort();
}

#define PLAIN_ASSERT(held, what, ...)                                                              \
    ((held) ? (void)0 : plain_failed(__FILE__, __LINE__, what, "" __VA_ARGS__))

#define cr_assert(held, ...)        PLAIN_ASSERT(held, #held, __VA_ARGS__)
#define cr_assert_not(held, ...)    PLAIN_ASSERT(!(held), "not " #held, __VA_ARGS__)
#define cr_assert_fail(...)         PLAIN_ASSERT(false, "failed", __VA_ARGS__)
#define cr_assert_null(p, ...)      PLAIN_ASSERT((p) == NULL, #p " is null", __VA_ARGS__)
#define cr_assert_not_null(p, ...)  PLAIN_ASSERT((p) != NULL, #p " is not null", __VA_ARGS__)
#define cr_assert_eq(a, b, ...)     PLAIN_ASSERT((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)    PLAIN_ASSERT((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)     PLAIN_ASSERT((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)    PLAIN_ASSERT((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)     PLAIN_ASSERT((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)    PLAIN_ASSERT((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) PLAIN_ASSERT(strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_str_empty(a, ...) PLAIN_ASSERT((a)[0] == '\0', #a " is empty", __VA_ARGS__)
#define cr_log_info(...)            ((void)fprintf(stderr, __VA_ARGS__))

static inline const struct plain_test *plain_suite_of(const struct plain_test *t)
{
    for (const struct plain_test *s = plain_tests; s != NULL; s = s->next) {
        if (s->name == NULL && strcmp(s->suite, t->suite) == 0) {
            return s;
        }
    }
    return NULL;
}

static inline bool plain_run(const struct plain_test *t)
{
    static const struct plain_test none;
    const struct plain_test *suite = plain_suite_of(t);
    suite = suite != NULL ? suite : &none;
    pid_t child = fork();
    if (child == 0) {
        void (*init)(void) = t->options.init != NULL ? t->options.init : suite->options.init;
        void (*fini)(void) = t->options.fini != NULL ? t->options.fini : suite->options.fini;
        if (init != NULL) {
            init();
        }
        t->run();
        if (fini != NULL) {
            fini();
        }
        exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return false;
    }
    if (WIFSIGNALED(status)) {
        return t->options.signal == WTERMSIG(status);
    }
    return t->options.signal == 0 && WEXITSTATUS(status) == t->options.exit_code;
}

int main(int argc, char **argv)
{
    FILE *tap = stdout;
    unsigned ran = 0;
    unsigned failed = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--tap=", 6) == 0) {
            tap = fopen(argv[i] + 6, "w");
        }
    }
    if (tap == NULL) {
        return 2;
    }
    for (const struct plain_test *t = plain_tests; t != NULL; t = t->next) {
        if (t->name == NULL || t->options.disabled) {
            continue;
        }
        (void)fflush(NULL);
        bool good = plain_run(t);
        ran++;
        failed += good ? 0 : 1;
        (void)fprintf(tap, "%s - %s::%s\n", good ? "ok" : "not ok", t->suite, t->name);
    }
    (void)fprintf(tap, "# %u ran, %u failed\n", ran, failed);
    (void)fclose(tap);
    return failed > 0 ? 1 : 0;
}

#endif

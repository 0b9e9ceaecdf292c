/* The simulator: `sim SEED COUNT [--servers N] [--faults LIST] [--verbose]` runs COUNT schedules
 * from SEED on, on all cores, and prints the seeds of those that failed with what was violated;
 * `--verbose` replays them in this process, with the whole story. `--bug NAME` seeds one of the
 * bugs of store/seeded.h; `sim prove [COUNT]` demands that each of them is convicted within COUNT
 * schedules, or by its story (stories.h). */
#include "core/base/check.h"
#include "store/seeded.h"
#include "tests/sim/faults.h"
#include "tests/sim/schedule.h"
#include "tests/sim/stories.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Schedules of one child: what crashed servers leak goes with it. */
#define GROUP        16U
#define WORKERS_MAX  64U
#define FAILURES_MAX 20U
/* A run that takes so long hangs. */
#define HANG_S       60U
#define PROVE_COUNT  600U

#define STORY_TEXT_MAX 256U

enum seeded_bug seeded_bug;

static const struct {
    const char *name;
    const char *text;
} BUGS[SEEDED_COUNT] = {
#define X(name, text) [name] = {#name, text},
#include "store/seeded.tbl.h"
#undef X
};

/* The mood in which a bug shows soonest; 0: any. And where to begin, for those that chance brings
 * about seldom; 0: at the start. */
static const struct {
    enum mood mood;
    uint64_t seed;
} HINTS[SEEDED_COUNT] = {
    [SEEDED_VOTE_NOT_SYNCED] = {MOOD_CHURN, 400},
    [SEEDED_REPAIR_AT_ONCE] = {MOOD_ANY, 700},
    [SEEDED_NO_G1] = {MOOD_LATE, 0},
    [SEEDED_NO_G6] = {MOOD_CHURN, 0},
    [SEEDED_NO_G8] = {MOOD_CALM, 0},
};

struct worker {
    pid_t pid;
    int fd;
    uint64_t next; /* the seed it is at */
    uint64_t end;
};

static struct {
    uint64_t seed;
    uint64_t count;
    unsigned servers;
    const char *faults;
    enum mood mood;
    bool verbose;
    bool quiet;          /* failures are wanted */
    bool first;          /* one failure is enough */
    uint64_t convicting; /* the first seed that failed */
    char violation[256];
    unsigned jobs;
    uint64_t handed; /* schedules given out */
    uint64_t done;
    uint64_t failed;
    uint64_t operations;
    uint64_t heard;
    uint64_t resumes;
    uint64_t simulated_us;
    uint64_t steps;
    uint64_t starts;
} run;

static void run_fail(uint64_t seed, const char *violation)
{
    if (run.failed++ == 0) {
        run.convicting = seed;
        (void)snprintf(run.violation, sizeof run.violation, "%s", violation);
    }
    if (run.failed <= FAILURES_MAX && !run.quiet) {
        (void)printf("not ok seed %" PRIu64 ": %s\n", seed, violation);
        (void)fflush(stdout);
    }
}

static void run_take(const struct verdict *v)
{
    run.done++;
    run.operations += v->operations;
    run.heard += v->heard;
    run.resumes += v->resumes;
    run.simulated_us += v->simulated_us;
    run.steps += v->steps;
    run.starts += v->starts;
    if (v->failed) {
        run_fail(v->seed, v->violation);
    }
}

static struct schedule run_schedule(uint64_t seed)
{
    return (struct schedule){
        .seed = seed,
        .servers = run.servers,
        .faults = run.faults,
        .mood = run.mood,
        .verbose = run.verbose,
    };
}

/* --- workers --------------------------------------------------------------------------------- */

static _Noreturn void worker_main(int fd, uint64_t seed, uint64_t end)
{
    for (; seed < end; seed++) {
        struct verdict v;
        struct schedule s = run_schedule(seed);
        (void)alarm(HANG_S);
        schedule_run(&s, &v);
        if (write(fd, &v, sizeof v) != (ssize_t)sizeof v) {
            break;
        }
    }
    _exit(0);
}

static void worker_start(struct worker *w)
{
    int ends[2];
    if (w->next >= w->end) {
        w->next = run.seed + run.handed;
        w->end = w->next + GROUP;
        if (w->end > run.seed + run.count) {
            w->end = run.seed + run.count;
        }
        run.handed = w->end - run.seed;
    }
    w->pid = 0;
    if (w->next >= w->end || (run.first && run.failed > 0)) {
        return;
    }
    CHECK(pipe(ends) == 0);
    (void)fflush(NULL);
    w->pid = fork();
    CHECK(w->pid >= 0);
    if (w->pid == 0) {
        (void)close(ends[0]);
        worker_main(ends[1], w->next, w->end);
    }
    (void)close(ends[1]);
    w->fd = ends[0];
}

/* It has ended: whole, or in the middle of a run. */
static void worker_end(struct worker *w)
{
    char text[128];
    int status = 0;
    struct verdict v;
    while (read(w->fd, &v, sizeof v) == (ssize_t)sizeof v) {
        run_take(&v);
        w->next = v.seed + 1;
    }
    (void)close(w->fd);
    (void)waitpid(w->pid, &status, 0);
    if (w->next < w->end) {
        (void)snprintf(text, sizeof text, "the run itself ended by signal %d, code %d",
                       WIFSIGNALED(status) ? WTERMSIG(status) : 0, WEXITSTATUS(status));
        run.done++;
        run_fail(w->next, text);
        w->next++;
    }
}

static void run_all(void)
{
    struct worker workers[WORKERS_MAX] = {0};
    for (unsigned i = 0; i < run.jobs; i++) {
        worker_start(&workers[i]);
    }
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) != 0) {
            if (errno == EINTR) {
                continue;
            }
            break;
        }
        for (unsigned i = 0; i < run.jobs; i++) {
            if (workers[i].pid == info.si_pid) {
                worker_end(&workers[i]);
                worker_start(&workers[i]);
            }
        }
    }
}

static void run_verbose(void)
{
    for (uint64_t seed = run.seed; seed < run.seed + run.count; seed++) {
        struct verdict v;
        struct schedule s = run_schedule(seed);
        schedule_run(&s, &v);
        run_take(&v);
        (void)printf("seed %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " entries, trace %016" PRIx64
                     "\n",
                     seed, v.steps, v.entries, v.trace);
    }
}

/* The numbers of stream/seeded.h, which declares it, are the table's, in its order. */
unsigned stream_seeded_bug(void);

unsigned stream_seeded_bug(void)
{
    return seeded_bug >= SEEDED_STREAM_SKIPS && seeded_bug <= SEEDED_STREAM_SPLIT
               ? (unsigned)(seeded_bug - SEEDED_STREAM_SKIPS) + 1
               : 0;
}

/* --- the proof ------------------------------------------------------------------------------- */

/* The same run without the bug passes. */
static bool prove_innocent(void)
{
    struct schedule s = run_schedule(run.convicting);
    int status = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct verdict v;
        (void)alarm(HANG_S);
        schedule_run(&s, &v);
        _exit(v.failed ? 1 : 0);
    }
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The story of `bug` in a process of its own. Returns 1 if something was violated, 0 if not, and -1
 * if the story itself went wrong; `shared` says what. */
static int prove_story(enum seeded_bug bug, bool seeded, char *shared)
{
    int status = 0;
    shared[0] = '\0';
    (void)fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)alarm(HANG_S);
        seeded_bug = seeded ? bug : SEEDED_NONE;
        _exit(story_play(bug, shared, STORY_TEXT_MAX) ? 1 : 0);
    }
    (void)waitpid(pid, &status, 0);
    if (!WIFEXITED(status)) {
        (void)snprintf(shared, STORY_TEXT_MAX, "the story ended by signal %d", WTERMSIG(status));
        return -1;
    }
    return WEXITSTATUS(status) == 1 ? 1 : shared[0] == '\0' ? 0 : -1;
}

static bool prove_by_story(enum seeded_bug bug)
{
    static char *shared;
    char text[STORY_TEXT_MAX];
    if (shared == NULL) {
        shared =
            mmap(NULL, STORY_TEXT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(shared != MAP_FAILED);
    }
    if (prove_story(bug, true, shared) != 1) {
        (void)printf("not ok %s not convicted by story (%s): %s\n", BUGS[bug].name, BUGS[bug].text,
                     shared);
        return false;
    }
    (void)snprintf(text, sizeof text, "%s", shared);
    if (prove_story(bug, false, shared) != 0) {
        (void)printf("not ok %s: its story violates something without it, too: %s\n",
                     BUGS[bug].name, shared);
        return false;
    }
    (void)printf("ok %s convicted by story (%s): %s\n", BUGS[bug].name, BUGS[bug].text, text);
    return true;
}

static bool prove_by_schedules(enum seeded_bug bug, uint64_t count)
{
    unsigned jobs = run.jobs;
    unsigned size = run.servers;
    memset(&run, 0, sizeof run);
    run.seed = HINTS[bug].seed > 0 ? HINTS[bug].seed : 1;
    run.count = count;
    run.jobs = jobs;
    run.servers = size;
    run.quiet = true;
    run.first = true;
    run.mood = HINTS[bug].mood;
    seeded_bug = bug;
    run_all();
    seeded_bug = SEEDED_NONE;
    if (run.failed > 0 && !prove_innocent()) {
        (void)printf("not ok %s: seed %" PRIu64 " fails without it, too\n", BUGS[bug].name,
                     run.convicting);
        return false;
    }
    if (run.failed > 0) {
        (void)printf("ok %s convicted by seed %" PRIu64 " (%s): %s\n", BUGS[bug].name,
                     run.convicting, BUGS[bug].text, run.violation);
    } else {
        (void)printf("not ok %s not convicted by %" PRIu64 " schedules (%s)\n", BUGS[bug].name,
                     run.done, BUGS[bug].text);
    }
    return run.failed > 0;
}

static bool prove_one(enum seeded_bug bug, uint64_t count)
{
    bool convicted = story_exists(bug) ? prove_by_story(bug) : prove_by_schedules(bug, count);
    (void)fflush(stdout);
    return convicted;
}

static int prove(uint64_t count)
{
    unsigned missed = 0;
    for (unsigned bug = SEEDED_NONE + 1; bug < SEEDED_COUNT; bug++) {
        missed += prove_one((enum seeded_bug)bug, count) ? 0 : 1;
    }
    (void)printf("%u of %u seeded bugs convicted\n", SEEDED_COUNT - 1 - missed, SEEDED_COUNT - 1);
    return missed > 0 ? 1 : 0;
}

/* --- the command line ------------------------------------------------------------------------ */

static _Noreturn void usage(void)
{
    (void)fprintf(stderr,
                  "usage: sim SEED COUNT [--servers N] [--faults LIST] [--mood NAME] [--jobs N]\n"
                  "           [--bug NAME] [--verbose]\n"
                  "       sim prove [COUNT] [--servers N] [--jobs N]\n");
    exit(2);
}

static uint64_t number_of(const char *text)
{
    char *end = NULL;
    errno = 0;
    uint64_t value = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || errno != 0 || end == text || *end != '\0') {
        usage();
    }
    return value;
}

static enum seeded_bug bug_of(const char *name)
{
    for (unsigned bug = SEEDED_NONE + 1; name != NULL && bug < SEEDED_COUNT; bug++) {
        if (strcmp(BUGS[bug].name, name) == 0) {
            return (enum seeded_bug)bug;
        }
    }
    usage();
}

static enum mood mood_of(const char *name)
{
    static const char *const NAMES[] = {"any", "mixed", "calm", "late", "shuffle", "churn"};
    for (unsigned i = 0; name != NULL && i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(NAMES[i], name) == 0) {
            return (enum mood)i;
        }
    }
    usage();
}

static void run_options(int argc, char **argv, int from)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    run.jobs = cores < 1 ? 1 : cores > (long)WORKERS_MAX ? WORKERS_MAX : (unsigned)cores;
    for (int i = from; i < argc; i++) {
        if (strcmp(argv[i], "--bug") == 0) {
            seeded_bug = bug_of(argv[++i]);
        } else if (strcmp(argv[i], "--mood") == 0) {
            run.mood = mood_of(argv[++i]);
        } else if (strcmp(argv[i], "--verbose") == 0) {
            run.verbose = true;
        } else if (strcmp(argv[i], "--faults") == 0 && i + 1 < argc) {
            struct plan plan;
            run.faults = argv[++i];
            if (!plan_draw(&plan, 1, run.faults, MOOD_ANY)) {
                usage();
            }
        } else if (strcmp(argv[i], "--servers") == 0) {
            run.servers = (unsigned)number_of(argv[++i]);
        } else if (strcmp(argv[i], "--jobs") == 0) {
            run.jobs = (unsigned)number_of(argv[++i]);
        } else {
            usage();
        }
    }
    if (run.jobs < 1 || run.jobs > WORKERS_MAX) {
        usage();
    }
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "prove") == 0) {
        bool counted = argc >= 3 && argv[2][0] != '-';
        run_options(argc, argv, counted ? 3 : 2);
        return prove(counted ? number_of(argv[2]) : PROVE_COUNT);
    }
    if (argc < 3) {
        usage();
    }
    run.seed = number_of(argv[1]);
    run.count = number_of(argv[2]);
    run_options(argc, argv, 3);
    if (run.verbose) {
        run_verbose();
    } else {
        run_all();
    }
    (void)printf("%" PRIu64 " schedules, %" PRIu64 " failed; %" PRIu64 " operations, %" PRIu64
                 " starts, %" PRIu64 " events, %.1f virtual hours; followers heard %" PRIu64
                 " changes, %" PRIu64 " resumes\n",
                 run.done, run.failed, run.operations, run.starts, run.steps,
                 (double)run.simulated_us / 3.6e9, run.heard, run.resumes);
    return run.failed > 0 ? 1 : 0;
}

/* The simulated world: one clock, one heap of events, one source of dice, and processes whose
 * threads are fibers, so that one seed is one run. Nothing here knows Herald.
 *
 *     event --> fiber of a thread runs until it waits (mail, timer, disk, join) --> next event
 *
 * Processes  have clocks of their own (offset, drift), may be paused (SIGSTOP) and may crash: their
 *            fibers are then never run again, and their memory leaks until the program's end.
 * Units      microseconds of the world's time, from WORLD_BEGIN_US.
 * Order      events at one time happen in the order in which they were made.
 * Threads    one. A fiber gives way only inside fiber_sleep() and what is built on it.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_BEGIN_US 1000000ULL
#define WORLD_NEVER    UINT64_MAX
#define SECOND_US      1000000ULL
#define PROCESS_MAX    32U

struct fiber;
struct loop;

struct process {
    unsigned number; /* from 1; also which of the servers it is */
    bool alive;
    uint64_t life; /* how often it was started: what refers to an earlier one is void */
    uint64_t paused_until_us;
    uint64_t lag_us; /* a slow machine: each of its threads' turns comes so much later at most */
    /* Its clocks: mono = time since boot at its own speed; wall = world + offset. */
    int64_t drift_ppm;
    int64_t wall_offset_ms;
    struct fiber *fibers;
    char died[512]; /* the last words of fatal(); empty when it was killed from outside */
    void (*on_death)(struct process *p);
};

struct world {
    uint64_t now_us;
    uint64_t seed;
    uint64_t steps; /* events so far */
    uint64_t trace; /* a digest of all that happened: equal for equal seeds */
    bool verbose;
    bool over;            /* a violation was found: nothing more happens */
    char violation[1024]; /* the first */
};

extern struct world world;

void world_open(uint64_t seed, bool verbose);
/* Runs events up to `until_us`, or until something is violated. */
void world_run(uint64_t until_us);
void world_close(void);
/* An event outside of all processes. */
void world_at(uint64_t at_us, void (*fn)(void *ctx), void *ctx);
/* The same, void once the process has ended; waits while it is paused. */
void world_at_process(uint64_t at_us, struct process *p, void (*fn)(void *ctx), void *ctx);
/* The run has failed. The first one counts. */
void world_violate(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line of the story: time, process, text; goes into the trace's digest. */
void world_tell(const struct process *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a verbose run alone: not part of the trace. */
void world_show(const struct process *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void world_mix(uint64_t value);

/* --- dice ------------------------------------------------------------------------------------ */

uint64_t dice(void);
/* Uniform in [0, limit); 0 for 0. */
uint64_t dice_below(uint64_t limit);
uint64_t dice_between(uint64_t least, uint64_t most);
/* True with `parts` of a million. */
bool dice_ppm(uint64_t parts);
/* Mostly near `least`, seldom near `most`: as times are in life. */
uint64_t dice_skewed(uint64_t least, uint64_t most);

/* --- processes and fibers -------------------------------------------------------------------- */

/* The process whose fiber runs; NULL in between. */
struct process *process_here(void);
void process_start(struct process *p, void (*main)(void *arg), void *arg);
/* kill -9. Also for the process itself, which then does not return. */
void process_kill(struct process *p);
void process_pause(struct process *p, uint64_t for_us);
uint64_t process_mono_us(const struct process *p);
uint64_t process_wall_ms(const struct process *p);

struct fiber *fiber_new(struct process *p, void (*fn)(void *arg), void *arg);
/* NULL outside of all fibers. */
struct fiber *fiber_here(void);
/* Returns at `until_us`, or after fiber_wake(). */
void fiber_sleep(uint64_t until_us);
void fiber_wake(struct fiber *f, uint64_t at_us);
/* Waits that long, woken or not; outside of all fibers it does nothing. */
void fiber_wait(uint64_t us);

#endif

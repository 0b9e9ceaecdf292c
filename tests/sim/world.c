#include "tests/sim/world.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WORLD_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WORLD_ASAN 1
#endif
#endif
#ifdef WORLD_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define FIBER_STACK (256U * 1024)
#define FIBER_GUARD 4096U

struct fiber {
    struct fiber *next;
    struct process *process;
    ucontext_t context;
    char *stack;
    void (*fn)(void *arg);
    void *arg;
    uint64_t turn; /* which of its sleeps it is in: earlier wakings are void */
    uint64_t wake_us;
    void *fake_stack; /* AddressSanitizer's */
    bool ended;
};

struct event {
    uint64_t at_us;
    uint64_t order;
    struct fiber *fiber; /* or */
    void (*fn)(void *ctx);
    void *ctx;
    struct process *process; /* may be NULL */
    uint64_t life;           /* of the process; of a fiber: its turn */
};

static struct {
    struct event *heap; /* [1..count] */
    size_t count;
    size_t cap;
    uint64_t order;
    uint64_t dice[2];
    ucontext_t context; /* of the scheduler */
    void *fake_stack;
    const void *stack_bottom;
    size_t stack_size;
    struct fiber *running;
    struct fiber *spare; /* fibers that ended: their stacks are used again */
    struct fiber *grave; /* ended while running: not to be used before the switch */
} sim;

struct world world;

/* --- dice ------------------------------------------------------------------------------------ */

/* xoroshiro128+ */
uint64_t dice(void)
{
    uint64_t a = sim.dice[0];
    uint64_t b = sim.dice[1];
    uint64_t sum = a + b;
    b ^= a;
    sim.dice[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    sim.dice[1] = b << 37 | b >> 27;
    return sum;
}

uint64_t dice_below(uint64_t limit)
{
    return limit == 0 ? 0 : (dice() >> 8) % limit;
}

uint64_t dice_between(uint64_t least, uint64_t most)
{
    return least + dice_below(most - least + 1);
}

bool dice_ppm(uint64_t parts)
{
    return dice_below(1000000) < parts;
}

uint64_t dice_skewed(uint64_t least, uint64_t most)
{
    uint64_t width = most - least;
    for (unsigned halvings = 0; halvings < 8 && dice_below(2) == 0; halvings++) {
        width /= 2;
    }
    return least + dice_below(width + 1);
}

static uint64_t dice_seed(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* --- the story ------------------------------------------------------------------------------- */

void world_mix(uint64_t value)
{
    world.trace = (world.trace ^ value) * 0x100000001b3ULL;
}

static void world_print(const struct process *p, const char *text)
{
    (void)printf("%10.6f  %s%c  %s\n", (double)(world.now_us - WORLD_BEGIN_US) / 1e6,
                 p != NULL ? "s" : " ", p != NULL ? (char)('0' + p->number % 10) : ' ', text);
}

void world_tell(const struct process *p, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (const char *at = text; *at != '\0'; at++) {
        world_mix((unsigned char)*at);
    }
    world_mix(world.now_us);
    if (world.verbose) {
        world_print(p, text);
    }
}

void world_show(const struct process *p, const char *format, ...)
{
    char text[512];
    va_list args;
    if (!world.verbose) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    world_print(p, text);
}

void world_violate(const char *format, ...)
{
    if (world.over) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(world.violation, sizeof world.violation, format, args);
    va_end(args);
    world.over = true;
    if (world.verbose) {
        world_print(NULL, world.violation);
    }
}

/* --- events ---------------------------------------------------------------------------------- */

static bool event_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void event_push(struct event e)
{
    if (sim.count + 1 >= sim.cap) {
        sim.cap = sim.cap == 0 ? 256 : sim.cap * 2;
        sim.heap = mem_realloc(sim.heap, sim.cap * sizeof *sim.heap);
    }
    e.order = sim.order++;
    size_t at = ++sim.count;
    while (at > 1 && event_before(&e, &sim.heap[at / 2])) {
        sim.heap[at] = sim.heap[at / 2];
        at /= 2;
    }
    sim.heap[at] = e;
}

static struct event event_pop(void)
{
    struct event first = sim.heap[1];
    struct event last = sim.heap[sim.count--];
    size_t at = 1;
    for (;;) {
        size_t child = at * 2;
        if (child > sim.count) {
            break;
        }
        if (child < sim.count && event_before(&sim.heap[child + 1], &sim.heap[child])) {
            child++;
        }
        if (!event_before(&sim.heap[child], &last)) {
            break;
        }
        sim.heap[at] = sim.heap[child];
        at = child;
    }
    sim.heap[at] = last;
    return first;
}

void world_at(uint64_t at_us, void (*fn)(void *ctx), void *ctx)
{
    event_push((struct event){.at_us = at_us, .fn = fn, .ctx = ctx});
}

void world_at_process(uint64_t at_us, struct process *p, void (*fn)(void *ctx), void *ctx)
{
    event_push((struct event){
        .at_us = at_us,
        .fn = fn,
        .ctx = ctx,
        .process = p,
        .life = p->life,
    });
}

/* --- switching ------------------------------------------------------------------------------- */

static void fiber_switched_in(struct fiber *f)
{
#ifdef WORLD_ASAN
    __sanitizer_finish_switch_fiber(f->fake_stack, &sim.stack_bottom, &sim.stack_size);
#else
    (void)f;
#endif
}

static void fiber_to_scheduler(struct fiber *f, bool for_ever)
{
#ifdef WORLD_ASAN
    __sanitizer_start_switch_fiber(for_ever ? NULL : &f->fake_stack, sim.stack_bottom,
                                   sim.stack_size);
#else
    (void)for_ever;
#endif
    int rc = swapcontext(&f->context, &sim.context);
    CHECK(rc == 0);
    fiber_switched_in(f);
}

static void fiber_main(void)
{
    struct fiber *f = sim.running;
    fiber_switched_in(f);
    f->fn(f->arg);
    f->ended = true;
    fiber_to_scheduler(f, true);
}

static void fiber_bury(struct fiber *f)
{
    if (f->process != NULL) {
        for (struct fiber **at = &f->process->fibers; *at != NULL; at = &(*at)->next) {
            if (*at == f) {
                *at = f->next;
                break;
            }
        }
    }
    f->process = NULL;
    f->turn++;
#ifdef WORLD_ASAN
    __asan_unpoison_memory_region(f->stack + FIBER_GUARD, FIBER_STACK);
#endif
    f->next = sim.spare;
    sim.spare = f;
}

static void fiber_run(struct fiber *f)
{
    f->turn++;
    sim.running = f;
#ifdef WORLD_ASAN
    __sanitizer_start_switch_fiber(&sim.fake_stack, f->stack + FIBER_GUARD, FIBER_STACK);
#endif
    int rc = swapcontext(&sim.context, &f->context);
    CHECK(rc == 0);
#ifdef WORLD_ASAN
    __sanitizer_finish_switch_fiber(sim.fake_stack, NULL, NULL);
#endif
    sim.running = NULL;
    while (sim.grave != NULL) {
        struct fiber *dead = sim.grave;
        sim.grave = dead->next;
        dead->process = NULL;
        fiber_bury(dead);
    }
    if (f->ended && f->process != NULL) {
        fiber_bury(f);
    }
}

/* Apart, since getcontext() is for the compiler a function that returns twice. */
static __attribute__((noinline)) void fiber_prepare(struct fiber *f)
{
    int rc = getcontext(&f->context);
    CHECK(rc == 0);
    f->context.uc_stack.ss_sp = f->stack + FIBER_GUARD;
    f->context.uc_stack.ss_size = FIBER_STACK;
    f->context.uc_link = NULL;
    makecontext(&f->context, fiber_main, 0);
}

struct fiber *fiber_new(struct process *p, void (*fn)(void *arg), void *arg)
{
    struct fiber *f = sim.spare;
    if (f != NULL) {
        sim.spare = f->next;
    } else {
        f = mem_zalloc(1, sizeof *f);
        f->stack = mmap(NULL, FIBER_STACK + FIBER_GUARD, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(f->stack != MAP_FAILED);
        CHECK(mprotect(f->stack, FIBER_GUARD, PROT_NONE) == 0);
    }
    fiber_prepare(f);
    f->process = p;
    f->fn = fn;
    f->arg = arg;
    f->ended = false;
    f->fake_stack = NULL;
    f->next = p->fibers;
    p->fibers = f;
    f->wake_us = WORLD_NEVER;
    fiber_wake(f, world.now_us + dice_between(1, 50));
    return f;
}

struct fiber *fiber_here(void)
{
    return sim.running;
}

void fiber_wake(struct fiber *f, uint64_t at_us)
{
    if (at_us >= f->wake_us || f->ended) {
        return;
    }
    f->wake_us = at_us;
    event_push((struct event){
        .at_us = at_us,
        .fiber = f,
        .process = f->process,
        .life = f->turn,
    });
}

void fiber_sleep(uint64_t until_us)
{
    struct fiber *f = sim.running;
    CHECK(f != NULL);
    f->wake_us = WORLD_NEVER;
    if (until_us != WORLD_NEVER) {
        fiber_wake(f, until_us > world.now_us ? until_us : world.now_us);
    }
    fiber_to_scheduler(f, false);
}

void fiber_wait(uint64_t us)
{
    if (sim.running == NULL) {
        return;
    }
    uint64_t until_us = world.now_us + us;
    while (world.now_us < until_us) {
        fiber_sleep(until_us);
    }
}

/* --- processes ------------------------------------------------------------------------------- */

struct process *process_here(void)
{
    return sim.running != NULL ? sim.running->process : NULL;
}

void process_start(struct process *p, void (*main)(void *arg), void *arg)
{
    CHECK(!p->alive);
    p->alive = true;
    p->life++;
    p->paused_until_us = 0;
    p->died[0] = '\0';
    (void)fiber_new(p, main, arg);
}

void process_kill(struct process *p)
{
    if (!p->alive) {
        return;
    }
    struct fiber *self = NULL;
    p->alive = false;
    p->life++;
    while (p->fibers != NULL) {
        struct fiber *f = p->fibers;
        p->fibers = f->next;
        f->turn++;
        f->ended = true;
        if (f == sim.running) {
            self = f;
        } else {
            f->process = NULL;
            fiber_bury(f);
        }
    }
    if (self != NULL) {
        self->next = sim.grave;
        sim.grave = self;
    }
    if (p->on_death != NULL) {
        p->on_death(p);
    }
    if (self != NULL) {
        fiber_to_scheduler(self, true);
    }
}

void process_pause(struct process *p, uint64_t for_us)
{
    p->paused_until_us = world.now_us + for_us;
}

uint64_t process_mono_us(const struct process *p)
{
    if (p == NULL) {
        return world.now_us;
    }
    int64_t drift = (int64_t)world.now_us / 1000 * p->drift_ppm / 1000;
    return (uint64_t)((int64_t)world.now_us + drift) + p->number * 1000 * SECOND_US;
}

uint64_t process_wall_ms(const struct process *p)
{
    uint64_t wall_ms = 1790000000000ULL + world.now_us / 1000;
    return p == NULL ? wall_ms : (uint64_t)((int64_t)wall_ms + p->wall_offset_ms);
}

/* What a process says when it gives up; a broken CHECK is a violation whoever breaks it. */
_Noreturn void fatal(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct process *p = process_here();
    if (p == NULL) {
        (void)fprintf(stderr, "sim: seed %llu: fatal outside of all servers: %s\n",
                      (unsigned long long)world.seed, text);
        abort();
    }
    world_tell(p, "fatal: %s", text);
    (void)snprintf(p->died, sizeof p->died, "%s", text);
    process_kill(p);
    abort();
}

_Noreturn void check_failed(const char *cond, const char *file, int line)
{
    struct process *p = process_here();
    if (p == NULL) {
        (void)fprintf(stderr, "sim: seed %llu: CHECK(%s) failed at %s:%d\n",
                      (unsigned long long)world.seed, cond, file, line);
        abort();
    }
    world_violate("server %u: CHECK(%s) failed at %s:%d", p->number, cond, file, line);
    process_kill(p);
    abort();
}

/* --- life ------------------------------------------------------------------------------------ */

void world_open(uint64_t seed, bool verbose)
{
    uint64_t state = seed;
    world = (struct world){
        .now_us = WORLD_BEGIN_US,
        .seed = seed,
        .trace = 0xcbf29ce484222325ULL,
        .verbose = verbose,
    };
    sim.dice[0] = dice_seed(&state);
    sim.dice[1] = dice_seed(&state);
    sim.count = 0;
    sim.order = 0;
}

void world_close(void)
{
    free(sim.heap);
    sim.heap = NULL;
    sim.count = 0;
    sim.cap = 0;
}

static bool event_void(const struct event *e)
{
    if (e->fiber != NULL) {
        return e->fiber->turn != e->life;
    }
    return e->process != NULL && e->process->life != e->life;
}

void world_run(uint64_t until_us)
{
    while (sim.count > 0 && !world.over && sim.heap[1].at_us <= until_us) {
        struct event e = event_pop();
        if (event_void(&e)) {
            continue;
        }
        if (e.process != NULL && e.process->paused_until_us > e.at_us) {
            e.at_us = e.process->paused_until_us;
            event_push(e);
            continue;
        }
        world.now_us = e.at_us;
        world.steps++;
        if (e.fiber != NULL) {
            fiber_run(e.fiber);
        } else {
            e.fn(e.ctx);
        }
    }
    if (!world.over && world.now_us < until_us) {
        world.now_us = until_us;
    }
}

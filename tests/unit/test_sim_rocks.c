/* The simulated database answers as the real one does: everything the simulator says rests on it.
 */
#include "core/base/limit.h"
#include "tests/sim/rocks_story.h"

#include <criterion/criterion.h>
#include <string.h>

#define STORIES 60U
#define STEPS   400U

TestSuite(sim_rocks, .timeout = 120);

static void compare(uint64_t seed, enum rocks_kind kind)
{
    struct buf real;
    struct buf simulated;
    buf_init(&real, MIB(16));
    buf_init(&simulated, MIB(16));
    rocks_story(seed, STEPS, kind, &real);
    sim_rocks_story(seed, STEPS, kind, &simulated);
    cr_assert(real.len > 1000);
    for (size_t at = 0, line = 0; at < real.len && at < simulated.len; at++) {
        line = at > 0 && real.ptr[at - 1] == '\n' ? at : line;
        cr_assert(real.ptr[at] == simulated.ptr[at], "seed %lu: '%.*s', simulated '%.*s'", seed,
                  (int)strcspn(real.ptr + line, "\n"), real.ptr + line,
                  (int)strcspn(simulated.ptr + line, "\n"), simulated.ptr + line);
    }
    cr_assert_eq(real.len, simulated.len);
    buf_close(&real);
    buf_close(&simulated);
}

Test(sim_rocks, the_state_database_answers_as_the_real_one)
{
    for (uint64_t seed = 1; seed <= STORIES; seed++) {
        compare(seed, ROCKS_STATE);
    }
}

Test(sim_rocks, the_log_database_answers_as_the_real_one)
{
    for (uint64_t seed = 1; seed <= STORIES; seed++) {
        compare(seed, ROCKS_LOG);
    }
}

#include "tests/sim/faults.h"

#include "core/base/limit.h"
#include "tests/sim/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/disk.h"
#include "tests/sim/follower.h"
#include "tests/sim/server.h"
#include "tests/sim/wire.h"
#include "tests/sim/world.h"

#include <string.h>

static struct {
    struct plan plan;
    bool healed;
} faults;

static bool plan_some(uint64_t percent)
{
    return dice_below(100) < percent;
}

/* Leaves of the faults only those that are named. */
static bool plan_restrict(struct plan *p, const char *only)
{
    const struct {
        const char *name;
        bool *wanted;
    } names[] = {
        {"kill", &p->kill},
        {"power", &p->power},
        {"stop", &p->stop},
        {"pause", &p->pause},
        {"slow-disk", &p->slow_disk},
        {"full-disk", &p->full_disk},
        {"failing-disk", &p->failing_disk},
        {"flips", &p->flips},
        {"clock", &p->clock},
        {"lag", &p->lag},
        {"cuts", &p->cuts},
        {"slow-links", &p->slow_links},
        {"resets", &p->resets},
        {"unordered", &p->unordered},
        {"changes", &p->changes},
    };
    size_t count = sizeof names / sizeof names[0];
    for (size_t i = 0; i < count; i++) {
        *names[i].wanted = false;
    }
    while (*only != '\0') {
        size_t len = strcspn(only, ",");
        size_t i = 0;
        while (i < count &&
               (strncmp(names[i].name, only, len) != 0 || names[i].name[len] != '\0')) {
            i++;
        }
        if (i == count) {
            return false;
        }
        *names[i].wanted = true;
        only += only[len] == ',' ? len + 1 : len;
    }
    return true;
}

static enum mood mood_draw(void)
{
    uint64_t roll = dice_below(100);
    return roll < 70   ? MOOD_MIXED
           : roll < 76 ? MOOD_CALM
           : roll < 84 ? MOOD_LATE
           : roll < 92 ? MOOD_SHUFFLE
                       : MOOD_CHURN;
}

static void plan_mood(struct plan *p)
{
    switch (p->mood) {
    case MOOD_ANY:
    case MOOD_MIXED:
        break;
    case MOOD_CALM:
        (void)plan_restrict(p, "changes");
        p->election_ms = 1000;
        p->delay_max_us = 2000;
        p->order_gap_us = SECOND_US;
        p->loss_ppm = 0;
        break;
    case MOOD_LATE:
        (void)plan_restrict(p, "unordered,cuts,kill,lag");
        p->election_ms = 1000;
        p->delay_max_us = dice_between(SECOND_US / 4, 3 * SECOND_US);
        p->loss_ppm = dice_below(50000);
        p->repeat_ppm = 300000;
        p->writeback = 2;
        p->log_trailing = dice_below(3);
        p->disk_total = KIB(16);
        p->duration_us = 20 * SECOND_US;
        break;
    case MOOD_SHUFFLE:
        (void)plan_restrict(p, "changes,cuts,kill");
        p->order_gap_us = dice_between(20000, SECOND_US / 2);
        p->gap_us = dice_between(50000, SECOND_US / 2);
        p->clients = 8;
        p->pause_us = 1000;
        p->loss_ppm = 0;
        break;
    case MOOD_CHURN:
        (void)plan_restrict(p, "cuts,kill,power");
        p->election_ms = 200;
        p->gap_us = dice_between(50000, SECOND_US / 2);
        p->delay_max_us = dice_between(1000, 50000);
        p->clients = 8;
        p->pause_us = 1000;
        p->loss_ppm = 0;
        break;
    }
}

bool plan_draw(struct plan *ret_plan, unsigned size, const char *only, enum mood mood)
{
    static const unsigned SIZES[] = {1, 3, 3, 3, 5, 5, 7};
    struct plan p = {
        .servers = SIZES[dice_below(sizeof SIZES / sizeof SIZES[0])],
        .clients = (unsigned)dice_between(2, 8),
        .keys = (unsigned)dice_between(1, 12),
        .pause_us = dice_skewed(1000, 200000),
        .duration_us = dice_between(5, 20) * SECOND_US,
        .election_ms = (unsigned)dice_between(200, 1000),
        .log_trailing = plan_some(60) ? dice_below(64) : 10240,
        .disk_total = plan_some(50) ? KIB(dice_between(16, 128)) : MIB(64),
        .writeback = plan_some(50) ? (unsigned)dice_between(4, 32) : 128,
        .gap_us = dice_skewed(50000, 4 * SECOND_US),
        .kill = plan_some(60),
        .power = plan_some(60),
        .stop = plan_some(25),
        .pause = plan_some(40),
        .slow_disk = plan_some(30),
        .full_disk = plan_some(15),
        .failing_disk = plan_some(10),
        .flips = plan_some(15),
        .clock = plan_some(40),
        .lag = plan_some(30),
        .cuts = plan_some(70),
        .slow_links = plan_some(30),
        .resets = plan_some(40),
        .unordered = plan_some(25),
        .delay_max_us = dice_skewed(200, 100000),
        .changes = plan_some(40),
        .spares = 2,
        .prefixes = plan_some(30),
        .order_gap_us = dice_skewed(200000, 8 * SECOND_US),
    };
    p.servers = size != 0 ? size : p.servers;
    p.followers = (unsigned)dice_below(FOLLOWERS_MAX / 2 + 1);
    p.history_bytes = plan_some(50) ? dice_between(500, 8000) : MIB(1);
    bool known = only == NULL || plan_restrict(&p, only);
    if (plan_some(50) && (only == NULL || p.unordered || p.resets)) {
        p.loss_ppm = p.unordered ? dice_skewed(100, 200000) : dice_skewed(10, 2000);
        p.repeat_ppm = dice_skewed(100, 100000);
    }
    p.mood = mood != MOOD_ANY ? mood : only != NULL ? MOOD_MIXED : mood_draw();
    plan_mood(&p);
    /* Who is repaired gives its vote back and gets it again: nobody else's may change meanwhile. */
    p.changes = p.changes && !p.flips && p.servers > 1;
    if (p.servers > 2 && !p.changes && !p.flips && plan_some(30)) {
        p.absent = (unsigned)dice_between(1, p.servers);
    }
    *ret_plan = p;
    return known;
}

/* --- one fault ------------------------------------------------------------------------------- */

static void fault_restart(void *ctx)
{
    struct server *s = ctx;
    if (s->process.alive && s->stopping) {
        /* It is still about to end. */
        world_at(world.now_us + 100000, fault_restart, s);
        return;
    }
    server_start(s);
}

static void fault_restart_later(struct server *s)
{
    world_at(world.now_us + dice_skewed(10000, 5 * SECOND_US), fault_restart, s);
}

static void fault_full_end(void *ctx)
{
    struct server *s = ctx;
    if (disks[s->number].full) {
        world_tell(&s->process, "has room on its disk again");
        disks[s->number].full = false;
    }
    if (!s->process.alive) {
        fault_restart_later(s);
    }
}

static void fault_disk_end(void *ctx)
{
    struct disk *d = &disks[((struct server *)ctx)->number];
    d->sync_min_us = 50;
    d->sync_max_us = 300;
    d->stall_ppm = 0;
    d->io_error_ppm = 0;
}

static void fault_end_process(struct server *s, bool power)
{
    server_crash(s, power);
    fault_restart_later(s);
}

/* Its data came whole from the others, or the bit did not matter. */
static void fault_look(struct server *s)
{
    if (s->damaged && s->serving && disks[s->number].repair.phase == REPAIR_NONE) {
        world_tell(&s->process, "is whole again");
        s->damaged = false;
    }
}

/* Only so many that a majority stays whole, and only of a cluster that is wholly founded: until
 * then all are needed. */
static bool fault_may_damage(const struct server *s)
{
    unsigned others = 0;
    for (unsigned i = 1; i <= faults.plan.servers; i++) {
        if (!servers[i].joined) {
            return false;
        }
        fault_look(&servers[i]);
        others += servers[i].damaged && &servers[i] != s;
    }
    return others + 1 <= (faults.plan.servers - 1) / 2;
}

static void fault_flip(struct server *s)
{
    if (!fault_may_damage(s)) {
        return;
    }
    server_crash(s, dice_below(2) == 0);
    if (disk_flip(&disks[s->number])) {
        world_tell(&s->process, "has a flipped bit on its disk");
        s->damaged = true;
    }
    fault_restart_later(s);
}

static void fault_slow_disk(struct server *s)
{
    struct disk *d = &disks[s->number];
    world_tell(&s->process, "has a slow disk");
    d->sync_max_us = dice_skewed(1000, 500000);
    d->stall_ppm = dice_below(50000);
    d->stall_us = 2 * SECOND_US;
    world_at(world.now_us + dice_skewed(100000, 5 * SECOND_US), fault_disk_end, s);
}

static void fault_clock(struct server *s)
{
    int64_t far_ms = (int64_t)dice_skewed(1000, 3600 * 1000);
    s->process.wall_offset_ms = dice_below(2) == 0 ? far_ms : -far_ms;
    world_tell(&s->process, "sets its clock by %lld ms", (long long)s->process.wall_offset_ms);
}

/* --- the wire -------------------------------------------------------------------------------- */

static void cut_both(unsigned a, unsigned b)
{
    wire.cut[a][b] = true;
    wire.cut[b][a] = true;
}

static void fault_cuts_end(void *ctx)
{
    (void)ctx;
    for (unsigned a = 1; a <= SERVERS_MAX; a++) {
        for (unsigned b = 1; b <= SERVERS_MAX; b++) {
            wire.cut[a][b] = false;
        }
    }
    world_tell(NULL, "all links are whole");
}

/* A random half, or a random few, against the rest. */
static void cut_in_two(bool bridge)
{
    uint64_t side = dice();
    unsigned between = bridge ? (unsigned)dice_between(1, faults.plan.servers) : 0;
    for (unsigned a = 1; a <= SERVERS_MAX; a++) {
        for (unsigned b = a + 1; b <= SERVERS_MAX; b++) {
            if ((side >> a & 1) != (side >> b & 1) && a != between && b != between) {
                cut_both(a, b);
            }
        }
    }
}

static void cut_one(struct server *s, bool out, bool in)
{
    for (unsigned b = 1; b <= SERVERS_MAX; b++) {
        wire.cut[s->number][b] |= out && b != s->number;
        wire.cut[b][s->number] |= in && b != s->number;
    }
}

/* Everybody hears the neighbours only. */
static void cut_ring(void)
{
    unsigned n = faults.plan.servers;
    for (unsigned a = 0; a < n; a++) {
        for (unsigned b = a + 2; b < n; b++) {
            if ((b + 1) % n != a) {
                cut_both(a + 1, b + 1);
            }
        }
    }
}

static void fault_cut(struct server *s)
{
    uint64_t shape = dice_below(8);
    fault_cuts_end(NULL);
    switch (shape) {
    case 0:
        cut_one(s, true, false);
        break;
    case 1:
        cut_one(s, false, true);
        break;
    case 2:
    case 3:
        cut_one(s, true, true);
        break;
    case 4:
        cut_ring();
        break;
    case 5:
        wire.cut[s->number][dice_between(1, faults.plan.servers)] = true;
        break;
    default:
        cut_in_two(shape == 6);
        break;
    }
    world_tell(&s->process, "links are cut: shape %llu", (unsigned long long)shape);
    if (dice_below(3) != 0) {
        world_at(world.now_us + dice_skewed(50000, 10 * SECOND_US), fault_cuts_end, NULL);
    }
}

static void fault_slow_link(struct server *s)
{
    unsigned to = (unsigned)dice_between(1, SERVERS_MAX);
    wire.slow_us[s->number][to] = dice_below(2) == 0 ? 0 : dice_skewed(1000, SECOND_US);
}

enum fault {
    FAULT_CUT,
    FAULT_CUT_MORE,
    FAULT_SLOW_LINK,
    FAULT_RESET,
    FAULT_KILL,
    FAULT_POWER,
    FAULT_STOP,
    FAULT_PAUSE,
    FAULT_SLOW_DISK,
    FAULT_FULL_DISK,
    FAULT_FAILING_DISK,
    FAULT_FLIP,
    FAULT_CLOCK,
    FAULT_LAG,
    FAULT_COUNT,
};

static bool fault_wanted(enum fault f)
{
    const struct plan *p = &faults.plan;
    const bool wanted[FAULT_COUNT] = {
        [FAULT_CUT] = p->cuts && p->servers > 1,
        [FAULT_CUT_MORE] = p->cuts && p->servers > 1,
        [FAULT_SLOW_LINK] = p->slow_links,
        [FAULT_RESET] = p->resets,
        [FAULT_KILL] = p->kill,
        [FAULT_POWER] = p->power,
        [FAULT_STOP] = p->stop,
        [FAULT_PAUSE] = p->pause,
        [FAULT_SLOW_DISK] = p->slow_disk,
        [FAULT_FULL_DISK] = p->full_disk,
        [FAULT_FAILING_DISK] = p->failing_disk,
        [FAULT_FLIP] = p->flips && p->servers > 1,
        [FAULT_CLOCK] = p->clock,
        [FAULT_LAG] = p->lag,
    };
    return wanted[f];
}

static void fault_strike(enum fault f, struct server *s)
{
    struct disk *d = &disks[s->number];
    switch (f) {
    case FAULT_CUT:
    case FAULT_CUT_MORE:
        fault_cut(s);
        break;
    case FAULT_SLOW_LINK:
        fault_slow_link(s);
        break;
    case FAULT_RESET:
        wire_reset(s->number, (unsigned)dice_between(1, SERVERS_MAX));
        break;
    case FAULT_KILL:
    case FAULT_POWER:
        fault_end_process(s, f == FAULT_POWER);
        break;
    case FAULT_STOP:
        server_stop(s);
        fault_restart_later(s);
        break;
    case FAULT_PAUSE:
        world_tell(&s->process, "is paused");
        process_pause(&s->process, dice_skewed(10000, 10 * SECOND_US));
        break;
    case FAULT_SLOW_DISK:
        fault_slow_disk(s);
        break;
    case FAULT_FULL_DISK:
        world_tell(&s->process, "has a full disk");
        d->full = true;
        world_at(world.now_us + dice_skewed(10000, 5 * SECOND_US), fault_full_end, s);
        break;
    case FAULT_FAILING_DISK:
        world_tell(&s->process, "has a failing disk");
        s->may_fail = true;
        d->io_error_ppm = dice_skewed(1000, 500000);
        world_at(world.now_us + dice_skewed(100000, 5 * SECOND_US), fault_disk_end, s);
        break;
    case FAULT_FLIP:
        fault_flip(s);
        break;
    case FAULT_CLOCK:
        fault_clock(s);
        break;
    case FAULT_LAG:
        s->process.lag_us = dice_below(2) == 0 ? 0 : dice_skewed(100, 200000);
        break;
    case FAULT_COUNT:
        break;
    }
}

static struct server *fault_target(void)
{
    struct server *leader = NULL;
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        struct store_facts facts;
        if (servers[i].serving) {
            store_facts_get(servers[i].store, &facts);
            leader = facts.leader ? &servers[i] : leader;
        }
    }
    if (leader != NULL && dice_below(2) == 0) {
        return leader;
    }
    return &servers[dice_between(1, faults.plan.servers)];
}

static void fault_next(void *ctx)
{
    (void)ctx;
    if (faults.healed) {
        return;
    }
    enum fault f = (enum fault)dice_below(FAULT_COUNT);
    struct server *s = fault_target();
    if (fault_wanted(f)) {
        fault_strike(f, s);
    }
    if (!s->process.alive && !disks[s->number].full && s->process.died[0] != '\0') {
        fault_restart_later(s);
    }
    world_at(world.now_us + dice_skewed(1000, faults.plan.gap_us), fault_next, NULL);
}

/* Not before there is a cluster. */
static void fault_late(void *ctx)
{
    (void)ctx;
    if (!faults.healed && check_last() > 1) {
        wire.delay_max_us = faults.plan.delay_max_us;
    } else if (!faults.healed) {
        world_at(world.now_us + 100000, fault_late, NULL);
    }
}

void faults_open(const struct plan *plan)
{
    faults.plan = *plan;
    faults.healed = false;
    wire.unordered = plan->unordered;
    if (plan->mood == MOOD_LATE) {
        fault_late(NULL);
    } else {
        wire.delay_max_us = plan->delay_max_us;
    }
    wire.loss_ppm = plan->loss_ppm;
    wire.repeat_ppm = plan->repeat_ppm;
    for (unsigned i = 1; i <= plan->servers; i++) {
        if (plan->clock) {
            servers[i].process.drift_ppm = (int64_t)dice_below(4000) - 2000;
        }
    }
    world_at(world.now_us + dice_below(SECOND_US), fault_next, NULL);
}

/* All that belong to it know it: until then none may be missing. */
static bool faults_founded(void)
{
    for (unsigned i = 1; i <= faults.plan.servers; i++) {
        if (!servers[i].joined) {
            return false;
        }
    }
    return true;
}

void faults_heal(void)
{
    faults.healed = true;
    world_tell(NULL, "all faults end");
    wire_heal();
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        struct server *s = &servers[i];
        if (!s->used || s->removed) {
            continue;
        }
        if (i == faults.plan.absent && faults_founded()) {
            world_tell(&s->process, "stays away");
            s->removed = true;
            server_crash(s, false);
            continue;
        }
        fault_full_end(s);
        fault_disk_end(s);
        s->process.lag_us = 0;
        s->process.paused_until_us = 0;
        if (!s->process.alive) {
            fault_restart(s);
        }
    }
}

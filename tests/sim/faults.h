/* What befalls the servers. Each run has a random subset of the faults, at random rates: a run with
 * all of them finds less.
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_FAULTS_H
#define TESTS_SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/* What a run is good for finding; MOOD_ANY leaves it to the dice. */
enum mood {
    MOOD_ANY,
    MOOD_MIXED,   /* some of all faults */
    MOOD_CALM,    /* none, but hand-overs, which must then be quick */
    MOOD_LATE,    /* messages seconds late and often twice, logs that are cut at once */
    MOOD_SHUFFLE, /* one change of the servers after the other, links cut */
    MOOD_CHURN,   /* leaders live for a moment */
};

struct plan {
    enum mood mood;
    unsigned absent; /* this server stays away in the end; 0: all come back */
    unsigned servers;
    unsigned clients;
    unsigned keys;
    bool prefixes;     /* deletions by prefix */
    uint64_t pause_us; /* between two ops of a client, at most */
    uint64_t duration_us;
    unsigned election_ms;
    uint64_t log_trailing;
    uint64_t disk_total; /* small ones are cut all the time */
    unsigned writeback;
    uint64_t gap_us; /* between two faults, about */
    /* Which faults there are. */
    bool kill;
    bool power;
    bool stop; /* an orderly end and a new start */
    bool pause;
    bool slow_disk;
    bool full_disk;
    bool failing_disk;
    unsigned followers;     /* of the change stream */
    uint64_t history_bytes; /* that servers keep for them */
    bool flips;
    bool clock;
    bool lag;
    /* The wire. */
    bool cuts;
    bool slow_links;
    bool resets;
    bool unordered;
    uint64_t delay_max_us;
    uint64_t loss_ppm;
    uint64_t repeat_ppm;
    /* The set of servers. */
    bool changes;
    unsigned spares;
    uint64_t order_gap_us;
};

/* `size`: so many servers; 0: as the dice say. `only`: of the faults just those that it names
 * ("kill,cuts", "" for none); NULL: all may be. False if it names one that there is not. */
bool plan_draw(struct plan *ret_plan, unsigned size, const char *only, enum mood mood);
/* From now on until faults_heal(). */
void faults_open(const struct plan *plan);
/* Everything works again, and all servers run. */
void faults_heal(void);

#endif

/* Bugs on purpose, to prove that the simulator (tests/sim) finds what it claims to. Only the
 * simulator can choose one, while it runs: everywhere else the condition is the constant 0 and its
 * branch is not compiled in.
 *
 * Threads  constant while servers run.
 */
#ifndef STORE_SEEDED_H
#define STORE_SEEDED_H

enum seeded_bug {
    SEEDED_NONE,
#define X(name, text) name,
#include "store/seeded.tbl.h"
#undef X
    SEEDED_COUNT,
};

#ifdef HERALD_SIM
extern enum seeded_bug seeded_bug;
#define SEEDED_BUG(name) (seeded_bug == (name))
#else
/* The constant 0 is meant: clang takes what it switches off for a mistake. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunreachable-code"
#endif
#define SEEDED_BUG(name) (0)
#endif

#endif

/* Five bugs on purpose, to prove that the stream validators (tests/) catch what they claim to.
 * A library compiled with -DHERALD_SEEDED_BUG=<n> has bug n; every other build has none: the
 * condition is then the constant 0 and its branch is not compiled in.
 *
 *   1  resume is off by one: the first change after the client's index is skipped
 *   2  resume repeats: the change at the client's own index is sent again
 *   3  compaction edge: a delete that is the first change after `oldest` is dropped
 *   4  a mark is ahead of the stream: `through` is one more than what was delivered
 *   5  a split index: a message ends inside an index without saying `part`
 */
#ifndef STREAM_SEEDED_H
#define STREAM_SEEDED_H

#ifndef HERALD_SEEDED_BUG
#define HERALD_SEEDED_BUG 0
#endif

/* The constant 0 is meant: clang takes what it switches off for a mistake. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunreachable-code"
#endif

/* In the simulator, which chooses one while it runs, the number is asked for. */
#ifdef HERALD_SIM
unsigned stream_seeded_bug(void);
#define SEEDED_BUG(n) (stream_seeded_bug() == (n))
#else
#define SEEDED_BUG(n) (HERALD_SEEDED_BUG == (n))
#endif

#endif

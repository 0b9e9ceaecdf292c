/* The subscribers of the change stream: each follows some server through the real stream/ (as
 * NDJSON, over a simulated connection), loses it now and then, and goes on at another server from
 * the index it is at. What it was told is judged by check_stream.h against what all servers agree
 * was published.
 *
 *     server's front: stream --> outlet --> wire (takes its time, dies with the server)
 *                                             --> follower: notes records, or closes and resumes
 *
 * Owner    a connection lives until followers_close(): a server that died still points to it.
 * Threads  none.
 */
#ifndef TESTS_SIM_FOLLOWER_H
#define TESTS_SIM_FOLLOWER_H

#include "store/collect.h"
#include "tests/sim/world.h"

struct server;

#define FOLLOWERS_MAX 8U

void followers_open(unsigned count);
/* The server has a stream from now on; and none any more (every connection is closed first). */
void followers_on_opened(struct server *s);
void followers_on_closing(struct server *s);
/* Its connections break. */
void followers_on_death(struct server *s);
/* A server applied this, the first of all or not: the truth that streams are held against. `out`
 * has its changes from `from` on. */
void followers_on_applied(uint64_t index, const struct collect *out, size_t from);
/* Nobody hangs up any more. */
void followers_stop(void);
/* Everybody has been told of everything up to `last`. */
bool followers_done(uint64_t last);
/* At the end: judges what they were told. */
void followers_check(void);
void followers_close(void);
/* Events that were received, and connections that went on where another ended. */
struct follower_counts {
    uint64_t events;
    uint64_t resumes;
    uint64_t compactions;
};
extern struct follower_counts follower_counts;

#endif

/* A server of the simulated cluster: the real store and its threads as a process of the world, with
 * a front thread that takes what clients ask.
 *
 * Owner    a server's disk and address outlive its crashes; `store` and `front` do not.
 * Threads  none: events and fibers of the world.
 */
#ifndef TESTS_SIM_SERVER_H
#define TESTS_SIM_SERVER_H

#include "store/store.h"
#include "tests/sim/disk.h"
#include "tests/sim/world.h"

#define SERVERS_MAX 9U

struct server {
    struct process process;
    unsigned number; /* from 1 */
    char path[16];
    char host[16];
    char node_id[37];
    char address[STORE_ADDRESS_MAX];
    bool used;     /* is, or was, to be part of the cluster */
    bool added;    /* the cluster knows it */
    bool joined;   /* it has the cluster's first configuration on its disk */
    bool removed;  /* for good */
    bool serving;  /* open: clients are answered */
    bool may_fail; /* its disk was made to fail: it may give up */
    bool damaged;  /* its disk was made to lie, and it is not known to be whole again */
    bool power;    /* how it ends next: by loss of power */
    bool stopping;
    struct fiber *main;
    struct store *store;
    struct loop *front;
    struct store_reader reader;
    struct stream *stream; /* NULL: not open */
    char epoch[17];        /* of its stream */
    struct store_options options;
    unsigned starts;
    unsigned refusals;
};

extern struct server servers[SERVERS_MAX + 1];

void servers_prepare(void);
/* Starts the process; does nothing while it runs or when it was removed. */
void server_start(struct server *s);
void server_crash(struct server *s, bool power);
/* An orderly end, in the background. */
void server_stop(struct server *s);
struct server *server_of(const struct process *p);

#endif

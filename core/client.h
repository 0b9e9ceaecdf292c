/* The process of a client agent: gossip, and one front whose requests are its own or forwarded to
 * the servers; so are DNS questions. What it shares with a server is the host's (host.h).
 *
 *     config -> members (gossip) -> loop, forward, front, DNS -> signals
 *
 * One front thread serves all: its watchers share one connection and one table of queries.
 *
 * Threads  client_main() from the main thread, which then waits for signals.
 */
#ifndef CORE_CLIENT_H
#define CORE_CLIENT_H

struct config;

/* Runs until SIGTERM, SIGINT or host_stop(); returns the exit status. Takes `config`. */
int client_main(struct config *config);

#endif

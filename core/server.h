/* The server process: builds all parts in order, joins them, stops them in reverse. What it shares
 * with a client agent is the host's (host.h).
 *
 *     config -> store (hub, disk) -> members (gossip) -> per core: loop, reader, stream, front ->
 * signals
 *
 * Threads  server_main() from the main thread, which then waits for signals.
 */
#ifndef CORE_SERVER_H
#define CORE_SERVER_H

struct config;

/* Runs until SIGTERM, SIGINT or host_stop(); returns the exit status. Takes `config`. */
int server_main(struct config *config);

#endif

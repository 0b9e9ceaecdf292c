/* The server process: builds all parts in order, joins them, stops them in reverse.
 *
 *     config -> store (hub, disk) -> members (gossip) -> per core: loop, reader, stream, front ->
 * signals
 *
 * Threads  server_main() from the main thread, which then waits for signals; the rest from any.
 */
#ifndef CORE_SERVER_H
#define CORE_SERVER_H

struct config;
struct server;

/* Runs until SIGTERM, SIGINT or server_stop(); returns the exit status. Takes `config`. */
int server_main(struct config *config);

/* Asks for a clean end: subscribers get `bye`, waiting queries an answer. */
void server_stop(struct server *s);
/* Asks for the configuration to be read again (SIGHUP). */
void server_reload(struct server *s);

/* This node's UUID, and the machine's architecture. */
const char *server_node_id(const struct server *s);
const char *server_machine(const struct server *s);

#endif

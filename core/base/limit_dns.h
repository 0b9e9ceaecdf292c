/* The limits of DNS; included by limit.h.
 *
 * Threads  constants.
 */
#ifndef CORE_BASE_LIMIT_DNS_H
#define CORE_BASE_LIMIT_DNS_H

/* RFC 1035, 2.3.4. */
#define DNS_NAME_MAX            255U
#define DNS_LABEL_MAX           63U
#define DNS_UDP_PLAIN_MAX       512U
#define DNS_TCP_MAX             65535U
/* The largest answer over UDP whatever the question's EDNS allows: larger ones are lost with their
 * first fragment, and serve who floods others with them. */
#define DNS_UDP_MAX             4096U
/* A question over TCP: as long as UDP's. */
#define DNS_QUESTION_MAX        4096U
/* Datagrams of one system call, and calls of one turn, so that HTTP gets its share. */
#define DNS_BATCH               32U
#define DNS_TURN_BATCHES        4U
/* What the kernel may hold while the thread is busy. */
#define DNS_SOCKET_BUFFER       (1024 * 1024)
/* Names of our own that point at names of our own. */
#define DNS_CNAME_MAX           3U
/* TCP: connections of one front thread; silence; answers that wait for who does not read; questions
 * of one connection that wait for others' servers. */
#define DNS_CONNECTIONS_MAX     1024U
#define DNS_CONNECTIONS_PER_IP  64U
#define DNS_IDLE_MS             10000U
#define DNS_OUT_MAX             KIB(256)
#define DNS_PIPELINE_MAX        64U
/* Questions that wait for recursors or for the leader, of one front thread; past it SERVFAIL. */
#define DNS_JOBS_MAX            1024U
/* Questions of a client agent that wait for a server; how long one does, which is more than a
 * server waits for one recursor; how long for a connection, while servers are thought to be there.
 */
#define DNS_RELAYS_MAX          512U
#define DNS_RELAY_MS            2500U
#define DNS_RELAY_HOLD_MS       500U
#define DNS_RECURSORS_MAX       16U
#define DNS_RECURSOR_TIMEOUT_MS 2000U
#define DNS_MAX_STALE_MS        (87600ULL * 3600 * 1000)
#define DNS_UDP_ANSWERS         3U /* udp_answer_limit */
/* Instance lists that a front thread keeps made up, and their memory; past it all are dropped. */
#define DNS_CACHE_SERVICES      4096U
#define DNS_CACHE_BYTES         MIB(64)
/* What one answer may take while it is made. */
#define DNS_ANSWER_ARENA        MIB(4)
#define DNS_ANSWER_RECORDS      8192U
/* How long the rights that answers are given by are used while nothing is written. */
#define DNS_RIGHTS_MS           500U
/* Rate limit: networks that are counted at one time, and the default rate (herald.dns_rate_limit):
 * answers a second to one network, where an answer counts once for each threefold of its question
 * that it is long. */
#define DNS_RATE_SLOTS          4096U
#define DNS_RATE_DEFAULT        5000U
#define DNS_RATE_SLIP           2U /* each so manieth refused one is told to come by TCP */
#define DNS_TTL_RULES_MAX       64U

#endif

/* What the files of this room share: sockets, who asks, questions that wait. Nobody outside
 * core/dns/ includes it.
 *
 * Life     a question is answered within the call that reads it, or it becomes a job:
 *
 *            question --made--> answer
 *               | \--of others------> JOB_FORWARD --recursor's packet, as it is--> answer
 *               |  \-points outside-> JOB_RESOLVE --its records, made again------> answer
 *               \----too old a view-> JOB_FRESH   --the leader confirms----------> made as above
 *
 *          On a client agent nothing is made: what is none of others is
 *                                     JOB_RELAY   --a server's packet------------> answer
 *                                        \--refused, and there are recursors-----> JOB_FORWARD
 *
 * Owner    a job owns its copies; a connection lives until its last job has ended.
 * Threads  the loop's.
 */
#ifndef CORE_DNS_INSIDE_H
#define CORE_DNS_INSIDE_H

#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/config.h"
#include "core/dns/answer.h"
#include "core/dns/rate.h"
#include "core/dns/server.h"
#include "core/front/clients.h"

#include <netinet/in.h>

/* Room for one IP_PKTINFO or IPV6_PKTINFO. */
#define CONTROL_LEN 64

/* One address that is listened on. */
struct socket_pair {
    struct dns *dns;
    struct io udp;
    struct io tcp;
    struct timer rest;
    uint16_t port;
};

struct dns_connection;

/* Where an answer goes. */
struct dns_client {
    struct dns_ip ip;
    /* UDP */
    struct socket_pair *socket; /* NULL: not by UDP */
    struct sockaddr_storage name;
    socklen_t name_len;
    size_t control_len;
    _Alignas(size_t) char control[CONTROL_LEN]; /* from which of our addresses */
    /* TCP */
    struct dns_connection *connection;
    /* Another agent; its asker's transport counts. */
    struct dns_relay *relay;
};

struct dns_connection {
    struct list link;
    struct dns *dns;
    struct io io;
    struct timer timer;
    struct dns_ip ip;
    uint32_t slot; /* of `clients` */
    unsigned jobs;
    bool closed; /* waits for its jobs */
    size_t in_len;
    struct buf out;
    uint8_t in[2 + DNS_QUESTION_MAX];
};

enum job_kind {
    JOB_FRESH,
    JOB_FORWARD,
    JOB_RESOLVE,
    JOB_RELAY,
};

struct job {
    struct list link;
    struct dns *dns; /* NULL: it is gone, and the store still has `read` */
    enum job_kind kind;
    struct dns_client client;
    struct dns_question question;
    char *packet; /* as it came */
    size_t packet_len;
    struct store_read read;
    bool reading;
    /* Asking a recursor. */
    struct dns_question asked; /* what was sent: under an id of its own */
    char *query;
    size_t query_len;
    struct io io;
    struct timer timer;
    unsigned tried;
    unsigned first; /* the recursor that was asked first */
    bool tcp;
    bool connecting;
    bool open;
    size_t sent;
    struct buf in;
    struct arena memory;
    struct dns_section resolved;
    /* Asking a server. */
    struct dns_relay relay;
};

struct dns {
    struct dns_options options;
    struct env *env;
    struct front_listen listen[CONFIG_LISTENERS_MAX];
    struct socket_pair sockets[CONFIG_LISTENERS_MAX];
    struct dns_settings settings;
    struct lookup *lookup;
    bool judged;
    struct acl *acl; /* as of a view, and for a while */
    uint64_t acl_index;
    uint64_t acl_until_ms;
    struct answer answer;
    struct rate *rate;
    struct clients *clients;
    uint64_t dice;
    struct list connections;
    size_t connection_count;
    struct list jobs;
    size_t job_count;
    size_t relay_count;      /* of these, those at a server */
    uint64_t quiet_until_ms; /* of the log about recursors */
    /* UDP: one batch. */
    uint8_t *in;
    uint8_t *out;
    uint8_t *one; /* one answer of any size */
};

/* server.c: the answer to a packet into `out`, which has room for DNS_TCP_MAX bytes (UDP:
 * DNS_UDP_MAX); 0: none, or not yet. */
size_t dns_handle(struct dns *d,
                  const struct dns_client *from,
                  struct view *v,
                  struct bytes packet,
                  uint8_t *out);
/* The question of a job again, with what it has learnt; 0 as above. */
size_t dns_again(const struct job *j, uint8_t *out);
/* Answers only with a code. */
size_t dns_code(struct dns *d,
                const struct dns_client *to,
                const struct dns_question *q,
                enum dns_rcode rcode,
                uint8_t *out);
/* The length, or that of what is sent instead, or 0: what the rate limit lets through. */
size_t dns_limit(struct dns *d,
                 const struct dns_client *to,
                 const struct dns_question *q,
                 uint8_t *out,
                 size_t len);

/* udp.c */
enum err
udp_open(struct socket_pair *s, const struct front_listen *l, struct reason *why) ERR_MUST_USE;
void udp_send(const struct dns_client *to, const uint8_t *packet, size_t len);

/* tcp.c */
enum err
tcp_open(struct socket_pair *s, const struct front_listen *l, struct reason *why) ERR_MUST_USE;
void tcp_send(struct dns_connection *c, const uint8_t *packet, size_t len);
void tcp_job_begins(struct dns_connection *c);
void tcp_job_ends(struct dns_connection *c);
void tcp_close_all(struct dns *d);
void tcp_rested(struct timer *t);
/* A socket bound to the address; the port that it got. */
struct dns_bound {
    int fd;
    uint16_t port;
};
enum err socket_bind(const struct front_listen *l,
                     int type,
                     uint16_t port,
                     bool probe,
                     struct dns_bound *ret,
                     struct reason *why) ERR_MUST_USE;
struct dns_ip ip_of(const struct sockaddr_storage *name);

/* recursor.c: NULL: too many wait already. */
struct job *job_new(struct dns *d,
                    enum job_kind kind,
                    const struct dns_client *client,
                    const struct dns_question *q,
                    struct bytes packet);
/* Asks the recursors, one after the other: the job's packet (FORWARD), or for the addresses of
 * `wanted` (RESOLVE). */
void job_ask(struct job *j, const struct dns_name *wanted);
/* Sends what there is, 0 bytes: nothing; frees. */
void job_answer(struct job *j, const uint8_t *packet, size_t len);
void jobs_close(struct dns *d);
/* Of one whose dns is gone. */
void job_memory_free(struct job *j);
/* Ends without an answer. */
void job_free(struct job *j);

/* relay.c: hands the question to a server, or to recursors; 0: the answer comes later. */
size_t relay_pass_on(struct dns *d,
                     const struct dns_client *from,
                     const struct dns_question *q,
                     struct bytes packet,
                     uint8_t *out);
/* A job of that kind ends. */
void relay_leave(struct job *j);
/* The answer has to fit a datagram. */
static inline bool client_is_udp(const struct dns_client *c)
{
    return c->relay != NULL ? !c->relay->tcp : c->connection == NULL;
}

/* NULL: there is no store. */
static inline struct view *dns_view(const struct dns *d)
{
    return d->options.reader == NULL ? NULL : store_reader_view(d->options.reader);
}

#endif

/* Questions that another agent answers: a client agent has no store, so its DNS hands the message
 * as it came to a server, and the server makes the answer just as for a question of its own. The
 * rest of the way (HTTP over the agent's connection) is core/api/'s: forward_dns.c and dns_serve.c.
 *
 * Why      the whole message goes, not what a name would be looked up by: then there is one place
 *          that makes answers, and one trip for each question.
 * Agent    decides: domain and alt_domain (what is none of ours never goes out), recursors and how
 *          they are asked, udp_answer_limit, the rate limit, the token.
 * Server   decides: all else in dns_config (TTLs, only_passing, allow_stale, a_record_limit,
 *          truncation, compression, SOA), and with its own recursors it resolves names outside that
 *          ours point at. Its domain has to be the agent's, or alt_domain has: else it refuses.
 * Owner    a `struct dns_relay` is its asker's until `done`, or until cancelled.
 * Limits   DNS_RELAYS_MAX questions at once, DNS_RELAY_MS for each; past them SERVFAIL.
 * Threads  the loop's.
 */
#ifndef CORE_DNS_RELAY_H
#define CORE_DNS_RELAY_H

#include "core/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct acl;
struct dns;
struct dns_question;
struct view;

struct dns_relay {
    /* the asker's */
    struct bytes packet;
    bool tcp;            /* how it came, so how long its answer may be */
    size_t answer_limit; /* udp_answer_limit of the agent that was asked; 0: that of who answers */
    void *ctx;
    /* Whose rights the answer is given by; as dns_options.rights. */
    bool (*rights)(struct dns_relay *x, struct view *v, struct acl **ret_acl);
    /* Once; `answer` is borrowed for the call; empty: there is none. */
    void (*done)(struct dns_relay *x, struct bytes answer);
    /* of who works on it; NULL: nobody does */
    void *pending;
};

/* How an agent reaches who answers. */
struct dns_way {
    void *ctx;
    void (*ask)(void *ctx, struct dns_relay *x);    /* NULL: there is none */
    void (*cancel)(void *ctx, struct dns_relay *x); /* `done` is not called any more */
};

/* On who answers: `done` comes from inside, or later. */
void dns_relay_answer(struct dns *d, struct dns_relay *x);
/* Also of one that was answered; allowed behind dns_free(). */
void dns_relay_cancel(struct dns_relay *x);

enum relay_verdict {
    RELAY_BAD,     /* no answer to the question, or one that is too long */
    RELAY_REFUSED, /* the server knows no such name */
    RELAY_GOOD,
};
/* What a server's answer to `q` is worth. `most`: how long it may be. */
enum relay_verdict
relay_judge(struct bytes answer, const struct dns_question *q, size_t most, bool *ret_nxdomain);

#endif

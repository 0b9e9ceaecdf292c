/* From a question to an answer: the question, a view, the settings, what others' servers said, and
 * dice; nothing else. Everything a name of ours can be asked (contracts/agent.md, section 4) is
 * decided here.
 *
 * Owner    a `struct answer` owns what its message points to, until answer_reset() or _close().
 * Limits   DNS_ANSWER_*: past them the answer is cut there.
 * Threads  none: one answer belongs to one thread.
 */
#ifndef CORE_DNS_ANSWER_H
#define CORE_DNS_ANSWER_H

#include "core/dns/lookup.h"
#include "core/dns/packet.h"
#include "core/dns/settings.h"
#include "store/acl.h"

struct answer {
    /* read-only, behind answer_make() */
    struct dns_message message;
    enum dns_kind kind;
    /* A name outside that ours points at, which recursors could resolve: ask them for its addresses
     * and make the answer again with what they say. Of length 0: there is none. */
    struct dns_name wanted;
    /* private */
    struct arena memory;
    size_t caps[3];
    char *lent;
};

/* What an answer is made from. */
struct answer_world {
    struct lookup *lookup;
    struct view *view;
    const struct dns_settings *settings;
    uint64_t wall_ms;
    uint64_t (*dice)(void *ctx, uint64_t limit); /* uniform in [0, limit) */
    void *ctx;
    bool udp;
    /* Access control is on: only what `acl` may read is shown; NULL: nothing. */
    bool judged;
    const struct acl *acl;
    /* The addresses of `resolved_name`; NULL: nobody was asked. */
    const struct dns_section *resolved;
    const struct dns_name *resolved_name;
};

void answer_init(struct answer *a);
void answer_close(struct answer *a);
/* Makes `a->message`, forgetting the one before. False: the name is none of ours (DNS_OUTSIDE, or a
 * PTR of an address that nobody here has): recursors are to be asked; the message then is what is
 * to be said if there are none. */
bool answer_make(struct answer *a, const struct answer_world *w, const struct dns_question *q);
/* Only a code. */
void answer_code(struct answer *a, enum dns_rcode rcode);
/* How long and in what form the packet may be. */
struct packet_options
answer_options(const struct dns_settings *s, const struct dns_question *q, bool udp);

#endif

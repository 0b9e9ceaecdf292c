/* DNS questions that came to client agents (core/dns/relay.h; core/api/forward_dns.c is the other
 * side): the message is the body, as in RFC 8484. Only for what an agent has forwarded, with the
 * rights of the token it sends. */
#include "core/api/api.h"
#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/dns/server.h"

#include <stdlib.h>

static bool dns_asker_rights(struct dns_relay *x, struct view *v, struct acl **ret_acl)
{
    struct request *r = x->ctx;
    if (!rights_enabled()) {
        return false;
    }
    struct acl *acl = rights_of(v, api_secret(r));
    *ret_acl = acl == NULL ? NULL : acl_ref(acl);
    return true;
}

static void dns_answered(struct dns_relay *x, struct bytes answer)
{
    struct request *r = x->ctx;
    r->cancelled = NULL;
    if (answer.len > 0) {
        reply_bytes(r, 200, "application/dns-message", answer);
    } else {
        reply_text(r, 400, "no question of DNS");
    }
    free(x);
}

static void dns_cancelled(struct request *r)
{
    dns_relay_cancel(r->ctx);
    free(r->ctx);
}

/* `?tcp`, or `?udp=` and how many answers a small packet may have. False: neither. */
static bool dns_transport(const struct request *r, struct dns_relay *x)
{
    struct bytes value;
    uint64_t limit = 0;
    if (request_arg(r, "tcp", &value)) {
        x->tcp = true;
        return true;
    }
    if (!request_arg(r, "udp", &value) || bytes_to_u64(value, &limit) != OK ||
        limit > DNS_ANSWER_RECORDS) {
        return false;
    }
    x->answer_limit = (size_t)limit;
    return true;
}

void api_dns(struct request *r)
{
    struct dns *dns = api_of(r)->dns;
    struct dns_relay x = {.packet = r->body, .ctx = r};
    if (r->agent.len == 0) {
        reply_text(r, 403, "only agents ask for this");
    } else if (r->body.len > DNS_QUESTION_MAX || !dns_transport(r, &x)) {
        reply_text(r, 400, "expected a question of DNS, and ?tcp or ?udp=answers");
    } else if (dns == NULL) {
        reply_err(r, ERR_BUSY);
    } else {
        struct dns_relay *kept = mem_zalloc(1, sizeof *kept);
        *kept = x;
        kept->rights = dns_asker_rights;
        kept->done = dns_answered;
        r->ctx = kept;
        r->cancelled = dns_cancelled;
        dns_relay_answer(dns, kept);
    }
}

/* Both ends of a question that one agent hands to another: who asks (a client agent), and who
 * answers. */
#include "core/dns/relay.h"

#include "core/base/check.h"
#include "core/base/metric.h"
#include "core/dns/inside.h"

#include <string.h>

/* --- who asks ----------------------------------------------------------------------------------
 */

enum relay_verdict
relay_judge(struct bytes answer, const struct dns_question *q, size_t most, bool *ret_nxdomain)
{
    enum dns_rcode rcode = DNS_NOERROR;
    bool truncated = false;
    if (answer.len > most || !packet_answers(answer, q, &rcode, &truncated)) {
        return RELAY_BAD;
    }
    *ret_nxdomain = rcode == DNS_NXDOMAIN;
    return rcode == DNS_REFUSED ? RELAY_REFUSED : RELAY_GOOD;
}

void relay_leave(struct job *j)
{
    struct dns *d = j->dns;
    timer_stop(&j->timer);
    d->relay_count--;
    if (j->relay.pending != NULL) {
        d->options.way.cancel(d->options.way.ctx, &j->relay);
        j->relay.pending = NULL;
    }
}

static void relay_fail(struct job *j)
{
    struct dns *d = j->dns;
    metric_add(METRIC_DNS_RELAY_FAILED, 1);
    metric_add(METRIC_DNS_SERVFAIL, 1);
    job_answer(j, d->one, dns_code(d, &j->client, &j->question, DNS_SERVFAIL, d->one));
}

/* Nobody there knows the name: others may. */
static void relay_recurse(struct job *j)
{
    relay_leave(j);
    j->kind = JOB_FORWARD;
    job_ask(j, NULL);
}

static void relay_done(struct dns_relay *x, struct bytes answer)
{
    struct job *j = LIST_OWNER(x, struct job, relay);
    struct dns *d = j->dns;
    bool udp = client_is_udp(&j->client);
    size_t most = answer_options(&d->settings, &j->question, udp).limit;
    bool recursors = d->settings.recursor_count > 0;
    bool nxdomain = false;
    enum relay_verdict verdict = relay_judge(answer, &j->question, most, &nxdomain);
    if (verdict == RELAY_BAD) {
        relay_fail(j);
        return;
    }
    if (verdict == RELAY_REFUSED && recursors) {
        relay_recurse(j);
        return;
    }
    metric_add(METRIC_DNS_NXDOMAIN, nxdomain ? 1 : 0);
    memcpy(d->one, answer.ptr, answer.len);
    packet_set_recursion(d->one, recursors); /* ours are asked, not the server's */
    job_answer(j, d->one, dns_limit(d, &j->client, &j->question, d->one, answer.len));
}

static void relay_late(struct timer *t)
{
    relay_fail(LIST_OWNER(t, struct job, timer));
}

/* Not from within the call that reads questions: its caller still holds the connection. */
static void relay_begin(struct timer *t)
{
    struct job *j = LIST_OWNER(t, struct job, timer);
    struct dns *d = j->dns;
    env_timer_init(d->env, &j->timer, relay_late);
    env_timer_start(d->env, &j->timer, DNS_RELAY_MS);
    d->options.way.ask(d->options.way.ctx, &j->relay); /* may answer from inside */
}

static size_t relay_to_server(struct dns *d,
                              const struct dns_client *from,
                              const struct dns_question *q,
                              struct bytes packet,
                              uint8_t *out)
{
    struct job *j = d->relay_count < DNS_RELAYS_MAX ? job_new(d, JOB_RELAY, from, q, packet) : NULL;
    if (j == NULL) {
        metric_add(METRIC_DNS_SERVFAIL, 1);
        return dns_code(d, from, q, DNS_SERVFAIL, out);
    }
    metric_add(METRIC_DNS_RELAYED, 1);
    d->relay_count++;
    j->relay = (struct dns_relay){
        .packet = {j->packet, j->packet_len},
        .tcp = !client_is_udp(from),
        .answer_limit = d->settings.udp_answer_limit,
        .done = relay_done,
    };
    env_timer_init(d->env, &j->timer, relay_begin);
    env_timer_start(d->env, &j->timer, 0);
    return 0;
}

size_t relay_pass_on(struct dns *d,
                     const struct dns_client *from,
                     const struct dns_question *q,
                     struct bytes packet,
                     uint8_t *out)
{
    struct dns_ask ask;
    name_parse(&d->settings.zone, &q->name, q->type == DNS_TYPE_SRV, &ask);
    if (ask.kind != DNS_OUTSIDE) {
        return relay_to_server(d, from, q, packet, out);
    }
    metric_add(METRIC_DNS_OTHER, 1);
    struct job *j =
        d->settings.recursor_count > 0 ? job_new(d, JOB_FORWARD, from, q, packet) : NULL;
    if (j == NULL) {
        enum dns_rcode rcode = d->settings.recursor_count > 0 ? DNS_SERVFAIL : DNS_REFUSED;
        return dns_code(d, from, q, rcode, out);
    }
    job_ask(j, NULL);
    return 0;
}

/* --- who answers -------------------------------------------------------------------------------
 */

void dns_relay_answer(struct dns *d, struct dns_relay *x)
{
    struct dns_client from = {.relay = x};
    CHECK(x->pending == NULL && d->options.store != NULL);
    size_t len = dns_handle(d, &from, dns_view(d), x->packet, d->one);
    if (x->pending == NULL) {
        x->done(x, (struct bytes){(const char *)d->one, len});
    }
}

void dns_relay_cancel(struct dns_relay *x)
{
    struct job *j = x->pending;
    if (j != NULL) {
        job_free(j);
    }
}

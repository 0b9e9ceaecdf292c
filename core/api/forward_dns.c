/* DNS questions of a client agent, asked of a server over the forwarding (core/api/dns_serve.c is
 * the other side). */
#include "core/agent/tokens.h"
#include "core/api/forward_private.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/dns/relay.h"

#include <stdio.h>
#include <stdlib.h>

struct dns_outward {
    struct relay relay;
    struct dns_relay *question;
};

static struct dns_outward *outward_of(struct call *c)
{
    return LIST_OWNER(c, struct dns_outward, relay.call);
}

static void outward_free(struct dns_outward *w)
{
    relay_close(&w->relay);
    free(w);
}

static void outward_head(struct call *c, const struct answer_head *h)
{
    relay_head(&outward_of(c)->relay, h);
}

static void outward_on_data(struct call *c, struct bytes data)
{
    if (relay_data(&outward_of(c)->relay, data) != OK) {
        outward_of(c)->relay.status = 413;
        call_taken(c);
    }
}

static void outward_done(struct call *c, enum err e)
{
    struct dns_outward *w = outward_of(c);
    struct dns_relay *x = w->question;
    bool good = e == OK && w->relay.status == 200;
    x->pending = NULL;
    x->done(x, good ? buf_view(&w->relay.body) : (struct bytes){0});
    outward_free(w);
}

static const struct call_ops OUTWARD = {
    .head = outward_head,
    .data = outward_on_data,
    .done = outward_done,
};

/* DNS has no tokens of its askers: it has one of its own, or the agent's. */
static struct bytes dns_token(const struct forward *f)
{
    struct bytes token = tokens_get(f->options.tokens, TOKEN_DNS);
    token = token.len > 0 ? token : tokens_get(f->options.tokens, TOKEN_DEFAULT);
    return token_is_plain(token) ? token : (struct bytes){0};
}

static void forward_dns_ask(void *ctx, struct dns_relay *x)
{
    struct forward *f = ctx;
    struct dns_outward *w = mem_zalloc(1, sizeof *w);
    char target[sizeof FORWARD_DNS_PATH + 32];
    relay_init(&w->relay, f, &OUTWARD);
    w->question = x;
    w->relay.call.idempotent = true;
    w->relay.call.hold_ms = DNS_RELAY_HOLD_MS;
    int len =
        x->tcp ? snprintf(target, sizeof target, "%s?tcp", FORWARD_DNS_PATH)
               : snprintf(target, sizeof target, "%s?udp=%zu", FORWARD_DNS_PATH, x->answer_limit);
    struct relay_request q = {
        .method = BYTES("POST"),
        .target = {target, (size_t)len},
        .token = dns_token(f),
        .body = x->packet,
        .headers = "Content-Type: application/dns-message\r\n",
    };
    x->pending = w;
    if (relay_start(&w->relay, &q) != OK) {
        x->pending = NULL;
        x->done(x, (struct bytes){0});
        outward_free(w);
    }
}

static void forward_dns_cancel(void *ctx, struct dns_relay *x)
{
    (void)ctx;
    outward_free(x->pending);
    x->pending = NULL;
}

struct dns_way forward_dns(struct forward *f)
{
    return (struct dns_way){.ctx = f, .ask = forward_dns_ask, .cancel = forward_dns_cancel};
}

/* Founding a cluster: servers that were told how many they will be (bootstrap_expect) gossip that
 * number; when so many are there, the one with the lowest id asks all of them (store_bootstrap()),
 * again until they are a cluster. Who has a log already is in one, and shows no number. */
#include "core/agent/members_priv.h"
#include "core/base/limit.h"
#include "core/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int founders_by_id(const void *a, const void *b)
{
    const struct store_founder *x = a;
    const struct store_founder *y = b;
    return strcmp(x->node_id, y->node_id);
}

/* The servers that wait for their cluster, this one among them; 0 if one of those there does not
 * wait, or for another number. */
static size_t founders_gather(const struct members *m, struct store_founder *ret_founders)
{
    char expected[24];
    size_t count = 0;
    (void)snprintf(expected, sizeof expected, "%llu",
                   (unsigned long long)m->options.config->bootstrap_expect);
    for (size_t i = 0; i < gossip_count(m->lan.gossip); i++) {
        const struct gossip_member *g = gossip_at(m->lan.gossip, i);
        if (!member_is_server(m, g) || g->status != GOSSIP_ALIVE) {
            continue;
        }
        const char *expect = gossip_tag(g, "expect");
        if (expect == NULL) {
            return 0;
        }
        if (strcmp(expect, expected) != 0) {
            log_line(LOG_MEMBERS_EXPECT, "node=%s expect=%s here=%s", g->name, expect, expected);
            return 0;
        }
        if (count == STORE_SERVERS_MAX) {
            return 0;
        }
        struct store_founder *f = &ret_founders[count++];
        (void)snprintf(f->node_id, sizeof f->node_id, "%s", gossip_tag(g, "id"));
        (void)snprintf(f->address, sizeof f->address,
                       strchr(g->address, ':') != NULL ? "[%s]:%s" : "%s:%s", g->address,
                       gossip_tag(g, "port"));
    }
    qsort(ret_founders, count, sizeof *ret_founders, founders_by_id);
    return count;
}

static bool founding_is_over(struct members *m)
{
    struct store_facts facts;
    store_facts_get(m->options.store, &facts);
    return facts.bootstrapped;
}

void founding_look(struct members *m)
{
    struct store_founder founders[STORE_SERVERS_MAX];
    if (!m->founding || m->lan.gossip == NULL) {
        return;
    }
    if (founding_is_over(m)) {
        m->founding = false;
        timer_stop(&m->found);
        members_untag(m, "expect");
        return;
    }
    if (timer_armed(&m->found)) {
        return; /* a try is under way */
    }
    env_timer_start(members_env(m), &m->found, FOUND_RETRY_MS);
    size_t count = founders_gather(m, founders);
    size_t expected = (size_t)m->options.config->bootstrap_expect;
    /* One of them asks; the others have only to be there. */
    if (count >= expected && strcmp(founders[0].node_id, m->options.node_id) == 0) {
        log_line(LOG_MEMBERS_FOUNDING, "servers=%zu", expected);
        store_bootstrap(m->options.store, founders, expected);
    }
}

static void founding_on_timer(struct timer *t)
{
    founding_look(LIST_OWNER(t, struct members, found));
}

void founding_open(struct members *m)
{
    const struct config *c = m->options.config;
    env_timer_init(members_env(m), &m->found, founding_on_timer);
    m->founding = c->bootstrap_expect > 1 && !founding_is_over(m);
    if (m->founding) {
        members_tag(m, "expect", "%llu", (unsigned long long)c->bootstrap_expect);
    }
}

void founding_close(struct members *m)
{
    timer_stop(&m->found);
    m->founding = false;
}

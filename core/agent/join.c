/* Names and addresses of agents -> literal addresses -> gossip. Names are resolved on a thread of
 * their own: a slow resolver must not delay a probe's answer. */
#include "core/agent/cloud.h"
#include "core/agent/members_priv.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOIN_ADDRESS_LEN 80

/* One try: it goes to the resolver's thread and back, then to gossip. */
struct join_job {
    struct list link;
    struct mail mail;
    struct pool *pool;
    struct members *members; /* the pool's */
    bool away;               /* the resolver's thread has it */
    struct join_address names[CONFIG_TEXTS_MAX];
    size_t name_count;
    struct cloud_query *clouds; /* what a cloud is asked for; NULL: nothing */
    size_t cloud_count;
    char addresses[JOIN_ADDRESSES_MAX][JOIN_ADDRESS_LEN];
    size_t address_count;
    size_t own; /* of them this very agent, left out */
    struct reason why;
    struct members_order *order; /* NULL: the configuration's own */
    bool start;                  /* start_join, else retry_join */
};

/* --- resolving, on its thread ------------------------------------------------------------------
 */

static void job_add(struct join_job *job, const char *ip, uint16_t port)
{
    const struct config *c = job->members->options.config;
    const struct pool *pool = job->pool;
    if (port == 0) {
        port = pool->port > 0 ? pool->port : pool->port_usual;
    }
    if (port == pool->port && strcmp(ip, c->advertise_addr) == 0) {
        job->own++;
        return;
    }
    if (job->address_count < JOIN_ADDRESSES_MAX) {
        (void)snprintf(job->addresses[job->address_count++], JOIN_ADDRESS_LEN,
                       strchr(ip, ':') != NULL ? "[%s]:%u" : "%s:%u", ip, port);
    }
}

static void job_resolve(struct join_job *job, const struct join_address *name)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int e = getaddrinfo(name->host, NULL, &hints, &found);
    if (e != 0) {
        if (job->why.text[0] == '\0') {
            reason_set(&job->why, "%s: %s", name->host, gai_strerror(e));
        }
        return;
    }
    for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        char ip[NI_MAXHOST];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, ip, sizeof ip, NULL, 0, NI_NUMERICHOST) == 0) {
            job_add(job, ip, name->port);
        }
    }
    freeaddrinfo(found);
}

static void job_ask_cloud(struct join_job *job, const struct cloud_query *q)
{
    struct cloud_found found;
    struct reason why = {{0}};
    struct join_address name = {.port = 0};
    if (q->provider == CLOUD_DNS) {
        const char *port = cloud_arg(q, "port");
        uint64_t number = 0;
        if (port != NULL && bytes_to_u64(bytes_of(port), &number) == OK) {
            name.port = (uint16_t)number;
        }
        (void)snprintf(name.host, sizeof name.host, "%s", cloud_arg(q, "host"));
        job_resolve(job, &name);
        return;
    }
    if (cloud_find(q, &job->members->stopping, &found, &why) != OK) {
        job->why = job->why.text[0] == '\0' ? why : job->why;
        return;
    }
    for (size_t i = 0; i < found.count; i++) {
        job_add(job, found.addresses[i], 0);
    }
}

static void job_resolved(struct mail *mail);

static void job_on_resolver(struct mail *mail)
{
    struct join_job *job = LIST_OWNER(mail, struct join_job, mail);
    for (size_t i = 0; i < job->name_count; i++) {
        job_resolve(job, &job->names[i]);
    }
    for (size_t i = 0; i < job->cloud_count; i++) {
        job_ask_cloud(job, &job->clouds[i]);
    }
    job->mail = (struct mail){.deliver = job_resolved};
    mailbox_post(loop_mailbox(job->members->options.loop), &job->mail);
}

static bool is_literal(const char *host)
{
    unsigned char ip[16];
    return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

static void job_start(struct join_job *job)
{
    struct members *m = job->members;
    bool names = job->cloud_count > 0;
    for (size_t i = 0; i < job->name_count; i++) {
        names = names || !is_literal(job->names[i].host);
    }
    job->away = names;
    if (!names) {
        for (size_t i = 0; i < job->name_count; i++) {
            job_add(job, job->names[i].host, job->names[i].port);
        }
        job_resolved(&job->mail);
        return;
    }
    if (m->resolver == NULL) {
        m->resolver = loop_new("resolver");
        loop_start(m->resolver);
    }
    job->mail = (struct mail){.deliver = job_on_resolver};
    mailbox_post(loop_mailbox(m->resolver), &job->mail);
}

static const char *pool_name(const struct pool *pool)
{
    return pool->suffix[0] == '\0' ? "lan" : "wan";
}

/* --- joining ------------------------------------------------------------------------------------
 */

static struct join_job *job_new(struct pool *pool)
{
    struct join_job *job = mem_zalloc(1, sizeof *job);
    job->pool = pool;
    job->members = pool->members;
    list_append(&pool->members->jobs, &job->link);
    return job;
}

static void job_free(struct join_job *job)
{
    list_remove(&job->link);
    free(job->clouds);
    free(job);
}

static void order_joined(struct join_job *job, size_t joined, const char *why)
{
    struct members_order *o = job->order;
    if (joined == 0 && job->own == 0) {
        reason_set(&o->why, "1 error occurred:\n\t* Failed to join %s: %s\n\n", job->names[0].host,
                   why);
        members_answer(o, ERR_IO);
    } else {
        members_answer(o, OK);
    }
}

/* What the configuration asked for, at the start or again and again. */
static void own_joined(struct join_job *job, size_t joined, const char *why)
{
    struct members *m = job->members;
    struct pool *pool = job->pool;
    const struct config_join *said = pool->said;
    struct reason sentence;
    /* A cloud that knows nobody else yet is asked again. */
    if (joined > 0 || (job->cloud_count == 0 && job->own == job->name_count)) {
        log_line(LOG_MEMBERS_JOINED, "agents=%zu pool=%s", joined, pool_name(pool));
        return;
    }
    if (job->start) {
        reason_set(&sentence, "start_join%s: none of the agents could be joined: %s", pool->suffix,
                   why);
        m->options.failed(m->options.ctx, sentence.text);
        return;
    }
    pool->tries++;
    log_line(LOG_MEMBERS_JOIN_FAILED, "try=%llu pool=%s why=\"%s\"",
             (unsigned long long)pool->tries, pool_name(pool), why);
    if (said->max > 0 && pool->tries >= said->max) {
        reason_set(&sentence, "retry_join%s: retry_max%s tries were made, none succeeded",
                   pool->suffix, pool->suffix);
        m->options.failed(m->options.ctx, sentence.text);
        return;
    }
    /* Servers that start together meet soon; whoever is away for long is asked rarely. */
    unsigned doublings = pool->tries < JOIN_DOUBLINGS ? (unsigned)pool->tries - 1 : JOIN_DOUBLINGS;
    uint64_t wait_ms = (uint64_t)JOIN_RETRY_MIN_MS << doublings;
    env_timer_start(members_env(m), &pool->retry,
                    wait_ms < said->interval_ms ? wait_ms : said->interval_ms);
}

static void job_joined(void *ctx, size_t joined, const char *why)
{
    struct join_job *job = ctx;
    const char *said = why != NULL && why[0] != '\0' ? why : job->why.text;
    if (job->order != NULL) {
        order_joined(job, joined, said);
    } else {
        own_joined(job, joined, said);
    }
    job_free(job);
}

static void job_resolved(struct mail *mail)
{
    struct join_job *job = LIST_OWNER(mail, struct join_job, mail);
    struct gossip *gossip = job->pool->gossip;
    const char *addresses[JOIN_ADDRESSES_MAX];
    job->away = false;
    if (gossip == NULL) {
        return; /* closing: join_close() frees it */
    }
    for (size_t i = 0; i < job->address_count; i++) {
        addresses[i] = job->addresses[i];
    }
    if (job->address_count == 0) {
        job_joined(job, 0, job->why.text);
    } else {
        gossip_join(gossip, addresses, job->address_count, job_joined, job);
    }
}

void join_order(struct pool *pool, struct members_order *o)
{
    struct join_address address;
    if (join_address_parse(o->text, &address, &o->why) != OK) {
        struct reason said = o->why;
        reason_set(&o->why, "1 error occurred:\n\t* Failed to join: %s\n\n", said.text);
        members_answer(o, ERR_INVALID);
        return;
    }
    struct join_job *job = job_new(pool);
    job->order = o;
    job->names[job->name_count++] = address;
    job_start(job);
}

static void join_configured(struct pool *pool, const struct config_texts *texts, bool start)
{
    struct join_job *job = job_new(pool);
    job->start = start;
    job->clouds = mem_zalloc(texts->count, sizeof *job->clouds);
    for (size_t i = 0; i < texts->count; i++) {
        struct reason why;
        bool cloud = cloud_is_query(texts->items[i]);
        enum err e = cloud
                         ? cloud_parse(texts->items[i], &job->clouds[job->cloud_count], &why)
                         : join_address_parse(texts->items[i], &job->names[job->name_count], &why);
        CHECK(e == OK); /* the configuration was checked */
        job->cloud_count += cloud ? 1 : 0;
        job->name_count += cloud ? 0 : 1;
    }
    job_start(job);
}

static void join_on_retry(struct timer *t)
{
    struct pool *pool = LIST_OWNER(t, struct pool, retry);
    const struct config_join *said = pool->said;
    if (pool->tries == 0 && said->start.count > 0) {
        join_configured(pool, &said->start, true);
    }
    if (said->retry.count > 0) {
        join_configured(pool, &said->retry, false);
    }
}

void join_open(struct members *m)
{
    const struct config *c = m->options.config;
    m->lan = (struct pool){
        .members = m,
        .suffix = "",
        .said = &c->join,
        .port = (uint16_t)(c->serf_lan_port > 0 ? c->serf_lan_port : 0),
        .port_usual = SERF_LAN_PORT,
    };
    m->wan = (struct pool){
        .members = m,
        .suffix = "_wan",
        .said = &c->join_wan,
        .port = (uint16_t)(c->serf_wan_port > 0 ? c->serf_wan_port : 0),
        .port_usual = SERF_WAN_PORT,
    };
    env_timer_init(members_env(m), &m->lan.retry, join_on_retry);
    env_timer_init(members_env(m), &m->wan.retry, join_on_retry);
    /* In the loop's first turn: by then there is gossip. */
    if (config_gossips(c)) {
        env_timer_start(members_env(m), &m->lan.retry, 0);
    }
    if (config_gossips_wan(c)) {
        env_timer_start(members_env(m), &m->wan.retry, 0);
    }
}

void join_close(struct members *m)
{
    timer_stop(&m->lan.retry);
    timer_stop(&m->wan.retry);
    atomic_store(&m->stopping, true);
    if (m->resolver != NULL) {
        loop_stop(m->resolver);
        loop_join(m->resolver);
        /* What it has just sent back is taken while its owner is still there. */
        loop_drain(m->options.loop);
        loop_free(m->resolver);
    }
    while (!list_empty(&m->jobs)) {
        struct join_job *job = LIST_OWNER(m->jobs.next, struct join_job, link);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it takes this member for the one before */
        if (job->order != NULL) {
            members_answer(job->order, ERR_CLOSED);
        }
        job_free(job);
    }
}

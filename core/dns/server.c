#include "core/dns/server.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/config.h"
#include "core/dns/inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- one question -----------------------------------------------------------------------------
 */

/* xorshift64*: which instance comes first is no secret. */
static uint64_t dns_dice(void *ctx, uint64_t limit)
{
    struct dns *d = ctx;
    d->dice ^= d->dice >> 12;
    d->dice ^= d->dice << 25;
    d->dice ^= d->dice >> 27;
    return limit == 0 ? 0 : (d->dice * 0x2545F4914F6CDD1DULL >> 32) % limit;
}

static void dns_count(const struct answer *a)
{
    switch (a->kind) {
    case DNS_SERVICE:
        metric_add(METRIC_DNS_SERVICE, 1);
        break;
    case DNS_NODE:
        metric_add(METRIC_DNS_NODE, 1);
        break;
    case DNS_PTR:
        metric_add(METRIC_DNS_PTR, 1);
        break;
    case DNS_ADDR:
    case DNS_QUERY:
    case DNS_NONE:
    case DNS_OUTSIDE:
        metric_add(METRIC_DNS_OTHER, 1);
        break;
    }
    if (a->message.rcode == DNS_NXDOMAIN) {
        metric_add(METRIC_DNS_NXDOMAIN, 1);
    } else if (a->message.rcode == DNS_SERVFAIL) {
        metric_add(METRIC_DNS_SERVFAIL, 1);
    }
}

size_t dns_limit(struct dns *d,
                 const struct dns_client *to,
                 const struct dns_question *q,
                 uint8_t *out,
                 size_t len)
{
    if (to->socket == NULL) {
        return len;
    }
    switch (rate_take(d->rate, &to->ip, d->settings.rate_limit, env_now_ms(d->env), q->len, len)) {
    case RATE_SEND:
        return len;
    case RATE_DROP:
        metric_add(METRIC_DNS_LIMITED, 1);
        return 0;
    case RATE_SLIP:
        break;
    }
    metric_add(METRIC_DNS_LIMITED, 1);
    struct dns_message m = {.truncated = true, .recursion = d->settings.recursor_count > 0};
    struct packet_options options = {.limit = DNS_UDP_PLAIN_MAX};
    return packet_write(q, &m, &options, out);
}

size_t dns_code(struct dns *d,
                const struct dns_client *to,
                const struct dns_question *q,
                enum dns_rcode rcode,
                uint8_t *out)
{
    struct packet_options options = answer_options(&d->settings, q, client_is_udp(to));
    answer_code(&d->answer, rcode);
    d->answer.message.recursion = d->settings.recursor_count > 0;
    return dns_limit(d, to, q, out, packet_write(q, &d->answer.message, &options, out));
}

static size_t
dns_busy(struct dns *d, const struct dns_client *to, const struct dns_question *q, uint8_t *out)
{
    metric_add(METRIC_DNS_SERVFAIL, 1);
    return dns_code(d, to, q, DNS_SERVFAIL, out);
}

static void dns_fresh(struct store_read *read)
{
    struct job *j = read->ctx;
    struct dns *d = j->dns;
    size_t len = 0;
    j->reading = false;
    if (d == NULL) {
        job_memory_free(j);
        return;
    }
    len = read->status == OK ? dns_again(j, d->one) : dns_busy(d, &j->client, &j->question, d->one);
    job_answer(j, d->one, len);
}

/* The settings by which a question is answered: another agent has a word in them. */
static const struct dns_settings *
dns_settings_of(const struct dns *d, const struct dns_client *from, struct dns_settings *mixed)
{
    if (from->relay == NULL || from->relay->answer_limit == 0) {
        return &d->settings;
    }
    *mixed = d->settings;
    mixed->udp_answer_limit = from->relay->answer_limit;
    return mixed;
}

/* The rights at hand; a token that is set by request is in force within DNS_RIGHTS_MS. */
static void dns_rights(struct dns *d, struct view *v, const struct dns_client *from)
{
    uint64_t now_ms = env_now_ms(d->env);
    if (from->relay != NULL) {
        /* Of that question alone. */
        acl_unref(d->acl);
        d->acl = NULL;
        d->acl_until_ms = 0;
        d->judged = from->relay->rights(from->relay, v, &d->acl);
        return;
    }
    if (d->options.rights == NULL) {
        d->judged = false;
        return;
    }
    if (d->acl_index == view_index(v) && now_ms < d->acl_until_ms) {
        return;
    }
    acl_unref(d->acl);
    d->acl = NULL;
    d->judged = d->options.rights(v, d->options.ctx, &d->acl);
    d->acl_index = view_index(v);
    d->acl_until_ms = now_ms + DNS_RIGHTS_MS;
}

/* Whether the leader must say that the view is new enough. */
static bool dns_stale(const struct dns *d)
{
    const struct dns_settings *s = &d->settings;
    if (s->allow_stale && s->max_stale_ms >= DNS_MAX_STALE_MS) {
        return false;
    }
    if (s->allow_stale) {
        struct store_facts facts;
        store_facts_get(d->options.store, &facts);
        return !facts.leader && facts.contact_ms > s->max_stale_ms;
    }
    return !store_read_now(d->options.store, READ_DEFAULT);
}

static size_t dns_wait(struct dns *d,
                       const struct dns_client *from,
                       const struct dns_question *q,
                       struct bytes packet,
                       uint8_t *out)
{
    struct job *j = job_new(d, JOB_FRESH, from, q, packet);
    metric_add(METRIC_DNS_STALE, 1);
    if (j == NULL) {
        return dns_busy(d, from, q, out);
    }
    j->reading = true;
    j->read = (struct store_read){.done = dns_fresh, .ctx = j, .mode = READ_DEFAULT};
    store_read(d->options.store, d->options.loop, &j->read);
    return 0;
}

static size_t dns_pass_on(struct dns *d,
                          const struct dns_client *from,
                          const struct dns_question *q,
                          struct bytes packet,
                          uint8_t *out)
{
    bool outside = d->answer.wanted.len == 0;
    struct dns_name wanted = d->answer.wanted;
    struct job *j = job_new(d, outside ? JOB_FORWARD : JOB_RESOLVE, from, q, packet);
    if (j == NULL) {
        return dns_busy(d, from, q, out);
    }
    job_ask(j, outside ? NULL : &wanted);
    return 0;
}

/* Who asked what, in which packet; `job` is NULL at the first try. */
struct dns_asked {
    const struct dns_client *from;
    const struct dns_question *question;
    const struct job *job;
    struct bytes packet;
};

static size_t dns_answer(struct dns *d, const struct dns_asked *asked, struct view *v, uint8_t *out)
{
    const struct dns_client *from = asked->from;
    const struct dns_question *q = asked->question;
    const struct job *j = asked->job;
    bool resolved = j != NULL && j->kind == JOB_RESOLVE;
    struct dns_settings theirs;
    const struct dns_settings *settings = dns_settings_of(d, from, &theirs);
    dns_rights(d, v, from);
    struct answer_world w = {
        .lookup = d->lookup,
        .view = v,
        .settings = settings,
        .wall_ms = env_wall_ms(d->env),
        .dice = dns_dice,
        .ctx = d,
        .udp = client_is_udp(from),
        .judged = d->judged,
        .acl = d->acl,
        .resolved = resolved ? &j->resolved : NULL,
        .resolved_name = resolved ? &j->asked.name : NULL,
    };
    bool inside = answer_make(&d->answer, &w, q);
    /* What is none of ours another agent asks its own recursors for. */
    bool others = inside ? d->answer.wanted.len > 0 && !resolved : from->relay == NULL;
    if (others && d->settings.recursor_count > 0) {
        return dns_pass_on(d, from, q, asked->packet, out);
    }
    dns_count(&d->answer);
    struct packet_options options = answer_options(settings, q, w.udp);
    return dns_limit(d, from, q, out, packet_write(q, &d->answer.message, &options, out));
}

size_t dns_again(const struct job *j, uint8_t *out)
{
    struct dns *d = j->dns;
    struct view *v = store_reader_view(d->options.reader);
    const struct dns_asked asked = {
        .from = &j->client,
        .question = &j->question,
        .job = j,
        .packet = {j->packet, j->packet_len},
    };
    return dns_answer(d, &asked, v, out);
}

size_t dns_handle(struct dns *d,
                  const struct dns_client *from,
                  struct view *v,
                  struct bytes packet,
                  uint8_t *out)
{
    struct dns_question q;
    enum dns_rcode rcode = DNS_NOERROR;
    metric_add(METRIC_DNS_QUERIES, 1);
    switch (packet_parse(packet, &q, &rcode)) {
    case PACKET_DROP:
        metric_add(METRIC_DNS_DROPPED, 1);
        return 0;
    case PACKET_REPLY:
        metric_add(METRIC_DNS_BAD, 1);
        return dns_code(d, from, &q, rcode, out);
    case PACKET_ANSWER:
        break;
    }
    if (d->options.store == NULL) {
        return relay_pass_on(d, from, &q, packet, out);
    }
    if (dns_stale(d)) {
        return dns_wait(d, from, &q, packet, out);
    }
    const struct dns_asked asked = {.from = from, .question = &q, .packet = packet};
    return dns_answer(d, &asked, v, out);
}

/* --- life --------------------------------------------------------------------------------------
 */

static enum err sockets_open_one(struct dns *d, size_t i, struct reason *why)
{
    struct socket_pair *s = &d->sockets[i];
    const struct front_listen *l = &d->listen[i];
    *s = (struct socket_pair){.dns = d, .port = l->port};
    env_timer_init(d->env, &s->rest, tcp_rested);
    enum err e = udp_open(s, l, why);
    return e == OK ? tcp_open(s, l, why) : e;
}

static void socket_close(struct io *io)
{
    int fd = io->fd;
    if (fd > 0) {
        io_close(io);
        (void)close(fd);
    }
}

static enum err sockets_open(struct dns *d, struct reason *why)
{
    for (size_t i = 0; i < d->options.listen_count; i++) {
        enum err e = sockets_open_one(d, i, why);
        if (e != OK) {
            return e;
        }
        if (d->options.number == 0) {
            log_line(LOG_DNS_LISTENING, "address=%s port=%u", d->listen[i].address,
                     d->sockets[i].port);
        }
    }
    return OK;
}

enum err dns_new(const struct dns_options *options, struct dns **ret_dns, struct reason *why)
{
    struct dns_settings settings;
    enum err e = settings_open(&settings, options->config, why);
    if (e != OK) {
        return e;
    }
    struct dns *d = mem_zalloc(1, sizeof *d);
    uint64_t seed = 0;
    d->options = *options;
    d->env = loop_env(options->loop);
    d->settings = settings;
    CHECK(options->listen_count <= sizeof d->listen / sizeof d->listen[0]);
    memcpy(d->listen, options->listen, options->listen_count * sizeof d->listen[0]);
    list_init(&d->connections);
    list_init(&d->jobs);
    env_random(d->env, &d->dice, sizeof d->dice);
    env_random(d->env, &seed, sizeof seed);
    d->dice |= 1;
    d->lookup = lookup_new();
    d->rate = rate_new(seed);
    d->clients = clients_new();
    answer_init(&d->answer);
    d->in = mem_alloc((size_t)DNS_BATCH * (DNS_QUESTION_MAX + 1));
    d->out = mem_alloc((size_t)DNS_BATCH * DNS_UDP_MAX);
    d->one = mem_alloc(DNS_TCP_MAX);
    e = sockets_open(d, why);
    if (e != OK) {
        dns_free(d);
        return e;
    }
    *ret_dns = d;
    return OK;
}

void dns_free(struct dns *d)
{
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->options.listen_count; i++) {
        struct socket_pair *s = &d->sockets[i];
        if (s->dns != NULL) {
            timer_stop(&s->rest);
            socket_close(&s->udp);
            socket_close(&s->tcp);
        }
    }
    tcp_close_all(d);
    jobs_close(d);
    acl_unref(d->acl);
    lookup_free(d->lookup);
    rate_free(d->rate);
    clients_free(d->clients);
    answer_close(&d->answer);
    settings_close(&d->settings);
    free(d->in);
    free(d->out);
    free(d->one);
    free(d);
}

uint16_t dns_port(const struct dns *d, size_t i)
{
    return d == NULL || i >= d->options.listen_count ? 0 : d->sockets[i].port;
}

void dns_configure(struct dns *d, const struct config *config)
{
    struct dns_settings settings;
    struct reason why;
    if (d == NULL) {
        return;
    }
    if (settings_open(&settings, config, &why) != OK) {
        log_line(LOG_DNS_CONFIG, "%s", why.text);
        return;
    }
    settings_close(&d->settings);
    d->settings = settings;
}

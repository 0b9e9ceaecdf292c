/* Questions that cannot be answered at once: those for others' names go to recursors, each from a
 * socket of its own (so from a random port) under a random id, to one after the other. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/dns/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One line of the log for so long, however many recursors fail. */
#define RECURSOR_QUIET_MS 10000
/* Datagrams that are none of ours, or forged, are passed over; so many in one turn. */
#define RECURSOR_TURN     16
#define HEAD_LEN          2U

static void job_next(struct job *j);

/* --- life --------------------------------------------------------------------------------------
 */

struct job *job_new(struct dns *d,
                    enum job_kind kind,
                    const struct dns_client *client,
                    const struct dns_question *q,
                    struct bytes packet)
{
    if (d->job_count >= DNS_JOBS_MAX) {
        return NULL;
    }
    struct job *j = mem_zalloc(1, sizeof *j);
    j->dns = d;
    j->kind = kind;
    j->client = *client;
    j->question = *q;
    j->packet = mem_dup(packet.ptr, packet.len);
    j->packet_len = packet.len;
    buf_init(&j->in, HEAD_LEN + DNS_TCP_MAX);
    arena_init(&j->memory, DNS_ANSWER_ARENA);
    list_append(&d->jobs, &j->link);
    d->job_count++;
    if (client->connection != NULL) {
        tcp_job_begins(client->connection);
    }
    if (client->relay != NULL) {
        client->relay->pending = j;
    }
    return j;
}

static void job_socket_close(struct job *j)
{
    timer_stop(&j->timer);
    if (j->open) {
        int fd = j->io.fd;
        io_close(&j->io);
        (void)close(fd);
        j->open = false;
    }
}

void job_memory_free(struct job *j)
{
    buf_close(&j->in);
    arena_close(&j->memory);
    free(j->query);
    free(j->packet);
    free(j);
}

/* The store gives `read` back in its own time. */
void job_free(struct job *j)
{
    struct dns *d = j->dns;
    struct dns_connection *c = j->client.connection;
    job_socket_close(j);
    if (j->kind == JOB_RELAY) {
        relay_leave(j);
    }
    if (j->client.relay != NULL && j->client.relay->pending == j) {
        j->client.relay->pending = NULL;
    }
    list_remove(&j->link);
    d->job_count--;
    j->dns = NULL;
    if (!j->reading) {
        job_memory_free(j);
    }
    if (c != NULL) {
        tcp_job_ends(c);
    }
}

void job_answer(struct job *j, const uint8_t *packet, size_t len)
{
    struct dns_relay *x = j->client.relay;
    if (x != NULL && x->pending == j) { /* else another job has gone on with it */
        x->pending = NULL;
        j->client.relay = NULL;
        x->done(x, (struct bytes){(const char *)packet, len});
    } else if (len > 0 && j->client.connection != NULL) {
        tcp_send(j->client.connection, packet, len);
    } else if (len > 0 && x == NULL) {
        udp_send(&j->client, packet, len);
    }
    job_free(j);
}

void jobs_close(struct dns *d)
{
    LIST_FOREACH (at, &d->jobs) {
        job_free(LIST_OWNER(at, struct job, link));
    }
}

/* --- one recursor -------------------------------------------------------------------------------
 */

static void job_fail(struct job *j)
{
    struct dns *d = j->dns;
    size_t len = 0;
    if (j->kind == JOB_RESOLVE) {
        /* What we know ourselves is an answer too. */
        j->resolved = (struct dns_section){0};
        len = dns_again(j, d->one);
    } else {
        len = dns_code(d, &j->client, &j->question, DNS_SERVFAIL, d->one);
    }
    job_answer(j, d->one, len);
}

static void job_tried(struct job *j)
{
    struct dns *d = j->dns;
    uint64_t now_ms = env_now_ms(d->env);
    metric_add(METRIC_DNS_RECURSION_FAILED, 1);
    if (now_ms >= d->quiet_until_ms) {
        d->quiet_until_ms = now_ms + RECURSOR_QUIET_MS;
        log_line(LOG_DNS_RECURSOR, "recursors=%zu", d->settings.recursor_count);
    }
}

/* A packet that answers what was asked. */
static void job_take(struct job *j, struct bytes packet)
{
    struct dns *d = j->dns;
    size_t most = answer_options(&d->settings, &j->question, client_is_udp(&j->client)).limit;
    if (j->kind == JOB_RESOLVE) {
        if (packet_records(packet, &j->memory, &j->resolved) != OK) {
            j->resolved = (struct dns_section){0};
        }
        size_t len = dns_again(j, d->one);
        job_answer(j, d->one, len);
        return;
    }
    if (packet.len > most) {
        struct dns_message m = {.recursion = true, .truncated = true};
        struct packet_options options = {.limit = DNS_UDP_PLAIN_MAX};
        size_t len = packet_write(&j->question, &m, &options, d->one);
        job_answer(j, d->one, dns_limit(d, &j->client, &j->question, d->one, len));
        return;
    }
    memcpy(d->one, packet.ptr, packet.len);
    packet_set_id(d->one, j->question.id);
    job_answer(j, d->one, dns_limit(d, &j->client, &j->question, d->one, packet.len));
}

/* False: it is no answer to this question. */
static bool job_look(struct job *j, struct bytes packet)
{
    enum dns_rcode rcode = DNS_NOERROR;
    bool truncated = false;
    if (!packet_answers(packet, &j->asked, &rcode, &truncated)) {
        return false;
    }
    if (rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN) {
        job_tried(j);
        job_next(j);
    } else if (truncated && !j->tcp && (j->kind == JOB_RESOLVE || !client_is_udp(&j->client))) {
        /* The same one again, where there is room. */
        j->tcp = true;
        j->tried--;
        job_next(j);
    } else {
        job_take(j, packet);
    }
    return true;
}

static void job_udp_ready(struct job *j)
{
    struct dns *d = j->dns;
    for (unsigned i = 0; i < RECURSOR_TURN; i++) {
        ssize_t n = recv(j->io.fd, d->one, DNS_TCP_MAX, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n < 0) {
            /* Nobody is there (ICMP). */
            job_tried(j);
            job_next(j);
            return;
        }
        buf_clear(&j->in);
        if (buf_append(&j->in, (struct bytes){(const char *)d->one, (size_t)n}) == OK &&
            job_look(j, buf_view(&j->in))) {
            return;
        }
    }
}

static bool job_tcp_send(struct job *j)
{
    char head[HEAD_LEN] = {(char)(j->query_len >> 8), (char)j->query_len};
    while (j->sent < HEAD_LEN + j->query_len) {
        bool in_head = j->sent < HEAD_LEN;
        const char *from = in_head ? head + j->sent : j->query + (j->sent - HEAD_LEN);
        size_t len = in_head ? HEAD_LEN - j->sent : HEAD_LEN + j->query_len - j->sent;
        ssize_t n = send(j->io.fd, from, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        j->sent += (size_t)n;
    }
    io_want(&j->io, IO_READ);
    return true;
}

static bool job_tcp_read(struct job *j, bool *ret_done)
{
    struct dns *d = j->dns;
    ssize_t n = recv(j->io.fd, d->one, DNS_TCP_MAX, MSG_DONTWAIT);
    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    if (buf_append(&j->in, (struct bytes){(const char *)d->one, (size_t)n}) != OK) {
        return false;
    }
    const uint8_t *in = (const uint8_t *)j->in.ptr;
    size_t len = j->in.len < HEAD_LEN ? SIZE_MAX : (size_t)in[0] << 8 | in[1];
    *ret_done = len != SIZE_MAX && j->in.len >= HEAD_LEN + len;
    return !*ret_done || job_look(j, bytes_slice(buf_view(&j->in), HEAD_LEN, HEAD_LEN + len));
}

static void job_ready(struct io *io, unsigned ready)
{
    struct job *j = LIST_OWNER(io, struct job, io);
    bool done = false;
    if (!j->tcp) {
        job_udp_ready(j);
        return;
    }
    bool good = (ready & IO_WRITE) == 0 || job_tcp_send(j);
    if (good && (ready & IO_READ) != 0) {
        good = job_tcp_read(j, &done);
    }
    if (!good) {
        job_tried(j);
        job_next(j);
    }
}

static void job_late(struct timer *t)
{
    struct job *j = LIST_OWNER(t, struct job, timer);
    /* Nobody was asked yet, or he did not answer. */
    if (j->open) {
        job_tried(j);
    }
    job_next(j);
}

/* A socket to the recursor whose turn it is; the question is on its way. */
static bool job_dial(struct job *j, const struct dns_recursor *to)
{
    int type = (j->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(to->address.ss_family, type, 0);
    if (fd < 0) {
        return false;
    }
    if (connect(fd, (const struct sockaddr *)&to->address, to->len) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return false;
    }
    io_open(&j->io, j->dns->options.loop, fd, job_ready);
    j->open = true;
    j->sent = 0;
    buf_clear(&j->in);
    if (j->tcp) {
        io_want(&j->io, IO_WRITE);
        return true;
    }
    io_want(&j->io, IO_READ);
    return send(fd, j->query, j->query_len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* The recursor whose turn it is, under an id of its own; none left: it has failed. */
static void job_next(struct job *j)
{
    struct dns *d = j->dns;
    size_t count = d->settings.recursor_count;
    job_socket_close(j);
    while (j->tried < count) {
        const struct dns_recursor *to = &d->settings.recursors[(j->first + j->tried) % count];
        uint16_t id = 0;
        env_random(d->env, &id, sizeof id);
        j->tried++;
        j->asked.id = id;
        packet_set_id((uint8_t *)j->query, id);
        if (job_dial(j, to)) {
            env_timer_start(d->env, &j->timer, d->settings.recursor_timeout_ms);
            return;
        }
        job_socket_close(j);
        job_tried(j);
    }
    job_fail(j);
}

void job_ask(struct job *j, const struct dns_name *wanted)
{
    struct dns *d = j->dns;
    metric_add(METRIC_DNS_RECURSIONS, 1);
    j->asked = j->question;
    if (wanted != NULL) {
        uint8_t query[DNS_UDP_PLAIN_MAX];
        j->asked = (struct dns_question){
            .name = *wanted,
            .type = j->question.type == DNS_TYPE_AAAA ? DNS_TYPE_AAAA : DNS_TYPE_A,
            .class = 1,
            .udp_size = DNS_UDP_PLAIN_MAX,
            .recurse = true,
        };
        j->query_len = packet_ask(&j->asked, query);
        j->query = mem_dup(query, j->query_len);
    } else {
        j->query = mem_dup(j->packet, j->packet_len);
        j->query_len = j->packet_len;
    }
    j->tcp = wanted == NULL && !client_is_udp(&j->client);
    if (d->settings.recursor_random) {
        j->first = (unsigned)env_random_below(d->env, d->settings.recursor_count);
    }
    /* Never from within the call that asks: its caller still holds the connection. */
    env_timer_init(d->env, &j->timer, job_late);
    env_timer_start(d->env, &j->timer, 0);
}

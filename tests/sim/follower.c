#include "tests/sim/follower.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "stream/stream.h"
#include "tests/sim/check_stream.h"
#include "tests/sim/server.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MIN_US  50U
#define WIRE_MAX_US  20000U
#define HEARTBEAT_MS 500U

/* What of the stream a follower wants. */
enum taste {
    TASTE_ALL,
    TASTE_PREFIX, /* a/ */
    TASTE_KEY,    /* a/00 */
    TASTES,
};

static const char *const TASTE_QUERIES[TASTES] = {"", "&prefix=a/", "&key=a/00"};

struct follower;

/* One connection. */
struct link {
    struct link *next;
    struct follower *follower;
    struct server *server;
    uint64_t life; /* of the server's process */
    struct outlet outlet;
    bool open;           /* the server has an outlet for it */
    bool dead;           /* nothing of it counts any more */
    size_t flies;        /* bytes on the wire */
    uint64_t arrives_us; /* the last of them */
    struct mail open_mail;
    struct mail close_mail;
    struct mail drain_mail;
    bool closing;  /* its mail is posted */
    bool draining; /* its mail is posted */
    char query[160];
};

struct follower {
    unsigned number;
    enum taste taste;
    struct link *link; /* NULL: between two */
    bool has_cursor;
    uint64_t cursor;
    struct stream_record *records;
    size_t count;
    size_t cap;
    size_t snapshot_at; /* the record that pages of a snapshot go into, plus 1 */
};

struct follower_counts follower_counts;

static struct {
    unsigned count;
    struct follower all[FOLLOWERS_MAX];
    struct link *links;
    struct stream_event *truth;
    size_t truth_count;
    size_t truth_cap;
    uint64_t head;
    uint64_t epoch;
    bool stopped;
} followers;

static void follower_connect(void *ctx);

/* --- the truth ------------------------------------------------------------------------------- */

static struct bytes keep(struct bytes text)
{
    return (struct bytes){.ptr = mem_dup(text.len > 0 ? text.ptr : "", text.len), .len = text.len};
}

static void forget(struct bytes text)
{
    free((void *)(uintptr_t)text.ptr);
}

void followers_on_applied(uint64_t index, const struct collect *out, size_t from)
{
    if (index <= followers.head) {
        return;
    }
    followers.head = index;
    for (size_t i = from; i < out->count; i++) {
        const struct change *c = &out->changes[i];
        if (followers.truth_count == followers.truth_cap) {
            followers.truth_cap = followers.truth_cap == 0 ? 1024 : followers.truth_cap * 2;
            followers.truth =
                mem_realloc(followers.truth, followers.truth_cap * sizeof *followers.truth);
        }
        followers.truth[followers.truth_count++] = (struct stream_event){
            .index = c->index,
            .n = c->n,
            .op = (enum stream_op)c->op,
            .key = keep(c->key),
            .digest = c->op == CHANGE_SET ? c->flags : 0,
        };
    }
}

/* --- what is told ---------------------------------------------------------------------------- */

static struct stream_record *follower_note(struct follower *f, const struct stream_record *r)
{
    if (f->count == f->cap) {
        f->cap = f->cap == 0 ? 64 : f->cap * 2;
        f->records = mem_realloc(f->records, f->cap * sizeof *f->records);
    }
    f->records[f->count] = *r;
    f->records[f->count].epoch = followers.epoch;
    return &f->records[f->count++];
}

static uint64_t number_of(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static struct bytes text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    return bytes_of(text != NULL ? text : "");
}

static struct stream_event event_of(const json_t *o, bool row)
{
    struct stream_event e = {
        .index = number_of(o, row ? "modify_index" : "index"),
        .op = STREAM_SET,
        .key = keep(text_of(o, "key")),
    };
    if (!row && bytes_equal(text_of(o, "op"), BYTES("delete"))) {
        e.op = STREAM_DELETE;
    } else if (!row && bytes_equal(text_of(o, "op"), BYTES("delete-prefix"))) {
        e.op = STREAM_DELETE_PREFIX;
    }
    e.digest = e.op == STREAM_SET ? number_of(o, "flags") : 0;
    return e;
}

/* Appends the events of a list to what a record has. */
static void record_take(struct stream_record *r, const json_t *list, bool rows)
{
    size_t more = json_array_size(list);
    struct stream_event *events = mem_alloc((r->count + more + 1) * sizeof *events);
    if (r->count > 0) {
        memcpy(events, r->events, r->count * sizeof *events);
    }
    for (size_t i = 0; i < more; i++) {
        events[r->count + i] = event_of(json_array_get(list, i), rows);
    }
    free((void *)(uintptr_t)r->events);
    r->events = events;
    r->count += more;
    follower_counts.events += more;
}

static void follower_on_snapshot(struct follower *f, const json_t *m)
{
    bool more = json_is_true(json_object_get(m, "more"));
    if (f->snapshot_at == 0) {
        (void)follower_note(
            f, &(struct stream_record){.kind = STREAM_SNAPSHOT, .through = number_of(m, "index")});
        f->snapshot_at = f->count;
    }
    record_take(&f->records[f->snapshot_at - 1], json_object_get(m, "items"), true);
    if (!more) {
        f->snapshot_at = 0;
        f->has_cursor = true;
        f->cursor = number_of(m, "index");
    }
}

static void follower_on_compacted(struct follower *f, const json_t *m)
{
    follower_counts.compactions++;
    f->has_cursor = false;
    (void)follower_note(
        f, &(struct stream_record){.kind = STREAM_COMPACTED, .oldest = number_of(m, "oldest")});
}

static void follower_on_subscribed(struct follower *f, const json_t *m)
{
    /* With a snapshot the pages say where it begins. */
    if (bytes_equal(text_of(m, "mode"), BYTES("snapshot"))) {
        return;
    }
    f->has_cursor = true;
    f->cursor = number_of(m, "from");
    (void)follower_note(f, &(struct stream_record){.kind = STREAM_FROM, .after = f->cursor});
}

static void follower_on_message(struct follower *f, const json_t *m)
{
    struct bytes type = text_of(m, "type");
    if (bytes_equal(type, BYTES("subscribed"))) {
        follower_on_subscribed(f, m);
    } else if (bytes_equal(type, BYTES("events"))) {
        struct stream_record *r = follower_note(
            f, &(struct stream_record){.kind = STREAM_BATCH,
                                       .after = number_of(m, "after"),
                                       .through = number_of(m, "through"),
                                       .part = json_is_true(json_object_get(m, "part"))});
        record_take(r, json_object_get(m, "events"), false);
        f->cursor = r->through;
    } else if (bytes_equal(type, BYTES("mark"))) {
        f->cursor = number_of(m, "through");
        (void)follower_note(f, &(struct stream_record){.kind = STREAM_MARK, .through = f->cursor});
    } else if (bytes_equal(type, BYTES("snapshot"))) {
        follower_on_snapshot(f, m);
    } else if (bytes_equal(type, BYTES("compacted"))) {
        follower_on_compacted(f, m);
    }
}

/* --- one connection -------------------------------------------------------------------------- */

/* Pages of a snapshot that never got whole tell nothing. */
static void follower_break(struct follower *f)
{
    if (f->snapshot_at > 0) {
        struct stream_record *r = &f->records[f->snapshot_at - 1];
        for (size_t i = 0; i < r->count; i++) {
            forget(r->events[i].key);
        }
        free((void *)(uintptr_t)r->events);
        CHECK(f->snapshot_at == f->count);
        f->count--;
        f->snapshot_at = 0;
    }
    if (f->count > 0 && f->records[f->count - 1].kind == STREAM_FROM && f->cursor == 0) {
        /* From the beginning, and nothing came: 0 is no place to resume from, it means the oldest.
         */
        f->count--;
        f->has_cursor = false;
    }
    f->link = NULL;
    /* Some stay away until the history has gone on without them. */
    uint64_t away_us = !followers.stopped && dice_below(4) == 0 ? 15 * SECOND_US : SECOND_US;
    world_at(world.now_us + dice_skewed(1000, away_us), follower_connect, f);
}

static void link_lost(struct link *l)
{
    if (!l->dead) {
        l->dead = true;
        follower_break(l->follower);
    }
}

static void link_on_closed(struct mail *m)
{
    struct link *l = LIST_OWNER(m, struct link, close_mail);
    if (l->open) {
        l->open = false;
        outlet_closed(&l->outlet);
    }
}

static bool link_lives(const struct link *l)
{
    return l->server->stream != NULL && l->server->process.life == l->life;
}

/* The follower hangs up; or the server does, from inside its own call. */
static void link_drop(struct link *l)
{
    if (l->open && !l->closing && link_lives(l)) {
        l->closing = true;
        l->close_mail.deliver = link_on_closed;
        mailbox_post(loop_mailbox(l->server->front), &l->close_mail);
    }
    link_lost(l);
}

struct flight {
    struct link *link;
    size_t len;
    char text[];
};

static void link_on_drained(struct mail *m)
{
    struct link *l = LIST_OWNER(m, struct link, drain_mail);
    l->draining = false;
    if (l->open) {
        outlet_writable(&l->outlet);
    }
}

static void link_drain(struct link *l)
{
    if (l->flies == 0 && l->open && !l->closing && !l->draining && link_lives(l)) {
        l->draining = true;
        l->drain_mail.deliver = link_on_drained;
        mailbox_post(loop_mailbox(l->server->front), &l->drain_mail);
    }
}

static void flight_on_arrival(void *ctx)
{
    struct flight *flight = ctx;
    struct link *l = flight->link;
    l->flies -= flight->len;
    if (!l->dead) {
        json_t *m = json_loadb(flight->text, flight->len, 0, NULL);
        if (m != NULL) {
            follower_on_message(l->follower, m);
        }
        json_decref(m);
        link_drain(l);
        if (!followers.stopped && dice_below(300) == 0) {
            link_drop(l);
        }
    }
    free(flight);
}

/* In order, as TCP has it. */
static void link_send_text(struct link *l, struct bytes text)
{
    struct flight *flight = mem_alloc(sizeof *flight + text.len);
    flight->link = l;
    flight->len = text.len;
    memcpy(flight->text, text.ptr, text.len);
    l->flies += text.len;
    l->arrives_us = l->arrives_us > world.now_us ? l->arrives_us : world.now_us;
    l->arrives_us += dice_skewed(WIRE_MIN_US, WIRE_MAX_US);
    world_at(l->arrives_us, flight_on_arrival, flight);
}

static void link_send(struct outlet *o, struct shared *frame)
{
    link_send_text(o->ctx, shared_view(frame));
}

static size_t link_pending(struct outlet *o)
{
    const struct link *l = o->ctx;
    return l->flies;
}

static void link_on_hang_up(void *ctx)
{
    link_lost(ctx);
}

/* What was sent before it still arrives. */
static void link_close(struct outlet *o, unsigned code, const char *reason)
{
    struct link *l = o->ctx;
    (void)code;
    (void)reason;
    world_at(l->arrives_us > world.now_us ? l->arrives_us : world.now_us, link_on_hang_up, l);
    if (!l->closing) {
        l->closing = true;
        l->close_mail.deliver = link_on_closed;
        mailbox_post(loop_mailbox(l->server->front), &l->close_mail);
    }
}

static const struct outlet_ops LINK_OPS = {
    .send = link_send,
    .pending = link_pending,
    .close = link_close,
};

/* On the server's front. */
static void link_on_open(struct mail *m)
{
    struct link *l = LIST_OWNER(m, struct link, open_mail);
    struct reason why = {{0}};
    struct outlet_options options = {
        .format = OUTLET_NDJSON,
        .auto_subscribe = true,
        .query = bytes_of(l->query),
    };
    if (l->dead) {
        return;
    }
    l->outlet.ctx = l;
    enum err e = outlet_open(l->server->stream, &l->outlet, &LINK_OPS, &options, &why);
    if (e == OK) {
        l->open = true;
        return;
    }
    if (e == ERR_COMPACTED) {
        /* The body of a 410. */
        json_t *body = json_loads(why.text, 0, NULL);
        if (body == NULL) {
            world_violate("follower %u: a 410 says %s", l->follower->number, why.text);
            return;
        }
        follower_on_compacted(l->follower, body);
        json_decref(body);
    }
    link_lost(l);
}

static void link_on_arrival(void *ctx)
{
    struct link *l = ctx;
    if (!l->server->serving || !link_lives(l)) {
        link_lost(l);
    } else if (!l->dead) {
        l->open_mail.deliver = link_on_open;
        mailbox_post(loop_mailbox(l->server->front), &l->open_mail);
    }
}

/* --- one follower ---------------------------------------------------------------------------- */

/* Where the next connection is to begin. */
static void follower_query(struct follower *f, char *out, size_t len)
{
    const char *taste = TASTE_QUERIES[f->taste];
    if (f->has_cursor) {
        follower_counts.resumes++;
        (void)snprintf(out, len, "topic=kv&batch=1&max=%u%s&last_event_id=%016llx:%llu",
                       (unsigned)dice_between(1, 50), taste, (unsigned long long)followers.epoch,
                       (unsigned long long)f->cursor);
        return;
    }
    const char *start = dice_below(4) == 0 ? "&snapshot=1" : "&index=0";
    (void)snprintf(out, len, "topic=kv&batch=1%s%s", taste, start);
}

static struct server *follower_server(void)
{
    struct server *serving[SERVERS_MAX];
    unsigned count = 0;
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        if (servers[i].serving && servers[i].stream != NULL) {
            serving[count++] = &servers[i];
        }
    }
    return count > 0 ? serving[dice_below(count)] : NULL;
}

static void follower_connect(void *ctx)
{
    struct follower *f = ctx;
    struct server *s = follower_server();
    if (s == NULL || followers.epoch == 0) {
        world_at(world.now_us + 100000, follower_connect, f);
        return;
    }
    struct link *l = mem_zalloc(1, sizeof *l);
    l->next = followers.links;
    followers.links = l;
    l->follower = f;
    l->server = s;
    l->life = s->process.life;
    f->link = l;
    follower_query(f, l->query, sizeof l->query);
    world_at(world.now_us + dice_skewed(WIRE_MIN_US, WIRE_MAX_US), link_on_arrival, l);
}

/* --- servers --------------------------------------------------------------------------------- */

static struct view *stream_view(void *ctx)
{
    struct server *s = ctx;
    return store_reader_view(&s->reader);
}

static const char *stream_epoch(void *ctx, const struct view *v)
{
    struct server *s = ctx;
    uint64_t epoch = view_epoch(v);
    s->epoch[0] = '\0';
    if (epoch != 0) {
        (void)snprintf(s->epoch, sizeof s->epoch, "%016llx", (unsigned long long)epoch);
        followers.epoch = epoch;
    }
    return s->epoch;
}

void followers_on_opened(struct server *s)
{
    struct stream_host host = {
        .env = loop_env(s->front),
        .ctx = s,
        .view = stream_view,
        .epoch = stream_epoch,
        .node_name = s->host,
        .datacenter = "dc1",
        .heartbeat_ms = HEARTBEAT_MS,
    };
    s->stream = stream_new(&host);
}

static void followers_shut_down(void *arg)
{
    struct server *s = arg;
    stream_shutdown(s->stream, 1000, NULL);
}

static bool followers_linked(const struct server *s)
{
    for (const struct link *l = followers.links; l != NULL; l = l->next) {
        if (l->server == s && l->life == s->process.life && l->open) {
            return true;
        }
    }
    return false;
}

void followers_on_closing(struct server *s)
{
    loop_call(s->front, followers_shut_down, s);
    while (followers_linked(s)) {
        fiber_wait(1000);
    }
}

void followers_on_death(struct server *s)
{
    s->stream = NULL;
    for (struct link *l = followers.links; l != NULL; l = l->next) {
        if (l->server == s && !l->dead) {
            l->open = false;
            link_lost(l);
        }
    }
}

/* --- the end --------------------------------------------------------------------------------- */

bool followers_done(uint64_t last)
{
    for (unsigned i = 0; i < followers.count; i++) {
        const struct follower *f = &followers.all[i];
        if (!f->has_cursor || f->cursor < last) {
            return false;
        }
    }
    return true;
}

/* Who hears nothing new of this server, which may be out of the cluster, goes to another. */
static void follower_impatient(void *ctx)
{
    struct follower *f = ctx;
    if (f->link != NULL && (!f->has_cursor || f->cursor < followers.head)) {
        link_drop(f->link);
    }
    world_at(world.now_us + 3 * SECOND_US, follower_impatient, f);
}

void followers_stop(void)
{
    followers.stopped = true;
    for (unsigned i = 0; i < followers.count; i++) {
        world_at(world.now_us + 3 * SECOND_US, follower_impatient, &followers.all[i]);
    }
}

static enum stream_match follower_match(void *ctx, const struct stream_event *e)
{
    const struct follower *f = ctx;
    struct bytes wanted = f->taste == TASTE_KEY ? BYTES("a/00") : BYTES("a/");
    if (f->taste == TASTE_ALL) {
        return STREAM_MUST;
    }
    if (e->op == STREAM_DELETE_PREFIX) {
        bool touches = bytes_begins(e->key, wanted) || bytes_begins(wanted, e->key);
        return touches ? STREAM_MAY : STREAM_MUST_NOT;
    }
    bool mine = f->taste == TASTE_KEY ? bytes_equal(e->key, wanted) : bytes_begins(e->key, wanted);
    return mine ? STREAM_MUST : STREAM_MUST_NOT;
}

void followers_check(void)
{
    struct stream_truth truth = {
        .epoch = followers.epoch,
        .head = followers.head,
        .events = followers.truth,
        .count = followers.truth_count,
    };
    for (unsigned i = 0; i < followers.count && !world.over; i++) {
        struct follower *f = &followers.all[i];
        char name[32];
        struct reason why = {{0}};
        (void)snprintf(name, sizeof name, "follower %u", f->number);
        struct stream_log log = {
            .name = name,
            .match = follower_match,
            .ctx = f,
            .records = f->records,
            .count = f->snapshot_at > 0 ? f->count - 1 : f->count,
            .reach = f->has_cursor ? f->cursor : 0,
        };
        if (!check_stream(&truth, 1, &log, &why)) {
            world_violate("%s", why.text);
        }
    }
}

/* --- life ------------------------------------------------------------------------------------ */

void followers_open(unsigned count)
{
    CHECK(count <= FOLLOWERS_MAX);
    memset(&followers, 0, sizeof followers);
    memset(&follower_counts, 0, sizeof follower_counts);
    followers.count = count;
    for (unsigned i = 0; i < count; i++) {
        struct follower *f = &followers.all[i];
        f->number = i + 1;
        f->taste = (enum taste)(i % TASTES);
        world_at(world.now_us + dice_below(3 * SECOND_US), follower_connect, f);
    }
}

static void events_free(const struct stream_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        forget(events[i].key);
    }
    free((void *)(uintptr_t)events);
}

void followers_close(void)
{
    for (unsigned i = 0; i < followers.count; i++) {
        struct follower *f = &followers.all[i];
        for (size_t j = 0; j < f->count; j++) {
            events_free(f->records[j].events, f->records[j].count);
        }
        free(f->records);
    }
    events_free(followers.truth, followers.truth_count);
    while (followers.links != NULL) {
        struct link *l = followers.links;
        followers.links = l->next;
        free(l);
    }
    memset(&followers, 0, sizeof followers);
}

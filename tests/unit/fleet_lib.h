/* What the tests of the fleet share: registrations in one line each, and what a round told as text.
 *
 * Owner    a `struct wish` borrows literals; round_text() writes into the caller's memory.
 * Threads  one.
 */
#ifndef TESTS_UNIT_FLEET_LIB_H
#define TESTS_UNIT_FLEET_LIB_H

#include "store_lib.h"

#include "store/fleet.h"

/* A registration; what is NULL or 0 is not part of it. */
struct wish {
    const char *node;
    const char *node_id;
    const char *address;
    bool skip_node;
    const char *service;    /* its name */
    const char *service_id; /* NULL: the name */
    const char *tag;
    unsigned port;
    const char *check; /* an id */
    const char *check_service;
    enum check_status status;
    const char *output;
};

static inline struct bytes wish_text(const char *text)
{
    return text != NULL ? bytes_of(text) : (struct bytes){0};
}

static inline void wish_add_check(const struct wish *w, struct buf *checks)
{
    struct buf data;
    buf_init(&data, MIB(1));
    struct check_row check = {
        .node = bytes_of(w->node),
        .id = bytes_of(w->check),
        .name = bytes_of(w->check),
        .status = w->status,
        .output = wish_text(w->output),
        .service_id = wish_text(w->check_service),
    };
    cr_assert_eq(row_check_encode(&data, &check), OK);
    cr_assert_eq(texts_add(checks, buf_view(&data)), OK);
    buf_close(&data);
}

static inline void wish_add_service(const struct wish *w, struct buf *out)
{
    struct buf tags;
    buf_init(&tags, MIB(1));
    if (w->tag != NULL) {
        cr_assert_eq(texts_add(&tags, bytes_of(w->tag)), OK);
    }
    struct service_row service = {
        .node = bytes_of(w->node),
        .id = bytes_of(w->service_id != NULL ? w->service_id : w->service),
        .name = bytes_of(w->service),
        .tags = buf_view(&tags),
        .port = w->port,
        .weight_passing = 1,
        .weight_warning = 1,
    };
    cr_assert_eq(row_service_encode(out, &service), OK);
    buf_close(&tags);
}

static inline enum err wish(struct bench *b, struct wish w)
{
    struct buf node;
    struct buf service;
    struct buf checks;
    buf_init(&node, MIB(1));
    buf_init(&service, MIB(1));
    buf_init(&checks, MIB(1));
    struct node_row row = {
        .name = bytes_of(w.node),
        .id = wish_text(w.node_id),
        .address = wish_text(w.address),
    };
    cr_assert_eq(row_node_encode(&node, &row), OK);
    if (w.service != NULL) {
        wish_add_service(&w, &service);
    }
    if (w.check != NULL) {
        wish_add_check(&w, &checks);
    }
    enum err e = bench_do(b, (struct command){.type = COMMAND_REGISTER,
                                              .registration = {.node = buf_view(&node),
                                                               .service = buf_view(&service),
                                                               .checks = buf_view(&checks),
                                                               .skip_node = w.skip_node}});
    buf_close(&node);
    buf_close(&service);
    buf_close(&checks);
    return e;
}

static inline enum err
unwish(struct bench *b, const char *node, const char *service_id, const char *check_id)
{
    return bench_do(b, (struct command){.type = COMMAND_DEREGISTER,
                                        .deregistration = {.node = bytes_of(node),
                                                           .service_id = wish_text(service_id),
                                                           .check_id = wish_text(check_id)}});
}

static inline uint64_t fleet_index(struct bench *b, const char *name)
{
    struct view *v = bench_view(b);
    uint64_t index = view_fleet_index(v, bytes_of(name));
    view_unref(v);
    return index;
}

/* --- a round as text ------------------------------------------------------------------------- */

/* `+web n1/web1 passing 80` came, `~web ... passing>critical 80>81` changed, `-web n1/web1
 * critical` went; `node n1`, `check n1/c`, `session s`, `key k`, with `!` behind them when deleted.
 */
static inline void round_service(struct buf *out, const struct change *c)
{
    struct instance_row r;
    cr_assert_eq(row_instance_decode(c->value, &r), OK);
    cr_assert_eq(r.is, c->op == CHANGE_SET);
    cr_assert_bytes(r.service.name, c->key);
    char sign = r.is ? r.was ? '~' : '+' : '-';
    cr_assert_eq(buf_printf(out, "%c%.*s %.*s/%.*s ", sign, BYTES_FORMAT(c->key),
                            BYTES_FORMAT(r.service.node), BYTES_FORMAT(r.service.id)),
                 OK);
    if (r.was) {
        cr_assert_eq(buf_printf(out, "%s %u", check_status_name(r.before), r.port_before), OK);
    }
    if (r.is) {
        cr_assert_eq(buf_printf(out, "%s%s %u", r.was ? " > " : "", check_status_name(r.status),
                                r.service.port),
                     OK);
    }
}

/* Ends the round, as lines. */
static inline const char *round_text(struct bench *b, struct buf *out)
{
    static const char *const topics[] = {"", "key", "", "node", "check", "session", "event"};
    struct change_batch *batch = bench_finish(b, 0);
    buf_clear(out);
    for (size_t i = 0; i < batch->count; i++) {
        const struct change *c = &batch->changes[i];
        if (c->topic == CHANGE_SERVICE) {
            round_service(out, c);
        } else {
            cr_assert_eq(buf_printf(out, "%s %.*s%s", topics[c->topic], BYTES_FORMAT(c->key),
                                    c->op == CHANGE_DELETE ? "!" : ""),
                         OK);
        }
        buf_put_char(out, '\n');
        cr_assert(i == 0 || c->index > batch->changes[i - 1].index ||
                  c->n == batch->changes[i - 1].n + 1);
    }
    buf_put_char(out, '\0');
    change_batch_unref(batch);
    return out->ptr;
}

#endif

#include "tests/sim/client.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "tests/sim/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A client waits so long for an answer, then takes it for lost. */
#define CLIENT_PATIENCE_US (10 * SECOND_US)
#define CLIENT_WIRE_MIN_US 50
#define CLIENT_WIRE_MAX_US 2000

struct client {
    unsigned number;
    struct op *op; /* what it waits for */
    struct server *server;
    uint64_t seen[KEYS_MAX]; /* ModifyIndex it read or wrote last */
    uint64_t newest;         /* the highest index it was told of */
};

struct clients clients;

static struct client all[CLIENTS_MAX + 1];
static struct op *probe;

static void client_next(void *ctx);

/* --- keys ------------------------------------------------------------------------------------ */

void key_name(unsigned key, char ret_text[16])
{
    (void)snprintf(ret_text, 16, "%c/%02u", key % 2 == 0 ? 'a' : 'b', key);
}

unsigned key_number(struct bytes key)
{
    uint64_t number = 0;
    if (key.len != 4 || bytes_to_u64(bytes_slice(key, 2, 4), &number) != OK || number >= KEYS_MAX) {
        return KEYS_MAX;
    }
    return (unsigned)number;
}

/* --- one op ---------------------------------------------------------------------------------- */

static void op_encode(const struct op *op, struct buf *out)
{
    char key[16];
    char value[24];
    key_name(op->key, key);
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)op->number);
    struct command c = {.time_ms = OP_TIME_MS + op->number};
    struct bytes name = bytes_of(key);
    switch (op->type) {
    case OP_SET:
    case OP_CAS:
        c.type = COMMAND_KV_SET;
        c.kv_set = (struct command_kv_set){
            .key = name,
            .value = bytes_of(value),
            .flags = op->number,
            .check = op->type == OP_CAS,
            .index = op->type == OP_CAS ? op->cas_index : 0,
        };
        break;
    case OP_REMOVE:
    case OP_REMOVE_CAS:
        c.type = COMMAND_KV_DELETE;
        c.kv_delete = (struct command_kv_delete){
            .key = name,
            .check = op->type == OP_REMOVE_CAS,
            .index = op->type == OP_REMOVE_CAS ? op->cas_index : 0,
        };
        break;
    case OP_REMOVE_PREFIX:
    case OP_READ:
        c.type = COMMAND_KV_DELETE_PREFIX;
        c.kv_delete_prefix.prefix = bytes_slice(name, 0, 2);
        break;
    }
    enum err e = command_encode(out, &c);
    CHECK(e == OK);
}

/* The answer has reached the client, or its patience is at an end. */
static void op_end(struct op *op, enum op_outcome outcome)
{
    if (op->outcome != OUTCOME_PENDING) {
        return;
    }
    struct client *c = &all[op->client];
    op->outcome = outcome;
    op->end_us = outcome == OUTCOME_UNKNOWN ? WORLD_NEVER : world.now_us;
    world_mix(op->number * 8 + (uint64_t)outcome);
    if (outcome == OUTCOME_OK) {
        clients.answered++;
        c->newest = op->index > c->newest ? op->index : c->newest;
        if (op->type == OP_READ) {
            c->seen[op->key] = op->found ? op->modify_index : 0;
        } else {
            c->seen[op->key] = op->index;
        }
    }
    if (c->op == op) {
        c->op = NULL;
        if (outcome != OUTCOME_OK && outcome != OUTCOME_CONFLICT) {
            c->server = NULL;
        }
        world_at(world.now_us + dice_below(clients.pause_us + 1), client_next, c);
    }
}

static void op_on_answer(void *ctx)
{
    struct op *op = ctx;
    enum op_outcome outcome = OUTCOME_REFUSED;
    if (op->status == OK) {
        outcome = OUTCOME_OK;
    } else if (op->status == ERR_CONFLICT) {
        outcome = OUTCOME_CONFLICT;
    } else if (op->type != OP_READ && (op->status == ERR_TIMEOUT || op->status == ERR_CLOSED)) {
        outcome = OUTCOME_UNKNOWN;
    }
    op_end(op, outcome);
}

/* On the server: the answer leaves. The wire to the client never loses it while the server lives,
 * or the client would only wait. */
static void op_answer(struct op *op)
{
    world_at(world.now_us + dice_skewed(CLIENT_WIRE_MIN_US, CLIENT_WIRE_MAX_US), op_on_answer, op);
}

static void op_on_done(struct proposal *p)
{
    struct op *op = p->ctx;
    op->status = p->status;
    op->index = p->index;
    op_answer(op);
}

static void op_look(struct op *op, struct view *v)
{
    struct view_pin pin = {0};
    struct kv_row row;
    char key[16];
    key_name(op->key, key);
    op->index = view_index(v);
    enum err e = view_kv_get(v, bytes_of(key), &pin, &row);
    op->found = e == OK && !row.dead;
    if (op->found) {
        op->modify_index = row.modify_index;
        op->value = row.flags;
    }
    op->status = e == ERR_NOT_FOUND ? OK : e;
    view_pin_close(&pin);
    op_answer(op);
}

static void op_on_fresh(struct store_read *r)
{
    struct op *op = r->ctx;
    if (r->status == OK) {
        op_look(op, store_reader_view(&op->server->reader));
    } else {
        op->status = r->status;
        op_answer(op);
    }
}

/* As the front does: at once if the view at hand is good enough. */
static void op_read(struct op *op)
{
    struct server *s = op->server;
    if (store_read_now(s->store, op->mode)) {
        struct view *v = store_reader_view(&s->reader);
        if (view_index(v) >= op->sent) {
            op_look(op, v);
            return;
        }
    }
    op->read = (struct store_read){
        .done = op_on_fresh,
        .ctx = op,
        .mode = op->mode,
        .index = op->sent,
    };
    store_read(s->store, s->front, &op->read);
}

/* On the server's front. */
static void op_on_mail(struct mail *m)
{
    struct op *op = LIST_OWNER(m, struct op, mail);
    struct server *s = op->server;
    if (op->type == OP_READ) {
        op_read(op);
        return;
    }
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    op_encode(op, &command);
    op->proposal = (struct proposal){.done = op_on_done, .ctx = op};
    store_propose(s->store, s->front, &op->proposal, &command);
    buf_close(&command);
}

static void op_on_arrival(void *ctx)
{
    struct op *op = ctx;
    struct server *s = op->server;
    if (!s->serving || s->process.life != op->life) {
        op_end(op, OUTCOME_REFUSED);
        return;
    }
    op->mail.deliver = op_on_mail;
    mailbox_post(loop_mailbox(s->front), &op->mail);
}

static void op_on_patience(void *ctx)
{
    op_end(ctx, OUTCOME_UNKNOWN);
}

static struct op *op_new(unsigned client, enum op_type type, unsigned key)
{
    struct op *op = mem_zalloc(1, sizeof *op);
    if (clients.count == clients.cap) {
        clients.cap = clients.cap == 0 ? 1024 : clients.cap * 2;
        clients.ops = mem_realloc((void *)clients.ops, clients.cap * sizeof *clients.ops);
    }
    clients.ops[clients.count++] = op;
    *op = (struct op){
        .number = clients.count,
        .client = client,
        .type = type,
        .key = key,
        .begin_us = world.now_us,
        .end_us = WORLD_NEVER,
    };
    return op;
}

static void op_send(struct op *op, struct server *s)
{
    op->server = s;
    op->life = s->process.life;
    world_at(world.now_us + dice_skewed(CLIENT_WIRE_MIN_US, CLIENT_WIRE_MAX_US), op_on_arrival, op);
    world_at(world.now_us + CLIENT_PATIENCE_US, op_on_patience, op);
}

/* --- one client ------------------------------------------------------------------------------ */

static struct server *client_server(struct client *c)
{
    if (c->server != NULL && c->server->serving && dice_below(20) != 0) {
        return c->server;
    }
    struct server *serving[SERVERS_MAX];
    unsigned count = 0;
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        if (servers[i].serving) {
            serving[count++] = &servers[i];
        }
    }
    c->server = count > 0 ? serving[dice_below(count)] : NULL;
    return c->server;
}

static enum op_type client_choose(void)
{
    uint64_t roll = dice_below(100);
    if (roll < 35) {
        return OP_READ;
    }
    if (roll < 65) {
        return OP_SET;
    }
    if (roll < 82) {
        return OP_CAS;
    }
    if (roll < 92) {
        return OP_REMOVE;
    }
    return roll < 98 || !clients.prefixes ? OP_REMOVE_CAS : OP_REMOVE_PREFIX;
}

static void client_next(void *ctx)
{
    struct client *c = ctx;
    if (clients.stopped || c->op != NULL) {
        return;
    }
    struct server *s = client_server(c);
    if (s == NULL) {
        world_at(world.now_us + 100000, client_next, c);
        return;
    }
    c->op = op_new(c->number, client_choose(), (unsigned)dice_below(clients.keys));
    c->op->cas_index = dice_below(8) == 0 ? 0 : c->seen[c->op->key];
    if (c->op->type == OP_READ) {
        static const enum read_mode MODES[] = {
            READ_CONSISTENT, READ_CONSISTENT, READ_CONSISTENT, READ_DEFAULT, READ_STALE,
        };
        c->op->mode = MODES[dice_below(sizeof MODES / sizeof MODES[0])];
        c->op->sent = dice_below(2) == 0 ? c->newest : 0;
    }
    op_send(c->op, s);
}

void clients_on_death(struct server *s)
{
    for (unsigned i = 0; i <= CLIENTS_MAX; i++) {
        struct op *op = all[i].op;
        if (op != NULL && op->server == s) {
            world_at(world.now_us + dice_skewed(100, 100000), op_on_patience, op);
        }
    }
}

/* --- the probe ------------------------------------------------------------------------------- */

static void probe_again(void *ctx)
{
    (void)ctx;
    struct client *c = &all[CLIENTS_MAX];
    if (probe != NULL && probe->outcome == OUTCOME_OK) {
        return;
    }
    struct server *s = client_server(c);
    if (s != NULL && (probe == NULL || probe->outcome != OUTCOME_PENDING)) {
        probe = op_new(CLIENTS_MAX, OP_SET, 0);
        op_send(probe, s);
    }
    world_at(world.now_us + 50000, probe_again, NULL);
}

void clients_probe(void)
{
    probe = NULL;
    probe_again(NULL);
}

bool clients_probe_done(void)
{
    return probe != NULL && probe->outcome == OUTCOME_OK;
}

/* --- life ------------------------------------------------------------------------------------ */

void clients_open(unsigned count, unsigned keys, uint64_t pause_us, bool prefixes)
{
    clients = (struct clients){
        .clients = count,
        .keys = keys,
        .pause_us = pause_us,
        .prefixes = prefixes,
    };
    probe = NULL;
    for (unsigned i = 0; i <= CLIENTS_MAX; i++) {
        all[i] = (struct client){.number = i};
        if (i < count) {
            world_at(world.now_us + dice_below(100000), client_next, &all[i]);
        }
    }
}

void clients_stop(void)
{
    clients.stopped = true;
}

void clients_close(void)
{
    for (size_t i = 0; i < clients.count; i++) {
        free(clients.ops[i]);
    }
    free((void *)clients.ops);
    clients = (struct clients){0};
}

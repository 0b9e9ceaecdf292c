#include "core/agent/acl_begin.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/config.h"
#include "store/acl_rows.h"

#include <stdlib.h>

struct acl_begin {
    const struct config *config;
    struct store *store;
    struct loop *loop;
    struct store_reader reader;
    struct timer tick;
    struct proposal proposal;
    struct buf row;
    bool proposing;
    bool closing;
};

static void begin_on_changes(struct store_reader *r, struct change_batch *b)
{
    (void)r;
    (void)b;
}

static void begin_rest(struct acl_begin *a, uint64_t delay_ms)
{
    if (!a->closing) {
        env_timer_start(loop_env(a->loop), &a->tick, delay_ms);
    }
}

static void begin_done(struct proposal *p)
{
    struct acl_begin *a = p->ctx;
    a->proposing = false;
    /* Another leader may have written it first: what there is, is looked at again. */
    begin_rest(a, p->status == OK ? 0 : ACL_BEGIN_SOON_MS);
}

static void begin_propose(struct acl_begin *a, struct command *c)
{
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    c->time_ms = env_wall_ms(loop_env(a->loop));
    enum err e = command_encode(&command, c);
    if (e != OK) {
        log_line(LOG_ACL_FAILED, "why=\"%s\"", err_text(e));
        buf_close(&command);
        begin_rest(a, ACL_BEGIN_TICK_MS);
        return;
    }
    a->proposing = true;
    a->proposal = (struct proposal){.done = begin_done, .ctx = a};
    store_propose(a->store, a->loop, &a->proposal, &command);
}

static bool begin_has_policy(struct view *v)
{
    struct view_pin pin = {0};
    struct acl_policy policy;
    enum err e = view_acl_policy(v, BYTES(ACL_MANAGEMENT_POLICY), &pin, &policy);
    view_pin_close(&pin);
    return e != ERR_NOT_FOUND;
}

static bool begin_has_secret(struct view *v, struct bytes secret)
{
    struct view_pin pin = {0};
    struct acl_token token;
    enum err e = view_acl_token_by_secret(v, secret, &pin, &token);
    view_pin_close(&pin);
    return e != ERR_NOT_FOUND;
}

static bool begin_policy(struct acl_begin *a, struct command *c)
{
    struct acl_policy policy = {
        .id = BYTES(ACL_MANAGEMENT_POLICY),
        .name = BYTES(ACL_MANAGEMENT_NAME),
        .description = BYTES("Builtin Policy that grants unlimited access"),
    };
    *c = (struct command){.type = COMMAND_ACL_SET, .acl = {.kind = ACL_POLICY, .create = true}};
    return acl_policy_encode(&a->row, &policy) == OK;
}

static bool begin_management(struct acl_begin *a, uint64_t bootstrapped, struct command *c)
{
    char accessor[UUID_TEXT_LEN];
    struct buf links;
    uuid_make(accessor);
    buf_init(&links, ACL_LINKS_MAX);
    bool fits = texts_add(&links, BYTES(ACL_MANAGEMENT_POLICY)) == OK;
    struct acl_token token = {
        .accessor = bytes_of(accessor),
        .secret = bytes_of(a->config->acl_token_initial),
        .description = BYTES("Master Token"),
        .links.policies = buf_view(&links),
        .create_ms = env_wall_ms(loop_env(a->loop)),
    };
    *c = (struct command){.type = bootstrapped == 0 ? COMMAND_ACL_BOOTSTRAP : COMMAND_ACL_SET,
                          .acl = {.kind = ACL_TOKEN, .create = bootstrapped != 0}};
    fits = fits && acl_token_encode(&a->row, &token) == OK;
    buf_close(&links);
    return fits;
}

static bool begin_anonymous(struct acl_begin *a, struct command *c)
{
    struct acl_token token = {
        .accessor = BYTES(ACL_ANONYMOUS_ACCESSOR),
        .secret = BYTES(ACL_ANONYMOUS_SECRET),
        .description = BYTES("Anonymous Token"),
        .create_ms = env_wall_ms(loop_env(a->loop)),
    };
    *c = (struct command){.type = COMMAND_ACL_SET, .acl = {.kind = ACL_TOKEN, .create = true}};
    return acl_token_encode(&a->row, &token) == OK;
}

/* A token whose time is over. It opens nothing since then; here its row goes. */
static bool begin_expired(struct acl_begin *a, struct view *v, struct command *c)
{
    struct acl_scan *scan = acl_scan_open(v, ACL_TOKEN);
    uint64_t now_ms = env_wall_ms(loop_env(a->loop));
    struct bytes data;
    bool found = false;
    buf_clear(&a->row);
    while (!found && acl_scan_next(scan, &data) == OK) {
        struct acl_token t;
        found = acl_token_decode(data, &t) == OK && t.expires_ms != 0 && t.expires_ms <= now_ms;
        found = found && buf_append(&a->row, t.accessor) == OK;
    }
    acl_scan_close(scan);
    *c = (struct command){.type = COMMAND_ACL_DELETE,
                          .acl = {.kind = ACL_TOKEN, .id = buf_view(&a->row)}};
    return found;
}

/* The next thing that is not there; false: all is. */
static bool begin_next(struct acl_begin *a, struct view *v, struct command *c)
{
    const char *initial = a->config->acl_token_initial;
    buf_clear(&a->row);
    bool wanted = false;
    if (!begin_has_policy(v)) {
        wanted = begin_policy(a, c);
    } else if (initial != NULL && *initial != '\0' && !begin_has_secret(v, bytes_of(initial))) {
        wanted = begin_management(a, view_acl_bootstrapped(v), c);
    } else if (!begin_has_secret(v, BYTES(ACL_ANONYMOUS_SECRET))) {
        wanted = begin_anonymous(a, c);
    }
    if (wanted) {
        c->acl.row = buf_view(&a->row);
    }
    return wanted;
}

static void begin_on_tick(struct timer *t)
{
    struct acl_begin *a = LIST_OWNER(t, struct acl_begin, tick);
    struct store_facts facts;
    struct command c;
    store_facts_get(a->store, &facts);
    if (!facts.leader) {
        begin_rest(a, ACL_BEGIN_SOON_MS);
    } else if (begin_next(a, store_reader_view(&a->reader), &c) ||
               begin_expired(a, store_reader_view(&a->reader), &c)) {
        begin_propose(a, &c);
    } else {
        begin_rest(a, ACL_BEGIN_TICK_MS);
    }
}

struct acl_begin *acl_begin_open(const struct config *c, struct store *s, struct loop *loop)
{
    if (!c->acl_enabled) {
        return NULL;
    }
    struct acl_begin *a = mem_zalloc(1, sizeof *a);
    *a = (struct acl_begin){
        .config = c,
        .store = s,
        .loop = loop,
        .reader.on_changes = begin_on_changes,
    };
    buf_init(&a->row, COMMAND_MAX);
    store_reader_open(&a->reader, s, loop);
    env_timer_init(loop_env(loop), &a->tick, begin_on_tick);
    begin_rest(a, 0);
    return a;
}

void acl_begin_close(struct acl_begin *a)
{
    if (a != NULL && !a->closing) {
        a->closing = true;
        timer_stop(&a->tick);
        store_reader_close(&a->reader);
    }
}

void acl_begin_free(struct acl_begin *a)
{
    if (a != NULL) {
        CHECK(a->closing && !a->proposing);
        buf_close(&a->row);
        free(a);
    }
}

/* Any bytes as log entries, on a real state in memory: nothing crashes, the applied index moves
 * with every entry, and what is counted is what is there.
 *
 * Input    entries one after the other, each behind its length (u16, little-endian).
 * The state is one for all inputs, as opening a database takes longer than anything else here; each
 * input begins by emptying it. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/command.h"
#include "store/fleet.h"
#include "store/pack.h"
#include "store/state.h"

static struct state *state;
static struct collect collect;

static enum err apply(struct bytes entry)
{
    struct apply_reply reply;
    struct reason why;
    uint64_t index = state_applied(state) + 1;
    CHECK(state_apply(state, index, entry, &collect, &reply, &why) == OK);
    CHECK(reply.index == index && state_applied(state) == index);
    return reply.status;
}

static void apply_own(const struct command *c)
{
    struct buf entry;
    buf_init(&entry, COMMAND_MAX);
    CHECK(command_encode(&entry, c) == OK);
    CHECK(apply(buf_view(&entry)) == OK);
    buf_close(&entry);
}

static void trim_all(void)
{
    struct history_limits none = {0};
    bool more = true;
    while (more) {
        CHECK(state_trim(state, &none, &more, NULL) == OK);
    }
    CHECK(state_history_bytes(state) == 0);
}

/* Nodes take along all that they have; what has none was restored so, and goes one by one. */
static void empty_fleet(void)
{
    struct view *v = state_view(state);
    struct fleet_scan *scan = fleet_nodes(v);
    struct node_row node;
    while (fleet_next_node(scan, &node) == OK) {
        apply_own(
            &(struct command){.type = COMMAND_DEREGISTER, .deregistration = {.node = node.name}});
    }
    fleet_scan_close(scan);
    view_unref(v);
    v = state_view(state);
    scan = fleet_services(v, (struct bytes){0});
    struct service_row service;
    while (fleet_next_service(scan, &service) == OK) {
        apply_own(
            &(struct command){.type = COMMAND_DEREGISTER,
                              .deregistration = {.node = service.node, .service_id = service.id}});
    }
    fleet_scan_close(scan);
    scan = fleet_checks(v, (struct bytes){0});
    struct check_row check;
    while (fleet_next_check(scan, &check) == OK) {
        apply_own(&(struct command){.type = COMMAND_DEREGISTER,
                                    .deregistration = {.node = check.node, .check_id = check.id}});
    }
    fleet_scan_close(scan);
    view_unref(v);
}

static void empty(void)
{
    empty_fleet();
    apply_own(&(struct command){.type = COMMAND_KV_DELETE_PREFIX});
    apply_own(&(struct command){.type = COMMAND_TOMBSTONE_REAP,
                                .tombstone_reap = {.through = UINT64_MAX}});
    trim_all();
    collect_close(&collect);
}

/* Every row reads well, and lies between its neighbours. */
static void check_rows(struct view *v)
{
    struct kv_row row;
    struct kv_scan *scan = kv_scan_open(v, (struct bytes){0});
    enum err e;
    bool dead = false;
    while ((e = kv_scan_next(scan, &row)) == OK) {
        struct view_pin pin = {0};
        struct kv_row same;
        CHECK(row.modify_index > 0 && row.modify_index <= view_kv_index(v));
        CHECK(view_kv_get(v, row.key, &pin, &same) == OK);
        CHECK(same.modify_index == row.modify_index && bytes_equal(same.value, row.value));
        view_pin_close(&pin);
        dead = dead || row.dead;
    }
    CHECK(e == ERR_NOT_FOUND);
    kv_scan_close(scan);
    bool reapable = false;
    CHECK(state_reapable(state, UINT64_MAX, &reapable, NULL) == OK);
    CHECK(reapable == dead);
}

/* --- the fleet ------------------------------------------------------------------------------- */

static void check_index(struct view *v, const char *prefix, struct bytes name, bool there)
{
    struct buf text;
    buf_init(&text, (size_t)2 * ROW_NAME_MAX);
    CHECK(fleet_index_name(&text, prefix, name) == OK);
    uint64_t index = view_fleet_index(v, buf_view(&text));
    CHECK(index <= view_index(v));
    CHECK(there == (index > 0));
    buf_close(&text);
}

static void check_nodes(struct view *v)
{
    struct fleet_scan *scan = fleet_nodes(v);
    struct node_row node;
    enum err e;
    while ((e = fleet_next_node(scan, &node)) == OK) {
        struct view_pin pin = {0};
        struct node_row same;
        CHECK(view_node(v, node.name, &pin, &same) == OK);
        CHECK(node.create_index <= node.modify_index && node.modify_index <= view_index(v));
        check_index(v, FLEET_INDEX_NODE, node.name, true);
        view_pin_close(&pin);
    }
    CHECK(e == ERR_NOT_FOUND);
    fleet_scan_close(scan);
}

/* The instance of this service is among those of its name, once. */
static size_t count_links(struct view *v, const struct service_row *service)
{
    struct fleet_scan *scan = fleet_instances(v, service->name);
    struct service_row row;
    size_t count = 0;
    enum err e;
    while ((e = fleet_next_service(scan, &row)) == OK) {
        CHECK(bytes_equal_nocase(row.name, service->name));
        count +=
            bytes_equal_nocase(row.node, service->node) && bytes_equal_nocase(row.id, service->id);
    }
    CHECK(e == ERR_NOT_FOUND);
    fleet_scan_close(scan);
    return count;
}

static void check_services(struct view *v)
{
    struct fleet_scan *scan = fleet_services(v, (struct bytes){0});
    struct service_row service;
    size_t services = 0;
    enum err e;
    while ((e = fleet_next_service(scan, &service)) == OK) {
        CHECK(service.modify_index <= view_index(v));
        CHECK(count_links(v, &service) == 1);
        check_index(v, FLEET_INDEX_SERVICE, service.name, true);
        services++;
    }
    CHECK(e == ERR_NOT_FOUND);
    fleet_scan_close(scan);
    /* And no link leads nowhere. */
    scan = fleet_instances(v, (struct bytes){0});
    while ((e = fleet_next_service(scan, &service)) == OK) {
        services--;
    }
    CHECK(e == ERR_NOT_FOUND && services == 0);
    fleet_scan_close(scan);
}

static void check_checks(struct view *v)
{
    struct fleet_scan *scan = fleet_checks(v, (struct bytes){0});
    struct check_row check;
    struct check_row of;
    enum err e;
    while ((e = fleet_next_check(scan, &check)) == OK) {
        struct fleet_scan *links = fleet_service_checks(v, check.node, check.service_id);
        size_t count = 0;
        while ((e = fleet_next_check(links, &of)) == OK) {
            CHECK(bytes_equal_nocase(of.service_id, check.service_id));
            count += bytes_equal_nocase(of.id, check.id);
        }
        CHECK(e == ERR_NOT_FOUND && count == 1);
        CHECK(check.modify_index <= view_index(v));
        fleet_scan_close(links);
    }
    CHECK(e == ERR_NOT_FOUND);
    fleet_scan_close(scan);
}

static void check_fleet(struct view *v)
{
    check_nodes(v);
    check_services(v);
    check_checks(v);
    CHECK(view_gone_index(v) <= view_index(v));
}

static void check_change(const struct change *c)
{
    struct instance_row instance;
    struct node_row node;
    struct check_row check;
    if (c->topic == CHANGE_SERVICE) {
        CHECK(row_instance_decode(c->value, &instance) == OK);
        CHECK(instance.is || instance.was);
        CHECK(instance.is == (c->op == CHANGE_SET));
        CHECK(bytes_equal(instance.service.name, c->key));
    } else if (c->topic == CHANGE_NODE && c->op == CHANGE_SET) {
        CHECK(row_node_decode(c->value, &node) == OK);
    } else if (c->topic == CHANGE_CHECK && c->op == CHANGE_SET) {
        CHECK(row_check_decode(c->value, &check) == OK);
    }
}

/* The history says what the round said. */
static void check_changes(struct view *v, const struct change_batch *batch)
{
    struct change_scan *scan = NULL;
    struct change c;
    if (batch->replaced) {
        CHECK(batch->count == 0);
        CHECK(change_scan_open(v, batch->after, &scan) == ERR_COMPACTED);
        return;
    }
    CHECK(change_scan_open(v, batch->after, &scan) == OK);
    for (size_t i = 0; i < batch->count; i++) {
        const struct change *want = &batch->changes[i];
        CHECK(change_scan_next(scan, &c) == OK);
        CHECK(c.index == want->index && c.n == want->n && c.op == want->op);
        CHECK(bytes_equal(c.key, want->key) && bytes_equal(c.value, want->value));
        check_change(&c);
        if (want->topic != CHANGE_KV) {
            continue;
        }
        struct change_scan *of_key = change_scan_open_key(v, want->key);
        struct change newest;
        enum err e = change_scan_next(of_key, &newest);
        CHECK(e == ERR_NOT_FOUND || (e == OK && newest.index > batch->after));
        CHECK(e == OK || want->op == CHANGE_DELETE_PREFIX);
        change_scan_close(of_key);
    }
    CHECK(change_scan_next(scan, &c) == ERR_NOT_FOUND);
    change_scan_close(scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (state == NULL) {
        struct reason why;
        CHECK(state_open(NULL, &state, &why) == OK);
        collect_init(&collect);
    }
    empty();
    uint64_t after = state_applied(state);
    struct unpack in = {.rest = {(const char *)data, size}};
    while (!in.failed && in.rest.len > 0) {
        size_t len = (size_t)unpack_number(&in, 2);
        enum err e = apply(unpack_raw(&in, len < in.rest.len ? len : in.rest.len));
        CHECK(e == OK || e == ERR_CONFLICT || e == ERR_INVALID || e == ERR_IN_USE ||
              e == ERR_AHEAD);
    }
    struct view *v = state_view(state);
    struct change_batch *batch = collect_finish(&collect, after, v);
    check_rows(v);
    check_fleet(v);
    check_changes(v, batch);
    change_batch_unref(batch);
    view_unref(v);
    return 0;
}

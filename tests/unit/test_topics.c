/* Topics of the fleet on the change stream: what a subscription of a service is told, and that a
 * client that takes a snapshot and does what it is told holds, at each index, exactly what the
 * view of that index shows; from a random schedule of registrations, resumed at every index.
 * HERALD_SEED=<n> replays one, HERALD_SEEDS=<n> runs so many. */
#include "store/fleet.h"
#include "store/row_json.h"
#include "tests/unit/stream_world.h"

static struct world w;

static void setup(void)
{
    world_open(&w, 1);
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(topics, .init = setup, .fini = teardown);

/* --- writing -----------------------------------------------------------------------------------
 */

struct instance {
    const char *node;
    const char *service; /* NULL: none */
    const char *id;
    const char *tags[3];
    uint32_t port;
    enum check_status status; /* of a check of the service; 0: none */
    enum check_status health; /* of a check of the node; 0: none */
};

static void add_check(struct buf *out, const struct instance *i, bool own)
{
    struct buf row;
    buf_init(&row, UINT32_MAX);
    cr_assert_eq(row_check_encode(&row,
                                  &(struct check_row){
                                      .node = bytes_of(i->node),
                                      .id = own ? bytes_of(i->id) : BYTES("serfHealth"),
                                      .name = BYTES("alive"),
                                      .status = own ? i->status : i->health,
                                      .service_id = bytes_of(own ? i->id : ""),
                                  }),
                 OK);
    cr_assert_eq(texts_add(out, buf_view(&row)), OK);
    buf_close(&row);
}

static void put(const struct instance *i)
{
    struct buf node;
    struct buf service;
    struct buf checks;
    struct buf tags;
    buf_init(&node, UINT32_MAX);
    buf_init(&service, UINT32_MAX);
    buf_init(&checks, UINT32_MAX);
    buf_init(&tags, UINT32_MAX);
    for (size_t k = 0; k < 3 && i->tags[k] != NULL; k++) {
        cr_assert_eq(texts_add(&tags, bytes_of(i->tags[k])), OK);
    }
    cr_assert_eq(row_node_encode(&node,
                                 &(struct node_row){
                                     .name = bytes_of(i->node),
                                     .address = BYTES("10.0.0.1"),
                                 }),
                 OK);
    if (i->service != NULL) {
        cr_assert_eq(row_service_encode(&service,
                                        &(struct service_row){
                                            .node = bytes_of(i->node),
                                            .id = bytes_of(i->id),
                                            .name = bytes_of(i->service),
                                            .tags = buf_view(&tags),
                                            .port = i->port,
                                            .weight_passing = 1,
                                            .weight_warning = 1,
                                        }),
                     OK);
    }
    if (i->status != 0) {
        add_check(&checks, i, true);
    }
    if (i->health != 0) {
        add_check(&checks, i, false);
    }
    world_apply(&w, &(struct command){
                        .type = COMMAND_REGISTER,
                        .registration = {.node = buf_view(&node),
                                         .service = buf_view(&service),
                                         .checks = buf_view(&checks)},
                    });
    buf_close(&node);
    buf_close(&service);
    buf_close(&checks);
    buf_close(&tags);
}

static void drop(const char *node, const char *id)
{
    world_apply(&w, &(struct command){
                        .type = COMMAND_DEREGISTER,
                        .deregistration = {.node = bytes_of(node), .service_id = bytes_of(id)},
                    });
}

/* --- what one subscription is told ---------------------------------------------------------------
 */

static struct tap *subscribe(const char *members)
{
    char message[512];
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    (void)snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":1,%s}", members);
    tap_say(t, message);
    (void)tap_expect_type(t, "welcome");
    (void)tap_expect_type(t, "subscribed");
    return t;
}

/* The next message has one event, of this op and instance; NULL: there is no message. */
static void expect_op(struct tap *t, const char *op, const char *id)
{
    if (op == NULL) {
        tap_expect_nothing(t);
        return;
    }
    json_t *events = json_object_get(tap_expect_type(t, "events"), "events");
    cr_assert_eq(json_array_size(events), 1);
    json_t *e = json_array_get(events, 0);
    cr_assert_str_eq(json_text_of(e, "op"), op);
    cr_assert_str_eq(json_text_of(e, "id"), id);
    cr_assert_str_eq(json_text_of(e, "service"), "api");
    cr_assert_eq(json_object_get(e, "row") != NULL, strcmp(op, "removed") != 0);
}

/* `api`, passing, prod: only what changes that list, whatever else happens to the instances. */
Test(topics, a_list_is_told_only_what_changes_it)
{
    static const struct {
        struct instance write; /* no node: deregister `id` of n1 */
        const char *op;
    } rows[] = {
        {{"n1", "api", "a", {"prod"}, 80, CHECK_PASSING, 0}, "added"},
        {{"n1", "api", "a", {"prod", "v2"}, 80, CHECK_PASSING, 0}, "changed"},
        {{"n1", "api", "a", {"prod", "v2"}, 81, CHECK_PASSING, 0}, "changed"},
        {{"n1", "api", "a", {"prod", "v2"}, 81, CHECK_WARNING, 0}, "removed"},
        {{"n1", "api", "a", {"prod", "v2"}, 81, CHECK_CRITICAL, 0}, NULL},
        {{"n1", "api", "a", {"PROD"}, 81, CHECK_PASSING, 0}, "added"},
        {{"n1", "api", "a", {"dev"}, 81, CHECK_PASSING, 0}, "removed"},
        {{"n1", "api", "a", {"dev"}, 82, CHECK_PASSING, 0}, NULL},
        {{"n1", "api", "a", {"dev", "prod"}, 82, CHECK_PASSING, 0}, "added"},
        {{"n1", NULL, "a", {NULL}, 0, 0, CHECK_CRITICAL}, "removed"},
        {{"n1", NULL, "a", {NULL}, 0, 0, CHECK_PASSING}, "added"},
        {{NULL, NULL, "a", {NULL}, 0, 0, 0}, "removed"},
        {{"n1", "api", "a", {"prod"}, 80, CHECK_CRITICAL, 0}, NULL},
        {{NULL, NULL, "a", {NULL}, 0, 0, 0}, NULL},
    };
    struct tap *t = subscribe("\"topic\":\"service\",\"key\":\"Api\",\"tag\":\"prod\","
                              "\"status\":\"passing\"");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(&(struct instance){"n2", "web", "other", {"prod"}, (uint32_t)i, CHECK_PASSING, 0});
        if (rows[i].write.node == NULL) {
            drop("n1", rows[i].write.id);
        } else {
            put(&rows[i].write);
        }
        world_publish(&w);
        expect_op(t, rows[i].op, "a");
    }
    tap_free(t);
}

/* The form of elements, whole: as frame.h and the contract have it. */
Test(topics, elements_have_their_form)
{
    static const char *const members[] = {"\"topic\":\"service\"",
                                          "\"topic\":\"service\",\"status\":\"passing\"",
                                          "\"topic\":\"node\"", "\"topic\":\"check\""};
    struct tap *taps[4];
    for (size_t i = 0; i < 4; i++) {
        taps[i] = subscribe(members[i]);
    }
    put(&(struct instance){"n1", "api", "a", {NULL}, 80, CHECK_PASSING, 0});
    world_publish(&w);
    json_t *e = json_array_get(json_object_get(tap_json(taps[0]), "events"), 0);
    json_t *row = json_object_get(e, "row");
    cr_assert_str_eq(json_text_of(e, "op"), "added");
    cr_assert_str_eq(json_text_of(e, "status"), "passing");
    cr_assert_null(json_object_get(e, "before"));
    cr_assert_str_eq(json_text_of(json_object_get(row, "Node"), "Datacenter"), "dc1");
    cr_assert_str_eq(json_text_of(json_object_get(row, "Service"), "ID"), "a");
    cr_assert_eq(json_array_size(json_object_get(row, "Checks")), 1);
    e = json_array_get(json_object_get(tap_json(taps[2]), "events"), 0);
    cr_assert_str_eq(json_text_of(e, "op"), "set");
    cr_assert_str_eq(json_text_of(e, "key"), "n1");
    cr_assert_str_eq(json_text_of(json_object_get(e, "row"), "Node"), "n1");
    e = json_array_get(json_object_get(tap_json(taps[3]), "events"), 0);
    cr_assert_str_eq(json_text_of(e, "key"), "n1/a");
    cr_assert_str_eq(json_text_of(json_object_get(e, "row"), "CheckID"), "a");
    put(&(struct instance){"n1", "api", "a", {NULL}, 80, CHECK_CRITICAL, 0});
    world_publish(&w);
    tap_skip(taps[1]);
    taps[1]->read--;
    tap_expect(taps[1],
               "{\"type\":\"events\",\"id\":1,\"after\":1,\"through\":2,\"events\":[{\"index\":2,"
               "\"op\":\"removed\",\"service\":\"api\",\"node\":\"n1\",\"id\":\"a\","
               "\"status\":\"critical\",\"before\":\"passing\",\"time_ms\":1700000001000}]}");
    drop("n1", "a");
    world_publish(&w);
    tap_skip(taps[0]);
    taps[0]->read--;
    tap_expect(taps[0],
               "{\"type\":\"events\",\"id\":1,\"after\":2,\"through\":3,\"events\":[{\"index\":3,"
               "\"op\":\"removed\",\"service\":\"api\",\"node\":\"n1\",\"id\":\"a\","
               "\"before\":\"critical\",\"time_ms\":1700000001000}]}");
    tap_expect_nothing(taps[1]);
    for (size_t i = 0; i < 4; i++) {
        tap_free(taps[i]);
    }
}

/* Changes of keys and of the fleet do not mix, in one index space. */
Test(topics, keys_and_services_are_apart)
{
    struct tap *keys = subscribe("\"topic\":\"kv\"");
    struct tap *services = subscribe("\"topic\":\"service\"");
    put(&(struct instance){"n1", "api", "api", {NULL}, 80, 0, 0});
    world_publish(&w);
    tap_expect_nothing(keys);
    expect_op(services, "added", "api");
    (void)world_put(&w, "api", "1");
    tap_expect_nothing(services);
    tap_expect(keys, "{\"type\":\"events\",\"id\":1,\"after\":0,\"through\":2,\"events\":["
                     "{\"index\":2,\"op\":\"set\",\"key\":\"api\",\"value\":\"MQ==\",\"flags\":0,"
                     "\"create_index\":2}]}");
    tap_free(keys);
    tap_free(services);
}

/* The kept changes of a key are those of the key, though a service may have its name. */
Test(topics, the_history_of_a_key_is_of_the_key)
{
    put(&(struct instance){"api", "api", "api", {NULL}, 80, 0, 0});
    (void)world_put(&w, "api", "1");
    put(&(struct instance){"api", "api", "api", {NULL}, 81, 0, 0});
    world_publish(&w);
    struct change_scan *scan = change_scan_open_key(w.view, BYTES("api"));
    struct change c;
    cr_assert_eq(change_scan_next(scan, &c), OK);
    cr_assert_eq(c.topic, CHANGE_KV);
    cr_assert_eq(c.index, 2);
    cr_assert_eq(change_scan_next(scan, &c), ERR_NOT_FOUND);
    change_scan_close(scan);
}

/* Subscriptions that are alike share one frame; an element is the same bytes in all of them. */
Test(topics, alike_subscriptions_share_a_frame)
{
    static const char *const members =
        "\"topic\":\"service\",\"key\":\"api\",\"tag\":[\"a\",\"b\"],\"status\":\"passing\"";
    struct tap *taps[3];
    for (size_t i = 0; i < 3; i++) {
        taps[i] = subscribe(members);
    }
    put(&(struct instance){"n1", "api", "x", {"a", "b"}, 80, CHECK_PASSING, 0});
    world_publish(&w);
    struct shared *frame = tap_frame(taps[0]);
    cr_assert_eq(tap_frame(taps[1]), frame);
    cr_assert_eq(tap_frame(taps[2]), frame);
    for (size_t i = 0; i < 3; i++) {
        tap_free(taps[i]);
    }
}

/* A transition, as a webhook asks for it. */
Test(topics, a_filter_sees_transitions)
{
    struct tap *t = subscribe("\"topic\":\"service\",\"filter\":\"status == critical and before "
                              "!= critical\"");
    static const enum check_status steps[] = {CHECK_PASSING, CHECK_CRITICAL, CHECK_CRITICAL,
                                              CHECK_WARNING, CHECK_CRITICAL, CHECK_PASSING};
    size_t events = 0;
    for (size_t i = 0; i < 6; i++) {
        put(&(struct instance){"n1", "api", "a", {NULL}, (uint32_t)i, steps[i], 0});
        world_publish(&w);
    }
    while (t->read < t->count) {
        expect_op(t, "changed", "a");
        events++;
    }
    cr_assert_eq(events, 2);
    tap_free(t);
}

Test(topics, what_does_not_fit_a_topic_is_refused)
{
    static const struct {
        const char *members;
        const char *code;
    } rows[] = {
        {"\"topic\":\"servise\"", "topic_unknown"},
        {"\"topic\":\"kv\",\"tag\":\"a\"", "bad_request"},
        {"\"topic\":\"node\",\"status\":\"passing\"", "bad_request"},
        {"\"topic\":\"node\",\"node\":\"n1\"", "bad_request"},
        {"\"topic\":\"service\",\"status\":\"critical\"", "bad_request"},
        {"\"topic\":\"service\",\"tag\":1", "bad_request"},
        {"\"topic\":\"service\",\"tag\":[\"a\",1]", "bad_request"},
        {"\"topic\":\"service\",\"tag\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]", "bad_request"},
        {"\"topic\":\"service\",\"filter\":\"flags == 1\"", "filter_invalid"},
        {"\"topic\":\"kv\",\"filter\":\"status == passing\"", "filter_invalid"},
    };
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_say(t, "{\"type\":\"hello\"}");
    (void)tap_expect_type(t, "welcome");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char message[512];
        (void)snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":1,%s}",
                       rows[i].members);
        tap_say(t, message);
        cr_assert_str_eq(json_text_of(tap_expect_type(t, "error"), "code"), rows[i].code, "%s",
                         rows[i].members);
    }
    tap_free(t);
}

/* --- a client against the view ------------------------------------------------------------------
 */

#define SEEDS_DEFAULT 6U
#define STEPS         60U
#define ROWS_MAX      64U
#define INDEXES_MAX   512U

static uint64_t seed;
static uint64_t dice;

#define HOLDS(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "seed %lu: ", seed);                                                   \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            cr_assert_fail("seed %lu: %s", seed, #cond);                                           \
        }                                                                                          \
    } while (0)

static unsigned roll(unsigned limit)
{
    return (unsigned)(dice_next(&dice) % limit);
}

/* A list of rows by their names, as texts in the order of the names. */
struct list_row {
    char *name;
    char *text;
};

struct rows {
    struct list_row rows[ROWS_MAX];
    size_t count;
};

static void rows_clear(struct rows *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->rows[i].name);
        free(r->rows[i].text);
    }
    r->count = 0;
}

/* `text` NULL: takes it out. False if that changes nothing that it should. */
static bool rows_set(struct rows *r, const char *name, const char *text)
{
    size_t at = 0;
    while (at < r->count && strcmp(r->rows[at].name, name) < 0) {
        at++;
    }
    bool there = at < r->count && strcmp(r->rows[at].name, name) == 0;
    if (there) {
        free(r->rows[at].name);
        free(r->rows[at].text);
        memmove(&r->rows[at], &r->rows[at + 1], (r->count - at - 1) * sizeof r->rows[0]);
        r->count--;
    }
    if (text != NULL) {
        HOLDS(r->count < ROWS_MAX, "too many rows");
        memmove(&r->rows[at + 1], &r->rows[at], (r->count - at) * sizeof r->rows[0]);
        r->rows[at] = (struct list_row){.name = strdup(name), .text = strdup(text)};
        r->count++;
    }
    return there;
}

static void rows_copy(struct rows *to, const struct rows *from)
{
    HOLDS(from != NULL, "no rows to copy");
    for (size_t i = 0; i < from->count; i++) {
        (void)rows_set(to, from->rows[i].name, from->rows[i].text);
    }
}

/* What the tests select: the words of the subscription, and the same as C. */
static const struct selects {
    const char *members;
    enum change_topic topic;
    const char *service;
    const char *tags[2];
    enum check_status worst;
    const char *node;
} SELECTS[] = {
    {"\"topic\":\"service\"", CHANGE_SERVICE, NULL, {NULL}, CHECK_CRITICAL, NULL},
    {"\"topic\":\"service\",\"key\":\"api\"", CHANGE_SERVICE, "api", {NULL}, CHECK_CRITICAL, NULL},
    {"\"topic\":\"service\",\"key\":\"API\",\"status\":\"passing\",\"tag\":\"prod\"",
     CHANGE_SERVICE,
     "api",
     {"prod"},
     CHECK_PASSING,
     NULL},
    {"\"topic\":\"service\",\"tag\":[\"v2\",\"prod\"],\"status\":\"passing,warning\"",
     CHANGE_SERVICE,
     NULL,
     {"prod", "v2"},
     CHECK_WARNING,
     NULL},
    {"\"topic\":\"service\",\"node\":\"N1\",\"status\":\"passing\"",
     CHANGE_SERVICE,
     NULL,
     {NULL},
     CHECK_PASSING,
     "n1"},
    {"\"topic\":\"node\"", CHANGE_NODE, NULL, {NULL}, 0, NULL},
    {"\"topic\":\"check\"", CHANGE_CHECK, NULL, {NULL}, 0, NULL},
};

#define SELECT_COUNT (sizeof SELECTS / sizeof SELECTS[0])

/* What each selection shows at an index. */
struct moment {
    uint64_t index;
    struct rows rows[SELECT_COUNT];
};

static struct moment moments[INDEXES_MAX];
static size_t moment_count;

/* JSON in one form, so that texts can be compared. */
static char *json_same(json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
}

static void note(struct rows *r, const char *name, struct buf *json)
{
    json_t *value = json_loadb(json->ptr, json->len, 0, NULL);
    char *text = json_same(value);
    (void)rows_set(r, name, text);
    free(text);
    json_decref(value);
    buf_clear(json);
}

static bool selects_tags(const struct selects *s, struct bytes tags)
{
    for (size_t i = 0; i < 2 && s->tags[i] != NULL; i++) {
        if (!texts_have_nocase(tags, bytes_of(s->tags[i]))) {
            return false;
        }
    }
    return true;
}

static void note_instance(struct view *v,
                          const struct selects *s,
                          const struct service_row *row,
                          struct rows *r)
{
    struct view_pin pin = {0};
    struct node_row node;
    struct buf json;
    struct buf checks;
    struct buf one;
    enum check_status worst = CHECK_PASSING;
    char name[256];
    buf_init(&json, UINT32_MAX);
    buf_init(&checks, UINT32_MAX);
    buf_init(&one, UINT32_MAX);
    cr_assert_eq(view_node(v, row->node, &pin, &node), OK);
    for (unsigned own = 0; own < 2; own++) {
        struct fleet_scan *scan = fleet_checks(v, row->node);
        struct check_row c;
        while (fleet_next_check(scan, &c) == OK) {
            bool mine = own == 1 ? bytes_equal_nocase(c.service_id, row->id) && c.service_id.len > 0
                                 : c.service_id.len == 0;
            if (mine) {
                buf_clear(&one);
                cr_assert_eq(row_check_encode(&one, &c), OK);
                cr_assert_eq(texts_add(&checks, buf_view(&one)), OK);
                worst = c.status > worst ? c.status : worst;
            }
        }
        fleet_scan_close(scan);
    }
    if (worst <= s->worst && selects_tags(s, row->tags)) {
        cr_assert_eq(row_json_instance(&json, &node, row, buf_view(&checks), BYTES("dc1")), OK);
        (void)snprintf(name, sizeof name, "%.*s/%.*s", BYTES_FORMAT(row->node),
                       BYTES_FORMAT(row->id));
        note(r, name, &json);
    }
    view_pin_close(&pin);
    buf_close(&json);
    buf_close(&checks);
    buf_close(&one);
}

static void note_services(struct view *v, const struct selects *s, struct rows *r)
{
    struct service_row row;
    struct fleet_scan *scan = fleet_services(v, bytes_of(s->node == NULL ? "" : s->node));
    while (fleet_next_service(scan, &row) == OK) {
        if (s->service == NULL || bytes_equal(row.name, bytes_of(s->service))) {
            note_instance(v, s, &row, r);
        }
    }
    fleet_scan_close(scan);
}

static void note_others(struct view *v, enum change_topic topic, struct rows *r)
{
    char name[256];
    struct buf json;
    struct node_row node;
    struct check_row check;
    buf_init(&json, UINT32_MAX);
    struct fleet_scan *scan =
        topic == CHANGE_NODE ? fleet_nodes(v) : fleet_checks(v, (struct bytes){0});
    while (topic == CHANGE_NODE && fleet_next_node(scan, &node) == OK) {
        cr_assert_eq(row_json_node(&json, &node, BYTES("dc1")), OK);
        (void)snprintf(name, sizeof name, "%.*s", BYTES_FORMAT(node.name));
        note(r, name, &json);
    }
    while (topic == CHANGE_CHECK && fleet_next_check(scan, &check) == OK) {
        cr_assert_eq(row_json_check(&json, &check), OK);
        (void)snprintf(name, sizeof name, "%.*s/%.*s", BYTES_FORMAT(check.node),
                       BYTES_FORMAT(check.id));
        note(r, name, &json);
    }
    fleet_scan_close(scan);
    buf_close(&json);
}

static void remember(void)
{
    struct view *v = state_view(w.state);
    HOLDS(moment_count < INDEXES_MAX, "too many indexes");
    struct moment *m = &moments[moment_count++];
    *m = (struct moment){.index = w.index};
    for (size_t i = 0; i < SELECT_COUNT; i++) {
        if (SELECTS[i].topic == CHANGE_SERVICE) {
            note_services(v, &SELECTS[i], &m->rows[i]);
        } else {
            note_others(v, SELECTS[i].topic, &m->rows[i]);
        }
    }
    view_unref(v);
}

static const struct moment *moment_at(uint64_t index)
{
    const struct moment *found = NULL;
    for (size_t i = 0; i < moment_count && moments[i].index <= index; i++) {
        found = &moments[i];
    }
    return found;
}

/* --- clients -------------------------------------------------------------------------------------
 */

struct client {
    struct tap *tap;
    size_t selects;
    uint64_t told;
    struct rows rows;
};

static void client_compare(const struct client *c)
{
    const struct moment *m = moment_at(c->told);
    static const struct rows none;
    const struct rows *want = m == NULL ? &none : &m->rows[c->selects];
    HOLDS(c->rows.count == want->count, "%s at %lu: %zu rows, want %zu",
          SELECTS[c->selects].members, c->told, c->rows.count, want->count);
    for (size_t i = 0; i < want->count; i++) {
        HOLDS(strcmp(c->rows.rows[i].name, want->rows[i].name) == 0 &&
                  strcmp(c->rows.rows[i].text, want->rows[i].text) == 0,
              "%s at %lu:\n got %s %s\nwant %s %s", SELECTS[c->selects].members, c->told,
              c->rows.rows[i].name, c->rows.rows[i].text, want->rows[i].name, want->rows[i].text);
    }
}

static void client_take(struct client *c, json_t *e, bool snapshot)
{
    char name[256];
    const char *op = snapshot ? "set" : json_text_of(e, "op");
    bool out = strcmp(op, "removed") == 0 || strcmp(op, "delete") == 0;
    if (SELECTS[c->selects].topic == CHANGE_SERVICE) {
        (void)snprintf(name, sizeof name, "%s/%s", json_text_of(e, "node"), json_text_of(e, "id"));
    } else {
        (void)snprintf(name, sizeof name, "%s", json_text_of(e, "key"));
    }
    char *text = out ? NULL : json_same(json_object_get(e, "row"));
    HOLDS(out || text != NULL, "%s %s without a row", op, name);
    bool there = rows_set(&c->rows, name, text);
    free(text);
    HOLDS(strcmp(op, "added") != 0 || !there, "%s was there", name);
    HOLDS((strcmp(op, "changed") != 0 && !out) || there, "%s: %s was not there", op, name);
}

/* What came, each batch held against the view of its index. */
static void client_read(struct client *c)
{
    size_t i;
    json_t *e;
    for (json_t *m = tap_json(c->tap); m != NULL; m = tap_json(c->tap)) {
        const char *type = json_text_of(m, "type");
        if (strcmp(type, "events") == 0) {
            HOLDS(json_u64_of(m, "after") == c->told, "after %lu, told %lu",
                  json_u64_of(m, "after"), c->told);
            json_array_foreach(json_object_get(m, "events"), i, e)
            {
                client_take(c, e, false);
            }
            c->told = json_u64_of(m, "through");
            if (!json_is_true(json_object_get(m, "part"))) {
                client_compare(c);
            }
        } else if (strcmp(type, "snapshot") == 0) {
            json_array_foreach(json_object_get(m, "items"), i, e)
            {
                client_take(c, e, true);
            }
            c->told = json_u64_of(m, "index");
            if (!json_is_true(json_object_get(m, "more"))) {
                client_compare(c);
            }
        } else if (strcmp(type, "mark") == 0) {
            c->told = json_u64_of(m, "through");
            client_compare(c);
        } else if (strcmp(type, "compacted") == 0) {
            rows_clear(&c->rows);
        }
    }
}

/* `from` UINT64_MAX: with a snapshot; else it holds already what there was. */
static void client_open(struct client *c, size_t selects, uint64_t from)
{
    char message[512];
    char start[64] = "\"snapshot\":true";
    *c = (struct client){.selects = selects, .told = from};
    if (from != UINT64_MAX) {
        (void)snprintf(start, sizeof start, "\"from\":{\"index\":%lu}", from);
        if (moment_at(from) != NULL) {
            rows_copy(&c->rows, &moment_at(from)->rows[selects]);
        }
    }
    c->tap = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    (void)snprintf(message, sizeof message,
                   "{\"type\":\"subscribe\",\"id\":1,%s,%s,\"on_compacted\":\"snapshot\"%s}",
                   SELECTS[selects].members, start, roll(3) == 0 ? ",\"batch\":{\"max\":1}" : "");
    tap_say(c->tap,
            roll(2) == 0 ? "{\"type\":\"hello\",\"max_frame\":4096}" : "{\"type\":\"hello\"}");
    tap_say(c->tap, message);
    client_read(c);
}

static void client_close(struct client *c)
{
    tap_free(c->tap);
    rows_clear(&c->rows);
}

/* --- the schedule
 * ---------------------------------------------------------------------------------
 */

static void act(void)
{
    static const char *const nodes[] = {"n1", "n2", "N3"};
    static const char *const services[] = {"api", "web"};
    static const char *const ids[] = {"a", "b", "c"};
    static const char *const tags[] = {"prod", "v2", "dev", NULL};
    struct instance i = {
        .node = nodes[roll(3)],
        .id = ids[roll(3)],
        .service = services[roll(2)],
        .tags = {tags[roll(4)], tags[roll(4)]},
        .port = roll(3),
        .status = (enum check_status)roll(4),
        .health = (enum check_status)(roll(8) == 0 ? roll(4) : 0),
    };
    switch (roll(10)) {
    case 0:
        drop(i.node, i.id);
        return;
    case 1:
        drop(i.node, "");
        return;
    case 2:
        i.service = NULL;
        i.status = 0;
        i.health = (enum check_status)(1 + roll(3));
        break;
    case 3:
        world_set(&w, "api", BYTES("x"), roll(2));
        return;
    default:
        break;
    }
    put(&i);
}

static void run(void)
{
    struct client tails[SELECT_COUNT];
    dice = seed * 7919 + 1;
    moment_count = 0;
    remember();
    for (size_t i = 0; i < SELECT_COUNT; i++) {
        client_open(&tails[i], i, UINT64_MAX);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        for (unsigned n = 1 + roll(3); n > 0; n--) {
            act();
            remember();
        }
        world_publish(&w);
        for (size_t i = 0; i < SELECT_COUNT; i++) {
            client_read(&tails[i]);
        }
        if (roll(20) == 0) {
            world_trim(&w, 2000);
            world_publish(&w);
        }
    }
    for (size_t i = 0; i < SELECT_COUNT; i++) {
        client_close(&tails[i]);
    }
    /* Resumed at every index, from the ring and, once it is old, from the history. */
    for (unsigned old = 0; old < 2; old++) {
        for (uint64_t from = 1; from <= w.index; from++) {
            struct client c;
            client_open(&c, roll(SELECT_COUNT), from);
            world_sleep(&w, STREAM_HEARTBEAT_MS * old);
            client_read(&c);
            HOLDS(c.told == w.published || old == 0, "told %lu of %lu", c.told, w.published);
            client_close(&c);
        }
        world_sleep(&w, STREAM_RING_AGE_MS * 2);
        world_publish(&w);
    }
    for (size_t m = 0; m < moment_count; m++) {
        for (size_t i = 0; i < SELECT_COUNT; i++) {
            rows_clear(&moments[m].rows[i]);
        }
    }
}

Test(topics_random, who_does_as_told_holds_what_the_view_shows)
{
    const char *one = getenv("HERALD_SEED");
    const char *many = getenv("HERALD_SEEDS");
    uint64_t first = one == NULL ? 1 : strtoull(one, NULL, 10);
    uint64_t count = one != NULL ? 1 : many == NULL ? SEEDS_DEFAULT : strtoull(many, NULL, 10);
    for (seed = first; seed < first + count; seed++) {
        world_open(&w, seed);
        run();
        world_close(&w);
    }
}

/* Random schedules of writers, slow readers, credit, broken connections and trimmed history, each
 * from a seed that is printed when it fails. Every reader is held against the one list of all
 * changes: what it gets between two of its cursors must be exactly what it selects there, in
 * order, once, and no index divided. HERALD_SEED=<n> replays one, HERALD_SEEDS=<n> runs so many. */
#include "tests/unit/stream_world.h"

#define SEEDS_DEFAULT 300U
#define STEPS         120U
#define READERS       5U
#define TRUTH_MAX     4096U
#define KEY_MAX       16U

struct fact {
    uint64_t index;
    enum change_op op;
    char key[KEY_MAX];
};

static struct world w;
static uint64_t seed;
static uint64_t dice;
static struct fact truth[TRUTH_MAX];
static size_t truth_count;

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

static void learn(const struct change_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct change *c = &b->changes[i];
        HOLDS(truth_count < TRUTH_MAX, "too many changes for this test");
        struct fact *f = &truth[truth_count++];
        *f = (struct fact){.index = c->index, .op = c->op};
        memcpy(f->key, c->key.ptr, c->key.len);
    }
}

/* --- one reader --------------------------------------------------------------------------------
 */

static const struct selection_text {
    const char *text; /* for the message */
    const char *key;
    const char *prefix;
    bool sets_only;
} selections[] = {
    {"", NULL, "", false},
    {",\"prefix\":\"a/\"", NULL, "a/", false},
    {",\"key\":\"a/1\"", "a/1", NULL, false},
    {",\"filter\":\"op == set\"", NULL, "", true},
    {",\"prefix\":\"b/\",\"filter\":\"op == set\"", NULL, "b/", true},
    {",\"prefix\":\"nothing/\"", NULL, "nothing/", false},
};

struct reader {
    struct tap *tap;
    const struct selection_text *selects;
    uint64_t told; /* the cursor it would resume from */
    uint64_t credit;
    bool counts_credit;
    bool subscribed;
    bool ended;
    size_t snapshot_items;
};

static struct reader readers[READERS];

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool concerns(const struct reader *r, const struct fact *f)
{
    const struct selection_text *s = r->selects;
    if (s->sets_only && f->op != CHANGE_SET) {
        return false;
    }
    bool wide = f->op == CHANGE_DELETE_PREFIX;
    if (s->key != NULL) {
        return wide ? begins(s->key, f->key) : strcmp(s->key, f->key) == 0;
    }
    return begins(f->key, s->prefix) || (wide && begins(s->prefix, f->key));
}

static void reader_subscribe(struct reader *r)
{
    char message[256];
    char from[64] = "";
    char credit[32] = "";
    r->subscribed = false;
    r->ended = false;
    r->snapshot_items = 0;
    if (r->told == UINT64_MAX) {
        (void)snprintf(from, sizeof from, ",\"snapshot\":true");
    } else {
        (void)snprintf(from, sizeof from, ",\"from\":{\"index\":%lu,\"epoch\":\"c3f1\"}", r->told);
    }
    r->counts_credit = roll(3) == 0;
    r->credit = roll(5);
    if (r->counts_credit) {
        (void)snprintf(credit, sizeof credit, ",\"credit\":%lu", r->credit);
    }
    (void)snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":7%s%s%s%s}",
                   r->selects->text, from, credit,
                   roll(4) == 0 ? ",\"batch\":{\"max\":3,\"wait_ms\":20}" : "");
    tap_say(r->tap, message);
}

static void reader_connect(struct reader *r)
{
    if (r->tap != NULL) {
        tap_free(r->tap);
    }
    r->tap = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    r->tap->slow = roll(2) == 0;
    if (roll(2) == 0) {
        tap_say(r->tap, "{\"type\":\"hello\",\"max_frame\":4096}");
    }
    reader_subscribe(r);
}

/* --- what it is told ----------------------------------------------------------------------------
 */

static size_t truth_after(uint64_t index)
{
    size_t at = 0;
    while (at < truth_count && truth[at].index <= index) {
        at++;
    }
    return at;
}

static void check_events(struct reader *r, json_t *m)
{
    uint64_t after = json_u64_of(m, "after");
    uint64_t through = json_u64_of(m, "through");
    json_t *events = json_object_get(m, "events");
    size_t got = 0;
    HOLDS(after == r->told, "after %lu, told %lu", after, r->told);
    HOLDS(through > after && through <= w.published, "through %lu", through);
    for (size_t i = truth_after(after); i < truth_count && truth[i].index <= through; i++) {
        if (!concerns(r, &truth[i])) {
            continue;
        }
        json_t *e = json_array_get(events, got++);
        HOLDS(e != NULL, "event %lu of (%lu, %lu] is missing", truth[i].index, after, through);
        HOLDS(json_u64_of(e, "index") == truth[i].index &&
                  strcmp(json_text_of(e, "key"), truth[i].key) == 0,
              "got %lu, want %lu", json_u64_of(e, "index"), truth[i].index);
    }
    HOLDS(got == json_array_size(events), "%zu events too many", json_array_size(events) - got);
    HOLDS(!r->counts_credit || got <= r->credit, "credit passed");
    r->credit -= got;
    r->told = through;
}

static void check_mark(struct reader *r, json_t *m)
{
    uint64_t through = json_u64_of(m, "through");
    HOLDS(through >= r->told && through <= w.published, "mark %lu", through);
    for (size_t i = truth_after(r->told); i < truth_count && truth[i].index <= through; i++) {
        HOLDS(!concerns(r, &truth[i]), "mark %lu passes %lu", through, truth[i].index);
    }
    r->told = through;
}

/* How many rows the reader selects at `index`, and whether this is one of them. */
static size_t
state_at(const struct reader *r, uint64_t index, const char *key, uint64_t *ret_modified)
{
    struct fact live[TRUTH_MAX / 16];
    size_t count = 0;
    for (size_t i = 0; i < truth_count && truth[i].index <= index; i++) {
        const struct fact *f = &truth[i];
        size_t kept = 0;
        for (size_t k = 0; k < count; k++) {
            bool hit = f->op == CHANGE_DELETE_PREFIX ? begins(live[k].key, f->key)
                                                     : strcmp(live[k].key, f->key) == 0;
            if (!hit) {
                live[kept++] = live[k];
            }
        }
        count = kept;
        if (f->op == CHANGE_SET) {
            live[count++] = *f;
        }
    }
    size_t selected = 0;
    *ret_modified = 0;
    for (size_t k = 0; k < count; k++) {
        selected += concerns(r, &live[k]);
        if (concerns(r, &live[k]) && strcmp(live[k].key, key) == 0) {
            *ret_modified = live[k].index;
        }
    }
    return selected;
}

static void check_snapshot(struct reader *r, json_t *m)
{
    uint64_t index = json_u64_of(m, "index");
    uint64_t modified = 0;
    json_t *items = json_object_get(m, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        (void)state_at(r, index, json_text_of(item, "key"), &modified);
        HOLDS(modified == json_u64_of(item, "modify_index"), "row %s", json_text_of(item, "key"));
    }
    r->snapshot_items += json_array_size(items);
    HOLDS(!r->counts_credit || json_array_size(items) <= r->credit, "credit passed");
    r->credit -= json_array_size(items);
    if (json_is_false(json_object_get(m, "more"))) {
        HOLDS(r->snapshot_items == state_at(r, index, "", &modified), "rows missing");
        r->told = index;
    }
}

static void check_message(struct reader *r, json_t *m)
{
    const char *type = json_text_of(m, "type");
    if (strcmp(type, "events") == 0) {
        check_events(r, m);
    } else if (strcmp(type, "mark") == 0) {
        check_mark(r, m);
    } else if (strcmp(type, "snapshot") == 0) {
        check_snapshot(r, m);
    } else if (strcmp(type, "live") == 0 || strcmp(type, "pause") == 0) {
        HOLDS(json_u64_of(m, "through") == r->told, "%s", type);
    } else if (strcmp(type, "subscribed") == 0) {
        bool snapshot = strcmp(json_text_of(m, "mode"), "snapshot") == 0;
        HOLDS(r->told == 0 || snapshot || json_u64_of(m, "from") == r->told, "subscribed");
        r->told = snapshot ? UINT64_MAX : json_u64_of(m, "from");
        r->subscribed = true;
    } else if (strcmp(type, "compacted") == 0) {
        uint64_t asked = json_u64_of(m, "asked");
        bool patience = json_object_get(m, "why") != NULL;
        HOLDS(asked < json_u64_of(m, "oldest") || patience, "asked %lu", asked);
        r->told = UINT64_MAX;
        r->ended = true;
    } else if (strcmp(type, "error") == 0) {
        /* Credit for a subscription that was compacted meanwhile. */
        HOLDS(strcmp(json_text_of(m, "code"), "sub_unknown") == 0, "%s", json_text_of(m, "code"));
    } else {
        HOLDS(strcmp(type, "welcome") == 0 || strcmp(type, "heartbeat") == 0 ||
                  strcmp(type, "pong") == 0,
              "%s: %s", type, json_text_of(m, "code"));
    }
}

static void reader_read(struct reader *r)
{
    for (json_t *m = tap_json(r->tap); m != NULL; m = tap_json(r->tap)) {
        check_message(r, m);
    }
    HOLDS(r->tap->pending_most <= STREAM_OUTBOUND_MAX, "%zu pending", r->tap->pending_most);
    if (r->tap->closed) {
        HOLDS(r->tap->code == 4100, "closed with %u", r->tap->code);
        reader_connect(r);
    } else if (r->ended) {
        reader_subscribe(r);
    }
}

/* --- the schedule ------------------------------------------------------------------------------
 */

static void step_write(void)
{
    static char value[6000];
    char key[KEY_MAX];
    memset(value, 'v', sizeof value);
    for (unsigned i = roll(6); i > 0; i--) {
        (void)snprintf(key, sizeof key, "%c/%u", 'a' + (int)roll(3), roll(4));
        unsigned kind = roll(12);
        if (kind == 0) {
            key[roll(3)] = '\0';
            world_delete_prefix(&w, key);
        } else if (kind < 3) {
            world_delete(&w, key);
        } else {
            value[0] = (char)('a' + roll(26));
            world_set(&w, key,
                      (struct bytes){.ptr = value, .len = roll(10) == 0 ? sizeof value : 3},
                      w.index);
        }
    }
    world_publish(&w);
}

static void step_reader(struct reader *r)
{
    switch (roll(8)) {
    case 0:
        reader_read(r);
        reader_connect(r);
        break;
    case 1:
        /* What was sent and not read is lost with the connection: it resumes from what it read. */
        reader_connect(r);
        break;
    case 2:
        r->tap->slow = !r->tap->slow;
        tap_take(r->tap);
        break;
    case 3:
        if (r->counts_credit && r->subscribed) {
            char message[64];
            unsigned more = roll(20) + 1;
            r->credit += more;
            (void)snprintf(message, sizeof message, "{\"type\":\"credit\",\"id\":7,\"events\":%u}",
                           more);
            tap_say(r->tap, message);
        }
        break;
    case 4:
        tap_say(r->tap, "{\"type\":\"ping\",\"mark\":true}");
        break;
    default:
        tap_take(r->tap);
        reader_read(r);
        break;
    }
}

static void run_step(void)
{
    unsigned kind = roll(20);
    if (kind < 9) {
        step_write();
    } else if (kind < 17) {
        step_reader(&readers[roll(READERS)]);
    } else if (kind < 19) {
        world_sleep(&w, roll(3) == 0 ? roll(20000) : roll(50));
    } else {
        world_trim(&w, roll(3) == 0 ? 500 : 20000);
    }
}

/* Everybody reads on until they know it all. */
static void run_end(void)
{
    for (size_t i = 0; i < READERS; i++) {
        struct reader *r = &readers[i];
        reader_read(r);
        r->tap->slow = false;
        for (unsigned turn = 0; turn < 50 && r->told != w.published; turn++) {
            tap_take(r->tap);
            reader_read(r);
            world_sleep(&w, 2000);
            if (r->counts_credit) {
                r->credit += 1000;
                tap_say(r->tap, "{\"type\":\"credit\",\"id\":7,\"events\":1000}");
            }
            tap_say(r->tap, "{\"type\":\"ping\",\"mark\":true}");
            reader_read(r);
        }
        HOLDS(r->told == w.published, "reader %zu ends at %lu of %lu", i, r->told, w.published);
        tap_free(r->tap);
        r->tap = NULL;
    }
}

static void run_schedule(void)
{
    dice = seed * 7919 + 1;
    truth_count = 0;
    world_open(&w, seed);
    w.on_batch = learn;
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){
            .selects = &selections[roll(sizeof selections / sizeof selections[0])],
        };
        reader_connect(&readers[i]);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        run_step();
    }
    run_end();
    world_close(&w);
}

Test(stream_random, every_reader_gets_everything_once_in_order)
{
    const char *one = getenv("HERALD_SEED");
    const char *many = getenv("HERALD_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : SEEDS_DEFAULT;
    for (seed = first; seed < first + count; seed++) {
        run_schedule();
    }
}

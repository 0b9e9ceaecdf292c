/* The store as its callers see it, on a real directory. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODE_ID "0123abcd-0000-4000-8000-000000000001"

/* --- a directory of its own ------------------------------------------------------------------- */

static char scratch[64];

static int scratch_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void scratch_make(void)
{
    (void)snprintf(scratch, sizeof scratch, "/tmp/herald-store-XXXXXX");
    cr_assert_not_null(mkdtemp(scratch));
}

static void scratch_drop(void)
{
    (void)nftw(scratch, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(store, .init = scratch_make, .fini = scratch_drop, .timeout = 120);

/* --- a client: a loop with one reader --------------------------------------------------------- */

struct client {
    struct loop *loop;
    struct store_reader reader;
    uint64_t seen; /* through which index changes came */
    size_t changes;
};

static void client_on_changes(struct store_reader *r, struct change_batch *b)
{
    struct client *c = r->ctx;
    cr_assert_eq(b->after, c->seen);
    cr_assert_gt(b->through, b->after);
    c->seen = b->through;
    c->changes += b->count;
}

static void client_open(struct client *c, struct store *s)
{
    *c = (struct client){.loop = loop_new("client")};
    c->reader.on_changes = client_on_changes;
    c->reader.ctx = c;
    store_reader_open(&c->reader, s, c->loop);
    c->seen = view_index(store_reader_view(&c->reader));
}

static void client_close(struct client *c)
{
    store_reader_close(&c->reader);
    loop_free(c->loop);
}

/* Runs the client's loop in this thread until `p` is answered. */
static void client_on_done(struct proposal *p)
{
    loop_stop(p->ctx);
}

static struct store *store_of(const char *dir)
{
    struct store_options options = {
        .data_dir = dir,
        .node_id = NODE_ID,
        .address = "127.0.0.1:8300",
        .history_age_ms = HISTORY_AGE_DEFAULT_MS,
        .history_bytes = HISTORY_BYTES_DEFAULT,
        .log_trailing = LOG_TRAILING_DEFAULT,
    };
    struct reason why = {0};
    struct store *s = NULL;
    enum err e = store_open(&options, &s, &why);
    cr_assert_eq(e, OK, "%s: %s", err_name(e), why.text);
    return s;
}

static enum err open_error(const char *dir, struct reason *why)
{
    struct store_options options = {.data_dir = dir, .node_id = NODE_ID, .address = "a:1"};
    struct store *s = NULL;
    *why = (struct reason){0};
    enum err e = store_open(&options, &s, why);
    if (e == OK) {
        store_close(s);
    } else {
        cr_assert_gt(strlen(why->text), 20);
    }
    return e;
}

static void encode_set(struct buf *out, const char *key, struct bytes value)
{
    struct command command = {
        .type = COMMAND_KV_SET,
        .time_ms = 1700000000000,
        .kv_set = {.key = bytes_of(key), .value = value},
    };
    buf_init(out, COMMAND_MAX);
    cr_assert_eq(command_encode(out, &command), OK);
}

/* A client with a thread of its own, which proposes and waits. */
struct writer {
    struct client client;
    sem_t done;
};

static void writer_on_done(struct proposal *p)
{
    struct writer *w = p->ctx;
    (void)sem_post(&w->done);
}

static void writer_open(struct writer *w, struct store *s)
{
    cr_assert_eq(sem_init(&w->done, 0, 0), 0);
    client_open(&w->client, s);
    loop_start(w->client.loop);
}

static void writer_close(struct writer *w)
{
    loop_stop(w->client.loop);
    loop_join(w->client.loop);
    client_close(&w->client);
    (void)sem_destroy(&w->done);
}

static enum err
writer_set(struct writer *w, const char *key, struct bytes value, uint64_t *ret_index)
{
    struct buf command;
    struct proposal p = {.done = writer_on_done, .ctx = w};
    encode_set(&command, key, value);
    store_propose(w->client.reader.store, w->client.loop, &p, &command);
    buf_close(&command);
    while (sem_wait(&w->done) != 0) {
    }
    *ret_index = p.index;
    return p.status;
}

static void assert_value(struct store *s, const char *key, const char *value)
{
    struct client c;
    struct view_pin pin = {0};
    struct kv_row row;
    client_open(&c, s);
    enum err e = view_kv_get(store_reader_view(&c.reader), bytes_of(key), &pin, &row);
    cr_assert_eq(e, OK, "%s: %s", key, err_name(e));
    cr_assert(bytes_equal(row.value, bytes_of(value)));
    view_pin_close(&pin);
    client_close(&c);
}

/* --- writing and reading ---------------------------------------------------------------------- */

Test(store, a_write_is_in_every_view_when_it_is_answered)
{
    struct store *s = store_of(scratch);
    struct client other;
    struct client c;
    client_open(&other, s);
    client_open(&c, s);
    struct buf command;
    struct proposal p = {.done = client_on_done, .ctx = c.loop};
    encode_set(&command, "a", BYTES("1"));
    store_propose(s, c.loop, &p, &command);
    buf_close(&command);
    loop_run(c.loop);
    cr_assert_eq(p.status, OK);
    cr_assert_eq(p.index, 2);
    /* The other one's loop never ran. */
    struct view *view = store_reader_view(&other.reader);
    cr_assert_eq(view_index(view), 2);
    cr_assert_eq(other.changes, 1);
    cr_assert_eq(other.seen, 2);
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(view_kv_get(view, BYTES("a"), &pin, &row), OK);
    cr_assert(bytes_equal(row.value, BYTES("1")));
    cr_assert_eq(row.modify_index, 2);
    view_pin_close(&pin);
    client_close(&c);
    client_close(&other);
    store_close(s);
}

Test(store, in_memory_needs_no_directory)
{
    struct store *s = store_of(NULL);
    struct writer w;
    uint64_t index = 0;
    writer_open(&w, s);
    cr_assert_eq(writer_set(&w, "k", BYTES("v"), &index), OK);
    writer_close(&w);
    assert_value(s, "k", "v");
    store_close(s);
}

Test(store, a_restart_keeps_everything_and_goes_on_counting)
{
    uint64_t before = 0;
    uint64_t after = 0;
    struct store_facts facts[2];
    for (int round = 0; round < 2; round++) {
        struct store *s = store_of(scratch);
        struct writer w;
        uint64_t *index = round == 0 ? &before : &after;
        store_facts_get(s, &facts[round]);
        if (round == 1) {
            assert_value(s, "key0", "x");
        }
        writer_open(&w, s);
        cr_assert_eq(writer_set(&w, round == 0 ? "key0" : "key1", BYTES("x"), index), OK);
        writer_close(&w);
        store_close(s);
    }
    cr_assert_gt(after, before);
    cr_assert_str_eq(facts[0].epoch, facts[1].epoch);
    /* A sole voter never leads the same term twice. */
    cr_assert_gt(facts[1].term, facts[0].term);
    cr_assert(facts[1].leader);
}

/* --- the directory ---------------------------------------------------------------------------- */

Test(store, a_directory_in_use_is_refused_by_name)
{
    struct store *s = store_of(scratch);
    struct reason why;
    cr_assert_eq(open_error(scratch, &why), ERR_IN_USE);
    cr_assert_not_null(strstr(why.text, scratch));
    store_close(s);
    cr_assert_eq(open_error(scratch, &why), OK);
}

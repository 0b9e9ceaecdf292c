/* The store as its callers see it, on a real directory. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/store.h"
#include "tests/unit/scratch.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <errno.h>
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

TestSuite(store, .init = scratch_make, .fini = scratch_drop, .timeout = 120);

/* --- a client: a loop with one reader --------------------------------------------------------- */

/* Also for forked processes, where the framework's own assertions must not be used. */
static void must(bool held, const char *what)
{
    if (!held) {
        (void)fprintf(stderr, "did not hold: %s\n", what);
        abort();
    }
}

struct client {
    struct loop *loop;
    struct store_reader reader;
    uint64_t seen; /* through which index changes came */
    size_t changes;
};

static void client_on_changes(struct store_reader *r, struct change_batch *b)
{
    struct client *c = r->ctx;
    /* The first may come while the client is still being opened. */
    must(c->seen == 0 || b->after == c->seen, "batches follow each other");
    must(b->through >= b->after, "a batch never goes back");
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
    must(e == OK, why.text);
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
        must(strlen(why->text) > 20, "a reason is a sentence");
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
    must(command_encode(out, &command) == OK, "encoding");
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
    must(sem_init(&w->done, 0, 0) == 0, "sem_init");
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

/* Trimming is work of the background: a new limit is kept without a restart or another write. */
Test(store, a_lower_history_limit_is_kept_soon)
{
    static char value[4096];
    struct store *s = store_of(scratch);
    struct writer w;
    struct store_facts facts;
    uint64_t index = 0;
    writer_open(&w, s);
    for (unsigned n = 0; n < 100; n++) {
        (void)snprintf(value, sizeof value, "%u", n);
        cr_assert_eq(
            writer_set(&w, "key", (struct bytes){.ptr = value, .len = sizeof value}, &index), OK);
    }
    /* By bytes alone: the commands' own time is long ago. */
    store_set_history(s, 0, 50000);
    for (unsigned waited_ms = 0; waited_ms < 10000; waited_ms += 5) {
        store_facts_get(s, &facts);
        if (facts.history_bytes <= 50000) {
            break;
        }
        (void)usleep(5000);
    }
    cr_assert_leq(facts.history_bytes, 50000);
    cr_assert_gt(facts.history_bytes, 0);
    writer_close(&w);
    store_close(s);
}

static void idle_on_changes(struct store_reader *r, struct change_batch *b)
{
    if (view_history_oldest(b->view) > 0) {
        loop_stop(r->ctx);
    }
}

/* Nobody writes any more; who reads must still learn what is gone, and let go of what is. */
Test(store, an_idle_reader_hears_of_a_trimmed_history)
{
    static char value[4096];
    struct store *s = store_of(NULL);
    struct store_reader idle = {.on_changes = idle_on_changes, .ctx = loop_new("idle")};
    struct writer w;
    uint64_t index = 0;
    writer_open(&w, s);
    for (unsigned n = 0; n < 100; n++) {
        (void)snprintf(value, sizeof value, "%u", n);
        cr_assert_eq(
            writer_set(&w, "key", (struct bytes){.ptr = value, .len = sizeof value}, &index), OK);
    }
    store_reader_open(&idle, s, idle.ctx);
    cr_assert_eq(view_history_oldest(store_reader_view(&idle)), 0);
    store_set_history(s, 0, 50000);
    loop_run(idle.ctx);
    cr_assert_gt(view_history_oldest(store_reader_view(&idle)), 0);
    cr_assert_eq(view_index(store_reader_view(&idle)), index);
    store_reader_close(&idle);
    loop_free(idle.ctx);
    writer_close(&w);
    store_close(s);
}

/* --- limits ----------------------------------------------------------------------------------- */

struct flood {
    struct client client;
    size_t open;
    size_t count[8]; /* by outcome */
};

enum {
    FLOOD_OK,
    FLOOD_BUSY,
    FLOOD_OTHER
};

static void flood_on_done(struct proposal *p)
{
    struct flood *f = p->ctx;
    f->count[p->status == OK ? FLOOD_OK : p->status == ERR_BUSY ? FLOOD_BUSY : FLOOD_OTHER]++;
    if (--f->open == 0) {
        loop_stop(f->client.loop);
    }
}

/* More than may wait is refused at once, everybody gets an answer, and afterwards all is well. */
Test(store, too_many_waiting_are_told_busy)
{
    enum {
        FLOOD = PROPOSALS_MAX * 2
    };
    struct store *s = store_of(scratch);
    struct flood f = {.open = FLOOD};
    struct proposal *all = mem_zalloc(FLOOD, sizeof *all);
    client_open(&f.client, s);
    for (size_t i = 0; i < FLOOD; i++) {
        struct buf command;
        all[i] = (struct proposal){.done = flood_on_done, .ctx = &f};
        encode_set(&command, "key", BYTES("value"));
        store_propose(s, f.client.loop, &all[i], &command);
        buf_close(&command);
    }
    loop_run(f.client.loop);
    cr_assert_eq(f.count[FLOOD_OTHER], 0);
    cr_assert_eq(f.count[FLOOD_OK] + f.count[FLOOD_BUSY], FLOOD);
    cr_assert_geq(f.count[FLOOD_OK], 1000);
    client_close(&f.client);
    free(all);
    assert_value(s, "key", "value");
    store_close(s);
}

Test(store, a_command_that_is_none_is_refused_and_harms_nobody)
{
    struct store *s = store_of(scratch);
    struct client c;
    client_open(&c, s);
    for (int round = 0; round < 3; round++) {
        struct buf command;
        struct proposal p = {.done = client_on_done, .ctx = c.loop};
        buf_init(&command, MIB(2));
        if (round == 1) {
            buf_put_str(&command, "no command at all");
        }
        while (round == 2 && command.len <= COMMAND_MAX) {
            buf_put_str(&command, "long and longer ");
        }
        store_propose(s, c.loop, &p, &command);
        buf_close(&command);
        struct loop *again = loop_new("client");
        loop_run(c.loop);
        cr_assert_eq(p.status, round == 2 ? ERR_TOO_BIG : ERR_INVALID);
        /* A loop runs once. */
        store_reader_close(&c.reader);
        loop_free(c.loop);
        c.loop = again;
        store_reader_open(&c.reader, s, c.loop);
        c.seen = view_index(store_reader_view(&c.reader));
    }
    client_close(&c);
    store_close(s);
    s = store_of(scratch);
    store_close(s);
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

#define CRASH_WRITERS 4
#define CRASH_ACKS    4096

/* What the killed process had been told, in memory that outlives it. */
struct crash_acks {
    int round;
    uint64_t before; /* the highest index of the lives before */
    uint64_t total;
    _Atomic uint32_t count[CRASH_WRITERS];
    uint64_t index[CRASH_WRITERS][CRASH_ACKS];
};

static void crash_key(char *ret_key, size_t len, int round, unsigned writer, uint32_t n)
{
    (void)snprintf(ret_key, len, "round%d/writer%u/%u", round, writer, n);
}

struct crash_writer {
    struct writer writer;
    struct crash_acks *acks;
    unsigned id;
};

static void *crash_write(void *arg)
{
    struct crash_writer *w = arg;
    for (uint32_t n = 0; n < CRASH_ACKS; n++) {
        char key[64];
        uint64_t index = 0;
        crash_key(key, sizeof key, w->acks->round, w->id, n);
        if (writer_set(&w->writer, key, bytes_of(key), &index) == OK) {
            w->acks->index[w->id][n] = index;
            atomic_store(&w->acks->count[w->id], n + 1);
        }
    }
    return NULL;
}

static _Noreturn void crash_child(struct crash_acks *acks)
{
    struct crash_writer writers[CRASH_WRITERS];
    pthread_t threads[CRASH_WRITERS];
    struct store *s = store_of(scratch);
    for (unsigned i = 0; i < CRASH_WRITERS; i++) {
        writers[i] = (struct crash_writer){.acks = acks, .id = i};
        writer_open(&writers[i].writer, s);
        (void)pthread_create(&threads[i], NULL, crash_write, &writers[i]);
    }
    for (;;) {
        (void)pause();
    }
}

static void
crash_verify_key(struct view *view, const struct crash_acks *acks, unsigned writer, uint32_t n)
{
    char key[64];
    struct view_pin pin = {0};
    struct kv_row row;
    crash_key(key, sizeof key, acks->round, writer, n);
    must(view_kv_get(view, bytes_of(key), &pin, &row) == OK, key);
    must(bytes_equal(row.value, bytes_of(key)), key);
    must(row.modify_index == acks->index[writer][n], key);
    /* No index is given twice, also not by an earlier life. */
    must(row.modify_index > acks->before, key);
    view_pin_close(&pin);
}

/* In a process of its own, too: the one that forks must stay without threads. */
static _Noreturn void crash_verify(struct crash_acks *acks)
{
    struct store *s = store_of(scratch);
    struct client c;
    client_open(&c, s);
    struct view *view = store_reader_view(&c.reader);
    for (unsigned writer = 0; writer < CRASH_WRITERS; writer++) {
        uint32_t count = atomic_load(&acks->count[writer]);
        for (uint32_t n = 0; n < count; n++) {
            crash_verify_key(view, acks, writer, n);
        }
        acks->total += count;
    }
    acks->before = view_index(view);
    client_close(&c);
    store_close(s);
    _exit(0);
}

static void crash_round(struct crash_acks *acks)
{
    int status = 0;
    for (unsigned i = 0; i < CRASH_WRITERS; i++) {
        atomic_store(&acks->count[i], 0);
    }
    pid_t child = fork();
    if (child == 0) {
        crash_child(acks);
    }
    /* Killed at some moment after the first answers, which another process gets. */
    while (atomic_load(&acks->count[0]) < 10U + 37U * (unsigned)acks->round) {
        cr_assert_eq(waitpid(child, NULL, WNOHANG), 0);
        (void)usleep(200);
    }
    (void)kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    child = fork();
    if (child == 0) {
        crash_verify(acks);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(store, a_killed_server_loses_nothing_it_acknowledged)
{
    enum {
        ROUNDS = 8
    };
    struct crash_acks *acks =
        mmap(NULL, sizeof *acks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(acks, MAP_FAILED);
    for (acks->round = 0; acks->round < ROUNDS; acks->round++) {
        crash_round(acks);
    }
    cr_assert_gt(acks->total, 100);
    cr_assert_geq(acks->before, acks->total);
    (void)munmap(acks, sizeof *acks);
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

Test(store, a_directory_of_another_version_is_left_alone)
{
    struct reason why;
    char path[128];
    cr_assert_eq(open_error(scratch, &why), OK);
    (void)snprintf(path, sizeof path, "%s/VERSION", scratch);
    int fd = open(path, O_WRONLY | O_TRUNC);
    cr_assert_eq(write(fd, "herald data 9\n", 14), 14);
    (void)close(fd);
    cr_assert_eq(open_error(scratch, &why), ERR_VERSION);
    cr_assert_not_null(strstr(why.text, "herald data 9"), "%s", why.text);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(open_error(scratch, &why), ERR_VERSION);
}

Test(store, a_file_is_no_directory)
{
    struct reason why;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", scratch);
    (void)close(open(path, O_WRONLY | O_CREAT, 0644));
    cr_assert_eq(open_error(path, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "not a directory"), "%s", why.text);
    char below[160];
    (void)snprintf(below, sizeof below, "%s/below", path);
    cr_assert_eq(open_error(below, &why), ERR_INVALID);
}

/* Whether this machine lets us mount. */
static bool mounted(const char *options, unsigned long flags)
{
    if (mount("none", scratch, "tmpfs", flags, options) == 0) {
        return true;
    }
    cr_log_info("skipped: cannot mount a tmpfs: %s\n", strerror(errno));
    return false;
}

Test(store, a_read_only_directory_is_named)
{
    struct reason why;
    if (!mounted("size=8m", MS_RDONLY)) {
        return;
    }
    cr_assert_eq(open_error(scratch, &why), ERR_READ_ONLY);
    cr_assert_not_null(strstr(why.text, "read-only"), "%s", why.text);
    cr_assert_eq(umount(scratch), 0);
}

Test(store, a_directory_of_another_user_is_named)
{
    if (geteuid() != 0) {
        cr_log_info("skipped: needs root to become somebody else\n");
        return;
    }
    cr_assert_eq(chmod(scratch, 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        struct reason why;
        bool named = setuid(65534) == 0 && open_error(scratch, &why) == ERR_READ_ONLY &&
                     strstr(why.text, "permission denied") != NULL;
        _exit(named ? 0 : 1);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(WEXITSTATUS(status), 0);
}

Test(store, a_full_disk_at_the_start_is_named)
{
    struct reason why;
    char path[128];
    if (!mounted("size=1m", 0)) {
        return;
    }
    (void)snprintf(path, sizeof path, "%s/filler", scratch);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    static char block[4096];
    while (write(fd, block, sizeof block) > 0) {
    }
    (void)close(fd);
    char dir[128];
    (void)snprintf(dir, sizeof dir, "%s/data", scratch);
    cr_assert_eq(open_error(dir, &why), ERR_NO_SPACE, "%s", why.text);
    cr_assert_not_null(strstr(why.text, dir), "%s", why.text);
    cr_assert_eq(umount(scratch), 0);
}

/* --- a disk that fills up -----------------------------------------------------------------------
 */

static int filler_write(const char *path, size_t mib)
{
    static char block[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    size_t put = 0;
    while (put < mib * 16 && write(fd, block, sizeof block) == (ssize_t)sizeof block) {
        put++;
    }
    return close(fd);
}

static enum err fill_until_refused(struct writer *w, unsigned *ret_written)
{
    static char value[16384];
    enum err e = OK;
    for (unsigned n = 0; e == OK && n < 20000; n++) {
        char key[32];
        uint64_t index = 0;
        (void)snprintf(key, sizeof key, "fill/%u", n);
        e = writer_set(w, key, (struct bytes){.ptr = value, .len = sizeof value}, &index);
        *ret_written = e == OK ? n + 1 : *ret_written;
    }
    return e;
}

static void assert_filled(struct store *s, unsigned written)
{
    struct client c;
    client_open(&c, s);
    for (unsigned n = 0; n < written; n++) {
        char key[32];
        struct view_pin pin = {0};
        struct kv_row row;
        (void)snprintf(key, sizeof key, "fill/%u", n);
        cr_assert_eq(view_kv_get(store_reader_view(&c.reader), bytes_of(key), &pin, &row), OK);
        view_pin_close(&pin);
    }
    client_close(&c);
}

static void fill_and_recover(const char *size, size_t filler_mib)
{
    char filler[128];
    char dir[128];
    unsigned written = 0;
    uint64_t index = 0;
    if (!mounted(size, 0)) {
        return;
    }
    (void)snprintf(filler, sizeof filler, "%s/filler", scratch);
    (void)snprintf(dir, sizeof dir, "%s/data", scratch);
    cr_assert_eq(filler_write(filler, filler_mib), 0);
    struct store *s = store_of(dir);
    struct writer w;
    struct store_facts facts;
    writer_open(&w, s);
    cr_assert_eq(fill_until_refused(&w, &written), ERR_NO_SPACE);
    cr_assert_gt(written, 10);
    store_facts_get(s, &facts);
    cr_assert(facts.disk_full);
    /* Reads go on, and nothing acknowledged is gone. */
    assert_filled(s, written);
    /* Room again: writes come back by themselves, soon. */
    cr_assert_eq(unlink(filler), 0);
    enum err e = ERR_NO_SPACE;
    for (unsigned waited_ms = 0; e != OK && waited_ms < 10000; waited_ms += 20) {
        e = writer_set(&w, "after", BYTES("x"), &index);
        (void)usleep(e == OK ? 0 : 20000);
    }
    cr_assert_eq(e, OK, "%s", err_name(e));
    writer_close(&w);
    store_close(s);
    s = store_of(dir);
    assert_filled(s, written);
    assert_value(s, "after", "x");
    store_close(s);
    cr_assert_eq(umount(scratch), 0);
}

Test(store, a_disk_that_fills_up_stops_writes_and_nothing_else)
{
    fill_and_recover("size=24m", 8);
}

Test(store, a_tiny_disk_works_and_recovers_too)
{
    fill_and_recover("size=12m", 3);
}

/* Somebody else takes the last byte while the server is idle. */
Test(store, a_disk_filled_by_another_program_is_survived)
{
    char filler[128];
    char dir[128];
    uint64_t index = 0;
    if (!mounted("size=16m", 0)) {
        return;
    }
    (void)snprintf(filler, sizeof filler, "%s/filler", scratch);
    (void)snprintf(dir, sizeof dir, "%s/data", scratch);
    struct store *s = store_of(dir);
    struct writer w;
    writer_open(&w, s);
    /* Enough in memory that flushing it must fail, and be tried again. */
    static char value[16384];
    for (unsigned n = 0; n < 50; n++) {
        char key[32];
        (void)snprintf(key, sizeof key, "fill/%u", n);
        cr_assert_eq(writer_set(&w, key, (struct bytes){.ptr = value, .len = sizeof value}, &index),
                     OK);
    }
    cr_assert_eq(filler_write(filler, 64), 0);
    cr_assert_eq(writer_set(&w, "full", BYTES("x"), &index), ERR_NO_SPACE);
    cr_assert_eq(unlink(filler), 0);
    enum err e = ERR_NO_SPACE;
    for (unsigned waited_ms = 0; e != OK && waited_ms < 10000; waited_ms += 20) {
        e = writer_set(&w, "after", BYTES("x"), &index);
        (void)usleep(e == OK ? 0 : 20000);
    }
    cr_assert_eq(e, OK, "%s", err_name(e));
    assert_filled(s, 50);
    writer_close(&w);
    store_close(s);
    s = store_of(dir);
    assert_filled(s, 50);
    assert_value(s, "after", "x");
    store_close(s);
    cr_assert_eq(umount(scratch), 0);
}

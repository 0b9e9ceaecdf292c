#include "tests/sim/stories.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/replica/engine_priv.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTORS_MAX  5U
#define LOG_MAX     32U
#define POST_MAX    256U
#define ELECTION_MS 1000U
#define TICK_MS     20U
#define TICKS_MAX   2000U
#define POISON      1024U

struct actor {
    struct engine *engine;
    struct story *story;
    uint64_t id;
    uint64_t term;
    uint64_t vote;
    struct journal_snapshot snapshot; /* its configuration is the actor's own */
    uint64_t first;
    uint64_t last;
    uint64_t stored; /* what a crash leaves */
    uint64_t commit;
    bool lazy;                         /* its disk takes its time */
    struct journal_entry log[LOG_MAX]; /* by index */
};

struct letter {
    uint64_t from;
    uint64_t to;
    struct rpc_message message; /* its entries are the letter's own */
};

struct story {
    struct actor actors[ACTORS_MAX];
    unsigned count;
    unsigned up; /* those of this set hear each other: bit 0 is server 1 */
    uint64_t now_ms;
    uint64_t stranger; /* asked for its vote, and in no log */
    struct letter post[POST_MAX];
    size_t posted;
    struct journal_entry committed[LOG_MAX]; /* as whoever was first committed it */
    bool violated;
    bool stuck; /* it did not come as told */
    char text[256];
};

static __attribute__((format(printf, 2, 3))) void
story_violate(struct story *s, const char *format, ...)
{
    va_list list;
    if (s->violated) {
        return;
    }
    s->violated = true;
    va_start(list, format);
    (void)vsnprintf(s->text, sizeof s->text, format, list);
    va_end(list);
}

static void story_demand(struct story *s, bool held, const char *what)
{
    if (!held && !s->stuck && !s->violated) {
        s->stuck = true;
        (void)snprintf(s->text, sizeof s->text, "the story stops: %s", what);
    }
}

static struct journal_entry entry_copy(const struct journal_entry *entry)
{
    struct journal_entry copy = *entry;
    copy.data.ptr = mem_dup(entry->data.ptr, entry->data.len);
    return copy;
}

static void entry_free(struct journal_entry *entry)
{
    free((void *)(uintptr_t)entry->data.ptr);
    *entry = (struct journal_entry){0};
}

/* --- what the engine asks for ----------------------------------------------------------------- */

static void actor_save_vote(void *ctx, uint64_t term, uint64_t vote)
{
    struct actor *a = ctx;
    a->term = term;
    a->vote = vote;
}

static void actor_install(void *ctx, const struct journal_snapshot *snapshot)
{
    struct actor *a = ctx;
    (void)snapshot;
    story_demand(a->story, false, "nobody sends a snapshot here");
}

static void actor_cut_tail(void *ctx, uint64_t from)
{
    struct actor *a = ctx;
    for (uint64_t i = from; i <= a->last; i++) {
        entry_free(&a->log[i]);
    }
    a->last = from - 1;
    a->stored = a->stored < a->last ? a->stored : a->last;
}

static void
actor_append(void *ctx, uint64_t first, const struct journal_entry *entries, size_t count)
{
    struct actor *a = ctx;
    CHECK(first == a->last + 1 && a->last + count < LOG_MAX);
    for (size_t i = 0; i < count; i++) {
        a->log[++a->last] = entry_copy(&entries[i]);
    }
}

static bool story_hears(const struct story *s, uint64_t id)
{
    return id <= s->count && (s->up & 1U << (id - 1)) != 0;
}

static void actor_send(void *ctx, uint64_t to, const struct rpc_message *m)
{
    struct actor *a = ctx;
    struct story *s = a->story;
    if (to > s->count && m->type == RPC_VOTE) {
        s->stranger = to;
    }
    if (!story_hears(s, a->id) || !story_hears(s, to)) {
        return;
    }
    CHECK(s->posted < POST_MAX);
    struct letter *letter = &s->post[s->posted++];
    *letter = (struct letter){.from = a->id, .to = to, .message = *m};
    struct rpc_append *append = &letter->message.append;
    if (m->type == RPC_APPEND && append->count > 0) {
        append->entries = mem_zalloc(append->count, sizeof *append->entries);
        for (uint32_t i = 0; i < append->count; i++) {
            append->entries[i] = entry_copy(&a->log[append->prev_index + 1 + i]);
        }
    }
}

/* No two servers may hold two things for committed at one index. */
static void actor_commit(void *ctx, uint64_t through)
{
    struct actor *a = ctx;
    struct story *s = a->story;
    CHECK(through <= a->last);
    for (uint64_t i = a->commit + 1; i <= through; i++) {
        const struct journal_entry *mine = &a->log[i];
        struct journal_entry *known = &s->committed[i];
        if (known->term == 0) {
            *known = entry_copy(mine);
        } else if (known->term != mine->term || !bytes_equal(known->data, mine->data)) {
            story_violate(s,
                          "server %llu applies an entry of term %llu at index %llu, where another "
                          "one of term %llu was applied",
                          (unsigned long long)a->id, (unsigned long long)mine->term,
                          (unsigned long long)i, (unsigned long long)known->term);
        }
    }
    a->commit = a->commit < through ? through : a->commit;
}

static const struct engine_ops ACTOR_OPS = {
    .save_vote = actor_save_vote,
    .install = actor_install,
    .cut_tail = actor_cut_tail,
    .append = actor_append,
    .send = actor_send,
    .commit = actor_commit,
};

/* --- actors ----------------------------------------------------------------------------------- */

static void actor_store(struct actor *a, uint64_t through)
{
    a->stored = through;
    engine_persisted(a->engine, through, a->story->now_ms);
}

static void actor_sync(struct actor *a)
{
    while (!a->lazy && a->stored < a->last) {
        actor_store(a, a->last);
    }
}

static void actor_start(struct actor *a)
{
    struct reason why = {{0}};
    struct journal_facts facts = {.term = a->term,
                                  .vote = a->vote,
                                  .snapshot = a->snapshot,
                                  .first = a->first,
                                  .last = a->last,
                                  .entries = &a->log[a->first]};
    struct engine_options options = {.id = a->id,
                                     .seed = (unsigned)a->id * 31,
                                     .election_ms = ELECTION_MS,
                                     .guards = guards_on(),
                                     .ops = &ACTOR_OPS,
                                     .ctx = a};
    a->engine = engine_new(&options);
    enum err e = engine_start(a->engine, &facts, a->story->now_ms, &why);
    story_demand(a->story, e == OK, "a server does not start");
    actor_sync(a);
}

/* What was not stored is gone. */
static void actor_crash(struct actor *a)
{
    engine_free(a->engine);
    actor_cut_tail(a, a->stored + 1);
    a->commit = a->snapshot.index;
    a->lazy = false;
    actor_start(a);
}

static void actor_submit(struct actor *a, const char *text)
{
    struct journal_entry entry = {.type = JOURNAL_COMMAND, .data = bytes_of(text)};
    enum err e = engine_submit(a->engine, &entry, 1, a->story->now_ms);
    story_demand(a->story, e == OK, "the leader refuses a command");
    actor_sync(a);
}

/* --- the stage -------------------------------------------------------------------------------- */

/* Servers 1 to `voters`, and standbys behind them. */
static struct bytes story_servers(unsigned voters, unsigned standbys)
{
    struct store_servers servers = {0};
    struct buf encoded;
    size_t len = 0;
    for (unsigned i = 1; i <= voters + standbys; i++) {
        struct store_server *server = &servers.servers[servers.count++];
        *server = (struct store_server){.id = i, .role = i <= voters ? STORE_VOTER : STORE_STANDBY};
        (void)snprintf(server->address, sizeof server->address, "node%u:1", i);
    }
    buf_init(&encoded, RAFT_CONFIGURATION_MAX);
    enum err e = members_encode(&servers, &encoded);
    CHECK(e == OK);
    const char *memory = buf_take(&encoded, &len);
    return (struct bytes){.ptr = memory, .len = len};
}

/* Takes `configuration`, which all of them have as their first entry. */
static void story_open(struct story *s, unsigned count, struct bytes configuration)
{
    struct journal_entry first = {.term = 1, .type = JOURNAL_CONFIGURATION, .data = configuration};
    *s = (struct story){.count = count, .up = (1U << count) - 1, .now_ms = 1000};
    for (unsigned i = 0; i < count; i++) {
        struct actor *a = &s->actors[i];
        a->story = s;
        a->id = i + 1;
        a->term = 1;
        a->first = a->last = a->stored = 1;
        a->log[1] = entry_copy(&first);
        actor_start(a);
    }
    entry_free(&first);
}

static void letter_free(struct letter *letter)
{
    struct rpc_append *append = &letter->message.append;
    if (letter->message.type == RPC_APPEND && append->count > 0) {
        for (uint32_t i = 0; i < append->count; i++) {
            entry_free(&append->entries[i]);
        }
        free(append->entries);
    }
}

static void story_close(struct story *s)
{
    for (size_t i = 0; i < s->posted; i++) {
        letter_free(&s->post[i]);
    }
    for (unsigned i = 0; i < s->count; i++) {
        struct actor *a = &s->actors[i];
        engine_free(a->engine);
        actor_cut_tail(a, 1);
        free((void *)(uintptr_t)a->snapshot.configuration.ptr);
    }
    for (unsigned i = 0; i < LOG_MAX; i++) {
        entry_free(&s->committed[i]);
    }
}

static void story_deliver(struct story *s)
{
    for (size_t rounds = 0; s->posted > 0 && rounds < TICKS_MAX; rounds++) {
        struct letter letter = s->post[0];
        memmove(s->post, s->post + 1, --s->posted * sizeof letter);
        if (story_hears(s, letter.from) && story_hears(s, letter.to)) {
            struct actor *to = &s->actors[letter.to - 1];
            engine_receive(to->engine, letter.from, &letter.message, s->now_ms);
            actor_sync(to);
        }
        letter_free(&letter);
    }
}

/* Time passes, and only server `id` looks at the clock. */
static void story_run(struct story *s, uint64_t id, unsigned ticks)
{
    struct actor *a = &s->actors[id - 1];
    for (unsigned i = 0; i < ticks; i++) {
        s->now_ms += TICK_MS;
        if (engine_deadline(a->engine, s->now_ms - TICK_MS) <= s->now_ms) {
            engine_timeout(a->engine, s->now_ms);
            actor_sync(a);
        }
        story_deliver(s);
    }
}

/* Nobody hears anybody, until the servers that are up know of no leader any more. */
static void story_hush(struct story *s)
{
    unsigned up = s->up;
    s->up = 0;
    for (uint64_t id = 1; id <= s->count; id++) {
        if ((up & 1U << (id - 1)) != 0 && !engine_leads(s->actors[id - 1].engine)) {
            story_run(s, id, 3 * ELECTION_MS / TICK_MS);
        }
    }
    s->up = up;
}

/* Server `id` is the next leader of those that are up. */
static void story_elect(struct story *s, uint64_t id)
{
    struct actor *a = &s->actors[id - 1];
    story_hush(s);
    for (unsigned i = 0; i < TICKS_MAX && !engine_leads(a->engine); i++) {
        story_run(s, id, 1);
    }
    story_demand(s, engine_leads(a->engine), "nobody is elected");
}

/* Somebody who is not on the stage sends entries to server 1. */
static void story_append(struct story *s,
                         uint64_t from,
                         struct rpc_append append,
                         struct journal_entry *entries,
                         uint32_t count)
{
    struct rpc_message m = {.type = RPC_APPEND, .append = append};
    m.append.entries = entries;
    m.append.count = count;
    engine_receive(s->actors[0].engine, from, &m, s->now_ms);
    actor_sync(&s->actors[0]);
}

static bool servers_have(const struct store_servers *servers, uint64_t id)
{
    struct store_servers copy = *servers;
    return members_find(&copy, id) != NULL;
}

/* --- the stories ------------------------------------------------------------------------------ */

/* Figure 8 of the paper on Raft: an entry of an older term is on three of five servers, and a
 * leader that does not know of it can still be elected and replaces it. */
static void story_old_term(struct story *s)
{
    struct actor *a = s->actors;
    story_open(s, 5, story_servers(5, 0));
    /* (a) Server 1 leads; its entry is on 1 and 2. */
    a[1].lazy = a[2].lazy = a[3].lazy = a[4].lazy = true;
    story_elect(s, 1);
    story_run(s, 1, 20);
    actor_store(&a[1], a[1].last);
    actor_crash(&a[2]);
    actor_crash(&a[3]);
    actor_crash(&a[4]);
    story_demand(s, a[1].last == 2 && a[2].last == 1 && a[0].commit <= 1, "two have it");
    /* (b) Server 5 leads the others, and has an entry of its own there. */
    s->up = 1U << 2 | 1U << 3 | 1U << 4;
    a[2].lazy = a[3].lazy = true;
    story_elect(s, 5);
    actor_crash(&a[2]);
    actor_crash(&a[3]);
    story_demand(s, a[4].stored == 2 && a[2].last == 1, "5 has another");
    /* (c) Server 1 leads again; its old entry comes to 3, its new one is on no other disk. */
    s->up = 1U << 0 | 1U << 1 | 1U << 2;
    actor_crash(&a[0]);
    actor_crash(&a[1]);
    a[1].lazy = a[2].lazy = true;
    story_elect(s, 1);
    story_run(s, 1, 50);
    story_demand(s, a[2].last == 3 && a[2].stored == 1, "3 gets both");
    if (!s->stuck) {
        actor_store(&a[2], 2);
    }
    story_run(s, 1, 50);
    /* (d) Server 5 leads: its last entry is of a newer term than those of 2, 3 and 4. */
    s->up = 1U << 1 | 1U << 2 | 1U << 3 | 1U << 4;
    actor_crash(&a[1]);
    actor_crash(&a[2]);
    actor_crash(&a[4]);
    story_elect(s, 5);
    story_run(s, 5, 50);
    story_demand(s, a[4].commit >= 2, "5 commits its entry");
}

/* A snapshot is taken while a configuration is not committed, which then is taken back. */
static void story_snapshot_newest(struct story *s)
{
    struct actor *a = s->actors;
    struct journal_snapshot snapshot;
    uint64_t first = 0;
    story_open(s, 3, story_servers(3, 0));
    s->up = 0;
    struct journal_entry entries[] = {
        {.term = 2, .type = JOURNAL_COMMAND, .data = BYTES("one")},
        {.term = 2, .type = JOURNAL_CONFIGURATION, .data = story_servers(4, 0)},
    };
    struct rpc_append append = {.term = 2, .prev_index = 1, .prev_term = 1, .commit = 2};
    story_append(s, 2, append, entries, 2);
    enum err e = engine_snapshot(a->engine, 2, 0, s->now_ms, &snapshot, &first);
    story_demand(s, e == OK, "no snapshot");
    if (e == OK) {
        a->snapshot = snapshot;
        a->snapshot.configuration.ptr =
            mem_dup(snapshot.configuration.ptr, snapshot.configuration.len);
        a->first = first;
    }
    /* The next leader did not have that configuration. */
    struct journal_entry other = {.term = 3, .type = JOURNAL_COMMAND, .data = BYTES("other")};
    append = (struct rpc_append){.term = 3, .prev_index = 2, .prev_term = 2, .commit = 3};
    story_append(s, 3, append, &other, 1);
    entry_free(&entries[1]);
    actor_crash(a);
    if (servers_have(engine_servers_committed(a->engine), 4)) {
        story_violate(s, "after a restart server 4 is a voter, by a configuration that was taken "
                         "back before it was committed");
    }
}

/* G2. A configuration comes in one message with the command before it, and is cut off. */
static void story_change(struct story *s)
{
    story_open(s, 3, story_servers(3, 0));
    s->up = 0;
    struct journal_entry entries[] = {
        {.term = 2, .type = JOURNAL_COMMAND, .data = BYTES("one")},
        {.term = 2, .type = JOURNAL_CONFIGURATION, .data = story_servers(4, 0)},
    };
    struct rpc_append append = {.term = 2, .prev_index = 1, .prev_term = 1, .commit = 1};
    story_append(s, 2, append, entries, 2);
    struct journal_entry other = {.term = 3, .type = JOURNAL_COMMAND, .data = BYTES("other")};
    append = (struct rpc_append){.term = 3, .prev_index = 2, .prev_term = 2, .commit = 3};
    story_append(s, 3, append, &other, 1);
    entry_free(&entries[1]);
    /* Its leader falls silent: whom does it ask? */
    story_run(s, 1, 500);
    if (s->stranger != 0) {
        story_violate(s, "server 1 asks server %llu for its vote, which no configuration names",
                      (unsigned long long)s->stranger);
    }
}

/* What is on the stack after this, a function that forgets to set a variable finds there. */
static __attribute__((noinline)) uint64_t stack_poison(uint64_t value)
{
    volatile uint64_t room[POISON];
    for (size_t i = 0; i < POISON; i++) {
        room[i] = value;
    }
    return room[POISON / 2];
}

/* G3. A follower that lacks much rejects a new leader's first guess; it then acknowledges just that
 * index, is out of reach for a while, and the rejection comes a second time. */
static void story_rejection(struct story *s)
{
    struct actor *a = s->actors;
    story_open(s, 3, story_servers(3, 0));
    story_elect(s, 1);
    story_run(s, 1, 50);
    s->up = 1U << 0 | 1U << 2;
    uint64_t had = a[1].last;
    for (unsigned i = 0; i < 4; i++) {
        actor_submit(&a[0], "for two");
    }
    story_run(s, 1, 50);
    actor_crash(&a[0]);
    s->up = (1U << 3) - 1;
    a[1].lazy = true;
    uint64_t guess = a[0].last;
    story_elect(s, 1);
    story_run(s, 1, 50);
    story_demand(s, a[1].last == guess + 1 && a[1].stored == had, "2 is sent all");
    if (!s->stuck) {
        actor_store(&a[1], guess);
    }
    story_run(s, 1, 2);
    story_demand(s, engine_match(a[0].engine, 2) == guess, "2 acknowledges the guess");
    s->up = 1U << 0 | 1U << 2;
    actor_crash(&a[1]);
    story_run(s, 1, 3 * ELECTION_MS / TICK_MS);
    struct rpc_message late = {.type = RPC_APPEND_REPLY};
    late.append_reply =
        (struct rpc_append_reply){.term = a[0].term, .rejected = guess, .last_index = had};
    engine_receive(a[0].engine, 2, &late, s->now_ms);
    s->up = (1U << 3) - 1;
    story_run(s, 1, 20 * ELECTION_MS / TICK_MS);
    if (a[1].last < a[0].last) {
        story_violate(s, "server 2 is sent nothing any more: it ends at %llu, the leader at %llu",
                      (unsigned long long)a[1].last, (unsigned long long)a[0].last);
    }
}

/* G4. A message that server 1 sent in an older term, when server 2 had nothing, was long on its
 * way; the answer reaches it when it leads again. */
static void story_old_reply(struct story *s)
{
    struct actor *a = s->actors;
    story_open(s, 3, story_servers(3, 0));
    story_elect(s, 1);
    story_run(s, 1, 50);
    struct rpc_message late = {.type = RPC_APPEND};
    struct journal_entry first = entry_copy(&a[0].log[1]);
    late.append = (struct rpc_append){.term = a[0].term, .entries = &first, .count = 1};
    actor_crash(&a[0]);
    story_elect(s, 1);
    story_run(s, 1, 50);
    s->up = 0;
    actor_submit(&a[0], "nobody else has it");
    story_demand(s, a[0].commit < a[0].last && a[1].last < a[0].last, "1 alone has it");
    s->up = 1U << 0 | 1U << 1;
    (void)stack_poison(a[0].last);
    engine_receive(a[1].engine, 1, &late, s->now_ms);
    entry_free(&first);
    story_demand(s, s->posted == 1, "2 answers");
    struct letter answer = s->post[0];
    s->posted = 0;
    s->up = 0; /* what server 1 sends on it is lost */
    engine_receive(a[0].engine, 2, &answer.message, s->now_ms);
    s->up = 1U << 1 | 1U << 2;
    story_elect(s, 3);
    story_run(s, 3, 50);
    story_demand(s, a[2].commit >= a[0].last, "3 commits its own");
}

/* G5. The only voter's disk is slower than its standby's, and it crashes. */
static void story_sole(struct story *s)
{
    struct actor *a = s->actors;
    story_open(s, 2, story_servers(1, 1));
    story_run(s, 1, 100);
    actor_submit(&a[0], "before");
    story_run(s, 1, 100);
    a[0].lazy = true;
    actor_submit(&a[0], "on the standby alone");
    story_run(s, 1, 100);
    story_demand(s, a[1].stored == 3 && a[0].stored == 2, "the standby is ahead");
    actor_crash(&a[0]);
    actor_submit(&a[0], "another");
    story_run(s, 1, 100);
    story_demand(s, a[1].commit >= 3, "the standby applies it");
}

/* G7. A spare server catches up; its leader then waits for nothing. No spare is ever made here, but
 * a configuration can name one, and so the library is told to let it catch up directly. */
static void story_deadline(struct story *s)
{
    struct actor *a = s->actors;
    struct bytes configuration = story_servers(1, 1);
    struct raft_update update = {0};
    /* Behind the second address and its zero; before that, 9 bytes and 8 for each id. */
    size_t role = 9 + 2 * (8 + sizeof "node1:1") + 1;
    CHECK(role < configuration.len);
    ((char *)(uintptr_t)configuration.ptr)[role] = RAFT_SPARE;
    story_open(s, 1, configuration);
    story_run(s, 1, 10);
    struct raft_event event = {
        .type = RAFT_CATCH_UP, .time = s->now_ms, .capacity = USHRT_MAX, .catch_up = {2}};
    int rv = raft_step(&a->engine->raft, &event, &update);
    story_demand(s, rv == 0 && update.messages.n == 1, "it is sent what it lacks");
    struct rpc_message reply = {.type = RPC_APPEND_REPLY};
    reply.append_reply = (struct rpc_append_reply){.term = a->term, .last_index = a->last};
    engine_receive(a->engine, 2, &reply, s->now_ms);
    int status = 0;
    rv = raft_catch_up(&a->engine->raft, 2, &status);
    story_demand(s, rv == 0 && status == RAFT_CATCH_UP_FINISHED, "it has caught up");
    s->now_ms += ELECTION_MS;
    for (unsigned i = 0; i < 100; i++) {
        engine_timeout(a->engine, s->now_ms);
        if (engine_deadline(a->engine, s->now_ms) > s->now_ms) {
            return;
        }
    }
    story_violate(s, "a hundred times the engine wants to be called at once");
}

static void (*const STORIES[SEEDED_COUNT])(struct story *s) = {
    [SEEDED_OLD_TERM] = story_old_term, [SEEDED_SNAPSHOT_NEWEST] = story_snapshot_newest,
    [SEEDED_NO_G2] = story_change,      [SEEDED_NO_G3] = story_rejection,
    [SEEDED_NO_G4] = story_old_reply,   [SEEDED_NO_G5] = story_sole,
    [SEEDED_NO_G7] = story_deadline,
};

bool story_exists(enum seeded_bug bug)
{
    return STORIES[bug] != NULL;
}

bool story_play(enum seeded_bug bug, char *text, size_t len)
{
    struct story *s = mem_zalloc(1, sizeof *s);
    STORIES[bug](s);
    (void)snprintf(text, len, "%s", s->text);
    bool violated = s->violated;
    story_close(s);
    free(s);
    return violated;
}

#include "store/replica/journal.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "store/replica/mark.h"
#include "store/replica/wal_check.h"
#include "store/seeded.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOURNAL_KEY_LEN     9U
#define JOURNAL_FRAME       (8U + 8U + 1U + 4U) /* index, term, type, ..., CRC */
#define JOURNAL_PAYLOAD_MAX MIB(64)

struct journal {
    struct rocks *db;
    struct rocks_batch *batch;
    struct buf scratch;
    struct mark *mark; /* NULL in memory */
    const char *where; /* the directory's name, for messages */
    char *path;
    char *configuration; /* of the snapshot */
    struct journal_entry *entries;
    size_t entries_cap;
    struct journal_facts facts;
    _Atomic uint64_t first;
    _Atomic uint64_t last;
};

/* --- bytes ----------------------------------------------------------------------------------- */

static void journal_put_int(struct buf *out, uint64_t value, unsigned len)
{
    char bytes[8];
    for (unsigned i = 0; i < len; i++) {
        bytes[i] = (char)(value >> (8 * i));
    }
    buf_put(out, (struct bytes){.ptr = bytes, .len = len});
}

static uint64_t journal_int(const char *p, unsigned len)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < len; i++) {
        value |= (uint64_t)(unsigned char)p[i] << (8 * i);
    }
    return value;
}

static void journal_seal(struct buf *out)
{
    journal_put_int(out, checksum(buf_view(out)), 4);
}

/* What a sealed record holds; false if it is not whole. */
static bool journal_unseal(struct bytes record, size_t len_min, struct bytes *ret_body)
{
    if (record.len < len_min + 4) {
        return false;
    }
    struct bytes body = bytes_slice(record, 0, record.len - 4);
    if (checksum(body) != journal_int(record.ptr + body.len, 4)) {
        return false;
    }
    *ret_body = body;
    return true;
}

struct journal_key {
    char bytes[JOURNAL_KEY_LEN];
};

static struct bytes journal_key(struct journal_key *key, uint64_t index)
{
    key->bytes[0] = 'e';
    for (unsigned i = 0; i < 8; i++) {
        key->bytes[1 + i] = (char)(index >> (8 * (7 - i)));
    }
    return (struct bytes){.ptr = key->bytes, .len = JOURNAL_KEY_LEN};
}

static uint64_t journal_key_index(struct bytes key)
{
    uint64_t index = 0;
    for (unsigned i = 1; i < JOURNAL_KEY_LEN; i++) {
        index = index << 8 | (unsigned char)key.ptr[i];
    }
    return index;
}

static bool journal_decode(struct bytes record, uint64_t index, struct journal_entry *ret_entry)
{
    struct bytes body;
    if (!journal_unseal(record, 17, &body) || journal_int(body.ptr, 8) != index) {
        return false;
    }
    uint64_t type = (unsigned char)body.ptr[16];
    uint64_t term = journal_int(body.ptr + 8, 8);
    if (type < JOURNAL_COMMAND || type > JOURNAL_CONFIGURATION || term == 0) {
        return false;
    }
    *ret_entry = (struct journal_entry){
        .term = term,
        .type = (enum journal_type)type,
        .data = bytes_slice(body, 17, body.len),
    };
    return true;
}

/* --- opening --------------------------------------------------------------------------------- */

static enum err journal_corrupt(struct journal *j, struct reason *why, const char *what)
{
    reason_set(why, "%s: %s; restore the data directory from a backup, or start with an empty one",
               j->where, what);
    return ERR_CORRUPT;
}

static enum err journal_load_vote(struct journal *j, struct reason *why)
{
    bool any = false;
    bool good = false;
    for (int copy = 0; copy < 2; copy++) {
        struct rocks_slice slice = {0};
        struct bytes body;
        enum err e = rocks_get(j->db, NULL, copy == 0 ? BYTES("v0") : BYTES("v1"), &slice, why);
        if (e != OK && e != ERR_NOT_FOUND) {
            return e;
        }
        if (e == OK) {
            any = true;
            if (journal_unseal(slice.value, 16, &body) &&
                journal_int(body.ptr, 8) >= j->facts.term) {
                good = true;
                j->facts.term = journal_int(body.ptr, 8);
                j->facts.vote =
                    SEEDED_BUG(SEEDED_VOTE_FORGOTTEN) ? 0 : journal_int(body.ptr + 8, 8);
            }
        }
        rocks_slice_close(&slice);
    }
    j->facts.fresh = !any;
    return any && !good ? journal_corrupt(j, why, "both copies of term and vote are damaged") : OK;
}

static enum err journal_load_snapshot(struct journal *j, struct reason *why)
{
    struct rocks_slice slice = {0};
    struct bytes body;
    enum err e = rocks_get(j->db, NULL, BYTES("s"), &slice, why);
    if (e != OK) {
        return e == ERR_NOT_FOUND ? OK : e;
    }
    if (journal_unseal(slice.value, 24, &body)) {
        struct bytes configuration = bytes_slice(body, 24, body.len);
        j->configuration = mem_dup(configuration.ptr, configuration.len);
        j->facts.snapshot = (struct journal_snapshot){
            .index = journal_int(body.ptr, 8),
            .term = journal_int(body.ptr + 8, 8),
            .configuration_index = journal_int(body.ptr + 16, 8),
            .configuration = {.ptr = j->configuration, .len = configuration.len},
        };
    } else {
        e = journal_corrupt(j, why, "the description of the last snapshot is damaged");
    }
    rocks_slice_close(&slice);
    return e;
}

static enum err journal_load_generation(struct journal *j, struct reason *why)
{
    struct rocks_slice slice = {0};
    struct bytes body;
    enum err e = rocks_get(j->db, NULL, BYTES("g"), &slice, why);
    if (e != OK) {
        return e == ERR_NOT_FOUND ? OK : e;
    }
    if (journal_unseal(slice.value, 8, &body)) {
        j->facts.snapshot.generation = journal_int(body.ptr, 8);
    } else {
        e = journal_corrupt(j, why, "the name of the current state is damaged");
    }
    rocks_slice_close(&slice);
    return e;
}

static enum err journal_load_epoch(struct journal *j, struct reason *why)
{
    struct rocks_slice slice = {0};
    struct bytes body;
    enum err e = rocks_get(j->db, NULL, BYTES("c"), &slice, why);
    if (e == ERR_NOT_FOUND && j->facts.fresh) {
        return OK;
    }
    if (e == OK && journal_unseal(slice.value, 8, &body)) {
        j->facts.epoch = journal_int(body.ptr, 8);
    } else if (e == OK || e == ERR_NOT_FOUND) {
        e = journal_corrupt(j, why, "the epoch is damaged");
    }
    rocks_slice_close(&slice);
    return e;
}

static void journal_keep_entry(struct journal *j, const struct journal_entry *entry)
{
    size_t count = (size_t)(j->facts.last - j->facts.first + 1);
    if (count == j->entries_cap) {
        j->entries_cap = j->entries_cap == 0 ? 1024 : j->entries_cap * 2;
        j->entries = mem_realloc(j->entries, j->entries_cap * sizeof *j->entries);
    }
    CHECK(j->entries != NULL);
    struct journal_entry *kept = &j->entries[count];
    *kept = (struct journal_entry){.term = entry->term, .type = entry->type};
    if (entry->type == JOURNAL_CONFIGURATION) {
        kept->data.ptr = mem_dup(entry->data.ptr, entry->data.len);
        kept->data.len = entry->data.len;
    }
    j->facts.last++;
}

static enum err journal_load_entry(struct journal *j, struct rocks_iter *it, struct reason *why)
{
    char what[128];
    struct bytes key = rocks_iter_key(it);
    if (key.len != JOURNAL_KEY_LEN) {
        return journal_corrupt(j, why, "a key that is no entry's");
    }
    uint64_t index = journal_key_index(key);
    if (j->facts.first == 0) {
        j->facts.first = index;
        j->facts.last = index - 1;
    }
    struct journal_entry entry;
    if (index != j->facts.last + 1) {
        (void)snprintf(what, sizeof what, "entry %llu is followed by entry %llu",
                       (unsigned long long)j->facts.last, (unsigned long long)index);
        return journal_corrupt(j, why, what);
    }
    if (!journal_decode(rocks_iter_value(it), index, &entry)) {
        (void)snprintf(what, sizeof what, "entry %llu is damaged", (unsigned long long)index);
        return journal_corrupt(j, why, what);
    }
    journal_keep_entry(j, &entry);
    return OK;
}

static enum err journal_load_entries(struct journal *j, struct reason *why)
{
    struct rocks_iter *it = rocks_iter_new(j->db, NULL, BYTES("e"), BYTES("f"));
    enum err e = OK;
    for (rocks_iter_first(it); e == OK && rocks_iter_valid(it); rocks_iter_next(it)) {
        e = journal_load_entry(j, it, why);
    }
    if (e == OK) {
        e = rocks_iter_error(it, why);
    }
    rocks_iter_free(it);
    if (j->facts.first == 0) {
        j->facts.first = j->facts.snapshot.index + 1;
        j->facts.last = j->facts.snapshot.index;
    }
    j->facts.entries = j->entries;
    return e;
}

/* What the pieces say of each other. */
static enum err journal_check_whole(struct journal *j, struct reason *why)
{
    char what[160];
    const struct journal_facts *facts = &j->facts;
    uint64_t marked = j->mark != NULL ? mark_index(j->mark) : 0;
    if (j->mark != NULL && mark_fresh(j->mark) && !facts->fresh && facts->last > 1) {
        return journal_corrupt(j, why, "its mark (log.mark beside it) is missing");
    }
    if (facts->first > facts->snapshot.index + 1) {
        (void)snprintf(what, sizeof what, "begins at entry %llu, the state needs it from %llu on",
                       (unsigned long long)facts->first,
                       (unsigned long long)facts->snapshot.index + 1);
        return journal_corrupt(j, why, what);
    }
    if (facts->last < marked || (facts->fresh && facts->last > 0)) {
        (void)snprintf(what, sizeof what, "ends at entry %llu, but entries up to %llu were durable",
                       (unsigned long long)facts->last, (unsigned long long)marked);
        return journal_corrupt(j, why, what);
    }
    uint64_t term = 0;
    for (uint64_t i = facts->first; i <= facts->last; i++) {
        CHECK(facts->entries != NULL);
        const struct journal_entry *entry = &facts->entries[i - facts->first];
        if (entry->term < term || entry->term > facts->term) {
            (void)snprintf(what, sizeof what, "entry %llu has term %llu, which cannot be",
                           (unsigned long long)i, (unsigned long long)entry->term);
            return journal_corrupt(j, why, what);
        }
        term = entry->term;
    }
    return OK;
}

static enum err journal_load(struct journal *j, struct reason *why)
{
    enum err e = journal_load_vote(j, why);
    if (e == OK) {
        e = journal_load_snapshot(j, why);
    }
    if (e == OK) {
        e = journal_load_generation(j, why);
    }
    if (e == OK) {
        e = journal_load_epoch(j, why);
    }
    if (e == OK) {
        e = journal_load_entries(j, why);
    }
    if (e == OK) {
        e = journal_check_whole(j, why);
    }
    atomic_store(&j->first, j->facts.first);
    atomic_store(&j->last, j->facts.last);
    return e;
}

enum err
journal_open(const struct journal_paths *paths, struct journal **ret_journal, struct reason *why)
{
    struct journal *j = mem_zalloc(1, sizeof *j);
    buf_init(&j->scratch, JOURNAL_PAYLOAD_MAX + JOURNAL_FRAME);
    j->batch = rocks_batch_new();
    j->path = paths->directory != NULL ? mem_strdup(paths->directory) : NULL;
    j->where = j->path != NULL ? j->path : "the log in memory";
    enum err e = OK;
    if (paths->directory != NULL) {
        e = mark_open(paths->mark, &j->mark, why);
        if (e == OK) {
            e = wal_check(paths->directory, mark_index(j->mark), why);
        }
    }
    if (e == OK) {
        e = rocks_open(paths->directory, ROCKS_LOG, &j->db, why);
    }
    if (e == OK) {
        e = journal_load(j, why);
    }
    if (e != OK) {
        journal_close(j);
        return e;
    }
    *ret_journal = j;
    return OK;
}

void journal_forget_facts(struct journal *j)
{
    uint64_t count = j->entries != NULL ? j->facts.last + 1 - j->facts.first : 0;
    for (uint64_t i = 0; i < count; i++) {
        /* journal_keep_entry() allocated it. */
        free((void *)(uintptr_t)j->entries[i].data.ptr);
    }
    free(j->entries);
    j->entries = NULL;
    j->entries_cap = 0;
    j->facts.entries = NULL;
}

void journal_close(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    journal_forget_facts(j);
    rocks_batch_free(j->batch);
    rocks_close(j->db);
    mark_close(j->mark);
    buf_close(&j->scratch);
    free(j->configuration);
    free(j->path);
    free(j);
}

const struct journal_facts *journal_facts(const struct journal *j)
{
    return &j->facts;
}

/* --- writing --------------------------------------------------------------------------------- */

static void
journal_stage_entry(struct journal *j, uint64_t index, const struct journal_entry *entry)
{
    struct journal_key key;
    CHECK(entry->term > 0);
    CHECK(entry->data.len <= JOURNAL_PAYLOAD_MAX);
    buf_clear(&j->scratch);
    journal_put_int(&j->scratch, index, 8);
    journal_put_int(&j->scratch, entry->term, 8);
    journal_put_int(&j->scratch, (uint64_t)entry->type, 1);
    buf_put(&j->scratch, entry->data);
    journal_seal(&j->scratch);
    rocks_batch_put(j->batch, journal_key(&key, index), buf_view(&j->scratch));
}

static void journal_stage_vote(struct journal *j, uint64_t term, uint64_t vote)
{
    buf_clear(&j->scratch);
    journal_put_int(&j->scratch, term, 8);
    journal_put_int(&j->scratch, vote, 8);
    journal_seal(&j->scratch);
    rocks_batch_put(j->batch, BYTES("v0"), buf_view(&j->scratch));
    rocks_batch_put(j->batch, BYTES("v1"), buf_view(&j->scratch));
}

/* journal_reopen() found no room to open it again. */
static enum err journal_closed(const struct journal *j, struct reason *why)
{
    reason_set(why, "%s: no space left on the disk", j->where);
    return ERR_NO_SPACE;
}

static enum err journal_write_sync(struct journal *j, bool sync, struct reason *why)
{
    enum err e = j->db == NULL ? journal_closed(j, why)
                               : rocks_write(j->db, j->batch, sync && j->path != NULL, why);
    rocks_batch_clear(j->batch);
    return e;
}

static enum err journal_write(struct journal *j, struct reason *why)
{
    return journal_write_sync(j, true, why);
}

static void journal_stage_epoch(struct journal *j, uint64_t epoch)
{
    buf_clear(&j->scratch);
    journal_put_int(&j->scratch, epoch, 8);
    journal_seal(&j->scratch);
    rocks_batch_put(j->batch, BYTES("c"), buf_view(&j->scratch));
}

enum err
journal_bootstrap(struct journal *j, uint64_t epoch, struct bytes configuration, struct reason *why)
{
    struct journal_entry entry = {.term = 1, .type = JOURNAL_CONFIGURATION, .data = configuration};
    CHECK(j->facts.fresh);
    journal_stage_entry(j, 1, &entry);
    journal_stage_vote(j, 1, 0);
    journal_stage_epoch(j, epoch);
    enum err e = journal_write(j, why);
    if (e != OK) {
        return e;
    }
    if (j->mark != NULL) {
        e = mark_set(j->mark, 1, true, why);
    }
    j->facts = (struct journal_facts){0};
    return e == OK ? journal_load(j, why) : e;
}

enum err journal_adopt(struct journal *j, uint64_t epoch, struct reason *why)
{
    if (j->facts.epoch != 0) {
        reason_set(why, "%s: belongs to cluster %016llx, not to %016llx", j->where,
                   (unsigned long long)j->facts.epoch, (unsigned long long)epoch);
        return j->facts.epoch == epoch ? OK : ERR_CONFLICT;
    }
    journal_stage_epoch(j, epoch);
    enum err e = journal_write(j, why);
    j->facts.epoch = e == OK ? epoch : 0;
    return e;
}

enum err journal_save_vote(struct journal *j, uint64_t term, uint64_t vote, struct reason *why)
{
    CHECK(term > 0);
    journal_stage_vote(j, term, vote);
    return journal_write_sync(j, !SEEDED_BUG(SEEDED_VOTE_NOT_SYNCED), why);
}

enum err journal_append(struct journal *j,
                        uint64_t first,
                        const struct journal_entry *entries,
                        size_t count,
                        struct reason *why)
{
    CHECK(count > 0);
    CHECK(first == atomic_load(&j->last) + 1);
    for (size_t i = 0; i < count; i++) {
        journal_stage_entry(j, first + i, &entries[i]);
    }
    enum err e = journal_write_sync(j, !SEEDED_BUG(SEEDED_ACK_BEFORE_SYNC), why);
    if (e != OK) {
        return e;
    }
    atomic_store(&j->last, first + count - 1);
    return j->mark != NULL ? mark_set(j->mark, first + count - 1, false, why) : OK;
}

enum err journal_cut_tail(struct journal *j, uint64_t from, struct reason *why)
{
    struct journal_key begin;
    struct journal_key end;
    uint64_t last = atomic_load(&j->last);
    CHECK(from > 0 && from <= last);
    /* The mark first, and durably: it may never promise more than is there. */
    if (j->mark != NULL) {
        enum err e = mark_set(j->mark, from - 1, true, why);
        if (e != OK) {
            return e;
        }
    }
    rocks_batch_delete_range(j->batch, journal_key(&begin, from), journal_key(&end, last + 1));
    enum err e = journal_write(j, why);
    if (e == OK) {
        atomic_store(&j->last, from - 1);
    }
    return e;
}

static void journal_stage_snapshot(struct journal *j, const struct journal_snapshot *snapshot)
{
    buf_clear(&j->scratch);
    journal_put_int(&j->scratch, snapshot->index, 8);
    journal_put_int(&j->scratch, snapshot->term, 8);
    journal_put_int(&j->scratch, snapshot->configuration_index, 8);
    buf_put(&j->scratch, snapshot->configuration);
    journal_seal(&j->scratch);
    rocks_batch_put(j->batch, BYTES("s"), buf_view(&j->scratch));
}

enum err journal_cut_head(struct journal *j,
                          const struct journal_snapshot *snapshot,
                          uint64_t first_kept,
                          struct reason *why)
{
    struct journal_key begin;
    struct journal_key end;
    uint64_t first = atomic_load(&j->first);
    CHECK(first_kept <= snapshot->index + 1);
    journal_stage_snapshot(j, snapshot);
    if (first_kept > first) {
        rocks_batch_delete_range(j->batch, journal_key(&begin, first),
                                 journal_key(&end, first_kept));
    }
    enum err e = journal_write(j, why);
    if (e == OK && first_kept > first) {
        atomic_store(&j->first, first_kept);
    }
    return e;
}

/* Whatever the log says of the servers from `first` on is forgotten. */
static void journal_stage_barriers(struct journal *j, uint64_t first)
{
    static const char NOTHING[8] = {0};
    for (uint64_t i = first; i <= j->facts.last; i++) {
        const struct journal_entry *entry = &j->facts.entries[i - j->facts.first];
        if (entry->type == JOURNAL_CONFIGURATION) {
            struct journal_entry barrier = {
                .term = entry->term,
                .type = JOURNAL_BARRIER,
                .data = {.ptr = NOTHING, .len = sizeof NOTHING},
            };
            journal_stage_entry(j, i, &barrier);
        }
    }
}

enum err
journal_recover(struct journal *j, const struct journal_snapshot *snapshot, struct reason *why)
{
    uint64_t first = j->facts.first;
    CHECK(j->facts.last > 0 && (j->entries != NULL || j->facts.last < first));
    if (first == 1) {
        struct journal_entry entry = {
            .term = j->facts.entries[0].term,
            .type = JOURNAL_CONFIGURATION,
            .data = snapshot->configuration,
        };
        journal_stage_entry(j, 1, &entry);
        rocks_batch_delete(j->batch, BYTES("s"));
    } else {
        CHECK(snapshot->index + 1 >= first && snapshot->index <= j->facts.last);
        journal_stage_snapshot(j, snapshot);
    }
    journal_stage_barriers(j, first == 1 ? 2 : first);
    enum err e = journal_write(j, why);
    if (e != OK) {
        return e;
    }
    journal_forget_facts(j);
    free(j->configuration);
    j->configuration = NULL;
    j->facts = (struct journal_facts){0};
    return journal_load(j, why);
}

uint64_t journal_generation(const struct journal *j)
{
    return j->facts.snapshot.generation;
}

static void journal_stage_generation(struct journal *j, uint64_t generation)
{
    buf_clear(&j->scratch);
    journal_put_int(&j->scratch, generation, 8);
    journal_seal(&j->scratch);
    rocks_batch_put(j->batch, BYTES("g"), buf_view(&j->scratch));
}

enum err journal_install(struct journal *j,
                         const struct journal_snapshot *snapshot,
                         uint64_t generation,
                         struct reason *why)
{
    struct journal_key begin;
    struct journal_key end;
    uint64_t first = atomic_load(&j->first);
    uint64_t last = atomic_load(&j->last);
    CHECK(snapshot->index > 0 && snapshot->term > 0);
    /* The mark first, as when the tail is cut: behind this nothing is promised but the snapshot. It
     * rises again with the next entry. */
    if (j->mark != NULL && mark_index(j->mark) > snapshot->index) {
        enum err e = mark_set(j->mark, snapshot->index, true, why);
        if (e != OK) {
            return e;
        }
    }
    journal_stage_snapshot(j, snapshot);
    journal_stage_generation(j, generation);
    if (first <= last) {
        rocks_batch_delete_range(j->batch, journal_key(&begin, first), journal_key(&end, last + 1));
    }
    enum err e = journal_write(j, why);
    if (e == OK) {
        j->facts.snapshot.generation = generation;
        atomic_store(&j->first, snapshot->index + 1);
        atomic_store(&j->last, snapshot->index);
    }
    return e;
}

enum err journal_compact(struct journal *j, struct reason *why)
{
    return j->db == NULL ? journal_closed(j, why) : rocks_flush(j->db, why);
}

static enum err journal_find_last(struct journal *j, struct reason *why)
{
    struct rocks_iter *it = rocks_iter_new(j->db, NULL, BYTES("e"), BYTES("f"));
    uint64_t last = atomic_load(&j->first) - 1;
    rocks_iter_last(it);
    if (rocks_iter_valid(it) && rocks_iter_key(it).len == JOURNAL_KEY_LEN) {
        last = journal_key_index(rocks_iter_key(it));
    }
    enum err e = rocks_iter_error(it, why);
    rocks_iter_free(it);
    atomic_store(&j->last, last);
    return e;
}

enum err journal_reopen(struct journal *j, struct reason *why)
{
    CHECK(j->path != NULL);
    rocks_close(j->db);
    j->db = NULL;
    enum err e = wal_check(j->path, mark_index(j->mark), why);
    if (e == OK) {
        e = rocks_open(j->path, ROCKS_LOG, &j->db, why);
    }
    return e == OK ? journal_find_last(j, why) : e;
}

/* --- reading --------------------------------------------------------------------------------- */

uint64_t journal_first(const struct journal *j)
{
    return atomic_load(&j->first);
}

uint64_t journal_last(const struct journal *j)
{
    return atomic_load(&j->last);
}

enum err journal_read(struct journal *j,
                      uint64_t index,
                      struct rocks_slice *slice,
                      struct journal_entry *ret_entry,
                      struct reason *why)
{
    struct journal_key key;
    enum err e = j->db == NULL ? journal_closed(j, why)
                               : rocks_get(j->db, NULL, journal_key(&key, index), slice, why);
    if (e != OK) {
        return e;
    }
    return journal_decode(slice->value, index, ret_entry)
               ? OK
               : journal_corrupt(j, why, "an entry is damaged");
}

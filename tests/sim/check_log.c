#include "tests/sim/check_log.h"

#include "core/base/mem.h"

#include <stdlib.h>

/* What one run says of one index. */
struct log_said {
    uint64_t index;
    uint64_t term;
    uint64_t digest;
    size_t run;
};

static bool log_check_run(const struct log_run *r, struct reason *why)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct log_applied *a = &r->applied[i];
        uint64_t before = i == 0 ? r->start : a[-1].index;
        if (a->index != before + 1) {
            reason_set(why, "%s applied index %lu after %lu", r->name, a->index, before);
            return false;
        }
        if (i > 0 && a->term < a[-1].term) {
            reason_set(why, "%s applied index %lu of term %lu after term %lu", r->name, a->index,
                       a->term, a[-1].term);
            return false;
        }
    }
    return true;
}

static uint64_t log_last(const struct log_run *r)
{
    return r->start + r->count;
}

static int log_by_index(const void *x, const void *y)
{
    const struct log_said *a = x;
    const struct log_said *b = y;
    if (a->index != b->index) {
        return a->index < b->index ? -1 : 1;
    }
    return a->run < b->run ? -1 : a->run > b->run;
}

/* Everything that was said, by index. */
static struct log_said *log_collect(const struct log_run *runs, size_t run_count, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < run_count; i++) {
        count += runs[i].count;
    }
    struct log_said *said = mem_alloc((count + 1) * sizeof(*said));
    count = 0;
    for (size_t i = 0; i < run_count; i++) {
        for (size_t j = 0; j < runs[i].count; j++) {
            const struct log_applied *a = &runs[i].applied[j];
            said[count++] = (struct log_said){
                .index = a->index,
                .term = a->term,
                .digest = a->digest,
                .run = i,
            };
        }
    }
    qsort(said, count, sizeof(*said), log_by_index);
    *ret_count = count;
    return said;
}

static bool log_check_identical(const struct log_run *runs,
                                const struct log_said *said,
                                size_t count,
                                struct reason *why)
{
    for (size_t i = 1; i < count; i++) {
        const struct log_said *a = &said[i - 1];
        const struct log_said *b = &said[i];
        if (a->index == b->index && (a->term != b->term || a->digest != b->digest)) {
            reason_set(why,
                       "index %lu: %s has term %lu, digest %016lx; %s has term %lu, digest %016lx",
                       a->index, runs[a->run].name, a->term, a->digest, runs[b->run].name, b->term,
                       b->digest);
            return false;
        }
    }
    return true;
}

static const struct log_said *log_find(const struct log_said *said, size_t count, uint64_t index)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (said[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && said[low].index == index ? &said[low] : NULL;
}

static bool log_check_ack(const struct log_run *runs,
                          size_t run_count,
                          const struct log_ack *ack,
                          const struct log_said *applied,
                          struct reason *why)
{
    if (applied == NULL) {
        reason_set(why, "index %lu was acknowledged and nobody applied it", ack->index);
        return false;
    }
    if (applied->digest != ack->digest) {
        reason_set(why, "index %lu was acknowledged with digest %016lx; %s applied %016lx",
                   ack->index, ack->digest, runs[applied->run].name, applied->digest);
        return false;
    }
    for (size_t i = 0; i < run_count; i++) {
        if (runs[i].complete && log_last(&runs[i]) < ack->index) {
            reason_set(why, "index %lu was acknowledged (%s applied it) and lost: %s ends at %lu",
                       ack->index, runs[applied->run].name, runs[i].name, log_last(&runs[i]));
            return false;
        }
    }
    return true;
}

bool check_log(const struct log_run *runs,
               size_t run_count,
               const struct log_ack *acks,
               size_t ack_count,
               struct reason *why)
{
    for (size_t i = 0; i < run_count; i++) {
        if (!log_check_run(&runs[i], why)) {
            return false;
        }
    }
    size_t count;
    struct log_said *said = log_collect(runs, run_count, &count);
    bool well = log_check_identical(runs, said, count, why);
    for (size_t i = 0; well && i < ack_count; i++) {
        const struct log_said *applied = log_find(said, count, acks[i].index);
        well = log_check_ack(runs, run_count, &acks[i], applied, why);
    }
    free(said);
    return well;
}

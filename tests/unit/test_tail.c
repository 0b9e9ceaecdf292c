/* The end of the log in memory, beside a plain array that says what must be there. */
#include "core/base/mem.h"
#include "store/replica/tail.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_MAX 4096

static void add(struct tail *t, uint64_t term, const char *text)
{
    struct journal_entry e = {.term = term, .type = JOURNAL_COMMAND, .data = bytes_of(text)};
    tail_append(t, &e, NULL);
}

static void check(const struct tail *t, uint64_t index, uint64_t term, const char *text)
{
    const struct journal_entry *e = tail_get(t, index);
    cr_assert_not_null(e);
    cr_assert_eq(e->term, term);
    cr_assert(bytes_equal(e->data, bytes_of(text)));
}

Test(tail, begins_empty_behind_what_is_in_the_log)
{
    struct tail t;
    tail_init(&t, 41);
    cr_assert_eq(tail_first(&t), 42);
    cr_assert_eq(tail_last(&t), 41);
    cr_assert_null(tail_get(&t, 41));
    cr_assert_null(tail_get(&t, 42));
    add(&t, 1, "one");
    check(&t, 42, 1, "one");
    cr_assert_eq(tail_bytes(&t), 3);
    tail_close(&t);
}

Test(tail, copies_or_takes_what_it_is_given)
{
    struct tail t;
    char text[] = "copied";
    char *memory = mem_strdup("taken");
    struct journal_entry e = {.term = 1, .type = JOURNAL_COMMAND, .data = {memory, 5}};
    tail_init(&t, 0);
    add(&t, 1, text);
    text[0] = 'X';
    tail_append(&t, &e, memory);
    e = (struct journal_entry){.term = 1, .type = JOURNAL_BARRIER};
    tail_append(&t, &e, NULL);
    check(&t, 1, 1, "copied");
    cr_assert_eq(tail_get(&t, 2)->data.ptr, memory);
    cr_assert_eq(tail_get(&t, 3)->type, JOURNAL_BARRIER);
    tail_close(&t);
}

/* The sanitizer sees it if the disk's bytes are freed under it. */
Test(tail, what_the_disk_reads_stays_until_it_is_done)
{
    struct tail t;
    tail_init(&t, 0);
    add(&t, 1, "one");
    add(&t, 1, "two");
    add(&t, 1, "three");
    struct bytes two = tail_get(&t, 2)->data;
    struct bytes three = tail_get(&t, 3)->data;
    tail_cut(&t, 2, true);
    cr_assert_eq(tail_last(&t), 1);
    cr_assert_null(tail_get(&t, 2));
    add(&t, 2, "other");
    cr_assert(bytes_equal(two, BYTES("two")));
    cr_assert(bytes_equal(three, BYTES("three")));
    tail_settled(&t);
    check(&t, 1, 1, "one");
    check(&t, 2, 2, "other");
    cr_assert_eq(tail_bytes(&t), 8);
    struct bytes one = tail_get(&t, 1)->data;
    tail_reset(&t, 90, true);
    cr_assert(bytes_equal(one, BYTES("one")));
    cr_assert_eq(tail_bytes(&t), 0);
    tail_close(&t);
}

/* What is in the log but not here any more is cut as well: the next entry says where. */
Test(tail, a_cut_before_its_beginning_empties_it)
{
    struct tail t;
    tail_init(&t, 10);
    add(&t, 1, "eleven");
    add(&t, 1, "twelve");
    tail_cut(&t, 13, false);
    cr_assert_eq(tail_last(&t), 12);
    tail_cut(&t, 5, false);
    cr_assert_eq(tail_first(&t), 5);
    cr_assert_eq(tail_last(&t), 4);
    add(&t, 2, "five");
    check(&t, 5, 2, "five");
    cr_assert_null(tail_get(&t, 11));
    tail_close(&t);
}

Test(tail, forgets_the_oldest_while_there_is_too_much)
{
    struct tail t;
    tail_init(&t, 0);
    for (int i = 0; i < 10; i++) {
        add(&t, 1, "12345");
    }
    tail_trim(&t, 3, 0);
    cr_assert_eq(tail_first(&t), 4);
    tail_trim(&t, 10, 12);
    cr_assert_eq(tail_first(&t), 9);
    cr_assert_eq(tail_bytes(&t), 10);
    tail_trim(&t, 10, 12);
    cr_assert_eq(tail_first(&t), 9);
    tail_close(&t);
}

/* The model: of each index its term and how long it is; what is at the byte tells the index. */
struct model {
    uint64_t first;
    uint64_t last;
    uint64_t term[MODEL_MAX];
    size_t len[MODEL_MAX];
};

static void model_check(const struct model *m, const struct tail *t)
{
    size_t bytes = 0;
    cr_assert_eq(tail_first(t), m->first);
    cr_assert_eq(tail_last(t), m->last);
    cr_assert_null(tail_get(t, m->first - 1));
    cr_assert_null(tail_get(t, m->last + 1));
    for (uint64_t i = m->first; i <= m->last; i++) {
        const struct journal_entry *e = tail_get(t, i);
        cr_assert_not_null(e);
        cr_assert_eq(e->term, m->term[i]);
        cr_assert_eq(e->data.len, m->len[i]);
        for (size_t k = 0; k < e->data.len; k++) {
            cr_assert_eq((unsigned char)e->data.ptr[k], (unsigned char)(i * 7 + e->term));
        }
        bytes += m->len[i];
    }
    cr_assert_eq(tail_bytes(t), bytes);
}

static void model_append(struct model *m, struct tail *t, uint64_t term, size_t len)
{
    char data[64];
    uint64_t i = ++m->last;
    m->term[i] = term;
    m->len[i] = len;
    memset(data, (int)(unsigned char)(i * 7 + term), sizeof data);
    struct journal_entry e = {.term = term, .type = JOURNAL_COMMAND, .data = {data, len}};
    tail_append(t, &e, NULL);
}

static void model_trim(struct model *m, struct tail *t, uint64_t through, size_t keep)
{
    size_t bytes = tail_bytes(t);
    while (m->first <= m->last && m->first <= through && bytes > keep) {
        bytes -= m->len[m->first++];
    }
    tail_trim(t, through, keep);
}

Test(tail, does_what_an_array_does)
{
    static struct model m;
    for (unsigned seed = 1; seed <= 30; seed++) {
        unsigned dice = seed;
        struct tail t;
        m = (struct model){.first = 1};
        tail_init(&t, 0);
        for (unsigned step = 1; step < 2000 && m.last < MODEL_MAX - 400; step++) {
            unsigned what = (unsigned)rand_r(&dice) % 100;
            uint64_t span = m.last + 1 - m.first;
            uint64_t at = m.first + (span > 0 ? (unsigned)rand_r(&dice) % (span + 1) : 0);
            bool busy = rand_r(&dice) % 2 == 0;
            if (what < 85) {
                model_append(&m, &t, step, (unsigned)rand_r(&dice) % 60);
            } else if (what < 90) {
                tail_cut(&t, at, busy);
                m.last = at - 1;
            } else if (what < 96) {
                model_trim(&m, &t, at, (unsigned)rand_r(&dice) % 4000);
            } else if (what < 99) {
                tail_settled(&t);
            } else {
                tail_reset(&t, at + 3, busy);
                m.first = at + 4;
                m.last = at + 3;
            }
            if (step % 16 == 0) {
                model_check(&m, &t);
            }
        }
        model_check(&m, &t);
        tail_close(&t);
    }
}

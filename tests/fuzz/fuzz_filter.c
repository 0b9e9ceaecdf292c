/* Filters: any text compiles for any topic or is refused with a column, and what compiles can be
 * evaluated. The first byte chooses the topic. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "stream/filter.h"

#include <string.h>

static void try_rows(const struct filter *f, enum change_topic topic)
{
    struct change c = {.index = 3, .topic = topic, .op = CHANGE_SET, .key = BYTES("n1/web")};
    struct stream_event e = {.change = &c, .op = EVENT_DELETE};
    /* A session is of both: its row is read though the change was a deletion. */
    (void)filter_matches(f, &e);
    e.has_row = true;
    e.op = topic == CHANGE_SERVICE ? EVENT_REMOVED : EVENT_SET;
    if (topic == CHANGE_SERVICE) {
        e.row.instance.was = true;
        e.row.instance.before = CHECK_CRITICAL;
    }
    (void)filter_matches(f, &e);
}

static void try_keys(const struct filter *f)
{
    static const struct change changes[] = {
        {.index = 1,
         .topic = CHANGE_KV,
         .op = CHANGE_SET,
         .key = {"app/a", 5},
         .value = {"x", 1},
         .flags = 7},
        {.index = 2, .topic = CHANGE_KV, .op = CHANGE_DELETE_PREFIX, .key = {NULL, 0}},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct stream_event e;
        CHECK(event_read(&e, &changes[i]) == OK);
        (void)filter_matches(f, &e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct filter *f = NULL;
    struct reason why = {{0}};
    if (size == 0) {
        return 0;
    }
    enum change_topic topic = (enum change_topic)(CHANGE_KV + data[0] % (CHANGE_TOPICS - 1));
    struct bytes text = {.ptr = (const char *)data + 1, .len = size - 1};
    if (filter_new(topic, text, &f, &why) != OK) {
        CHECK(strncmp(why.text, "column ", 7) == 0);
        return 0;
    }
    if (topic == CHANGE_KV) {
        try_keys(f);
    } else {
        try_rows(f, topic);
    }
    filter_free(f);
    return 0;
}

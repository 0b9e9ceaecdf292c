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

TestSuite(subscription, .init = setup, .fini = teardown);

Test(subscription, a_change_reaches_who_is_at_the_tail)
{
    world_put(&w, "app/0", "x");
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_expect_nothing(t);
    tap_say(t, "{\"type\":\"hello\"}");
    json_t *m = tap_expect_type(t, "welcome");
    cr_assert_str_eq(json_text_of(m, "epoch"), WORLD_EPOCH);
    cr_assert_eq(json_u64_of(m, "index"), 1);
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"kv\",\"prefix\":\"app/\"}");
    tap_expect(t, "{\"type\":\"subscribed\",\"id\":1,\"from\":1,\"index\":1,\"oldest\":0,"
                  "\"epoch\":\"c3f1\",\"mode\":\"live\"}");
    world_put(&w, "app/a", "1");
    tap_expect(t, "{\"type\":\"events\",\"id\":1,\"after\":1,\"through\":2,\"events\":["
                  "{\"index\":2,\"op\":\"set\",\"key\":\"app/a\",\"value\":\"MQ==\",\"flags\":0,"
                  "\"create_index\":2}]}");
    world_put(&w, "other", "1");
    tap_expect_nothing(t);
    world_delete(&w, "app/a");
    world_publish(&w);
    tap_expect(t, "{\"type\":\"events\",\"id\":1,\"after\":2,\"through\":4,\"events\":["
                  "{\"index\":4,\"op\":\"delete\",\"key\":\"app/a\"}]}");
    tap_free(t);
}

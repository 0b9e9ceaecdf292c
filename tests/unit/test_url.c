#include "stream/url.h"

#include <criterion/criterion.h>
#include <string.h>

static struct stream_url url;
static struct reason why;

static void good(const char *query, const char *last_event_id)
{
    why.text[0] = '\0';
    cr_assert_eq(stream_url_parse(bytes_of(query), bytes_of(last_event_id), &url, &why), OK, "%s",
                 why.text);
}

static void bad(const char *query)
{
    cr_assert_eq(stream_url_parse(bytes_of(query), (struct bytes){0}, &url, &why), ERR_INVALID,
                 "%s", query);
    cr_assert_neq(why.text[0], '\0');
}

Test(url, the_contracts_example)
{
    good("topic=kv&prefix=app%2F&index=48213&epoch=c3f1", "");
    cr_assert_eq(url.count, 1);
    const struct subscribe *s = &url.subscribes[0];
    cr_assert_eq(s->kind, TARGET_PREFIX);
    cr_assert(bytes_equal(s->target, BYTES("app/")));
    cr_assert(s->has_from);
    cr_assert_eq(s->from_index, 48213);
    cr_assert(bytes_equal(s->from_epoch, BYTES("c3f1")));
    cr_assert_not(url.multiplexed);
    stream_url_close(&url);
}

Test(url, nothing_asked_is_everything_from_now)
{
    good("", "");
    cr_assert_eq(url.subscribes[0].kind, TARGET_ALL);
    cr_assert_not(url.subscribes[0].has_from);
    stream_url_close(&url);
}

Test(url, the_header_wins_over_the_query)
{
    good("index=5&last_event_id=aa:6", "bb:7");
    cr_assert_eq(url.subscribes[0].from_index, 7);
    cr_assert(bytes_equal(url.subscribes[0].from_epoch, BYTES("bb")));
    stream_url_close(&url);
    good("index=5&last_event_id=aa:6", "");
    cr_assert_eq(url.subscribes[0].from_index, 6);
    stream_url_close(&url);
    /* A browser connects again with the URL it had: the snapshot was the first time. */
    good("snapshot=1", "bb:7");
    cr_assert_not(url.subscribes[0].snapshot);
    stream_url_close(&url);
}

/* The header's bytes are the request's, which is over before the subscription begins. */
Test(url, the_header_is_copied)
{
    char header[] = "bb:7";
    good("", header);
    memset(header, 'x', strlen(header));
    cr_assert(bytes_equal(url.subscribes[0].from_epoch, BYTES("bb")));
    stream_url_close(&url);
}

Test(url, options)
{
    good("limit=3&until=9&timeout=1m30s&batch=1&raw&heartbeat=newline&max=5&wait_ms=7"
         "&on_compacted=snapshot&_=123&format=ndjson",
         "");
    cr_assert_eq(url.limit, 3);
    cr_assert_eq(url.until, 9);
    cr_assert_eq(url.timeout_ms, 90000);
    cr_assert(url.batch && url.raw && url.newline);
    cr_assert_eq(url.subscribes[0].batch_max, 5);
    cr_assert_eq(url.subscribes[0].wait_ms, 7);
    cr_assert(url.subscribes[0].compacted_snapshot);
    stream_url_close(&url);
}

Test(url, several_subscriptions_in_pairs_and_in_json)
{
    good("subscribe=topic:kv,prefix:app/,index:4"
         "&subscribe=key:a%252Cb%253A"
         "&subscribe=%7B%22prefix%22%3A%22x%2F%22%2C%22id%22%3A9%2C%22filter%22%3A%22op%3D%3Dset%"
         "22%7D"
         "&index=3",
         "");
    cr_assert(url.multiplexed);
    cr_assert_eq(url.count, 3);
    cr_assert(bytes_equal(url.subscribes[0].target, BYTES("app/")));
    cr_assert_eq(url.subscribes[0].from_index, 4);
    cr_assert(bytes_equal(url.subscribes[1].target, BYTES("a,b:")));
    cr_assert_eq(url.subscribes[1].id, 1);
    cr_assert_eq(url.subscribes[1].from_index, 3);
    cr_assert_eq(url.subscribes[2].id, 9);
    cr_assert(bytes_equal(url.subscribes[2].filter, BYTES("op==set")));
    stream_url_close(&url);
}

Test(url, refuses_what_it_does_not_understand)
{
    bad("prefx=app/");
    bad("topic=servise");
    bad("key=a&prefix=b");
    bad("key=");
    bad("index=-1");
    bad("index=99999999999999999999");
    bad("limit=x");
    bad("timeout=0s");
    bad("raw=maybe");
    bad("heartbeat=crlf");
    bad("on_compacted=pray");
    bad("prefix=%zz");
    bad("subscribe=color:red");
    bad("subscribe=%7B");
    bad("subscribe=key:a&prefix=b");
    bad("subscribe=id:1&subscribe=id:1");
    bad("snapshot=1&index=4");
    bad("last_event_id=nonsense");
    char many[70 * 16] = "";
    for (size_t i = 0; i < 65; i++) {
        strcat(many, "&subscribe=key:a");
    }
    bad(many);
}

Test(url, resume_tokens)
{
    struct bytes epoch;
    uint64_t index = 0;
    cr_assert_eq(resume_token_parse(BYTES("c3f1:48260"), &epoch, &index), OK);
    cr_assert(bytes_equal(epoch, BYTES("c3f1")));
    cr_assert_eq(index, 48260);
    cr_assert_eq(resume_token_parse(BYTES("48260"), &epoch, &index), OK);
    cr_assert_eq(epoch.len, 0);
    cr_assert_eq(resume_token_parse(BYTES("c3f1:"), &epoch, &index), ERR_INVALID);
    cr_assert_eq(resume_token_parse(BYTES(""), &epoch, &index), ERR_INVALID);
    cr_assert_eq(resume_token_parse(BYTES("a:b:1"), &epoch, &index), ERR_INVALID);
}

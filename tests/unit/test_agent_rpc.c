/* core/rpc: frames between agents and servers, and answers read from bytes. */
#include "core/base/limit.h"
#include "core/rpc/answer.h"
#include "core/rpc/frame.h"

#include <criterion/criterion.h>
#include <string.h>

static struct rpc_frame round_trip(const struct rpc_frame *f, struct buf *out)
{
    struct rpc_frame got = {0};
    size_t len = 0;
    buf_clear(out);
    cr_assert_eq(rpc_frame_encode(out, f), OK);
    for (size_t cut = 0; cut < out->len; cut++) {
        enum rpc_found found = rpc_frame_find((struct bytes){out->ptr, cut}, &got, &len);
        cr_assert_eq(found, RPC_FOUND_PART, "cut at %zu", cut);
    }
    cr_assert_eq(rpc_frame_find(buf_view(out), &got, &len), RPC_FOUND_WHOLE);
    cr_assert_eq(len, out->len);
    cr_assert_eq(got.type, f->type);
    cr_assert_eq(got.stream, f->stream);
    return got;
}

/* Each kind of frame comes out as it went in, and is never found in a part of itself. */
Test(agent_rpc, frames_come_out_as_they_went_in)
{
    struct buf out;
    buf_init(&out, MIB(1));
    struct rpc_frame f = {.type = RPC_FRAME_HELLO, .node = BYTES("n1"), .datacenter = BYTES("dc1")};
    struct rpc_frame got = round_trip(&f, &out);
    cr_assert(bytes_equal(got.node, f.node) && bytes_equal(got.datacenter, f.datacenter));
    f = (struct rpc_frame){.type = RPC_FRAME_DATA, .stream = 7, .data = BYTES("hello")};
    cr_assert(bytes_equal(round_trip(&f, &out).data, f.data));
    f = (struct rpc_frame){.type = RPC_FRAME_WINDOW, .stream = 7, .number = 4096};
    cr_assert_eq(round_trip(&f, &out).number, 4096);
    f = (struct rpc_frame){.type = RPC_FRAME_CLOSE, .stream = 7, .number = RPC_CLOSE_BUSY};
    cr_assert_eq(round_trip(&f, &out).number, RPC_CLOSE_BUSY);
    f = (struct rpc_frame){.type = RPC_FRAME_PING, .token = 0x1122334455667788};
    cr_assert_eq(round_trip(&f, &out).token, f.token);
    f = (struct rpc_frame){.type = RPC_FRAME_OPEN, .stream = 9};
    (void)round_trip(&f, &out);
    f = (struct rpc_frame){.type = RPC_FRAME_LEAVE};
    (void)round_trip(&f, &out);
    buf_close(&out);
}

/* One bit that is wrong anywhere is noticed. */
Test(agent_rpc, damaged_frame_is_refused)
{
    struct buf out;
    buf_init(&out, KIB(64));
    struct rpc_frame f = {.type = RPC_FRAME_DATA, .stream = 7, .data = BYTES("hello")};
    cr_assert_eq(rpc_frame_encode(&out, &f), OK);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        struct rpc_frame got = {0};
        size_t len = 0;
        out.ptr[bit / 8] ^= (char)(1 << bit % 8);
        cr_assert_neq(rpc_frame_find(buf_view(&out), &got, &len), RPC_FOUND_WHOLE, "bit %zu", bit);
        out.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_close(&out);
}

/* What is of the connection has no stream, what is of a stream has one. */
Test(agent_rpc, frames_on_the_wrong_stream_are_refused)
{
    const struct rpc_frame wrong[] = {
        {.type = RPC_FRAME_OPEN},
        {.type = RPC_FRAME_CLOSE},
        {.type = RPC_FRAME_PING, .stream = 1},
        {.type = RPC_FRAME_LEAVE, .stream = 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct rpc_frame got = {0};
        struct buf out;
        size_t len = 0;
        buf_init(&out, KIB(64));
        cr_assert_eq(rpc_frame_encode(&out, &wrong[i]), OK);
        cr_assert_eq(rpc_frame_find(buf_view(&out), &got, &len), RPC_FOUND_BAD, "%zu", i);
        buf_close(&out);
    }
}

Test(agent_rpc, full_buffer_stays_as_it_was)
{
    struct buf out;
    buf_init(&out, 40);
    struct rpc_frame f = {.type = RPC_FRAME_DATA, .stream = 7, .data = BYTES("0123456789")};
    buf_put(&out, BYTES("0123456789"));
    cr_assert_eq(rpc_frame_encode(&out, &f), ERR_TOO_BIG);
    cr_assert_eq(out.len, 10);
    buf_close(&out);
}

/* --- answers --- */

Test(agent_rpc, answer_head_is_read)
{
    struct answer_head h;
    struct bytes value;
    struct bytes text = BYTES("HTTP/1.1 404 Not Found\r\nX-Consul-Index:  17 \r\n"
                              "Content-Length: 3\r\n\r\nabc");
    for (size_t cut = 0; cut + 3 < text.len; cut++) {
        cr_assert_eq(answer_head_parse(&h, bytes_slice(text, 0, cut)), PARSE_MORE);
    }
    cr_assert_eq(answer_head_parse(&h, text), PARSE_DONE);
    cr_assert_eq(h.status, 404);
    cr_assert_eq(h.len, text.len - 3);
    cr_assert(h.has_length && h.length == 3 && !h.chunked);
    cr_assert(answer_field(&h, "x-consul-index", &value) && bytes_equal(value, BYTES("17")));
    cr_assert_not(answer_field(&h, "x-consul", &value));
}

Test(agent_rpc, what_is_no_answer_is_refused)
{
    const char *const bad[] = {
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct answer_head h;
        cr_assert_eq(answer_head_parse(&h, bytes_of(bad[i])), PARSE_FAILED, "%s", bad[i]);
    }
}

Test(agent_rpc, bodies_end_where_they_end)
{
    struct answer_body b;
    struct buf out;
    buf_init(&out, KIB(4));
    struct answer_head h = {.status = 200, .has_length = true, .length = 5};
    answer_body_init(&b, &h, false);
    cr_assert_eq(answer_body_read(&b, BYTES("abc"), &out), PARSE_MORE);
    cr_assert_not(answer_body_end(&b), "two bytes are missing");
    cr_assert_eq(answer_body_read(&b, BYTES("defg"), &out), PARSE_DONE);
    cr_assert(bytes_equal(buf_view(&out), BYTES("abcde")));
    h = (struct answer_head){.status = 200, .chunked = true};
    buf_clear(&out);
    answer_body_init(&b, &h, false);
    cr_assert_eq(answer_body_read(&b, BYTES("3\r\nabc\r\n"), &out), PARSE_MORE);
    cr_assert_not(answer_body_end(&b));
    cr_assert_eq(answer_body_read(&b, BYTES("0\r\n\r\n"), &out), PARSE_DONE);
    cr_assert(bytes_equal(buf_view(&out), BYTES("abc")));
    h = (struct answer_head){.status = 200};
    answer_body_init(&b, &h, false);
    cr_assert_eq(answer_body_read(&b, BYTES("x"), &out), PARSE_MORE);
    cr_assert(answer_body_end(&b), "the end of the stream is its end");
    answer_body_init(&b, &h, true);
    cr_assert_eq(answer_body_read(&b, BYTES(""), &out), PARSE_DONE, "a HEAD has no body");
    buf_close(&out);
}

/* Any bytes as a DNS packet, through the whole way to an answer: nothing crashes, no answer is
 * longer than it may be, every answer can be read again. The same bytes as a recursor's answer.
 *
 * Input    the first byte says how: UDP or TCP, compression, truncation. */
#include "core/base/check.h"
#include "core/dns/answer.h"
#include "store/command.h"
#include "store/state.h"

#include <string.h>

static struct state *state;
static struct view *view;
static struct lookup *lookup;
static struct answer answer;
static uint8_t out[DNS_TCP_MAX];

static void add_texts(struct buf *out_texts, struct bytes text)
{
    CHECK(texts_add(out_texts, text) == OK);
}

static void enrol(struct state *s, uint64_t index, struct bytes name, struct bytes address)
{
    struct buf node;
    struct buf service;
    struct buf tags;
    struct buf entry;
    struct collect collect;
    struct apply_reply reply;
    struct reason why;
    buf_init(&node, KIB(64));
    buf_init(&service, KIB(64));
    buf_init(&tags, KIB(64));
    buf_init(&entry, COMMAND_MAX);
    collect_init(&collect);
    add_texts(&tags, BYTES("prod"));
    struct node_row n = {.name = name, .address = BYTES("10.0.0.1")};
    struct service_row row = {
        .node = name,
        .id = BYTES("api"),
        .name = BYTES("api"),
        .tags = buf_view(&tags),
        .address = address,
        .port = 80,
        .weight_passing = 1,
        .weight_warning = 1,
    };
    CHECK(row_node_encode(&node, &n) == OK && row_service_encode(&service, &row) == OK);
    struct command c = {.type = COMMAND_REGISTER,
                        .registration = {.node = buf_view(&node), .service = buf_view(&service)}};
    CHECK(command_encode(&entry, &c) == OK);
    CHECK(state_apply(s, index, buf_view(&entry), &collect, &reply, &why) == OK);
    collect_close(&collect);
    buf_close(&node);
    buf_close(&service);
    buf_close(&tags);
    buf_close(&entry);
}

static void world_open(void)
{
    struct reason why;
    CHECK(state_open(NULL, &state, &why) == OK);
    uint64_t index = state_applied(state);
    enrol(state, ++index, BYTES("db1"), BYTES(""));
    enrol(state, ++index, BYTES("db.2"), BYTES("10.9.9.9"));
    enrol(state, ++index, BYTES("a b"), BYTES("www.example.com"));
    enrol(state, ++index, BYTES("self"), BYTES("api.service.consul"));
    view = state_view(state);
    lookup = lookup_new();
    answer_init(&answer);
}

static uint64_t dice(void *ctx, uint64_t limit)
{
    (void)ctx;
    return limit == 0 ? 0 : limit - 1;
}

static void answer_all(struct bytes packet, uint8_t how)
{
    struct dns_question q;
    enum dns_rcode rcode = DNS_NOERROR;
    struct dns_settings settings = {
        .zone = {.alt_domain = {.len = 1}, .datacenter = BYTES("dc1")},
        .enable_truncate = (how & 4) != 0,
        .disable_compression = (how & 2) != 0,
        .node_meta_txt = true,
        .udp_answer_limit = 3,
    };
    CHECK(name_from_text(&settings.zone.domain, BYTES("consul")) == OK);
    enum packet_verdict verdict = packet_parse(packet, &q, &rcode);
    if (verdict == PACKET_DROP) {
        return;
    }
    struct answer_world w = {
        .lookup = lookup,
        .view = view,
        .settings = &settings,
        .dice = dice,
        .udp = (how & 1) != 0,
    };
    if (verdict == PACKET_ANSWER) {
        (void)answer_make(&answer, &w, &q);
    } else {
        answer_code(&answer, rcode);
    }
    struct packet_options options = answer_options(&settings, &q, w.udp);
    size_t len = packet_write(&q, &answer.message, &options, out);
    CHECK(len <= options.limit);
    struct arena memory;
    struct dns_section section;
    arena_init(&memory, DNS_ANSWER_ARENA);
    CHECK(packet_records((struct bytes){(const char *)out, len}, &memory, &section) == OK ||
          q.name.len == 0);
    arena_close(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (view == NULL) {
        world_open();
    }
    if (size == 0 || size > DNS_TCP_MAX) {
        return 0;
    }
    struct bytes packet = {(const char *)data + 1, size - 1};
    struct arena memory;
    struct dns_section section;
    answer_all(packet, data[0]);
    arena_init(&memory, DNS_ANSWER_ARENA);
    (void)packet_records(packet, &memory, &section);
    arena_close(&memory);
    return 0;
}

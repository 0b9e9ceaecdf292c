/* What the tests of DNS share: registrations in one line each, questions, and answers as text.
 *
 * Owner    a `struct enrol` borrows literals; said() writes into memory of its own.
 * Threads  one.
 */
#ifndef TESTS_UNIT_DNS_LIB_H
#define TESTS_UNIT_DNS_LIB_H

#include "store_lib.h"

#include "core/dns/answer.h"
#include "store/fleet.h"

#include <libknot/libknot.h>
#include <libknot/rrset-dump.h>

/* A registration; what is NULL or 0 is not part of it. */
struct enrol {
    const char *node;
    const char *address;
    const char *meta[4]; /* names and values */
    const char *service;
    const char *id; /* NULL: the service's name */
    const char *tags[3];
    const char *service_address;
    unsigned port;
    unsigned passing; /* weights; 0: 1 */
    unsigned warning;
    enum check_status status;      /* of a check of the service */
    enum check_status node_status; /* of a check of the node */
};

static inline struct bytes text_of(const char *text)
{
    return text == NULL ? (struct bytes){0} : bytes_of(text);
}

static inline void enrol_check(const struct enrol *w,
                               const char *id,
                               const char *service,
                               enum check_status status,
                               struct buf *checks)
{
    struct buf data;
    buf_init(&data, MIB(1));
    struct check_row check = {
        .node = bytes_of(w->node),
        .id = bytes_of(id),
        .name = bytes_of(id),
        .status = status,
        .service_id = text_of(service),
    };
    cr_assert_eq(row_check_encode(&data, &check), OK);
    cr_assert_eq(texts_add(checks, buf_view(&data)), OK);
    buf_close(&data);
}

static inline void enrol_service(const struct enrol *w, const char *id, struct buf *out)
{
    struct buf tags;
    buf_init(&tags, MIB(1));
    for (size_t i = 0; i < 3 && w->tags[i] != NULL; i++) {
        cr_assert_eq(texts_add(&tags, bytes_of(w->tags[i])), OK);
    }
    struct service_row service = {
        .node = bytes_of(w->node),
        .id = bytes_of(id),
        .name = bytes_of(w->service),
        .tags = buf_view(&tags),
        .address = text_of(w->service_address),
        .port = w->port,
        .weight_passing = w->passing == 0 ? 1 : w->passing,
        .weight_warning = w->warning == 0 ? 1 : w->warning,
    };
    cr_assert_eq(row_service_encode(out, &service), OK);
    buf_close(&tags);
}

static inline void enrol(struct bench *b, struct enrol w)
{
    struct buf parts[4]; /* node, service, checks, meta */
    struct pair pairs[2];
    size_t pair_count = 0;
    char check[80];
    const char *id = w.id != NULL ? w.id : w.service;
    for (size_t i = 0; i < 4; i++) {
        buf_init(&parts[i], MIB(1));
    }
    for (; pair_count < 2 && w.meta[2 * pair_count] != NULL; pair_count++) {
        pairs[pair_count] =
            (struct pair){bytes_of(w.meta[2 * pair_count]), bytes_of(w.meta[2 * pair_count + 1])};
    }
    cr_assert_eq(pairs_add(&parts[3], pairs, pair_count), OK);
    struct node_row row = {
        .name = bytes_of(w.node), .address = text_of(w.address), .meta = buf_view(&parts[3])};
    cr_assert_eq(row_node_encode(&parts[0], &row), OK);
    if (w.service != NULL) {
        enrol_service(&w, id, &parts[1]);
    }
    if (w.status != 0) {
        snprintf(check, sizeof check, "service:%s", id);
        enrol_check(&w, check, id, w.status, &parts[2]);
    }
    if (w.node_status != 0) {
        enrol_check(&w, "serfHealth", NULL, w.node_status, &parts[2]);
    }
    cr_assert_eq(bench_do(b, (struct command){.type = COMMAND_REGISTER,
                                              .registration = {.node = buf_view(&parts[0]),
                                                               .service = buf_view(&parts[1]),
                                                               .checks = buf_view(&parts[2])}}),
                 OK);
    for (size_t i = 0; i < 4; i++) {
        buf_close(&parts[i]);
    }
}

/* --- answers as text --------------------------------------------------------------------------
 */

static inline void said_section(struct buf *out, const knot_pkt_t *pkt, knot_section_t section)
{
    static const char sign[] = {
        [KNOT_ANSWER] = '=', [KNOT_AUTHORITY] = '^', [KNOT_ADDITIONAL] = '+'};
    const knot_pktsection_t *s = knot_pkt_section(pkt, section);
    for (uint16_t i = 0; i < s->count; i++) {
        const knot_rrset_t *rr = knot_pkt_rr(s, i);
        char type[16];
        char rdata[2048];
        char owner[KNOT_DNAME_TXT_MAXLEN + 1];
        if (rr->type == KNOT_RRTYPE_OPT) {
            buf_put_str(out, "+ OPT\n");
            continue;
        }
        knot_rrtype_to_string(rr->type, type, sizeof type);
        knot_dname_to_str(owner, rr->owner, sizeof owner);
        cr_assert_geq(
            knot_rrset_txt_dump_data(rr, 0, rdata, sizeof rdata, &KNOT_DUMP_STYLE_DEFAULT), 0);
        cr_assert_eq(
            buf_printf(out, "%c %s %u %s %s\n", sign[section], owner, rr->ttl, type, rdata), OK);
    }
}

/* `RCODE flags`, then a record a line: = answer, ^ authority, + additional. */
static inline const char *said_packet(const uint8_t *packet, size_t len)
{
    static struct buf out;
    buf_close(&out);
    buf_init(&out, MIB(4));
    knot_pkt_t *pkt = knot_pkt_new((uint8_t *)(uintptr_t)packet, (uint16_t)len, NULL);
    int rc = knot_pkt_parse(pkt, KNOT_PF_KEEPWIRE | KNOT_PF_NOCANON);
    cr_assert_eq(rc, KNOT_EOK, "%s", knot_strerror(rc));
    const knot_lookup_t *code = knot_lookup_by_id(knot_rcode_names, knot_pkt_ext_rcode(pkt));
    cr_assert_eq(
        buf_printf(&out, "%s%s%s%s%s\n", code == NULL ? "?" : code->name,
                   knot_wire_get_aa(packet) ? " aa" : "", knot_wire_get_tc(packet) ? " tc" : "",
                   knot_wire_get_rd(packet) ? " rd" : "", knot_wire_get_ra(packet) ? " ra" : ""),
        OK);
    said_section(&out, pkt, KNOT_ANSWER);
    said_section(&out, pkt, KNOT_AUTHORITY);
    said_section(&out, pkt, KNOT_ADDITIONAL);
    buf_put_char(&out, '\0');
    knot_pkt_free(pkt);
    return out.ptr;
}

#endif

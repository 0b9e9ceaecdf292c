#include "core/dns/packet.h"

#include "core/base/check.h"

#include <string.h>

#include <libknot/libknot.h>

/* Memory of one parsed question: its frame and the data of its OPT record. */
#define PARSE_LENT   2048
#define PARSE_MAX    KIB(64)
#define OPT_LEN      11U
/* What stands between a record's name and its data. */
#define RECORD_FIXED 10U
#define POINTER_LEN  2U

static void *memory_alloc(void *ctx, size_t len)
{
    return arena_alloc(ctx, len);
}

static void memory_free(void *p)
{
    (void)p;
}

static knot_mm_t memory_of(struct arena *a)
{
    return (knot_mm_t){.ctx = a, .alloc = memory_alloc, .free = memory_free};
}

static uint8_t *wire_of(struct bytes packet)
{
    return (uint8_t *)(uintptr_t)packet.ptr;
}

/* --- reading ----------------------------------------------------------------------------------
 */

/* A plausible head: what is counted in it is not believed beyond what a question may have. */
static enum dns_rcode head_check(const uint8_t *wire)
{
    if (knot_wire_get_opcode(wire) != KNOT_OPCODE_QUERY) {
        return DNS_NOTIMP;
    }
    /* OPT, and one more such as TSIG. */
    bool fits = knot_wire_get_qdcount(wire) == 1 && knot_wire_get_ancount(wire) == 0 &&
                knot_wire_get_nscount(wire) == 0 && knot_wire_get_arcount(wire) <= 2;
    return fits ? DNS_NOERROR : DNS_FORMERR;
}

static void question_take(const knot_pkt_t *pkt, struct dns_question *q)
{
    const knot_dname_t *name = knot_pkt_wire_qname(pkt);
    size_t len = pkt->qname_size;
    CHECK(len >= 1 && len <= DNS_NAME_MAX);
    memcpy(q->name.wire, name, len);
    q->name.len = (uint8_t)len;
    q->type = knot_pkt_qtype(pkt);
    q->class = knot_pkt_qclass(pkt);
}

static enum dns_rcode question_edns(const knot_pkt_t *pkt, struct dns_question *q)
{
    if (!knot_pkt_has_edns(pkt)) {
        return DNS_NOERROR;
    }
    q->edns = true;
    q->dnssec = knot_edns_do(pkt->opt_rr);
    uint16_t size = knot_edns_get_payload(pkt->opt_rr);
    q->udp_size = size < DNS_UDP_PLAIN_MAX ? DNS_UDP_PLAIN_MAX : size;
    return knot_edns_get_version(pkt->opt_rr) != 0 ? DNS_BADVERS : DNS_NOERROR;
}

enum packet_verdict
packet_parse(struct bytes packet, struct dns_question *ret_question, enum dns_rcode *ret_rcode)
{
    const uint8_t *wire = wire_of(packet);
    if (packet.len < KNOT_WIRE_HEADER_SIZE || packet.len > DNS_TCP_MAX || knot_wire_get_qr(wire)) {
        return PACKET_DROP;
    }
    struct dns_question q = {
        .id = knot_wire_get_id(wire),
        .recurse = knot_wire_get_rd(wire) != 0,
        .udp_size = DNS_UDP_PLAIN_MAX,
        .len = (uint16_t)packet.len,
    };
    enum dns_rcode rcode = head_check(wire);
    if (rcode == DNS_NOERROR) {
        _Alignas(max_align_t) char lent[PARSE_LENT];
        struct arena arena;
        arena_init(&arena, PARSE_MAX);
        arena_lend(&arena, lent, sizeof lent);
        knot_mm_t mm = memory_of(&arena);
        knot_pkt_t *pkt = knot_pkt_new(wire_of(packet), (uint16_t)packet.len, &mm);
        int rc =
            pkt == NULL ? KNOT_ENOMEM : knot_pkt_parse(pkt, KNOT_PF_KEEPWIRE | KNOT_PF_NOCANON);
        rcode = rc == KNOT_EOK ? DNS_NOERROR : DNS_FORMERR;
        if (pkt != NULL && pkt->qname_size > 0) {
            question_take(pkt, &q);
        }
        if (rc == KNOT_EOK) {
            rcode = question_edns(pkt, &q);
        }
        arena_close(&arena);
    }
    if (rcode == DNS_NOERROR && q.class != KNOT_CLASS_IN && q.class != KNOT_CLASS_ANY) {
        rcode = DNS_REFUSED;
    }
    *ret_question = q;
    *ret_rcode = rcode;
    return rcode == DNS_NOERROR ? PACKET_ANSWER : PACKET_REPLY;
}

/* --- writing ----------------------------------------------------------------------------------
 */

struct writer {
    uint8_t *wire;
    size_t len;
    size_t limit; /* room for OPT already taken off */
    bool plain;
    knot_compr_t compr;
    knot_rrinfo_t info; /* of the record at hand */
    const struct dns_name *qname;
};

static void writer_question(struct writer *w, const struct dns_question *q)
{
    if (q->name.len == 0) {
        return;
    }
    memcpy(w->wire + w->len, q->name.wire, q->name.len);
    w->len += q->name.len;
    knot_wire_write_u16(w->wire + w->len, q->type);
    knot_wire_write_u16(w->wire + w->len + 2, q->class);
    w->len += 4;
    knot_wire_set_qdcount(w->wire, 1);
    w->compr = (knot_compr_t){.wire = w->wire, .rrinfo = &w->info};
    w->compr.suffix.pos = KNOT_WIRE_HEADER_SIZE;
    w->compr.suffix.labels = (uint8_t)knot_dname_labels(q->name.wire, NULL);
}

/* `hint`: where the record's name stands already, or 0. False, and nothing is written: no room. */
static bool writer_record(struct writer *w, struct dns_record *r, uint16_t hint)
{
    /* knot_rdata_t: the length in front, in the machine's order. */
    static _Thread_local struct {
        uint16_t len;
        uint8_t data[UINT16_MAX + 1];
    } rdata;
    CHECK(r->data.len <= UINT16_MAX);
    rdata.len = (uint16_t)r->data.len;
    memcpy(rdata.data, r->data.ptr, r->data.len);
    const struct dns_name *owner = r->owner == NULL ? w->qname : r->owner;
    knot_rrset_t rr = {
        .owner = (uint8_t *)(uintptr_t)owner->wire,
        .ttl = r->ttl,
        .type = r->type,
        .rclass = KNOT_CLASS_IN,
        .rrs = {.count = 1, .size = sizeof rdata.len + rdata.len, .rdata = (void *)&rdata},
    };
    size_t room = w->limit - w->len;
    w->info = (knot_rrinfo_t){.compress_ptr = {hint}};
    int written = knot_rrset_to_wire_extra(&rr, w->wire + w->len,
                                           room > UINT16_MAX ? UINT16_MAX : (uint16_t)room, 0,
                                           w->plain ? NULL : &w->compr, 0);
    if (written < 0) {
        return false;
    }
    r->at = w->info.compress_ptr[KNOT_COMPR_HINT_RDATA];
    w->len += (size_t)written;
    return true;
}

static uint16_t writer_hint(const struct writer *w, const struct dns_record *r)
{
    return !w->plain && (r->owner == NULL || r->owner == w->qname) ? KNOT_WIRE_HEADER_SIZE : 0;
}

/* Names of additional records are those that the answers point to, or the question's. */
static uint16_t
additional_hint(const struct writer *w, const struct dns_message *m, const struct dns_record *r)
{
    if (w->plain || r->owner == NULL) {
        return writer_hint(w, r);
    }
    const struct dns_record *of = &m->answer.records[r->of];
    bool same = of->data.len >= r->owner->len && memcmp(of->data.ptr + of->data.len - r->owner->len,
                                                        r->owner->wire, r->owner->len) == 0;
    return same ? of->at : 0;
}

/* At most so long: its name is written in full unless it is known to stand there already. */
static size_t
additional_bound(const struct writer *w, const struct dns_message *m, const struct dns_record *r)
{
    const struct dns_name *owner = r->owner == NULL ? w->qname : r->owner;
    size_t name = additional_hint(w, m, r) != 0 ? POINTER_LEN : owner->len;
    return name + RECORD_FIXED + r->data.len;
}

/* Answers as long as there is room for them and what belongs to them. */
static size_t write_answers(struct writer *w, struct dns_message *m, size_t *ret_additional)
{
    size_t extra = 0;
    size_t next = 0; /* additional records are in the order of their answers */
    size_t i = 0;
    for (; i < m->answer.count; i++) {
        struct dns_record *r = &m->answer.records[i];
        size_t before = w->len;
        size_t more = 0;
        size_t end = next;
        if (!writer_record(w, r, writer_hint(w, r))) {
            break;
        }
        while (end < m->additional.count && m->additional.records[end].of <= i) {
            more += additional_bound(w, m, &m->additional.records[end++]);
        }
        /* The first is worth more than what belongs to it. */
        if (w->len + extra + more > w->limit && i > 0) {
            w->len = before;
            break;
        }
        extra += more;
        next = end;
    }
    *ret_additional = m->answer.count == 0 ? m->additional.count : next;
    return i;
}

static void write_opt(struct writer *w, const struct dns_question *q, enum dns_rcode rcode)
{
    uint8_t *at = w->wire + w->len;
    at[0] = 0;
    knot_wire_write_u16(at + 1, KNOT_RRTYPE_OPT);
    knot_wire_write_u16(at + 3, DNS_UDP_MAX);
    at[5] = (uint8_t)((unsigned)rcode >> 4);
    at[6] = 0;
    knot_wire_write_u16(at + 7, q->dnssec ? 0x8000 : 0);
    knot_wire_write_u16(at + 9, 0);
    w->len += OPT_LEN;
}

static void write_head(uint8_t *wire, const struct dns_question *q, const struct dns_message *m)
{
    memset(wire, 0, KNOT_WIRE_HEADER_SIZE);
    knot_wire_set_id(wire, q->id);
    knot_wire_set_qr(wire);
    if (q->recurse) {
        knot_wire_set_rd(wire);
    }
    if (m->authoritative) {
        knot_wire_set_aa(wire);
    }
    if (m->recursion) {
        knot_wire_set_ra(wire);
    }
    if (m->truncated) {
        knot_wire_set_tc(wire);
    }
    knot_wire_set_rcode(wire, (uint8_t)((unsigned)m->rcode & 15U));
}

size_t packet_write(const struct dns_question *q,
                    struct dns_message *m,
                    const struct packet_options *options,
                    uint8_t *out)
{
    struct writer w = {
        .wire = out,
        .len = KNOT_WIRE_HEADER_SIZE,
        .limit = options->limit - (q->edns ? OPT_LEN : 0),
        .plain = options->plain || q->name.len == 0,
        .qname = &q->name,
    };
    CHECK(options->limit >= DNS_UDP_PLAIN_MAX && options->limit <= DNS_TCP_MAX);
    size_t additional = 0;
    uint16_t authority = 0;
    uint16_t extra = 0;
    write_head(out, q, m);
    writer_question(&w, q);
    size_t answers = write_answers(&w, m, &additional);
    if (answers < m->answer.count && options->mark) {
        knot_wire_set_tc(out);
    }
    for (size_t i = 0; i < m->authority.count; i++) {
        struct dns_record *r = &m->authority.records[i];
        authority = (uint16_t)(authority + writer_record(&w, r, writer_hint(&w, r)));
    }
    for (size_t i = 0; i < additional; i++) {
        struct dns_record *r = &m->additional.records[i];
        uint16_t hint = m->answer.count > 0 ? additional_hint(&w, m, r) : writer_hint(&w, r);
        extra = (uint16_t)(extra + writer_record(&w, r, hint));
    }
    if (q->edns) {
        write_opt(&w, q, m->rcode);
        extra++;
    }
    knot_wire_set_ancount(out, (uint16_t)answers);
    knot_wire_set_nscount(out, authority);
    knot_wire_set_arcount(out, extra);
    return w.len;
}

/* --- others' servers --------------------------------------------------------------------------
 */

size_t packet_ask(const struct dns_question *q, uint8_t *out)
{
    struct dns_message none = {0};
    struct packet_options options = {.limit = DNS_UDP_PLAIN_MAX, .plain = true};
    size_t len = packet_write(q, &none, &options, out);
    knot_wire_clear_qr(out);
    return len;
}

bool packet_answers(struct bytes packet,
                    const struct dns_question *q,
                    enum dns_rcode *ret_rcode,
                    bool *ret_truncated)
{
    const uint8_t *wire = wire_of(packet);
    size_t question = KNOT_WIRE_HEADER_SIZE + (size_t)q->name.len + 4;
    if (packet.len < KNOT_WIRE_HEADER_SIZE || !knot_wire_get_qr(wire) ||
        knot_wire_get_id(wire) != q->id) {
        return false;
    }
    /* Case and all: whoever guesses the id has that to guess too. */
    bool same = packet.len >= question && knot_wire_get_qdcount(wire) == 1 &&
                memcmp(wire + KNOT_WIRE_HEADER_SIZE, q->name.wire, q->name.len) == 0 &&
                knot_wire_read_u16(wire + question - 4) == q->type &&
                knot_wire_read_u16(wire + question - 2) == q->class;
    *ret_rcode = knot_wire_get_rcode(wire);
    *ret_truncated = knot_wire_get_tc(wire) != 0;
    return same;
}

static bool record_take(const knot_rrset_t *rr,
                        uint16_t pos,
                        struct arena *memory,
                        struct dns_record *ret_record)
{
    const knot_rdata_t *data = knot_rdataset_at(&rr->rrs, pos);
    struct dns_name *owner = arena_alloc(memory, sizeof *owner);
    size_t len = knot_dname_size(rr->owner);
    if (owner == NULL || len == 0 || len > DNS_NAME_MAX) {
        return false;
    }
    memcpy(owner->wire, rr->owner, len);
    owner->len = (uint8_t)len;
    struct bytes copy = arena_copy(memory, (struct bytes){(const char *)data->data, data->len});
    *ret_record =
        (struct dns_record){.owner = owner, .type = rr->type, .ttl = rr->ttl, .data = copy};
    return copy.ptr != NULL;
}

enum err packet_records(struct bytes packet, struct arena *memory, struct dns_section *ret_section)
{
    if (packet.len < KNOT_WIRE_HEADER_SIZE || packet.len > DNS_TCP_MAX) {
        return ERR_INVALID;
    }
    knot_mm_t mm = memory_of(memory);
    knot_pkt_t *pkt = knot_pkt_new(wire_of(packet), (uint16_t)packet.len, &mm);
    if (pkt == NULL || knot_pkt_parse(pkt, KNOT_PF_KEEPWIRE | KNOT_PF_NOCANON) != KNOT_EOK) {
        return ERR_INVALID;
    }
    const knot_pktsection_t *answer = knot_pkt_section(pkt, KNOT_ANSWER);
    struct dns_section s = {0};
    s.records = arena_alloc(memory, (answer->count + 1U) * sizeof *s.records);
    for (uint16_t i = 0; s.records != NULL && i < answer->count; i++) {
        const knot_rrset_t *rr = knot_pkt_rr(answer, i);
        if (rr->rrs.count == 1 && rr->rclass == KNOT_CLASS_IN &&
            record_take(rr, 0, memory, &s.records[s.count])) {
            s.count++;
        }
    }
    *ret_section = s;
    return s.records == NULL ? ERR_INVALID : OK;
}

void packet_set_id(uint8_t *packet, uint16_t id)
{
    knot_wire_set_id(packet, id);
}

void packet_set_recursion(uint8_t *packet, bool available)
{
    if (available) {
        knot_wire_set_ra(packet);
    } else {
        knot_wire_clear_ra(packet);
    }
}

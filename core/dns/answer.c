#include "core/dns/answer.h"

#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_LENT       KIB(64)
#define ANSWER_FIRST_CAP  32
/* Least bytes of an address in an answer: a pointer, what is fixed, four bytes. */
#define RECORD_LEN_MIN    16U
#define NAME_SERVERS_MAX  3U
#define SRV_PRIORITY      1U
#define TXT_STRING_MAX    255U
#define TXT_ESCAPED_MAX   (2U * (META_NAME_MAX + META_VALUE_MAX) + 8U)
#define SERVERS_SERVICE   "consul"
#define META_VALUE_PREFIX "rfc1035-"

enum section {
    SECTION_ANSWER,
    SECTION_AUTHORITY,
    SECTION_ADDITIONAL,
};

/* One answer in the making. */
struct maker {
    struct answer *a;
    const struct answer_world *w;
    const struct dns_question *q;
    const struct dns_name *domain; /* the one that was asked under */
    struct dns_name nodes;         /* node.<dc>.<domain> */
    struct dns_name addrs;         /* addr.<dc>.<domain> */
    size_t room;                   /* answers that could fit */
};

/* --- the parts of a message -------------------------------------------------------------------
 */

void answer_init(struct answer *a)
{
    *a = (struct answer){.lent = mem_alloc(ANSWER_LENT)};
    arena_init(&a->memory, DNS_ANSWER_ARENA);
    arena_lend(&a->memory, a->lent, ANSWER_LENT);
}

void answer_close(struct answer *a)
{
    free(a->message.answer.records);
    free(a->message.authority.records);
    free(a->message.additional.records);
    arena_close(&a->memory);
    free(a->lent);
}

static void answer_reset(struct answer *a)
{
    struct dns_message *m = &a->message;
    *m = (struct dns_message){
        .answer = {.records = m->answer.records},
        .authority = {.records = m->authority.records},
        .additional = {.records = m->additional.records},
    };
    a->wanted.len = 0;
    a->kind = DNS_OUTSIDE;
    arena_reset(&a->memory);
}

static struct dns_section *answer_section(struct answer *a, enum section section)
{
    switch (section) {
    case SECTION_ANSWER:
        return &a->message.answer;
    case SECTION_AUTHORITY:
        return &a->message.authority;
    case SECTION_ADDITIONAL:
        break;
    }
    return &a->message.additional;
}

static bool answer_add(struct answer *a, enum section section, const struct dns_record *r)
{
    struct dns_section *s = answer_section(a, section);
    if (s->count == DNS_ANSWER_RECORDS) {
        return false;
    }
    if (s->count == a->caps[section]) {
        a->caps[section] = s->count == 0 ? ANSWER_FIRST_CAP : 2 * s->count;
        s->records = mem_realloc(s->records, a->caps[section] * sizeof *s->records);
    }
    s->records[s->count++] = *r;
    return true;
}

static const struct dns_name *keep_name(struct answer *a, const struct dns_name *name)
{
    struct dns_name *copy = arena_alloc(&a->memory, sizeof *copy);
    if (copy != NULL) {
        *copy = *name;
    }
    return copy;
}

static struct bytes name_bytes(const struct dns_name *name)
{
    return (struct bytes){(const char *)name->wire, name->len};
}

static void put_u16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, value >> 16);
    put_u16(at + 2, value);
}

/* The first answers are the ones that additional records are kept with. */
static uint16_t last_answer(const struct answer *a)
{
    size_t count = a->message.answer.count;
    return (uint16_t)(count == 0 ? 0 : count - 1);
}

static bool type_fits(const struct dns_ip *ip, uint16_t type)
{
    return type == DNS_TYPE_ANY ? ip->len > 0
                                : ip->len == (type == DNS_TYPE_A      ? 4
                                              : type == DNS_TYPE_AAAA ? 16
                                                                      : 255);
}

static struct dns_record address_record(struct answer *a,
                                        const struct dns_name *owner,
                                        const struct dns_ip *ip,
                                        uint32_t ttl)
{
    return (struct dns_record){
        .owner = owner,
        .type = ip->len == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA,
        .of = last_answer(a),
        .ttl = ttl,
        .data = arena_copy(&a->memory, (struct bytes){(const char *)ip->raw, ip->len}),
    };
}

static void add_address(struct answer *a,
                        enum section section,
                        const struct dns_name *owner,
                        const struct dns_ip *ip,
                        uint32_t ttl)
{
    struct dns_record r = address_record(a, owner, ip, ttl);
    if (r.data.ptr != NULL) {
        (void)answer_add(a, section, &r);
    }
}

static void
add_name(struct answer *a, enum section section, struct dns_record r, const struct dns_name *name)
{
    r.data = arena_copy(&a->memory, name_bytes(name));
    if (r.data.ptr != NULL) {
        (void)answer_add(a, section, &r);
    }
}

static void add_soa(struct maker *m, enum section section)
{
    const struct dns_settings *s = m->w->settings;
    struct dns_name ns;
    struct dns_name mail;
    uint8_t data[2 * DNS_NAME_MAX + 20];
    if (name_prepend(&ns, BYTES("ns"), m->domain) != OK ||
        name_prepend(&mail, BYTES("hostmaster"), m->domain) != OK) {
        return;
    }
    memcpy(data, ns.wire, ns.len);
    memcpy(data + ns.len, mail.wire, mail.len);
    uint8_t *at = data + ns.len + mail.len;
    put_u32(at, (uint32_t)(m->w->wall_ms / 1000));
    put_u32(at + 4, s->soa_refresh);
    put_u32(at + 8, s->soa_retry);
    put_u32(at + 12, s->soa_expire);
    put_u32(at + 16, s->soa_min_ttl);
    struct dns_record r = {
        .owner = m->domain,
        .type = DNS_TYPE_SOA,
        .ttl = s->soa_min_ttl,
        .data =
            arena_copy(&m->a->memory, (struct bytes){(const char *)data, (size_t)(at + 20 - data)}),
    };
    if (r.data.ptr != NULL) {
        (void)answer_add(m->a, section, &r);
    }
}

static bool may_read(const struct maker *m, enum acl_resource resource, struct bytes name)
{
    return !m->w->judged || (m->w->acl != NULL && acl_allows(m->w->acl, resource, name, ACL_READ));
}

static void say_none(struct maker *m, enum dns_rcode rcode)
{
    m->a->message.rcode = rcode;
    add_soa(m, SECTION_AUTHORITY);
}

/* --- metadata as TXT ----------------------------------------------------------------------------
 */

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A name (RFC 1464): what would be taken for its end, or be lost at its ends, gets a `. */
static size_t txt_name(char *out, struct bytes name)
{
    size_t len = 0;
    size_t first = 0;
    size_t last = name.len;
    while (first < name.len && blank(name.ptr[first])) {
        first++;
    }
    while (last > first && blank(name.ptr[last - 1])) {
        last--;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '`' || c == '=' || i < first || i >= last) {
            out[len++] = '`';
        }
        out[len++] = c;
    }
    return len;
}

static size_t txt_text(char *out, struct bytes name, struct bytes value)
{
    size_t len = 0;
    struct bytes prefix = BYTES(META_VALUE_PREFIX);
    if (name.len < prefix.len || !bytes_equal_nocase(bytes_slice(name, 0, prefix.len), prefix)) {
        len = txt_name(out, name);
        out[len++] = '=';
        for (size_t i = 0; i < value.len; i++) {
            if (value.ptr[i] == '`') {
                out[len++] = '`';
            }
            out[len++] = value.ptr[i];
        }
        return len;
    }
    memcpy(out, value.ptr, value.len);
    return value.len;
}

static void add_meta(struct maker *m,
                     enum section section,
                     const struct dns_name *owner,
                     struct bytes meta,
                     uint32_t ttl)
{
    struct bytes name;
    struct bytes value;
    char text[TXT_ESCAPED_MAX];
    while (pairs_next(&meta, &name, &value)) {
        if (2 * (name.len + value.len) + 8 > sizeof text) {
            continue;
        }
        size_t len = txt_text(text, name, value);
        uint8_t *data = arena_alloc(&m->a->memory, len + len / TXT_STRING_MAX + 1);
        size_t at = 0;
        for (size_t from = 0; data != NULL && (from < len || from == 0); from += TXT_STRING_MAX) {
            size_t part = len - from < TXT_STRING_MAX ? len - from : TXT_STRING_MAX;
            data[at] = (uint8_t)part;
            memcpy(data + at + 1, text + from, part);
            at += 1 + part;
        }
        struct dns_record r = {
            .owner = owner,
            .type = DNS_TYPE_TXT,
            .of = last_answer(m->a),
            .ttl = ttl,
            .data = {(const char *)data, at},
        };
        if (data != NULL) {
            (void)answer_add(m->a, section, &r);
        }
    }
}

/* --- names that stand for others ----------------------------------------------------------------
 */

static void add_resolved(struct maker *m, const struct dns_name *target)
{
    const struct dns_section *s = m->w->resolved;
    if (s == NULL || !name_equal_nocase(target, m->w->resolved_name)) {
        m->a->wanted = *target;
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        uint16_t type = s->records[i].type;
        if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA || type == DNS_TYPE_CNAME) {
            (void)answer_add(m->a, SECTION_ANSWER, &s->records[i]);
        }
    }
}

/* The address that stands behind one of our own names, without what would have to be chosen:
 * another service's instances are all named. False: it is itself a name, `ret_next`. */
static bool
inside_addresses(struct maker *m, const struct dns_name *name, struct dns_name *ret_next)
{
    struct dns_ask ask;
    struct view_pin pin = {0};
    struct node_row node;
    struct dns_service service = {0};
    const struct dns_settings *s = m->w->settings;
    const struct dns_name *owner = keep_name(m->a, name);
    name_parse(&s->zone, name, false, &ask);
    if (owner == NULL) {
        return true;
    }
    if (ask.kind == DNS_ADDR && type_fits(&ask.ip, m->q->type)) {
        add_address(m->a, SECTION_ANSWER, owner, &ask.ip, s->node_ttl);
    } else if (ask.kind == DNS_NODE && may_read(m, ACL_NODE, ask.name) &&
               lookup_node(m->w->lookup, m->w->view, ask.name, &pin, &node) == OK) {
        struct dns_ip ip = dns_ip_of(node.address);
        bool more = ip.len == 0 && name_from_text(ret_next, node.address) == OK;
        if (type_fits(&ip, m->q->type)) {
            add_address(m->a, SECTION_ANSWER, owner, &ip, s->node_ttl);
        }
        view_pin_close(&pin);
        return !more;
    } else if (ask.kind == DNS_SERVICE &&
               lookup_service(m->w->lookup, m->w->view, ask.name, &service) == OK) {
        for (size_t i = 0; i < service.count && m->a->message.answer.count < m->room; i++) {
            const struct dns_instance *at = &service.instances[i];
            if (type_fits(&at->ip, m->q->type) && may_read(m, ACL_NODE, at->node) &&
                (ask.tag.len == 0 || texts_have_nocase(at->tags, ask.tag))) {
                add_address(m->a, SECTION_ANSWER, owner, &at->ip,
                            settings_service_ttl(s, ask.name));
            }
        }
    }
    return true;
}

/* CNAME, and what is behind it as far as we know. */
static void add_cname(struct maker *m, const struct dns_name *target, uint32_t ttl)
{
    struct dns_record r = {.type = DNS_TYPE_CNAME, .ttl = ttl};
    struct dns_name at = *target;
    const struct dns_settings *s = m->w->settings;
    add_name(m->a, SECTION_ANSWER, r, target);
    for (unsigned i = 0; i < DNS_CNAME_MAX; i++) {
        struct dns_name next = {0};
        if (!name_under(&at, &s->zone.domain) &&
            (s->zone.alt_domain.len <= 1 || !name_under(&at, &s->zone.alt_domain))) {
            add_resolved(m, &at);
            return;
        }
        if (inside_addresses(m, &at, &next)) {
            return;
        }
        r.owner = keep_name(m->a, &at);
        r.ttl = s->node_ttl;
        if (r.owner == NULL) {
            return;
        }
        add_name(m->a, SECTION_ANSWER, r, &next);
        at = next;
    }
}

/* --- services -----------------------------------------------------------------------------------
 */

static bool answered_already(const struct answer *a, const struct dns_record *r)
{
    const struct dns_section *s = &a->message.answer;
    for (size_t i = 0; i < s->count; i++) {
        if (s->records[i].type == r->type && bytes_equal(s->records[i].data, r->data)) {
            return true;
        }
    }
    return false;
}

/* Where an instance is reached: a name of ours that stands for its address, or its own. */
static bool
instance_target(const struct maker *m, const struct dns_instance *i, struct dns_name *ret)
{
    char hex[DNS_IP_HEX_MAX];
    if (i->ip.len == 0) {
        return name_from_text(ret, i->address) == OK;
    }
    if (i->own_address) {
        return name_prepend(ret, dns_ip_hex(&i->ip, hex), &m->addrs) == OK;
    }
    return name_prepend(ret, i->node, &m->nodes) == OK;
}

/* Whether there is one more answer. */
static bool add_srv(struct maker *m, const struct dns_instance *i, uint32_t ttl)
{
    struct dns_name target;
    struct dns_name node;
    uint8_t data[6 + DNS_NAME_MAX];
    if (!instance_target(m, i, &target)) {
        return false;
    }
    put_u16(data, SRV_PRIORITY);
    put_u16(data + 2, i->weight > UINT16_MAX ? UINT16_MAX : i->weight);
    put_u16(data + 4, i->port);
    memcpy(data + 6, target.wire, target.len);
    struct dns_record r = {
        .type = DNS_TYPE_SRV,
        .ttl = ttl,
        .data = {(const char *)data, 6U + target.len},
    };
    if (answered_already(m->a, &r)) {
        return false;
    }
    r.data = arena_copy(&m->a->memory, r.data);
    const struct dns_name *owner = keep_name(m->a, &target);
    if (r.data.ptr == NULL || owner == NULL || !answer_add(m->a, SECTION_ANSWER, &r)) {
        return false;
    }
    if (i->ip.len > 0) {
        add_address(m->a, SECTION_ADDITIONAL, owner, &i->ip, ttl);
    }
    if (m->w->settings->node_meta_txt && i->meta.len > 0 &&
        name_prepend(&node, i->node, &m->nodes) == OK) {
        bool same = name_equal_nocase(&node, owner);
        const struct dns_name *kept = same ? owner : keep_name(m->a, &node);
        if (kept != NULL) {
            add_meta(m, SECTION_ADDITIONAL, kept, i->meta, ttl);
        }
    }
    return true;
}

static bool add_instance_address(struct maker *m, const struct dns_instance *i, uint32_t ttl)
{
    if (!type_fits(&i->ip, m->q->type)) {
        return false;
    }
    struct dns_record r = address_record(m->a, NULL, &i->ip, ttl);
    return r.data.ptr != NULL && !answered_already(m->a, &r) &&
           answer_add(m->a, SECTION_ANSWER, &r);
}

/* The instances that were asked for, in an order of their own for each answer. */
struct choice {
    const struct dns_instance **at;
    size_t count;
};

static bool choice_open(struct maker *m,
                        const struct dns_service *service,
                        struct bytes name,
                        struct bytes tag,
                        struct choice *ret_choice)
{
    struct choice c = {0};
    bool may = may_read(m, ACL_SERVICE, name);
    c.at = arena_alloc(&m->a->memory, (service->count + 1) * sizeof *c.at);
    for (size_t i = 0; c.at != NULL && may && i < service->count; i++) {
        const struct dns_instance *at = &service->instances[i];
        if ((tag.len == 0 || texts_have_nocase(at->tags, tag)) &&
            !(m->w->settings->only_passing && at->warning) && may_read(m, ACL_NODE, at->node)) {
            c.at[c.count++] = at;
        }
    }
    *ret_choice = c;
    return c.at != NULL;
}

static const struct dns_instance *choice_next(struct maker *m, struct choice *c)
{
    size_t i = (size_t)m->w->dice(m->w->ctx, c->count);
    const struct dns_instance *taken = c->at[i];
    c->at[i] = c->at[--c->count];
    return taken;
}

static void service_answers(struct maker *m, struct choice *c, uint32_t ttl)
{
    const struct dns_settings *s = m->w->settings;
    bool srv = m->q->type == DNS_TYPE_SRV;
    size_t most = !srv && s->a_record_limit > 0 ? s->a_record_limit : SIZE_MAX;
    struct dns_name cname = {0};
    size_t count = 0;
    while (c->count > 0 && count < most) {
        if (count >= m->room) {
            m->a->message.truncated = s->enable_truncate;
            break;
        }
        const struct dns_instance *i = choice_next(m, c);
        count += srv ? add_srv(m, i, ttl) : add_instance_address(m, i, ttl);
        /* A name that leads back here leads nowhere. */
        if (!srv && i->ip.len == 0 && cname.len == 0 &&
            (name_from_text(&cname, i->address) != OK || name_equal_nocase(&cname, &m->q->name))) {
            cname.len = 0;
        }
    }
    if (count == 0 && cname.len > 0) {
        add_cname(m, &cname, ttl);
    }
}

static void say_service(struct maker *m, const struct dns_ask *ask)
{
    struct dns_service service = {0};
    struct choice choice = {0};
    uint16_t type = m->q->type;
    enum err e = lookup_service(m->w->lookup, m->w->view, ask->name, &service);
    if ((e != OK && e != ERR_NOT_FOUND) ||
        !choice_open(m, &service, ask->name, ask->tag, &choice)) {
        m->a->message.rcode = DNS_SERVFAIL;
        return;
    }
    if (choice.count == 0) {
        say_none(m, DNS_NXDOMAIN);
        return;
    }
    if (type == DNS_TYPE_SRV || type == DNS_TYPE_A || type == DNS_TYPE_AAAA ||
        type == DNS_TYPE_ANY) {
        service_answers(m, &choice, settings_service_ttl(m->w->settings, ask->name));
    }
    if (m->a->message.answer.count == 0 && !m->a->message.truncated) {
        say_none(m, DNS_NOERROR);
    }
}

/* --- the other kinds ----------------------------------------------------------------------------
 */

static void say_node(struct maker *m, const struct dns_ask *ask)
{
    struct view_pin pin = {0};
    struct node_row node = {0};
    struct dns_name target;
    uint16_t type = m->q->type;
    uint32_t ttl = m->w->settings->node_ttl;
    enum err e = lookup_node(m->w->lookup, m->w->view, ask->name, &pin, &node);
    if (e == OK && !may_read(m, ACL_NODE, node.name)) {
        view_pin_close(&pin);
        e = ERR_NOT_FOUND;
    }
    if (e != OK) {
        if (e == ERR_NOT_FOUND) {
            say_none(m, DNS_NXDOMAIN);
        } else {
            m->a->message.rcode = DNS_SERVFAIL;
        }
        return;
    }
    struct dns_ip ip = dns_ip_of(node.address);
    bool address = type == DNS_TYPE_A || type == DNS_TYPE_AAAA || type == DNS_TYPE_ANY;
    bool meta = type == DNS_TYPE_TXT || type == DNS_TYPE_ANY;
    if (address && type_fits(&ip, type)) {
        add_address(m->a, SECTION_ANSWER, NULL, &ip, ttl);
    } else if (address && ip.len == 0 && name_from_text(&target, node.address) == OK &&
               !name_equal_nocase(&target, &m->q->name)) {
        add_cname(m, &target, ttl);
    }
    if (meta || (address && m->w->settings->node_meta_txt)) {
        add_meta(m, meta ? SECTION_ANSWER : SECTION_ADDITIONAL, NULL, node.meta, ttl);
    }
    view_pin_close(&pin);
    if (m->a->message.answer.count == 0) {
        say_none(m, DNS_NOERROR);
    }
}

static void say_address(struct maker *m, const struct dns_ask *ask)
{
    if (type_fits(&ask->ip, m->q->type)) {
        add_address(m->a, SECTION_ANSWER, NULL, &ask->ip, m->w->settings->node_ttl);
    } else {
        say_none(m, DNS_NOERROR);
    }
}

/* The servers, of which the catalog knows as instances of `consul`. */
static void add_servers(struct maker *m, enum section section)
{
    struct dns_service servers = {0};
    struct choice choice = {0};
    uint32_t ttl = m->w->settings->node_ttl;
    enum err e = lookup_service(m->w->lookup, m->w->view, BYTES(SERVERS_SERVICE), &servers);
    if (e != OK || !choice_open(m, &servers, BYTES(SERVERS_SERVICE), (struct bytes){0}, &choice)) {
        return;
    }
    for (size_t n = 0; choice.count > 0 && n < NAME_SERVERS_MAX;) {
        struct dns_name name;
        const struct dns_instance *i = choice_next(m, &choice);
        const struct dns_name *kept = NULL;
        if (name_prepend(&name, i->node, &m->nodes) != OK ||
            (kept = keep_name(m->a, &name)) == NULL) {
            continue;
        }
        struct dns_record r = {.owner = m->domain, .type = DNS_TYPE_NS, .ttl = ttl};
        add_name(m->a, section, r, kept);
        if (i->ip.len > 0) {
            add_address(m->a, SECTION_ADDITIONAL, kept, &i->ip, ttl);
        }
        n++;
    }
}

static bool say_pointer(struct maker *m, const struct dns_ask *ask)
{
    struct bytes name;
    struct dns_name target;
    struct dns_name behind;
    bool service = false;
    enum err e = lookup_address(m->w->lookup, m->w->view, &ask->ip, &name, &service);
    if (e == OK && !may_read(m, service ? ACL_SERVICE : ACL_NODE, name)) {
        e = ERR_NOT_FOUND;
    }
    if (e != OK) {
        m->a->message.rcode = e == ERR_NOT_FOUND ? DNS_REFUSED : DNS_SERVFAIL;
        m->a->message.authoritative = false;
        return e != ERR_NOT_FOUND;
    }
    e = service ? name_prepend(&behind, m->w->settings->zone.datacenter, m->domain) : OK;
    if (service && e == OK) {
        e = name_prepend(&behind, BYTES("service"), &behind);
    }
    if (e == OK) {
        e = name_prepend(&target, name, service ? &behind : &m->nodes);
    }
    if (e == OK && (m->q->type == DNS_TYPE_PTR || m->q->type == DNS_TYPE_ANY)) {
        struct dns_record r = {.type = DNS_TYPE_PTR, .ttl = m->w->settings->node_ttl};
        add_name(m->a, SECTION_ANSWER, r, &target);
    }
    return true;
}

/* --- the whole ----------------------------------------------------------------------------------
 */

static void say_inside(struct maker *m, const struct dns_ask *ask)
{
    switch (ask->kind) {
    case DNS_SERVICE:
        say_service(m, ask);
        return;
    case DNS_NODE:
        say_node(m, ask);
        return;
    case DNS_ADDR:
        say_address(m, ask);
        return;
    case DNS_QUERY:
    case DNS_NONE:
    case DNS_OUTSIDE:
    case DNS_PTR:
        break;
    }
    say_none(m, DNS_NXDOMAIN);
}

static enum err maker_names(struct maker *m)
{
    struct dns_name dc;
    enum err e = name_prepend(&dc, m->w->settings->zone.datacenter, m->domain);
    e = e == OK ? name_prepend(&m->nodes, BYTES("node"), &dc) : e;
    return e == OK ? name_prepend(&m->addrs, BYTES("addr"), &dc) : e;
}

bool answer_make(struct answer *a, const struct answer_world *w, const struct dns_question *q)
{
    struct dns_ask ask;
    struct maker m = {.a = a, .w = w, .q = q};
    struct packet_options options = answer_options(w->settings, q, w->udp);
    answer_reset(a);
    name_parse(&w->settings->zone, &q->name, q->type == DNS_TYPE_SRV, &ask);
    a->kind = ask.kind;
    a->message.recursion = w->settings->recursor_count > 0;
    m.domain = ask.domain;
    m.room = options.limit / RECORD_LEN_MIN;
    if (w->udp && options.limit <= DNS_UDP_PLAIN_MAX && m.room > w->settings->udp_answer_limit) {
        m.room = w->settings->udp_answer_limit;
    }
    if (ask.kind == DNS_OUTSIDE) {
        a->message.rcode = DNS_REFUSED;
        return false;
    }
    a->message.authoritative = true;
    if (maker_names(&m) != OK) {
        a->message.rcode = DNS_SERVFAIL;
    } else if (ask.kind == DNS_PTR) {
        return say_pointer(&m, &ask);
    } else if (q->type == DNS_TYPE_AXFR || q->type == DNS_TYPE_IXFR) {
        a->message.rcode = DNS_NOTIMP;
    } else if (q->type == DNS_TYPE_SOA) {
        add_soa(&m, SECTION_ANSWER);
        add_servers(&m, SECTION_AUTHORITY);
    } else if (q->type == DNS_TYPE_NS) {
        add_servers(&m, SECTION_ANSWER);
    } else {
        say_inside(&m, &ask);
    }
    return true;
}

void answer_code(struct answer *a, enum dns_rcode rcode)
{
    answer_reset(a);
    a->message.rcode = rcode;
}

struct packet_options
answer_options(const struct dns_settings *s, const struct dns_question *q, bool udp)
{
    size_t size = q->udp_size > DNS_UDP_MAX ? DNS_UDP_MAX : q->udp_size;
    return (struct packet_options){
        .limit = udp ? size : DNS_TCP_MAX,
        .plain = s->disable_compression,
        .mark = s->enable_truncate,
    };
}

#include "core/agent/local_json.h"

#include "core/base/text.h"
#include "store/row_json.h"

static enum err put_text(struct buf *out, const char *name, struct bytes value)
{
    enum err e = buf_append_str(out, name);
    return e == OK ? json_quote(out, value) : e;
}

/* `80 10.0.0.1` -> {"Address":"10.0.0.1","Port":80} */
static enum err put_tagged(struct buf *out, struct bytes pairs)
{
    struct bytes name;
    struct bytes value;
    enum err e = buf_append_char(out, '{');
    for (bool more = false; e == OK && pairs_next(&pairs, &name, &value); more = true) {
        size_t blank = bytes_find(value, ' ');
        e = put_text(out, more ? "," : "", name);
        e = e == OK ? put_text(out, ":{\"Address\":",
                               bytes_slice(value, blank < value.len ? blank + 1 : blank, value.len))
                    : e;
        e = e == OK ? buf_printf(out, ",\"Port\":%.*s}", (int)blank, value.ptr) : e;
    }
    return e == OK ? buf_append_char(out, '}') : e;
}

enum err local_json_service(struct buf *out, const struct local_service *s, struct bytes datacenter)
{
    const struct service_row *r = &s->row;
    enum err e = buf_append_char(out, '{');
    if (e == OK && r->kind.len > 0) {
        e = put_text(out, "\"Kind\":", r->kind);
        e = e == OK ? buf_append_char(out, ',') : e;
    }
    e = e == OK ? put_text(out, "\"ID\":", r->id) : e;
    e = e == OK ? put_text(out, ",\"Service\":", r->name) : e;
    e = e == OK ? buf_append_str(out, ",\"Tags\":") : e;
    e = e == OK ? row_json_texts(out, r->tags) : e;
    e = e == OK ? buf_append_str(out, ",\"Meta\":") : e;
    e = e == OK ? row_json_pairs(out, r->meta) : e;
    e = e == OK ? buf_printf(out, ",\"Port\":%u", r->port) : e;
    e = e == OK ? put_text(out, ",\"Address\":", r->address) : e;
    if (e == OK && r->socket_path.len > 0) {
        e = put_text(out, ",\"SocketPath\":", r->socket_path);
    }
    if (e == OK && r->tagged.len > 0) {
        e = buf_append_str(out, ",\"TaggedAddresses\":");
        e = e == OK ? put_tagged(out, r->tagged) : e;
    }
    e = e == OK ? buf_printf(out, ",\"Weights\":{\"Passing\":%u,\"Warning\":%u}", r->weight_passing,
                             r->weight_warning)
                : e;
    e = e == OK ? buf_printf(out, ",\"EnableTagOverride\":%s",
                             r->enable_tag_override ? "true" : "false")
                : e;
    e = e == OK ? put_text(out, ",\"Datacenter\":", datacenter) : e;
    return e == OK ? buf_append_char(out, '}') : e;
}

enum err local_json_services(struct buf *out, const struct local *l, struct bytes datacenter)
{
    enum err e = buf_append_char(out, '{');
    bool more = false;
    for (size_t i = 0; e == OK && i < l->services.count; i++) {
        const struct local_service *s = local_service_at(l, i);
        if (s->item.deleted) {
            continue;
        }
        e = put_text(out, more ? "," : "", s->row.id);
        e = e == OK ? buf_append_char(out, ':') : e;
        e = e == OK ? local_json_service(out, s, datacenter) : e;
        more = true;
    }
    return e == OK ? buf_append_char(out, '}') : e;
}

static enum err put_check(struct buf *out,
                          const struct local *l,
                          const struct node_row *node,
                          const struct local_check *c)
{
    struct check_row row = c->row;
    const struct local_service *s =
        row.service_id.len > 0 ? local_service(l, row.service_id) : NULL;
    row.node = node->name;
    if (s != NULL) {
        row.service_name = s->row.name;
        row.service_tags = s->row.tags;
    }
    return row_json_check(out, &row);
}

enum err local_json_checks(struct buf *out, const struct local *l, const struct node_row *node)
{
    enum err e = buf_append_char(out, '{');
    bool more = false;
    for (size_t i = 0; e == OK && i < l->checks.count; i++) {
        const struct local_check *c = local_check_at(l, i);
        if (c->item.deleted) {
            continue;
        }
        e = put_text(out, more ? "," : "", c->row.id);
        e = e == OK ? buf_append_char(out, ':') : e;
        e = e == OK ? put_check(out, l, node, c) : e;
        more = true;
    }
    return e == OK ? buf_append_char(out, '}') : e;
}

enum err local_json_health_checks(struct buf *out,
                                  const struct local *l,
                                  const struct node_row *node,
                                  struct bytes service_id)
{
    enum err e = buf_append_char(out, '[');
    bool more = false;
    for (size_t i = 0; e == OK && i < l->checks.count; i++) {
        const struct local_check *c = local_check_at(l, i);
        if (c->item.deleted || (c->row.service_id.len > 0 && !local_check_of(c, service_id))) {
            continue;
        }
        e = more ? buf_append_char(out, ',') : OK;
        e = e == OK ? put_check(out, l, node, c) : e;
        more = true;
    }
    return e == OK ? buf_append_char(out, ']') : e;
}

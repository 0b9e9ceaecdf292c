#include "core/agent/local_json.h"

#include "core/base/limit.h"
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

enum err local_json_service(struct buf *out, const struct service_row *r, struct bytes datacenter)
{
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

/* With what it has of its node and its service. */
static struct check_row
whole_check(const struct local *l, const struct node_row *node, const struct local_check *c)
{
    struct check_row row = c->row;
    const struct local_service *s =
        row.service_id.len > 0 ? local_service(l, row.service_id) : NULL;
    row.node = node->name;
    if (s != NULL) {
        row.service_name = s->row.name;
        row.service_tags = s->row.tags;
    }
    return row;
}

enum err local_rows_services(struct buf *out, const struct local *l, const struct node_row *node)
{
    struct buf one;
    enum err e = OK;
    buf_init(&one, COMMAND_MAX);
    for (size_t i = 0; e == OK && i < l->services.count; i++) {
        const struct local_service *s = local_service_at(l, i);
        struct service_row row = s->row;
        if (s->item.deleted) {
            continue;
        }
        row.node = node->name;
        buf_clear(&one);
        e = row_service_encode(&one, &row);
        e = e == OK ? texts_add(out, buf_view(&one)) : e;
    }
    buf_close(&one);
    return e;
}

enum err local_rows_checks(struct buf *out, const struct local *l, const struct node_row *node)
{
    struct buf one;
    enum err e = OK;
    buf_init(&one, COMMAND_MAX);
    for (size_t i = 0; e == OK && i < l->checks.count; i++) {
        const struct local_check *c = local_check_at(l, i);
        if (c->item.deleted) {
            continue;
        }
        struct check_row row = whole_check(l, node, c);
        buf_clear(&one);
        e = row_check_encode(&one, &row);
        e = e == OK ? texts_add(out, buf_view(&one)) : e;
    }
    buf_close(&one);
    return e;
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
        struct check_row row = whole_check(l, node, c);
        e = e == OK ? row_json_check(out, &row) : e;
        more = true;
    }
    return e == OK ? buf_append_char(out, ']') : e;
}

#include "core/api/bexpr_rows.h"

enum row_id {
    NODE_ID,
    NODE_NAME,
    NODE_ADDRESS,
    NODE_DATACENTER,
    NODE_TAGGED,
    NODE_META,
    SERVICE_KIND,
    SERVICE_ID,
    SERVICE_NAME,
    SERVICE_TAGS,
    SERVICE_ADDRESS,
    SERVICE_TAGGED,
    SERVICE_META,
    SERVICE_PORT,
    SERVICE_SOCKET,
    SERVICE_WEIGHT_PASSING,
    SERVICE_WEIGHT_WARNING,
    SERVICE_OVERRIDE,
    SERVICE_NOTHING, /* of the mesh: there is none, so it is empty, 0 and false */
    CHECK_NODE,
    CHECK_ID,
    CHECK_NAME,
    CHECK_STATUS,
    CHECK_NOTES,
    CHECK_OUTPUT,
    CHECK_SERVICE_ID,
    CHECK_SERVICE_NAME,
    CHECK_SERVICE_TAGS,
    CHECK_TYPE,
    LIST_CHECKS,
    LIST_SERVICES,
};

static void node_get(const struct node_row *n, enum row_id id, struct bexpr_value *v)
{
    v->text = id == NODE_ID        ? n->id
              : id == NODE_NAME    ? n->name
              : id == NODE_ADDRESS ? n->address
              : id == NODE_TAGGED  ? n->tagged
                                   : n->meta;
}

static void service_get(const struct service_row *s, enum row_id id, struct bexpr_value *v)
{
    const struct bytes texts[] = {
        [0] = s->kind,
        [SERVICE_ID - SERVICE_KIND] = s->id,
        [SERVICE_NAME - SERVICE_KIND] = s->name,
        [SERVICE_TAGS - SERVICE_KIND] = s->tags,
        [SERVICE_ADDRESS - SERVICE_KIND] = s->address,
        [SERVICE_TAGGED - SERVICE_KIND] = s->tagged,
        [SERVICE_META - SERVICE_KIND] = s->meta,
        [SERVICE_PORT - SERVICE_KIND] = {0},
        [SERVICE_SOCKET - SERVICE_KIND] = s->socket_path,
    };
    if (id <= SERVICE_SOCKET) {
        v->text = texts[id - SERVICE_KIND];
    }
    v->number = id == SERVICE_PORT             ? s->port
                : id == SERVICE_WEIGHT_PASSING ? s->weight_passing
                : id == SERVICE_WEIGHT_WARNING ? s->weight_warning
                : id == SERVICE_OVERRIDE       ? s->enable_tag_override
                                               : 0;
}

static void check_get(const struct check_row *c, enum row_id id, struct bexpr_value *v)
{
    const struct bytes texts[] = {
        [0] = c->node,
        [CHECK_ID - CHECK_NODE] = c->id,
        [CHECK_NAME - CHECK_NODE] = c->name,
        [CHECK_STATUS - CHECK_NODE] = bytes_of(check_status_name(c->status)),
        [CHECK_NOTES - CHECK_NODE] = c->notes,
        [CHECK_OUTPUT - CHECK_NODE] = c->output,
        [CHECK_SERVICE_ID - CHECK_NODE] = c->service_id,
        [CHECK_SERVICE_NAME - CHECK_NODE] = c->service_name,
        [CHECK_SERVICE_TAGS - CHECK_NODE] = c->service_tags,
        [CHECK_TYPE - CHECK_NODE] = c->type,
    };
    v->text = texts[id - CHECK_NODE];
}

static void row_get(const void *record, int field, struct bexpr_value *v)
{
    const struct bexpr_row *row = record;
    enum row_id id = (enum row_id)field;
    *v = (struct bexpr_value){0};
    if (id == NODE_DATACENTER) {
        v->text = row->datacenter;
    } else if (id == LIST_CHECKS) {
        v->text = row->checks;
    } else if (id == LIST_SERVICES) {
        v->text = row->services;
    } else if (id <= NODE_META) {
        node_get(row->node, id, v);
    } else if (id <= SERVICE_NOTHING) {
        service_get(row->service, id, v);
    } else {
        check_get(row->check, id, v);
    }
}

/* A record of a list, and the row that it points to. */
struct listed {
    struct bexpr_row row;
    union {
        struct service_row service;
        struct check_row check;
    };
};

_Static_assert(sizeof(struct listed) <= BEXPR_SCRATCH, "a listed record fits");

static const void *check_next(struct bytes *list, void *scratch)
{
    struct listed *l = scratch;
    struct bytes encoded;
    *l = (struct listed){0};
    if (!texts_next(list, &encoded) || row_check_decode(encoded, &l->check) != OK) {
        return NULL;
    }
    l->row.check = &l->check;
    return &l->row;
}

static const void *service_next(struct bytes *list, void *scratch)
{
    struct listed *l = scratch;
    struct bytes encoded;
    *l = (struct listed){0};
    if (!texts_next(list, &encoded) || row_service_decode(encoded, &l->service) != OK) {
        return NULL;
    }
    l->row.service = &l->service;
    return &l->row;
}

/* The members of a node behind `p`, of a service behind `p`. */
#define NODE_FIELDS(p)                                                                             \
    {p "ID", BEXPR_TEXT, NODE_ID, NULL}, {p "Node", BEXPR_TEXT, NODE_NAME, NULL},                  \
        {p "Address", BEXPR_TEXT, NODE_ADDRESS, NULL},                                             \
        {p "Datacenter", BEXPR_TEXT, NODE_DATACENTER, NULL},                                       \
    {                                                                                              \
        p "TaggedAddresses", BEXPR_PAIRS, NODE_TAGGED, NULL                                        \
    }

/* The mesh's can be asked for, and are empty. */
#define MESH_FIELDS(p)                                                                             \
    {p "Connect.Native", BEXPR_BOOL, SERVICE_NOTHING, NULL},                                       \
        {p "Proxy.DestinationServiceName", BEXPR_TEXT, SERVICE_NOTHING, NULL},                     \
        {p "Proxy.DestinationServiceID", BEXPR_TEXT, SERVICE_NOTHING, NULL},                       \
        {p "Proxy.LocalServiceAddress", BEXPR_TEXT, SERVICE_NOTHING, NULL},                        \
        {p "Proxy.LocalServicePort", BEXPR_NUMBER, SERVICE_NOTHING, NULL},                         \
        {p "Proxy.MeshGateway.Mode", BEXPR_TEXT, SERVICE_NOTHING, NULL},                           \
        {p "Proxy.Expose.Checks", BEXPR_BOOL, SERVICE_NOTHING, NULL},                              \
    {                                                                                              \
        p "Proxy.Upstreams", BEXPR_LIST, SERVICE_NOTHING, NULL                                     \
    }

#define SERVICE_FIELDS(p)                                                                          \
    {p "Kind", BEXPR_TEXT, SERVICE_KIND, NULL}, {p "ID", BEXPR_TEXT, SERVICE_ID, NULL},            \
        {p "Tags", BEXPR_TEXTS, SERVICE_TAGS, NULL},                                               \
        {p "Address", BEXPR_TEXT, SERVICE_ADDRESS, NULL},                                          \
        {p "TaggedAddresses", BEXPR_ADDRESSES, SERVICE_TAGGED, NULL},                              \
        {p "Meta", BEXPR_PAIRS, SERVICE_META, NULL}, {p "Port", BEXPR_NUMBER, SERVICE_PORT, NULL}, \
        {p "SocketPath", BEXPR_TEXT, SERVICE_SOCKET, NULL},                                        \
        {p "Weights.Passing", BEXPR_NUMBER, SERVICE_WEIGHT_PASSING, NULL},                         \
        {p "Weights.Warning", BEXPR_NUMBER, SERVICE_WEIGHT_WARNING, NULL},                         \
        {p "EnableTagOverride", BEXPR_BOOL, SERVICE_OVERRIDE, NULL}, MESH_FIELDS(p)

#define SCHEMA(list) .fields = (list), .count = sizeof(list) / sizeof(list)[0], .get = row_get

static const struct bexpr_field NODE[] = {
    NODE_FIELDS(""),
    {"Meta", BEXPR_PAIRS, NODE_META, NULL},
};
const struct bexpr_schema BEXPR_NODE = {SCHEMA(NODE)};

static const struct bexpr_field SERVICE[] = {
    SERVICE_FIELDS(""),
    {"Service", BEXPR_TEXT, SERVICE_NAME, NULL},
};
const struct bexpr_schema BEXPR_SERVICE = {SCHEMA(SERVICE), .next = service_next};

static const struct bexpr_field CHECK_FIELDS[] = {
    {"Node", BEXPR_TEXT, CHECK_NODE, NULL},
    {"CheckID", BEXPR_TEXT, CHECK_ID, NULL},
    {"Name", BEXPR_TEXT, CHECK_NAME, NULL},
    {"Status", BEXPR_TEXT, CHECK_STATUS, NULL},
    {"Notes", BEXPR_TEXT, CHECK_NOTES, NULL},
    {"Output", BEXPR_TEXT, CHECK_OUTPUT, NULL},
    {"ServiceID", BEXPR_TEXT, CHECK_SERVICE_ID, NULL},
    {"ServiceName", BEXPR_TEXT, CHECK_SERVICE_NAME, NULL},
    {"ServiceTags", BEXPR_TEXTS, CHECK_SERVICE_TAGS, NULL},
    {"Type", BEXPR_TEXT, CHECK_TYPE, NULL},
};
const struct bexpr_schema BEXPR_CHECK = {SCHEMA(CHECK_FIELDS), .next = check_next};

static const struct bexpr_field CATALOG[] = {
    NODE_FIELDS(""),
    {"NodeMeta", BEXPR_PAIRS, NODE_META, NULL},
    SERVICE_FIELDS("Service"),
    {"ServiceName", BEXPR_TEXT, SERVICE_NAME, NULL},
};
const struct bexpr_schema BEXPR_CATALOG = {SCHEMA(CATALOG)};

static const struct bexpr_field INSTANCE[] = {
    NODE_FIELDS("Node."),
    {"Node.Meta", BEXPR_PAIRS, NODE_META, NULL},
    SERVICE_FIELDS("Service."),
    {"Service.Service", BEXPR_TEXT, SERVICE_NAME, NULL},
    {"Checks", BEXPR_RECORDS, LIST_CHECKS, &BEXPR_CHECK},
};
const struct bexpr_schema BEXPR_INSTANCE = {SCHEMA(INSTANCE)};

static const struct bexpr_field DUMP[] = {
    NODE_FIELDS(""),
    {"Meta", BEXPR_PAIRS, NODE_META, NULL},
    {"Services", BEXPR_RECORDS, LIST_SERVICES, &BEXPR_SERVICE},
    {"Checks", BEXPR_RECORDS, LIST_CHECKS, &BEXPR_CHECK},
};
const struct bexpr_schema BEXPR_NODE_DUMP = {SCHEMA(DUMP)};

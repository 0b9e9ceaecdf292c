#include "store/row.h"

#include "store/pack.h"

#define ROW_VERSION 1
/* Numbers, flags and the lengths in front of texts. */
#define ROW_FRAME   256U

/* --- lists ----------------------------------------------------------------------------------- */

bool texts_next(struct bytes *texts, struct bytes *ret_text)
{
    struct unpack in = {.rest = *texts};
    if (texts->len == 0) {
        return false;
    }
    struct bytes text = unpack_bytes(&in, UINT32_MAX);
    if (in.failed) {
        *texts = (struct bytes){0};
        return false;
    }
    *texts = in.rest;
    *ret_text = text;
    return true;
}

size_t texts_count(struct bytes texts)
{
    struct bytes text;
    size_t count = 0;
    while (texts_next(&texts, &text)) {
        count++;
    }
    return count;
}

bool texts_valid(struct bytes texts)
{
    struct unpack in = {.rest = texts};
    while (!in.failed && in.rest.len > 0) {
        (void)unpack_bytes(&in, UINT32_MAX);
    }
    return unpack_done(&in);
}

bool texts_have(struct bytes texts, struct bytes text)
{
    struct bytes at;
    while (texts_next(&texts, &at)) {
        if (bytes_equal(at, text)) {
            return true;
        }
    }
    return false;
}

bool texts_have_nocase(struct bytes texts, struct bytes text)
{
    struct bytes at;
    while (texts_next(&texts, &at)) {
        if (bytes_equal_nocase(at, text)) {
            return true;
        }
    }
    return false;
}

enum err texts_add(struct buf *out, struct bytes text)
{
    enum err e = buf_reserve(out, sizeof(uint32_t) + text.len);
    if (e == OK) {
        pack_bytes(out, text);
    }
    return e;
}

bool pairs_next(struct bytes *pairs, struct bytes *ret_name, struct bytes *ret_value)
{
    return texts_next(pairs, ret_name) && texts_next(pairs, ret_value);
}

bool pairs_valid(struct bytes pairs)
{
    struct bytes before = {0};
    struct bytes name;
    struct bytes value;
    bool first = true;
    if (!texts_valid(pairs) || texts_count(pairs) % 2 != 0) {
        return false;
    }
    while (pairs_next(&pairs, &name, &value)) {
        if (!first && bytes_compare(before, name) >= 0) {
            return false;
        }
        before = name;
        first = false;
    }
    return true;
}

bool pairs_get(struct bytes pairs, struct bytes name, struct bytes *ret_value)
{
    struct bytes at;
    struct bytes value;
    while (pairs_next(&pairs, &at, &value)) {
        if (bytes_equal(at, name)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* A stable sort, so that the last of two with one name is behind the first. */
static void pairs_sort(struct pair *pairs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct pair p = pairs[i];
        size_t at = i;
        for (; at > 0 && bytes_compare(pairs[at - 1].name, p.name) > 0; at--) {
            pairs[at] = pairs[at - 1];
        }
        pairs[at] = p;
    }
}

enum err pairs_add(struct buf *out, struct pair *pairs, size_t count)
{
    size_t start = out->len;
    enum err e = OK;
    pairs_sort(pairs, count);
    for (size_t i = 0; e == OK && i < count; i++) {
        if (i + 1 < count && bytes_equal(pairs[i].name, pairs[i + 1].name)) {
            continue;
        }
        e = texts_add(out, pairs[i].name);
        e = e == OK ? texts_add(out, pairs[i].value) : e;
    }
    if (e != OK) {
        buf_truncate(out, start);
    }
    return e;
}

/* --- what a row may hold --------------------------------------------------------------------- */

static const char *const STATUS_NAMES[] = {
    [CHECK_PASSING] = "passing",
    [CHECK_WARNING] = "warning",
    [CHECK_CRITICAL] = "critical",
};

const char *check_status_name(enum check_status status)
{
    return status >= CHECK_PASSING && status <= CHECK_CRITICAL ? STATUS_NAMES[status] : "unknown";
}

enum err check_status_parse(struct bytes text, enum check_status *ret_status)
{
    for (enum check_status s = CHECK_PASSING; s <= CHECK_CRITICAL; s++) {
        if (bytes_equal(text, bytes_of(STATUS_NAMES[s]))) {
            *ret_status = s;
            return OK;
        }
    }
    return ERR_INVALID;
}

/* The kinds of fields there are: how long, and what they must be. */
enum field_kind {
    FIELD_NAME,     /* not empty, no NUL */
    FIELD_OPTIONAL, /* a name, or empty */
    FIELD_ADDRESS,
    FIELD_TEXT,
    FIELD_OUTPUT,
    FIELD_JSON,
    FIELD_TEXTS,
    FIELD_PAIRS,
};

struct field {
    enum field_kind kind;
    struct bytes *value;
};

static const size_t FIELD_MAX[] = {
    [FIELD_NAME] = ROW_NAME_MAX,       [FIELD_OPTIONAL] = ROW_NAME_MAX,
    [FIELD_ADDRESS] = ROW_ADDRESS_MAX, [FIELD_TEXT] = ROW_TEXT_MAX,
    [FIELD_OUTPUT] = ROW_OUTPUT_MAX,   [FIELD_JSON] = ROW_JSON_MAX,
    [FIELD_TEXTS] = ROW_LIST_MAX,      [FIELD_PAIRS] = ROW_LIST_MAX,
};

static enum err field_check(const struct field *f)
{
    if (f->value->len > FIELD_MAX[f->kind]) {
        return ERR_TOO_BIG;
    }
    switch (f->kind) {
    case FIELD_NAME:
        return f->value->len > 0 && bytes_find(*f->value, '\0') == f->value->len ? OK : ERR_INVALID;
    case FIELD_OPTIONAL:
        return bytes_find(*f->value, '\0') == f->value->len ? OK : ERR_INVALID;
    case FIELD_TEXTS:
        return texts_valid(*f->value) ? OK : ERR_INVALID;
    case FIELD_PAIRS:
        return pairs_valid(*f->value) ? OK : ERR_INVALID;
    case FIELD_ADDRESS:
    case FIELD_TEXT:
    case FIELD_OUTPUT:
    case FIELD_JSON:
        break;
    }
    return OK;
}

/* Every row is: u8 version, its texts in the order of the table, its numbers as u64. */
#define ROW_NUMBERS_MAX 8U

struct row {
    const struct field *fields;
    size_t field_count;
    uint64_t numbers[ROW_NUMBERS_MAX];
    size_t number_count;
};

static enum err row_encode(struct buf *out, const struct row *r)
{
    size_t len = ROW_FRAME;
    for (size_t i = 0; i < r->field_count; i++) {
        enum err e = field_check(&r->fields[i]);
        if (e != OK) {
            return e;
        }
        len += r->fields[i].value->len;
    }
    enum err e = buf_reserve(out, len);
    if (e != OK) {
        return e;
    }
    pack_u8(out, ROW_VERSION);
    for (size_t i = 0; i < r->field_count; i++) {
        pack_bytes(out, *r->fields[i].value);
    }
    for (size_t i = 0; i < r->number_count; i++) {
        pack_u64(out, r->numbers[i]);
    }
    return OK;
}

static enum err row_decode(struct bytes data, struct row *r)
{
    struct unpack in = {.rest = data};
    bool known = unpack_u8(&in) == ROW_VERSION;
    for (size_t i = 0; i < r->field_count; i++) {
        *r->fields[i].value = unpack_bytes(&in, FIELD_MAX[r->fields[i].kind]);
        if (field_check(&r->fields[i]) != OK) {
            return ERR_CORRUPT;
        }
    }
    for (size_t i = 0; i < r->number_count; i++) {
        r->numbers[i] = unpack_u64(&in);
    }
    return known && unpack_done(&in) ? OK : ERR_CORRUPT;
}

#define FIELDS(list) .fields = (list), .field_count = sizeof(list) / sizeof(list)[0]
#define NUMBERS(...) .numbers = {__VA_ARGS__}, .number_count = sizeof((uint64_t[]){__VA_ARGS__}) / 8

/* --- nodes ----------------------------------------------------------------------------------- */

#define NODE_FIELDS(r)                                                                             \
    {                                                                                              \
        {FIELD_OPTIONAL, &(r)->id}, {FIELD_NAME, &(r)->name}, {FIELD_ADDRESS, &(r)->address},      \
            {FIELD_PAIRS, &(r)->tagged}, {FIELD_PAIRS, &(r)->meta},                                \
    }

enum err row_node_encode(struct buf *out, const struct node_row *row)
{
    struct node_row r = *row;
    const struct field fields[] = NODE_FIELDS(&r);
    return row_encode(out, &(struct row){FIELDS(fields), NUMBERS(r.create_index, r.modify_index)});
}

enum err row_node_decode(struct bytes data, struct node_row *ret_row)
{
    struct node_row r = {0};
    const struct field fields[] = NODE_FIELDS(&r);
    struct row row = {FIELDS(fields), .number_count = 2};
    enum err e = row_decode(data, &row);
    if (e == OK) {
        r.create_index = row.numbers[0];
        r.modify_index = row.numbers[1];
        *ret_row = r;
    }
    return e;
}

/* --- services -------------------------------------------------------------------------------- */

#define SERVICE_FIELDS(r)                                                                          \
    {                                                                                              \
        {FIELD_NAME, &(r)->node}, {FIELD_NAME, &(r)->id}, {FIELD_NAME, &(r)->name},                \
            {FIELD_TEXT, &(r)->kind}, {FIELD_TEXTS, &(r)->tags}, {FIELD_ADDRESS, &(r)->address},   \
            {FIELD_PAIRS, &(r)->tagged}, {FIELD_PAIRS, &(r)->meta},                                \
            {FIELD_TEXT, &(r)->socket_path}, {FIELD_JSON, &(r)->extra},                            \
    }

enum err row_service_encode(struct buf *out, const struct service_row *row)
{
    struct service_row r = *row;
    const struct field fields[] = SERVICE_FIELDS(&r);
    return row_encode(out,
                      &(struct row){FIELDS(fields), NUMBERS(r.port, r.weight_passing,
                                                            r.weight_warning, r.enable_tag_override,
                                                            r.create_index, r.modify_index)});
}

enum err row_service_decode(struct bytes data, struct service_row *ret_row)
{
    struct service_row r = {0};
    const struct field fields[] = SERVICE_FIELDS(&r);
    struct row row = {FIELDS(fields), .number_count = 6};
    enum err e = row_decode(data, &row);
    if (e == OK && (row.numbers[0] > UINT32_MAX || row.numbers[1] > UINT32_MAX ||
                    row.numbers[2] > UINT32_MAX || row.numbers[3] > 1)) {
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        r.port = (uint32_t)row.numbers[0];
        r.weight_passing = (uint32_t)row.numbers[1];
        r.weight_warning = (uint32_t)row.numbers[2];
        r.enable_tag_override = row.numbers[3] == 1;
        r.create_index = row.numbers[4];
        r.modify_index = row.numbers[5];
        *ret_row = r;
    }
    return e;
}

/* --- checks ---------------------------------------------------------------------------------- */

#define CHECK_FIELDS(r)                                                                            \
    {                                                                                              \
        {FIELD_NAME, &(r)->node}, {FIELD_NAME, &(r)->id}, {FIELD_OPTIONAL, &(r)->name},            \
            {FIELD_TEXT, &(r)->notes}, {FIELD_OUTPUT, &(r)->output},                               \
            {FIELD_OPTIONAL, &(r)->service_id}, {FIELD_OPTIONAL, &(r)->service_name},              \
            {FIELD_TEXTS, &(r)->service_tags}, {FIELD_TEXT, &(r)->type},                           \
            {FIELD_TEXT, &(r)->interval}, {FIELD_TEXT, &(r)->timeout},                             \
            {FIELD_JSON, &(r)->definition},                                                        \
    }

static bool row_status_valid(uint64_t status)
{
    return status >= CHECK_PASSING && status <= CHECK_CRITICAL;
}

enum err row_check_encode(struct buf *out, const struct check_row *row)
{
    struct check_row r = *row;
    const struct field fields[] = CHECK_FIELDS(&r);
    if (!row_status_valid(r.status)) {
        return ERR_INVALID;
    }
    return row_encode(out, &(struct row){FIELDS(fields), NUMBERS(r.status, r.exposed_port,
                                                                 r.create_index, r.modify_index)});
}

enum err row_check_decode(struct bytes data, struct check_row *ret_row)
{
    struct check_row r = {0};
    const struct field fields[] = CHECK_FIELDS(&r);
    struct row row = {FIELDS(fields), .number_count = 4};
    enum err e = row_decode(data, &row);
    if (e == OK && (!row_status_valid(row.numbers[0]) || row.numbers[1] > UINT32_MAX)) {
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        r.status = (enum check_status)row.numbers[0];
        r.exposed_port = (uint32_t)row.numbers[1];
        r.create_index = row.numbers[2];
        r.modify_index = row.numbers[3];
        *ret_row = r;
    }
    return e;
}

/* --- sessions -------------------------------------------------------------------------------- */

#define SESSION_FIELDS(r)                                                                          \
    {                                                                                              \
        {FIELD_NAME, &(r)->id}, {FIELD_OPTIONAL, &(r)->name}, {FIELD_NAME, &(r)->node},            \
            {FIELD_TEXT, &(r)->ttl}, {FIELD_TEXTS, &(r)->node_checks},                             \
            {FIELD_TEXTS, &(r)->service_checks},                                                   \
    }

enum err row_session_encode(struct buf *out, const struct session_row *row)
{
    struct session_row r = *row;
    const struct field fields[] = SESSION_FIELDS(&r);
    if (r.id.len > SESSION_ID_MAX) {
        return ERR_TOO_BIG;
    }
    if (r.behavior != SESSION_RELEASE && r.behavior != SESSION_DELETE) {
        return ERR_INVALID;
    }
    return row_encode(out,
                      &(struct row){FIELDS(fields), NUMBERS(r.behavior, r.lock_delay_ms, r.ttl_ms,
                                                            r.create_index, r.modify_index)});
}

enum err row_session_decode(struct bytes data, struct session_row *ret_row)
{
    struct session_row r = {0};
    const struct field fields[] = SESSION_FIELDS(&r);
    struct row row = {FIELDS(fields), .number_count = 5};
    enum err e = row_decode(data, &row);
    if (e == OK && (r.id.len > SESSION_ID_MAX || row.numbers[0] < SESSION_RELEASE ||
                    row.numbers[0] > SESSION_DELETE)) {
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        r.behavior = (enum session_behavior)row.numbers[0];
        r.lock_delay_ms = row.numbers[1];
        r.ttl_ms = row.numbers[2];
        r.create_index = row.numbers[3];
        r.modify_index = row.numbers[4];
        *ret_row = r;
    }
    return e;
}

/* --- user events and coordinates ------------------------------------------------------------- */

#define EVENT_FIELDS(r)                                                                            \
    {                                                                                              \
        {FIELD_NAME, &(r)->id}, {FIELD_NAME, &(r)->name}, {FIELD_OUTPUT, &(r)->payload},           \
            {FIELD_TEXT, &(r)->node_filter}, {FIELD_TEXT, &(r)->service_filter},                   \
            {FIELD_TEXT, &(r)->tag_filter},                                                        \
    }

enum err row_event_encode(struct buf *out, const struct event_row *row)
{
    struct event_row r = *row;
    const struct field fields[] = EVENT_FIELDS(&r);
    return row_encode(out, &(struct row){FIELDS(fields), NUMBERS(r.index)});
}

enum err row_event_decode(struct bytes data, struct event_row *ret_row)
{
    struct event_row r = {0};
    const struct field fields[] = EVENT_FIELDS(&r);
    struct row row = {FIELDS(fields), .number_count = 1};
    enum err e = row_decode(data, &row);
    if (e == OK) {
        r.index = row.numbers[0];
        *ret_row = r;
    }
    return e;
}

#define COORDINATE_FIELDS(r)                                                                       \
    {                                                                                              \
        {FIELD_NAME, &(r)->node}, {FIELD_OPTIONAL, &(r)->segment}, {FIELD_JSON, &(r)->coordinate}, \
    }

enum err row_coordinate_encode(struct buf *out, const struct coordinate_row *row)
{
    struct coordinate_row r = *row;
    const struct field fields[] = COORDINATE_FIELDS(&r);
    return row_encode(out, &(struct row){FIELDS(fields), NUMBERS(r.modify_index)});
}

enum err row_coordinate_decode(struct bytes data, struct coordinate_row *ret_row)
{
    struct coordinate_row r = {0};
    const struct field fields[] = COORDINATE_FIELDS(&r);
    struct row row = {FIELDS(fields), .number_count = 1};
    enum err e = row_decode(data, &row);
    if (e == OK) {
        r.modify_index = row.numbers[0];
        *ret_row = r;
    }
    return e;
}

/* --- instances ------------------------------------------------------------------------------- */

/* u8 version, u8 is, u8 was, u8 status, u8 before, u32 port_before, bytes node (empty unless is),
 * bytes service, bytes checks, bytes tags_before, bytes address_before. */
#define INSTANCE_SERVICE_MAX (KV_VALUE_MAX)

static void instance_encode_row(struct buf *out, const struct buf *row)
{
    pack_bytes(out, buf_view(row));
}

enum err row_instance_encode(struct buf *out, const struct instance_row *r)
{
    struct buf node;
    struct buf service;
    buf_init(&node, INSTANCE_SERVICE_MAX);
    buf_init(&service, INSTANCE_SERVICE_MAX);
    enum err e = r->is ? row_node_encode(&node, &r->node) : OK;
    e = e == OK ? row_service_encode(&service, &r->service) : e;
    if (e == OK && (r->tags_before.len > ROW_LIST_MAX || r->address_before.len > ROW_ADDRESS_MAX)) {
        e = ERR_TOO_BIG;
    }
    if (e == OK && (!texts_valid(r->checks) || !texts_valid(r->tags_before))) {
        e = ERR_INVALID;
    }
    if (e == OK) {
        e = buf_reserve(out, ROW_FRAME + node.len + service.len + r->checks.len +
                                 r->tags_before.len + r->address_before.len);
    }
    if (e == OK) {
        pack_u8(out, ROW_VERSION);
        pack_u8(out, r->is ? 1 : 0);
        pack_u8(out, r->was ? 1 : 0);
        pack_u8(out, (uint8_t)r->status);
        pack_u8(out, (uint8_t)r->before);
        pack_u32(out, r->port_before);
        instance_encode_row(out, &node);
        instance_encode_row(out, &service);
        pack_bytes(out, r->checks);
        pack_bytes(out, r->tags_before);
        pack_bytes(out, r->address_before);
    }
    buf_close(&node);
    buf_close(&service);
    return e;
}

static bool instance_checks_valid(struct bytes checks)
{
    struct bytes data;
    struct check_row row;
    if (!texts_valid(checks)) {
        return false;
    }
    while (texts_next(&checks, &data)) {
        if (row_check_decode(data, &row) != OK) {
            return false;
        }
    }
    return true;
}

enum err row_instance_decode(struct bytes data, struct instance_row *ret_row)
{
    struct unpack in = {.rest = data};
    struct instance_row r = {0};
    bool known = unpack_u8(&in) == ROW_VERSION;
    uint8_t is = unpack_u8(&in);
    uint8_t was = unpack_u8(&in);
    r.status = (enum check_status)unpack_u8(&in);
    r.before = (enum check_status)unpack_u8(&in);
    r.port_before = unpack_u32(&in);
    struct bytes node = unpack_bytes(&in, INSTANCE_SERVICE_MAX);
    struct bytes service = unpack_bytes(&in, INSTANCE_SERVICE_MAX);
    r.checks = unpack_bytes(&in, KV_VALUE_MAX);
    r.tags_before = unpack_bytes(&in, ROW_LIST_MAX);
    r.address_before = unpack_bytes(&in, ROW_ADDRESS_MAX);
    if (!known || !unpack_done(&in) || is > 1 || was > 1 || r.status > CHECK_CRITICAL ||
        r.before > CHECK_CRITICAL || !instance_checks_valid(r.checks) ||
        !texts_valid(r.tags_before) || row_service_decode(service, &r.service) != OK ||
        (is == 1 ? row_node_decode(node, &r.node) != OK : node.len > 0)) {
        return ERR_CORRUPT;
    }
    r.is = is == 1;
    r.was = was == 1;
    *ret_row = r;
    return OK;
}

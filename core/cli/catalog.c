/* catalog datacenters, nodes, services: what is registered. */
#include "core/base/mem.h"
#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"
#include "core/cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The answer of GET `path`?`query` as JSON; false: it is none, which has been said. */
static bool catalog_get(const struct http_options *options,
                        const char *path,
                        const char *query,
                        json_t **ret_value,
                        int *ret_status)
{
    struct http_answer answer;
    struct reason why;
    struct http_call call = {.method = "GET", .path = path, .query = query};
    if (!cli_call(options, &call, "Error listing the catalog", &answer, ret_status)) {
        return false;
    }
    enum err e = json_parse(buf_view(&answer.body), ret_value, &why);
    http_answer_close(&answer);
    if (e != OK) {
        *ret_status = cli_fail("Error listing the catalog: %s", why.text);
    }
    return e == OK;
}

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of an object's members in order; the caller frees the list, not the names. */
static const char **names_of(json_t *object, size_t *ret_count)
{
    size_t count = 0;
    const char **names = (const char **)mem_zalloc(json_object_size(object) + 1, sizeof *names);
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        names[count++] = json_object_iter_key(i);
    }
    qsort((void *)names, count, sizeof *names, name_compare);
    *ret_count = count;
    return names;
}

int cli_catalog_datacenters(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct flag_rest rest;
    json_t *value = NULL;
    int status = 0;
    const struct cli_help help = {
        .usage = "catalog datacenters [options]",
        .text = "  Lists the datacenters that the agent knows.\n",
        .http = true,
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status) ||
        !catalog_get(&options, "/v1/catalog/datacenters", "", &value, &status)) {
        return status;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *name = json_string_value(json_array_get(value, i));
        (void)printf("%s\n", name == NULL ? "" : name);
    }
    json_decref(value);
    return 0;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* `a=b, c=d` in the order of the names. */
static void pairs_text(json_t *object, char *out, size_t len)
{
    size_t count = 0;
    size_t at = 0;
    const char **names = names_of(object, &count);
    out[0] = '\0';
    for (size_t i = 0; i < count && at < len; i++) {
        int n = snprintf(out + at, len - at, "%s%s=%s", i > 0 ? ", " : "", names[i],
                         text_at(object, names[i]));
        at += n > 0 ? (size_t)n : 0;
    }
    free((void *)names);
}

static void nodes_print(const json_t *nodes, bool detailed)
{
    static const char *const heads[] = {"Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"};
    size_t count = json_array_size(nodes);
    size_t columns = detailed ? 6 : 4;
    struct table_row *rows = mem_zalloc(count + 1, sizeof *rows);
    for (size_t i = 0; i < columns; i++) {
        (void)snprintf(rows[0].cells[i], TABLE_CELL_LEN, "%s", heads[i]);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *node = json_array_get(nodes, i);
        struct table_row *row = &rows[i + 1];
        (void)snprintf(row->cells[0], TABLE_CELL_LEN, "%s", text_at(node, "Node"));
        /* Enough of it to tell nodes apart. */
        (void)snprintf(row->cells[1], detailed ? TABLE_CELL_LEN : 9, "%s", text_at(node, "ID"));
        (void)snprintf(row->cells[2], TABLE_CELL_LEN, "%s", text_at(node, "Address"));
        (void)snprintf(row->cells[3], TABLE_CELL_LEN, "%s", text_at(node, "Datacenter"));
        json_t *meta = json_object_get(node, "Meta");
        pairs_text(json_object_get(node, "TaggedAddresses"), row->cells[4], TABLE_CELL_LEN);
        pairs_text(meta != NULL ? meta : json_object_get(node, "NodeMeta"), row->cells[5],
                   TABLE_CELL_LEN);
    }
    table_print(rows, count + 1, columns);
    free(rows);
}

/* `-node-meta a=b` as ?node-meta=a:b; false: one is no pair, which has been said. */
static bool meta_query(const struct flag_texts *meta, struct buf *query, int *ret_status)
{
    for (size_t i = 0; i < meta->count; i++) {
        struct bytes pair = bytes_of(meta->items[i]);
        struct buf value;
        size_t at = bytes_find(pair, '=');
        buf_init(&value, HTTP_TARGET_MAX);
        bool good = at < pair.len && buf_append(&value, bytes_slice(pair, 0, at)) == OK &&
                    buf_append_char(&value, ':') == OK &&
                    buf_append(&value, bytes_slice(pair, at + 1, pair.len)) == OK &&
                    http_query(query, "node-meta", buf_view(&value)) == OK;
        buf_close(&value);
        if (!good) {
            *ret_status =
                cli_fail("Error parsing -node-meta: \"%s\" is no key=value", meta->items[i]);
            return false;
        }
    }
    return true;
}

struct nodes_flags {
    const char *near;
    const char *service;
    const char *filter;
    struct flag_texts meta;
    bool detailed;
};

static int nodes_list(const struct http_options *options, const struct nodes_flags *f)
{
    struct buf path;
    struct buf query;
    json_t *nodes = NULL;
    int status = 0;
    buf_init(&path, HTTP_TARGET_MAX);
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e = http_path(&path, f->service != NULL ? "/v1/catalog/service/" : "/v1/catalog/nodes",
                           bytes_of(f->service != NULL ? f->service : ""));
    if (e == OK && f->near != NULL) {
        e = http_query(&query, "near", bytes_of(f->near));
    }
    if (e == OK && f->filter != NULL) {
        e = http_query(&query, "filter", bytes_of(f->filter));
    }
    if (e != OK) {
        status = cli_fail("Error: the query is too long");
    } else if (meta_query(&f->meta, &query, &status) &&
               catalog_get(options, path.ptr, query.len > 0 ? query.ptr : "", &nodes, &status)) {
        if (json_array_size(nodes) == 0) {
            (void)cli_fail("No nodes match the given query - try expanding your search.");
        } else {
            nodes_print(nodes, f->detailed);
        }
        json_decref(nodes);
    }
    buf_close(&path);
    buf_close(&query);
    return status;
}

int cli_catalog_nodes(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct nodes_flags f = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"detailed", FLAG_SWITCH, &f.detailed, NULL, "Shows addresses and meta too."},
        {"filter", FLAG_TEXT, &f.filter, "string", "An expression that nodes must fulfil."},
        {"near", FLAG_TEXT, &f.near, "string", "Nearest to this node first."},
        {"node-meta", FLAG_TEXTS, &f.meta, "key=value", "Nodes that have it; may be repeated."},
        {"service", FLAG_TEXT, &f.service, "string", "Nodes that offer this service."},
    };
    const struct cli_help help = {
        .usage = "catalog nodes [options]",
        .text = "  Lists the nodes of the datacenter.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    return nodes_list(&options, &f);
}

/* --- services -------------------------------------------------------------------------------- */

/* Tags behind each name, in order, all in one column. */
static void services_print(json_t *services, bool tags)
{
    size_t count = 0;
    size_t width = 0;
    const char **names = names_of(services, &count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *list = json_object_get(services, names[i]);
        size_t tag_count = json_array_size(list);
        const char **sorted = (const char **)mem_zalloc(tag_count + 1, sizeof *sorted);
        for (size_t j = 0; j < tag_count; j++) {
            const char *tag = json_string_value(json_array_get(list, j));
            sorted[j] = tag == NULL ? "" : tag;
        }
        qsort((void *)sorted, tag_count, sizeof *sorted, name_compare);
        (void)printf("%-*s", tags ? (int)width + 6 : 0, names[i]);
        for (size_t j = 0; tags && j < tag_count; j++) {
            (void)printf("%s%s", j > 0 ? "," : "", sorted[j]);
        }
        (void)printf("\n");
        free((void *)sorted);
    }
    free((void *)names);
}

/* The services of one node in the form of those of all. */
static json_t *services_of_node(const json_t *answer)
{
    json_t *list = json_object_get(answer, "Services");
    json_t *services = json_object();
    for (void *i = json_object_iter(list); i != NULL; i = json_object_iter_next(list, i)) {
        json_t *one = json_object_iter_value(i);
        json_t *tags = json_object_get(one, "Tags");
        json_t *known = json_object_get(services, text_at(one, "Service"));
        if (known == NULL) {
            (void)json_object_set_new(services, text_at(one, "Service"), json_copy(tags));
        } else {
            (void)json_array_extend(known, tags);
        }
    }
    return services;
}

static int
services_list(const struct http_options *options, const char *node, struct bytes query, bool tags)
{
    struct buf path;
    json_t *answer = NULL;
    int status = 0;
    buf_init(&path, HTTP_TARGET_MAX);
    enum err e = http_path(&path, node != NULL ? "/v1/catalog/node/" : "/v1/catalog/services",
                           bytes_of(node != NULL ? node : ""));
    if (e != OK) {
        status = cli_fail("Error: the query is too long");
    } else if (catalog_get(options, path.ptr, query.len > 0 ? query.ptr : "", &answer, &status)) {
        json_t *services = node != NULL ? services_of_node(answer) : json_incref(answer);
        if (json_object_size(services) == 0) {
            (void)cli_fail("No services match the given query - try expanding your search.");
        } else {
            services_print(services, tags);
        }
        json_decref(services);
        json_decref(answer);
    }
    buf_close(&path);
    return status;
}

int cli_catalog_services(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct flag_texts meta = {0};
    const char *node = NULL;
    bool tags = false;
    struct flag_rest rest;
    struct buf query;
    int status = 0;
    const struct flag flags[] = {
        {"node", FLAG_TEXT, &node, "id or name", "Services of this node alone."},
        {"node-meta", FLAG_TEXTS, &meta, "key=value",
         "Services on nodes that have it; may be repeated."},
        {"tags", FLAG_SWITCH, &tags, NULL, "Shows the tags of each service."},
    };
    const struct cli_help help = {
        .usage = "catalog services [options]",
        .text = "  Lists the services of the datacenter.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    buf_init(&query, HTTP_TARGET_MAX);
    if (meta_query(&meta, &query, &status)) {
        status = services_list(&options, node, buf_view(&query), tags);
    }
    buf_close(&query);
    return status;
}

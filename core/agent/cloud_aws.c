/* provider=aws: the running instances that have a tag. Who asks is what the string, the
 * environment, or the instance's own role (IMDSv2) says. */
#include "core/agent/cloud.h"
#include "core/agent/cloud_http.h"
#include "core/agent/cloud_sign.h"
#include "core/agent/cloud_xml.h"
#include "core/base/env.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMDS       "http://169.254.169.254"
#define IMDS_ENV   "AWS_EC2_METADATA_SERVICE_ENDPOINT" /* as Amazon's own libraries know it */
#define URL_MAX    1024U
#define SECRET_MAX 4096U

struct aws {
    const struct cloud_query *query;
    const atomic_bool *stop;
    struct reason *why;
    char session[256]; /* of the metadata service */
    char region[64];
    char id[256];
    char secret[256];
    char token[SECRET_MAX]; /* empty: none */
};

/* --- the instance's own metadata ----------------------------------------------------------------
 */

static enum err imds(struct aws *a, const char *method, const char *path, struct buf *out)
{
    char url[URL_MAX];
    char header[320];
    const char *base = getenv(IMDS_ENV);
    const char *headers[1] = {header};
    bool first = a->session[0] == '\0';
    (void)snprintf(url, sizeof url, "%s%s", base == NULL || base[0] == '\0' ? IMDS : base, path);
    (void)snprintf(header, sizeof header, "%s: %s",
                   first ? "X-aws-ec2-metadata-token-ttl-seconds" : "X-aws-ec2-metadata-token",
                   first ? "60" : a->session);
    struct cloud_http q = {
        .method = method,
        .url = url,
        .headers = headers,
        .header_count = 1,
        .stop = a->stop,
    };
    return cloud_http(&q, out, a->why);
}

/* One word, of letters that can stand in a header. */
static enum err word_copy(struct aws *a, struct bytes from, char *ret_to, size_t size)
{
    for (size_t i = 0; i < from.len; i++) {
        if (from.ptr[i] <= ' ' || from.ptr[i] >= 0x7f) {
            from.len = size;
        }
    }
    if (from.len == 0 || from.len >= size) {
        reason_set(a->why, "provider=aws: the metadata service said something unreadable");
        return ERR_IO;
    }
    memcpy(ret_to, from.ptr, from.len);
    ret_to[from.len] = '\0';
    return OK;
}

static enum err imds_session(struct aws *a, struct buf *work)
{
    if (a->session[0] != '\0') {
        return OK;
    }
    enum err e = imds(a, "PUT", "/latest/api/token", work);
    return e == OK ? word_copy(a, buf_view(work), a->session, sizeof a->session) : e;
}

static enum err aws_region(struct aws *a, struct buf *work)
{
    const char *said = cloud_arg(a->query, "region");
    if (said != NULL) {
        return word_copy(a, bytes_of(said), a->region, sizeof a->region);
    }
    enum err e = imds_session(a, work);
    e = e == OK ? imds(a, "GET", "/latest/meta-data/placement/region", work) : e;
    return e == OK ? word_copy(a, buf_view(work), a->region, sizeof a->region) : e;
}

static enum err role_read(struct aws *a, struct bytes json)
{
    json_t *role = json_loadb(json.ptr, json.len, 0, NULL);
    const char *id = json_string_value(json_object_get(role, "AccessKeyId"));
    const char *secret = json_string_value(json_object_get(role, "SecretAccessKey"));
    const char *token = json_string_value(json_object_get(role, "Token"));
    enum err e = word_copy(a, bytes_of(id == NULL ? "" : id), a->id, sizeof a->id);
    if (e == OK) {
        e = word_copy(a, bytes_of(secret == NULL ? "" : secret), a->secret, sizeof a->secret);
    }
    if (e == OK && token != NULL) {
        e = word_copy(a, bytes_of(token), a->token, sizeof a->token);
    }
    json_decref(role);
    return e;
}

static enum err aws_role(struct aws *a, struct buf *work)
{
    char name[256];
    char path[512];
    enum err e = imds_session(a, work);
    e = e == OK ? imds(a, "GET", "/latest/meta-data/iam/security-credentials/", work) : e;
    if (e == OK) {
        struct bytes list = buf_view(work);
        e = word_copy(a, bytes_slice(list, 0, bytes_find(list, '\n')), name, sizeof name);
    }
    if (e != OK) {
        return e;
    }
    (void)snprintf(path, sizeof path, "/latest/meta-data/iam/security-credentials/%s", name);
    e = imds(a, "GET", path, work);
    return e == OK ? role_read(a, buf_view(work)) : e;
}

static enum err aws_key(struct aws *a, struct buf *work)
{
    const char *id = cloud_arg(a->query, "access_key_id");
    const char *secret = cloud_arg(a->query, "secret_access_key");
    const char *token = cloud_arg(a->query, "session_token");
    if (id == NULL) {
        id = getenv("AWS_ACCESS_KEY_ID");
        secret = getenv("AWS_SECRET_ACCESS_KEY");
        token = getenv("AWS_SESSION_TOKEN");
    }
    if (id == NULL || secret == NULL) {
        return aws_role(a, work);
    }
    enum err e = word_copy(a, bytes_of(id), a->id, sizeof a->id);
    e = e == OK ? word_copy(a, bytes_of(secret), a->secret, sizeof a->secret) : e;
    if (e == OK && token != NULL && token[0] != '\0') {
        e = word_copy(a, bytes_of(token), a->token, sizeof a->token);
    }
    return e;
}

/* --- DescribeInstances --------------------------------------------------------------------------
 */

static enum err aws_form(const struct aws *a, struct bytes page, struct buf *out)
{
    enum err e = buf_append_str(out, "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=");
    struct buf name;
    buf_init(&name, CLOUD_TEXT_MAX);
    e = e == OK ? buf_printf(&name, "tag:%s", cloud_arg(a->query, "tag_key")) : e;
    e = e == OK ? url_encode(out, buf_view(&name), false) : e;
    buf_close(&name);
    e = e == OK ? buf_append_str(out, "&Filter.1.Value.1=") : e;
    e = e == OK ? url_encode(out, bytes_of(cloud_arg(a->query, "tag_value")), false) : e;
    e = e == OK ? buf_append_str(out, "&Filter.2.Name=instance-state-name"
                                      "&Filter.2.Value.1=running&MaxResults=500")
                : e;
    if (e == OK && page.len > 0) {
        e = buf_append_str(out, "&NextToken=");
        e = e == OK ? url_encode(out, page, false) : e;
    }
    return e;
}

static const char *aws_path(const struct aws *a)
{
    const char *type = cloud_arg(a->query, "addr_type");
    if (type != NULL && strcmp(type, "public_v4") == 0) {
        return "DescribeInstancesResponse/reservationSet/item/instancesSet/item/ipAddress";
    }
    if (type != NULL && strcmp(type, "public_v6") == 0) {
        return "DescribeInstancesResponse/reservationSet/item/instancesSet/item/"
               "networkInterfaceSet/item/ipv6AddressesSet/item/ipv6Address";
    }
    return "DescribeInstancesResponse/reservationSet/item/instancesSet/item/privateIpAddress";
}

/* `page` becomes what the next question is to begin with; empty: this was the last. */
static enum err aws_read(struct aws *a, struct bytes text, struct cloud_found *f, struct buf *page)
{
    struct xml x;
    enum xml_found found;
    enum err e = OK;
    xml_init(&x, text);
    buf_clear(page);
    while (e == OK && (found = xml_next(&x)) != XML_END) {
        if (found == XML_BAD) {
            e = ERR_IO;
        } else if (xml_at(&x, aws_path(a))) {
            cloud_add(f, x.text);
        } else if (xml_at(&x, "DescribeInstancesResponse/nextToken")) {
            e = buf_append(page, x.text);
        }
    }
    if (e != OK) {
        reason_set(a->why, "provider=aws: the list of instances cannot be read");
    }
    return e;
}

/* Host, with its port, of http[s]://host[:port][/...]. */
static void aws_host(const char *url, char ret_host[URL_MAX])
{
    const char *from = strstr(url, "://");
    from = from == NULL ? url : from + 3;
    (void)snprintf(ret_host, URL_MAX, "%.*s", (int)strcspn(from, "/"), from);
}

static enum err aws_ask(struct aws *a, const char *url, struct bytes form, struct buf *out)
{
    char host[URL_MAX];
    const char *headers[5] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8"};
    size_t count = 1;
    struct buf lines;
    aws_host(url, host);
    struct cloud_key key = {a->id, a->secret, a->token[0] == '\0' ? NULL : a->token};
    struct cloud_post post = {
        .host = host,
        .region = a->region,
        .service = "ec2",
        .wall_ms = env_real_wall_ms(),
        .body = form,
    };
    buf_init(&lines, (size_t)4 * SECRET_MAX);
    enum err e = cloud_sign(&post, &key, &lines);
    for (size_t at = 0; e == OK && at < lines.len && count < 5; at += strlen(lines.ptr + at) + 1) {
        headers[count++] = lines.ptr + at;
    }
    struct cloud_http q = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .header_count = count,
        .body = form,
        .stop = a->stop,
    };
    e = e == OK ? cloud_http(&q, out, a->why) : e;
    buf_close(&lines);
    return e;
}

static enum err aws_list(struct aws *a, struct cloud_found *f, struct buf *work)
{
    char url[URL_MAX];
    const char *said = cloud_arg(a->query, "endpoint");
    struct buf form;
    struct buf page;
    enum err e = OK;
    if (said != NULL) {
        (void)snprintf(url, sizeof url, "%s", said);
    } else {
        (void)snprintf(url, sizeof url, "https://ec2.%s.amazonaws.com/", a->region);
    }
    buf_init(&form, 8 * CLOUD_TEXT_MAX);
    buf_init(&page, CLOUD_TEXT_MAX);
    for (unsigned i = 0; i < CLOUD_PAGES_MAX && e == OK && (i == 0 || page.len > 0); i++) {
        buf_clear(&form);
        e = aws_form(a, buf_view(&page), &form);
        e = e == OK ? aws_ask(a, url, buf_view(&form), work) : e;
        e = e == OK ? aws_read(a, buf_view(work), f, &page) : e;
    }
    buf_close(&form);
    buf_close(&page);
    return e;
}

enum err cloud_find_aws(const struct cloud_query *q,
                        const atomic_bool *stop,
                        struct cloud_found *ret_found,
                        struct reason *why)
{
    struct aws *a = mem_zalloc(1, sizeof *a);
    struct buf work;
    a->query = q;
    a->stop = stop;
    a->why = why;
    buf_init(&work, CLOUD_ANSWER_MAX);
    enum err e = aws_region(a, &work);
    e = e == OK ? aws_key(a, &work) : e;
    e = e == OK ? aws_list(a, ret_found, &work) : e;
    buf_close(&work);
    free(a);
    return e;
}

/* The words of auto-join strings. Pure: part of the configuration's library too. */
#include "core/agent/cloud.h"

#include <stdlib.h>
#include <string.h>

struct provider {
    const char *name;
    bool there;
    enum cloud_provider provider;
    const char *args; /* with spaces around each */
};

static const struct provider PROVIDERS[] = {
    {"aws", true, CLOUD_AWS,
     " tag_key tag_value region addr_type service access_key_id secret_access_key session_token"
     " endpoint "},
    {"dns", true, CLOUD_DNS, " host port "},
    {"exec", true, CLOUD_EXEC, " cmd "},
    {"aliyun", false, CLOUD_AWS, NULL},
    {"azure", false, CLOUD_AWS, NULL},
    {"digitalocean", false, CLOUD_AWS, NULL},
    {"gce", false, CLOUD_AWS, NULL},
    {"hcp", false, CLOUD_AWS, NULL},
    {"k8s", false, CLOUD_AWS, NULL},
    {"linode", false, CLOUD_AWS, NULL},
    {"mdns", false, CLOUD_AWS, NULL},
    {"os", false, CLOUD_AWS, NULL},
    {"packet", false, CLOUD_AWS, NULL},
    {"scaleway", false, CLOUD_AWS, NULL},
    {"softlayer", false, CLOUD_AWS, NULL},
    {"tencentcloud", false, CLOUD_AWS, NULL},
    {"triton", false, CLOUD_AWS, NULL},
    {"vsphere", false, CLOUD_AWS, NULL},
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool cloud_is_query(const char *text)
{
    const char *at = strstr(text, "provider=");
    return at != NULL && (at == text || is_space(at[-1]));
}

const char *cloud_arg(const struct cloud_query *q, const char *name)
{
    for (size_t i = 0; i < q->count; i++) {
        if (strcmp(q->args[i].name, name) == 0) {
            return q->args[i].value;
        }
    }
    return NULL;
}

/* A value from `at` on goes to `to`; returns where it ends, NULL: it does not. */
static const char *value_read(const char *at, char **to)
{
    if (*at != '"') {
        while (*at != '\0' && !is_space(*at)) {
            *(*to)++ = *at++;
        }
        return at;
    }
    for (at++; *at != '"'; at++) {
        if (*at == '\\' && (at[1] == '"' || at[1] == '\\')) {
            at++;
        }
        if (*at == '\0') {
            return NULL;
        }
        *(*to)++ = *at;
    }
    at++;
    return *at == '\0' || is_space(*at) ? at : NULL;
}

/* One key=value from `at` on; returns where it ends. Its name is for the messages: values may be
 * secrets. */
static const char *pair_read(struct cloud_query *q, const char *at, char **to, struct reason *why)
{
    const char *equals = at + strcspn(at, "= \t\r\n\"");
    if (*equals != '=' || equals == at) {
        reason_set(why, "expected key=value, the %zu%s word is none", q->count + 1,
                   q->count == 0   ? "st"
                   : q->count == 1 ? "nd"
                   : q->count == 2 ? "rd"
                                   : "th");
        return NULL;
    }
    if (q->count == CLOUD_ARGS_MAX) {
        reason_set(why, "more than %u keys", CLOUD_ARGS_MAX);
        return NULL;
    }
    struct cloud_arg arg = {.name = *to};
    memcpy(*to, at, (size_t)(equals - at));
    *to += equals - at;
    *(*to)++ = '\0';
    if (cloud_arg(q, arg.name) != NULL) {
        reason_set(why, "%s= is there twice", arg.name);
        return NULL;
    }
    arg.value = *to;
    const char *end = value_read(equals + 1, to);
    if (end == NULL) {
        reason_set(why, "%s=: the quotes do not end, or something follows them", arg.name);
        return NULL;
    }
    *(*to)++ = '\0';
    q->args[q->count++] = arg;
    return end;
}

static const struct provider *provider_find(const char *name)
{
    for (size_t i = 0; i < sizeof PROVIDERS / sizeof PROVIDERS[0]; i++) {
        if (strcmp(PROVIDERS[i].name, name) == 0) {
            return &PROVIDERS[i];
        }
    }
    return NULL;
}

static bool arg_is_known(const struct provider *p, const char *name)
{
    const char *at = strcmp(name, "provider") == 0 ? p->args : strstr(p->args, name);
    size_t len = strlen(name);
    return at == p->args || (at != NULL && len > 0 && at[-1] == ' ' && at[len] == ' ');
}

static bool arg_is_one_of(const char *value, const char *a, const char *b, const char *c)
{
    return value == NULL || strcmp(value, a) == 0 || strcmp(value, b) == 0 || strcmp(value, c) == 0;
}

/* What is wrong with the arguments of a provider that is there, or NULL. */
static const char *args_wrong(const struct cloud_query *q)
{
    const char *port = cloud_arg(q, "port");
    uint64_t number = 0;
    switch (q->provider) {
    case CLOUD_AWS:
        if (cloud_arg(q, "tag_key") == NULL || cloud_arg(q, "tag_value") == NULL) {
            return "tag_key= and tag_value= are needed";
        }
        if (!arg_is_one_of(cloud_arg(q, "addr_type"), "private_v4", "public_v4", "public_v6")) {
            return "addr_type= is private_v4, public_v4 or public_v6";
        }
        if (!arg_is_one_of(cloud_arg(q, "service"), "ec2", "ec2", "ec2")) {
            return "service=: only ec2 is there";
        }
        if ((cloud_arg(q, "access_key_id") == NULL) !=
            (cloud_arg(q, "secret_access_key") == NULL)) {
            return "access_key_id= and secret_access_key= go together";
        }
        return NULL;
    case CLOUD_DNS:
        if (cloud_arg(q, "host") == NULL || cloud_arg(q, "host")[0] == '\0') {
            return "host= is needed";
        }
        if (port != NULL &&
            (bytes_to_u64(bytes_of(port), &number) != OK || number == 0 || number > UINT16_MAX)) {
            return "port= is 1 to 65535";
        }
        return NULL;
    case CLOUD_EXEC:
        return cloud_arg(q, "cmd") == NULL || cloud_arg(q, "cmd")[0] == '\0' ? "cmd= is needed"
                                                                             : NULL;
    }
    return NULL;
}

static enum err query_check(struct cloud_query *q, struct reason *why)
{
    const char *name = cloud_arg(q, "provider");
    const struct provider *p = name == NULL ? NULL : provider_find(name);
    if (p == NULL) {
        reason_set(why, "provider=%.32s is not known", name == NULL ? "" : name);
        return ERR_INVALID;
    }
    if (!p->there) {
        reason_set(why,
                   "provider=%s is not there in this build: aws, dns (host=...) and exec (cmd=..., "
                   "a program that prints addresses) are",
                   name);
        return ERR_INVALID;
    }
    q->provider = p->provider;
    for (size_t i = 0; i < q->count; i++) {
        if (!arg_is_known(p, q->args[i].name)) {
            reason_set(why, "provider=%s does not know %.64s=", name, q->args[i].name);
            return ERR_INVALID;
        }
    }
    const char *wrong = args_wrong(q);
    if (wrong != NULL) {
        reason_set(why, "provider=%s: %s", name, wrong);
        return ERR_INVALID;
    }
    return OK;
}

enum err cloud_parse(const char *text, struct cloud_query *ret_query, struct reason *why)
{
    /* What is copied is never longer than what was read: a NUL stands for `=` and for the space. */
    if (strlen(text) + 1 >= CLOUD_TEXT_MAX) {
        reason_set(why, "longer than %zu bytes", CLOUD_TEXT_MAX - 2);
        return ERR_INVALID;
    }
    struct cloud_query *q = ret_query;
    char *to = q->text;
    const char *at = text;
    q->count = 0;
    for (;;) {
        while (is_space(*at)) {
            at++;
        }
        if (*at == '\0') {
            return query_check(q, why);
        }
        at = pair_read(q, at, &to, why);
        if (at == NULL) {
            return ERR_INVALID;
        }
    }
}

#include "core/cli/acl.h"

#include "core/base/limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *acl_call(const struct http_options *options, const struct acl_call *call, int *ret_status)
{
    struct buf path;
    struct http_answer answer;
    struct reason why;
    json_t *json = NULL;
    buf_init(&path, HTTP_TARGET_MAX);
    char *body = call->body == NULL ? NULL : json_dumps(call->body, JSON_COMPACT);
    enum err e = http_path(&path, call->path, bytes_of(call->tail == NULL ? "" : call->tail));
    if (e == OK && call->after != NULL) {
        e = http_path(&path, call->after, (struct bytes){0});
    }
    struct http_call http = {.method = call->method, .path = path.ptr, .query = ""};
    http.body = bytes_of(body == NULL ? "" : body);
    if (e != OK) {
        *ret_status = cli_fail("%s: the name is too long", call->failed);
    } else if (cli_call(options, &http, call->failed, &answer, ret_status)) {
        if (json_parse(buf_view(&answer.body), &json, &why) != OK) {
            *ret_status = cli_fail("%s: %s", call->failed, why.text);
            json = NULL;
        }
        http_answer_close(&answer);
    }
    free(body);
    buf_close(&path);
    return json;
}

bool acl_format_fits(const char *format, int *ret_status)
{
    if (strcmp(format, "pretty") == 0 || strcmp(format, "json") == 0) {
        return true;
    }
    *ret_status = cli_fail("Invalid format: %s: expected pretty or json", format);
    return false;
}

int acl_print(const json_t *row, const char *format, void (*print)(const json_t *row))
{
    if (strcmp(format, "json") != 0) {
        print(row);
        return 0;
    }
    char *text = json_dumps(row, JSON_INDENT(4));
    if (text == NULL) {
        return cli_fail("Error: the answer cannot be shown");
    }
    (void)printf("%s\n", text);
    free(text);
    return 0;
}

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text == NULL ? "" : text;
}

static void print_line(const char *indent, const char *label, const char *text)
{
    (void)printf("%s%-17s %s\n", indent, label, text);
}

static void print_links(const json_t *row, const char *name, const char *label)
{
    const json_t *links = json_object_get(row, name);
    if (json_array_size(links) > 0) {
        (void)printf("%s:\n", label);
    }
    for (size_t i = 0; i < json_array_size(links); i++) {
        const json_t *link = json_array_get(links, i);
        (void)printf("   %s - %s\n", text_of(link, "ID"), text_of(link, "Name"));
    }
}

static void print_identities(const json_t *row)
{
    const json_t *services = json_object_get(row, "ServiceIdentities");
    const json_t *nodes = json_object_get(row, "NodeIdentities");
    if (json_array_size(services) > 0) {
        (void)printf("Service Identities:\n");
    }
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *datacenters = json_object_get(json_array_get(services, i), "Datacenters");
        (void)printf("   %s (Datacenters: ", text_of(json_array_get(services, i), "ServiceName"));
        for (size_t j = 0; j < json_array_size(datacenters); j++) {
            (void)printf("%s%s", j > 0 ? ", " : "",
                         json_string_value(json_array_get(datacenters, j)));
        }
        (void)printf("%s)\n", json_array_size(datacenters) == 0 ? "all" : "");
    }
    if (json_array_size(nodes) > 0) {
        (void)printf("Node Identities:\n");
    }
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        (void)printf("   %s (Datacenter: %s)\n", text_of(node, "NodeName"),
                     text_of(node, "Datacenter"));
    }
}

void acl_print_token(const json_t *token)
{
    print_line("", "AccessorID:", text_of(token, "AccessorID"));
    if (json_object_get(token, "SecretID") != NULL) {
        print_line("", "SecretID:", text_of(token, "SecretID"));
    }
    print_line("", "Description:", text_of(token, "Description"));
    print_line("", "Local:", json_is_true(json_object_get(token, "Local")) ? "true" : "false");
    print_line("", "Create Time:", text_of(token, "CreateTime"));
    if (json_object_get(token, "ExpirationTime") != NULL) {
        print_line("", "Expiration Time:", text_of(token, "ExpirationTime"));
    }
    print_links(token, "Policies", "Policies");
    print_links(token, "Roles", "Roles");
    print_identities(token);
}

void acl_print_tokens(const json_t *tokens)
{
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        acl_print_token(json_array_get(tokens, i));
        (void)printf("\n");
    }
}

static void print_datacenters(const json_t *policy, const char *indent)
{
    const json_t *list = json_object_get(policy, "Datacenters");
    (void)printf("%s%-13s ", indent, "Datacenters:");
    for (size_t i = 0; i < json_array_size(list); i++) {
        (void)printf("%s%s", i > 0 ? ", " : "", json_string_value(json_array_get(list, i)));
    }
    (void)printf("\n");
}

void acl_print_policy(const json_t *policy)
{
    (void)printf("%-13s %s\n", "ID:", text_of(policy, "ID"));
    (void)printf("%-13s %s\n", "Name:", text_of(policy, "Name"));
    (void)printf("%-13s %s\n", "Description:", text_of(policy, "Description"));
    print_datacenters(policy, "");
    (void)printf("Rules:\n%s\n", text_of(policy, "Rules"));
}

void acl_print_policies(const json_t *policies)
{
    for (size_t i = 0; i < json_array_size(policies); i++) {
        const json_t *policy = json_array_get(policies, i);
        (void)printf("%s:\n", text_of(policy, "Name"));
        (void)printf("   %-13s %s\n", "ID:", text_of(policy, "ID"));
        (void)printf("   %-13s %s\n", "Description:", text_of(policy, "Description"));
        print_datacenters(policy, "   ");
    }
}

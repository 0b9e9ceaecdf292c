/* Services and checks of configuration files: kept as they are written, and judged once all files
 * are read. */
#include "core/config_key.h"

#include "core/base/mem.h"
#include "core/definition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_TEXT_MAX 1024

static enum err definition_keep(struct config *c,
                                bool service,
                                json_t *object,
                                const char *source,
                                struct reason *why)
{
    if (!json_is_object(object)) {
        reason_set(why, "%s: expected an object", source);
        return ERR_INVALID;
    }
    if (c->definition_count == CONFIG_SERVICES_MAX) {
        reason_set(why, "%s: more than %d services and checks", source, CONFIG_SERVICES_MAX);
        return ERR_INVALID;
    }
    char *json = json_dumps(object, JSON_COMPACT);
    if (json == NULL) {
        reason_set(why, "%s: cannot be kept", source);
        return ERR_INVALID;
    }
    /* By powers of two. */
    if ((c->definition_count & (c->definition_count - 1)) == 0) {
        size_t room = c->definition_count == 0 ? 1 : c->definition_count * 2;
        c->definitions = mem_realloc(c->definitions, room * sizeof *c->definitions);
    }
    c->definitions[c->definition_count++] = (struct config_definition){
        .service = service,
        .json = json,
        .source = mem_strdup(source),
    };
    return OK;
}

enum err config_definitions_add(struct config *c,
                                const struct config_key *key,
                                json_t *value,
                                const struct config_origin *o,
                                struct reason *why)
{
    char source[SOURCE_TEXT_MAX];
    bool service = strcmp(key->type, "@service") == 0;
    enum err e = OK;
    if (key->kind == KIND_LIKE) {
        (void)snprintf(source, sizeof source, "%.700s: %.300s", o->source, o->path);
        return definition_keep(c, service, value, source, why);
    }
    for (size_t i = 0; e == OK && i < json_array_size(value); i++) {
        (void)snprintf(source, sizeof source, "%.700s: %.280s[%zu]", o->source, o->path, i);
        e = definition_keep(c, service, json_array_get(value, i), source, why);
    }
    return e;
}

static enum err check_check(struct arena *a, const json_t *object, struct reason *why)
{
    struct check_definition d;
    struct reason what = {{0}};
    enum err e = definition_check(a, object, &d, why);
    if (e != OK) {
        return e;
    }
    if (d.name.len == 0 && d.id.len == 0) {
        reason_set(why, "Missing check name");
        return ERR_INVALID;
    }
    if (definition_status_wrong(d.status)) {
        reason_set(why, "Bad check status");
        return ERR_INVALID;
    }
    e = definition_check_valid(&d, &what);
    if (e != OK) {
        reason_set(why, "Invalid check: %s", what.text);
    }
    return e;
}

static enum err
definition_judge(const struct config_definition *kept, struct arena *a, struct reason *why)
{
    json_error_t error;
    struct reason what = {{0}};
    json_t *object = json_loads(kept->json, 0, &error);
    enum err e = OK;
    if (kept->service) {
        struct service_definition s;
        e = definition_service(a, object, &s, &what);
        e = e == OK ? definition_service_valid(&s, &what) : e;
    } else {
        e = check_check(a, object, &what);
    }
    json_decref(object);
    if (e != OK) {
        reason_set(why, "%s: %s", kept->source, what.text);
    }
    return e;
}

enum err config_definitions_check(const struct config *c, struct reason *why)
{
    struct arena arena;
    enum err e = OK;
    arena_init(&arena, DEFINITION_ARENA_MAX);
    for (size_t i = 0; e == OK && i < c->definition_count; i++) {
        arena_reset(&arena);
        e = definition_judge(&c->definitions[i], &arena, why);
    }
    arena_close(&arena);
    return e == OK ? OK : ERR_INVALID;
}

void config_definitions_close(struct config *c)
{
    for (size_t i = 0; i < c->definition_count; i++) {
        free(c->definitions[i].json);
        free(c->definitions[i].source);
    }
    free(c->definitions);
    c->definitions = NULL;
    c->definition_count = 0;
}

/* Configuration files: JSON text -> keys. */
#include "core/config_key.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_TEXT_MAX  512
/* Longer than any path of the table. */
#define TABLE_TEXT_MAX 96

/* One object or array on the way down: where its iteration stands, and how long the paths are
 * there. `shown` is what the user wrote, `table` what config.tbl.h calls it. */
struct level {
    json_t *node;
    void *iter;
    size_t index;
    size_t shown_len;
    char table[TABLE_TEXT_MAX];
};

struct walk {
    struct config *c;
    const char *source;
    struct reason *why;
    char shown[PATH_TEXT_MAX];
    struct level levels[JSON_DEPTH_MAX + 1];
    size_t depth;
};

static void walk_enter(struct walk *w, json_t *node, const char *table)
{
    CHECK(w->depth <= JSON_DEPTH_MAX);
    struct level *level = &w->levels[w->depth++];
    *level = (struct level){
        .node = node,
        .iter = json_is_object(node) ? json_object_iter(node) : NULL,
        .shown_len = strlen(w->shown),
    };
    size_t table_len = strlen(table);
    CHECK(table_len < sizeof level->table);
    memmove(level->table, table, table_len + 1); /* may be a table of another level */
}

/* `path` + "." + `name`, cut at the room there is: no key is that long, so it is then unknown. */
static void path_add(char *path, size_t len, size_t max, const char *name)
{
    (void)snprintf(path + len, max - len, len > 0 ? ".%s" : "%s", name);
}

/* A dot in a name is not the dot between names. */
static void path_escape(char *name)
{
    for (; *name != '\0'; name++) {
        *name = *name == '.' ? '/' : *name;
    }
}

/* An item of a LIST: an object whose keys are those of the list's type, which `table` already is.
 */
static enum err walk_item(struct walk *w, struct level *level)
{
    json_t *item = json_array_get(level->node, level->index);
    (void)snprintf(w->shown + level->shown_len, PATH_TEXT_MAX - level->shown_len, "[%zu]",
                   level->index);
    level->index++;
    if (!json_is_object(item)) {
        reason_set(w->why, "%s: %s: expected an object", w->source, w->shown);
        return ERR_INVALID;
    }
    walk_enter(w, item, level->table);
    return OK;
}

static enum err walk_key(struct walk *w, struct level *level)
{
    const char *name = json_object_iter_key(level->iter);
    json_t *value = json_object_iter_value(level->iter);
    char table[TABLE_TEXT_MAX];
    size_t table_len = strlen(level->table);
    bool object = false;
    level->iter = json_object_iter_next(level->node, level->iter);
    path_add(w->shown, level->shown_len, sizeof w->shown, name);
    memcpy(table, level->table, table_len + 1);
    path_add(table, table_len, sizeof table, name);
    path_escape(table + table_len + (table_len > 0));
    const struct config_key *key = name[0] == '@' ? NULL : config_key_find(table, &object);
    if (key != NULL) {
        struct config_origin origin = {.source = w->source, .path = w->shown};
        enum err e = config_key_set(w->c, key, value, &origin, w->why);
        if (e == OK && key->type != NULL) {
            walk_enter(w, value, key->type);
        }
        return e;
    }
    if (!object || name[0] == '\0') {
        reason_set(w->why, "%s: %s: unknown key", w->source, w->shown);
        return ERR_INVALID;
    }
    if (!json_is_object(value)) {
        reason_set(w->why, "%s: %s: expected an object", w->source, w->shown);
        return ERR_INVALID;
    }
    walk_enter(w, value, table);
    return OK;
}

static enum err walk_run(struct walk *w)
{
    enum err e = OK;
    while (e == OK && w->depth > 0) {
        struct level *level = &w->levels[w->depth - 1];
        w->shown[level->shown_len] = '\0';
        if (level->iter != NULL) {
            e = walk_key(w, level);
        } else if (level->index < json_array_size(level->node)) {
            e = walk_item(w, level);
        } else {
            w->depth--;
        }
    }
    return e;
}

/* Brackets that are open at one time: the parser itself recurses, so they are counted first. */
static enum err depth_check(const char *source, struct bytes text, struct reason *why)
{
    size_t depth = 0;
    size_t line = 1;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        line += c == '\n';
        if (quoted) {
            quoted = c != '"';
            i += c == '\\';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
        if (depth > JSON_DEPTH_MAX) {
            reason_set(why, "%s:%zu: nested deeper than %u", source, line, JSON_DEPTH_MAX);
            return ERR_INVALID;
        }
    }
    return OK;
}

static bool text_is_blank(struct bytes text)
{
    size_t at = 0;
    while (at < text.len && strchr(" \t\r\n", text.ptr[at]) != NULL && text.ptr[at] != '\0') {
        at++;
    }
    return at == text.len;
}

enum err
config_text_read(struct config *c, const char *source, struct bytes text, struct reason *why)
{
    json_error_t error;
    enum err e = depth_check(source, text, why);
    if (e != OK) {
        return e;
    }
    if (text_is_blank(text)) {
        /* A file that is yet to be written says nothing. */
        return OK;
    }
    json_t *root =
        json_loadb(text.len > 0 ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        reason_set(why, "%s:%d:%d: %s", source, error.line, error.column, error.text);
        return ERR_INVALID;
    }
    if (!json_is_object(root)) {
        reason_set(why, "%s: expected an object, as in {\"server\": true}", source);
        json_decref(root);
        return ERR_INVALID;
    }
    struct walk *w = mem_zalloc(1, sizeof *w);
    w->c = c;
    w->source = source;
    w->why = why;
    walk_enter(w, root, "");
    e = walk_run(w);
    free(w);
    json_decref(root);
    return e;
}

static bool name_ends(const char *name, const char *end)
{
    size_t len = strlen(name);
    return len > strlen(end) && strcmp(name + len - strlen(end), end) == 0;
}

static enum err file_fail(const char *path, const char *what, struct reason *why)
{
    reason_set(why, "%s: %s: %s", path, what, strerror(errno));
    return ERR_IO;
}

static enum err file_load(int fd, const char *path, struct buf *out, struct reason *why)
{
    char block[4096];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return file_fail(path, "cannot be read", why);
        }
        if (n == 0) {
            return OK;
        }
        if (buf_append(out, (struct bytes){.ptr = block, .len = (size_t)n}) != OK) {
            reason_set(why, "%s: larger than %zu bytes", path, out->max);
            return ERR_INVALID;
        }
    }
}

enum err config_file_read(struct config *c, const char *path, struct reason *why)
{
    if (name_ends(path, ".hcl")) {
        reason_set(why, "%s: HCL is not supported: write it as JSON, with the same keys", path);
        return ERR_INVALID;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_fail(path, "cannot be opened", why);
    }
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX);
    enum err e = file_load(fd, path, &text, why);
    (void)close(fd);
    if (e == OK) {
        e = config_text_read(c, path, buf_view(&text), why);
    }
    buf_close(&text);
    return e;
}

static int dir_wants(const struct dirent *entry)
{
    return name_ends(entry->d_name, ".json") || name_ends(entry->d_name, ".hcl");
}

enum err config_dir_read(struct config *c, const char *path, struct reason *why)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return file_fail(path, "cannot be opened", why);
    }
    if (!S_ISDIR(st.st_mode)) {
        return config_file_read(c, path, why);
    }
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, dir_wants, alphasort);
    if (count < 0) {
        return file_fail(path, "cannot be read", why);
    }
    enum err e = OK;
    if (count > CONFIG_FILES_MAX) {
        reason_set(why, "%s: more than %d files", path, CONFIG_FILES_MAX);
        e = ERR_INVALID;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        int len = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (e == OK && (size_t)len >= sizeof file) {
            reason_set(why, "%s: the path is too long", path);
            e = ERR_INVALID;
        }
        if (e == OK) {
            e = config_file_read(c, file, why);
        }
        free(entries[i]);
    }
    free(entries);
    return e;
}

#include "core/agent/cloud_xml.h"

#include <string.h>

void xml_init(struct xml *x, struct bytes text)
{
    *x = (struct xml){.rest = text};
}

static bool xml_skip_to(struct xml *x, const char *mark)
{
    size_t len = strlen(mark);
    const char *at = x->rest.len < len ? NULL : memmem(x->rest.ptr, x->rest.len, mark, len);
    if (at == NULL) {
        return false;
    }
    x->rest = bytes_slice(x->rest, (size_t)(at - x->rest.ptr) + len, x->rest.len);
    return true;
}

/* Up to the first character that is in no name. */
static struct bytes xml_name(struct bytes tag)
{
    size_t len = 0;
    while (len < tag.len && strchr(" \t\r\n/>", tag.ptr[len]) == NULL) {
        len++;
    }
    return bytes_slice(tag, 0, len);
}

static bool xml_close(struct xml *x, struct bytes tag)
{
    struct bytes name = xml_name(bytes_slice(tag, 1, tag.len));
    if (x->depth == 0 || !bytes_equal(x->path[x->depth - 1], name)) {
        return false;
    }
    x->depth--;
    return true;
}

static bool xml_open(struct xml *x, struct bytes tag)
{
    struct bytes name = xml_name(tag);
    if (name.len == 0 || x->depth == CLOUD_XML_DEPTH_MAX || (x->depth == 0 && x->any)) {
        return false;
    }
    x->any = true;
    if (tag.ptr[tag.len - 1] == '/') {
        return true; /* it is empty, and over */
    }
    x->path[x->depth++] = name;
    return true;
}

/* A tag's end is outside of quotes. False: it has none. */
static bool xml_take_tag(struct xml *x, struct bytes *ret_tag)
{
    char quote = '\0';
    for (size_t i = 0; i < x->rest.len; i++) {
        char c = x->rest.ptr[i];
        if (quote != '\0') {
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '>') {
            *ret_tag = bytes_slice(x->rest, 0, i);
            x->rest = bytes_slice(x->rest, i + 1, x->rest.len);
            return true;
        }
    }
    return false;
}

enum xml_found xml_next(struct xml *x)
{
    struct bytes tag = {0};
    if (x->pending.len > 0 && !xml_close(x, x->pending)) {
        return XML_BAD;
    }
    x->pending = (struct bytes){0};
    for (;;) {
        size_t len = bytes_find(x->rest, '<');
        struct bytes text = bytes_slice(x->rest, 0, len);
        if (len == x->rest.len) {
            return x->depth == 0 && x->any ? XML_END : XML_BAD;
        }
        x->rest = bytes_slice(x->rest, len + 1, x->rest.len);
        bool instruction = bytes_begins(x->rest, BYTES("?"));
        if (instruction || bytes_begins(x->rest, BYTES("!--"))) {
            if (!xml_skip_to(x, instruction ? "?>" : "-->")) {
                return XML_BAD;
            }
            continue;
        }
        if (bytes_begins(x->rest, BYTES("!")) || !xml_take_tag(x, &tag) || tag.len == 0) {
            return XML_BAD;
        }
        bool end = tag.ptr[0] == '/';
        if (end && x->leaf) {
            /* The caller looks at the path before it is left. */
            x->leaf = false;
            x->text = text;
            x->pending = tag;
            return XML_TEXT;
        }
        if (end ? !xml_close(x, tag) : !xml_open(x, tag)) {
            return XML_BAD;
        }
        x->leaf = !end && tag.ptr[tag.len - 1] != '/';
    }
}

bool xml_at(const struct xml *x, const char *path)
{
    for (size_t i = 0; i < x->depth; i++) {
        size_t len = strcspn(path, "/");
        if (!bytes_equal(x->path[i], (struct bytes){path, len})) {
            return false;
        }
        path += len + (path[len] == '/' ? 1 : 0);
        if (*path == '\0') {
            return i + 1 == x->depth;
        }
    }
    return false;
}

/* Rows as the agent sends them, and the text that import reads and export writes. Pure. */
#include "core/base/text.h"
#include "core/cli/kv.h"

#include <strings.h>

enum err kv_entry_read(const json_t *row, struct kv_entry *ret_entry)
{
    struct kv_entry entry = {
        .key = json_bytes(json_object_get(row, "Key")),
        .session = json_bytes(json_object_get(row, "Session")),
        .value64 = json_bytes(json_object_get(row, "Value")),
    };
    if (json_u64(json_object_get(row, "Flags"), &entry.flags) != OK ||
        json_u64(json_object_get(row, "CreateIndex"), &entry.create_index) != OK ||
        json_u64(json_object_get(row, "ModifyIndex"), &entry.modify_index) != OK ||
        json_u64(json_object_get(row, "LockIndex"), &entry.lock_index) != OK) {
        return ERR_INVALID;
    }
    *ret_entry = entry;
    return OK;
}

/* Go's decoder takes names in any case; the last one counts. */
static json_t *entry_field(const json_t *entry, const char *name)
{
    json_t *object = (json_t *)(uintptr_t)entry;
    json_t *found = json_object_get(entry, name);
    for (void *i = json_object_iter(object); found == NULL && i != NULL;
         i = json_object_iter_next(object, i)) {
        if (strcasecmp(json_object_iter_key(i), name) == 0) {
            found = json_object_iter_value(i);
        }
    }
    return found;
}

enum err import_parse(struct bytes text, json_t **ret_entries, struct reason *why)
{
    json_t *entries = NULL;
    struct reason inner;
    if (json_parse(text, &entries, &inner) != OK) {
        reason_set(why, "%s", inner.text);
        return ERR_INVALID;
    }
    /* `null` is no entries, as Go reads it. */
    if (json_is_null(entries)) {
        json_decref(entries);
        entries = json_array();
    }
    if (!json_is_array(entries)) {
        json_decref(entries);
        reason_set(why, "expected an array of {\"key\", \"flags\", \"value\"} objects");
        return ERR_INVALID;
    }
    *ret_entries = entries;
    return OK;
}

enum err import_entry(const json_t *entries,
                      size_t i,
                      struct kv_entry *ret_entry,
                      struct buf *ret_value,
                      struct reason *why)
{
    const json_t *row = json_array_get(entries, i);
    struct kv_entry entry = {0};
    if (!json_is_object(row)) {
        reason_set(why, "Cannot unmarshal data: entry %zu is not an object", i);
        return ERR_INVALID;
    }
    const json_t *key = entry_field(row, "key");
    const json_t *flags = entry_field(row, "flags");
    const json_t *value = entry_field(row, "value");
    if ((key != NULL && !json_is_string(key)) ||
        (value != NULL && !json_is_string(value) && !json_is_null(value)) ||
        (flags != NULL && !json_is_null(flags) && json_u64(flags, &entry.flags) != OK)) {
        reason_set(why,
                   "Cannot unmarshal data: entry %zu: key and value are texts, flags is a "
                   "whole number",
                   i);
        return ERR_INVALID;
    }
    entry.key = json_bytes(key);
    entry.value64 = json_bytes(value);
    buf_clear(ret_value);
    if (base64_decode(ret_value, entry.value64) != OK) {
        reason_set(why, "Error base 64 decoding value for key %.*s", BYTES_FORMAT(entry.key));
        return ERR_INVALID;
    }
    *ret_entry = entry;
    return OK;
}

static enum err export_row(struct buf *out, const struct kv_entry *entry)
{
    enum err e = buf_append_str(out, "\t{\n\t\t\"key\": ");
    if (e == OK) {
        e = json_quote(out, entry->key);
    }
    if (e == OK) {
        e = buf_printf(out, ",\n\t\t\"flags\": %llu,\n\t\t\"value\": \"",
                       (unsigned long long)entry->flags);
    }
    if (e == OK) {
        e = buf_append(out, entry->value64);
    }
    return e == OK ? buf_append_str(out, "\"\n\t}") : e;
}

enum err export_write(struct buf *out, const json_t *rows)
{
    size_t count = json_array_size(rows);
    enum err e = buf_append_str(out, "[");
    for (size_t i = 0; i < count && e == OK; i++) {
        struct kv_entry entry;
        e = kv_entry_read(json_array_get(rows, i), &entry);
        if (e == OK) {
            e = buf_append_str(out, i == 0 ? "\n" : ",\n");
        }
        if (e == OK) {
            e = export_row(out, &entry);
        }
    }
    if (e == OK && count > 0) {
        e = buf_append_str(out, "\n");
    }
    return e == OK ? buf_append_str(out, "]\n") : e;
}

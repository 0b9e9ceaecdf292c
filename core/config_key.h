/* The keys of the configuration: looks them up in config.tbl.h, checks values, and sets them.
 * Private to core/config*.c.
 *
 * Errors   ERR_INVALID; the reason names source, path, and what would be right.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_CONFIG_KEY_H
#define CORE_CONFIG_KEY_H

#include "core/config.h"

#include <jansson.h>

enum config_kind {
    KIND_ANY,
    KIND_DURATION,
    KIND_FLOAT,
    KIND_HEADERS,
    KIND_LEVEL,
    KIND_LIKE,
    KIND_LIST,
    KIND_MAP,
    KIND_NUMBER,
    KIND_OCTAL,
    KIND_PORT,
    KIND_SWITCH,
    KIND_TEXT,
    KIND_TEXTS,
    KIND_UUID,
};

struct config_key {
    const char *path;
    enum config_kind kind;
    bool used;
    bool reload;
    size_t offset; /* in struct config, if used */
    int64_t low;
    int64_t high;
    const char *type; /* KIND_LIKE, KIND_LIST: "@service" and so on */
};

/* Where a value comes from, for messages: file or flag, and the path as the user wrote it. */
struct config_origin {
    const char *source;
    const char *path;
};

/* NULL: no such key. `*ret_object`: it is not one, but other keys are below it. Any case. */
const struct config_key *config_key_find(const char *path, bool *ret_object);
/* Checks `value`, which comes from `o`; sets it in `c`, or warns that it is not used. */
enum err config_key_set(struct config *c,
                        const struct config_key *key,
                        const json_t *value,
                        const struct config_origin *o,
                        struct reason *why) ERR_MUST_USE;
/* The same from a flag's text. */
enum err config_key_set_text(struct config *c,
                             const struct config_key *key,
                             struct bytes text,
                             const struct config_origin *o,
                             struct reason *why) ERR_MUST_USE;
void config_warn(struct config *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* `key=value` of a map: of -node-meta. ERR_INVALID: one too many. */
enum err config_map_add(struct config_map *map, struct bytes name, struct bytes value) ERR_MUST_USE;
/* Takes from `old` what a reload cannot change, with a warning for each difference. */
void config_keys_keep(struct config *c, const struct config *old);
/* Frees everything that the keys of `c` own. */
void config_keys_close(struct config *c);

/* config_cluster.c: what the agent needs of addresses, keys and names to meet others. */
enum err config_finish_cluster(struct config *c, struct reason *why) ERR_MUST_USE;
enum err config_check_cluster(const struct config *c, struct reason *why) ERR_MUST_USE;
/* config_acl.c: old names of access control become the new ones. */
enum err config_finish_acl(struct config *c, struct reason *why) ERR_MUST_USE;
/* A literal address, no template; `key` names it in the reason. */
enum err config_ip_check(const char *key, const char *text, struct reason *why) ERR_MUST_USE;
/* The private one (RFC 1918, RFC 6598) of these IPv4 addresses; NULL and a sentence if there is
 * none, or more than one. Borrowed. */
const char *config_private_address(const char *const *addresses, size_t count, struct reason *why);

/* config_dns.c: what DNS is without a word about it; where it listens. */
void config_default_dns(struct config *c);
enum err config_finish_dns(struct config *c, struct reason *why) ERR_MUST_USE;
void config_close_dns(struct config *c);
/* config_definition.c: keeps the service, services, check or checks that `value` is. */
enum err config_definitions_add(struct config *c,
                                const struct config_key *key,
                                json_t *value,
                                const struct config_origin *o,
                                struct reason *why) ERR_MUST_USE;
/* Whether all of them can be. */
enum err config_definitions_check(const struct config *c, struct reason *why) ERR_MUST_USE;
void config_definitions_close(struct config *c);

/* Reads one file into `c`. */
enum err config_file_read(struct config *c, const char *path, struct reason *why) ERR_MUST_USE;
/* Its *.json, by name. */
enum err config_dir_read(struct config *c, const char *path, struct reason *why) ERR_MUST_USE;
/* The same of bytes: `source` names them in messages. */
enum err config_text_read(struct config *c,
                          const char *source,
                          struct bytes text,
                          struct reason *why) ERR_MUST_USE;

#endif

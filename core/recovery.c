#include "core/recovery.h"

#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char RECOVERY_INFO[] =
    "If most servers of the cluster are lost for good, those that are left cannot elect a leader.\n"
    "They can be told to go on without the others:\n"
    "\n"
    "1. Stop every server that is left.\n"
    "2. On each of them write the file peers.json into this directory, the same on all, naming\n"
    "   the servers that are left and no others. An id is in the file node-id of the data\n"
    "   directory, the address is that of the server's RPC port:\n"
    "\n"
    "   [\n"
    "     {\"id\": \"adf4238a-882b-9ddc-4a9d-5b6758e4159e\", \"address\": \"10.1.0.1:8300\"},\n"
    "     {\"id\": \"8b6dda82-3103-11e7-93ae-92361f002671\", \"address\": \"10.1.0.2:8300\"}\n"
    "   ]\n"
    "\n"
    "   \"non_voter\": true may be added for a server that is not to vote. Where the addresses\n"
    "   have not changed, a list of them is enough: [\"10.1.0.1:8300\", \"10.1.0.2:8300\"].\n"
    "3. Start them. Each applies the file, deletes it, and says so in its log. A file that is\n"
    "   wrong is not applied: the server says what is wrong, and does not start.\n"
    "\n"
    "Servers that were thought lost are not to be started again with their old data.\n"
    "\n"
    "A server that finds a peers.json but not this file takes it for its first start, ignores\n"
    "the peers.json and removes it.\n";

/* --- files ----------------------------------------------------------------------------------- */

struct recovery_paths {
    char directory[PATH_MAX];
    char peers[PATH_MAX + 16];
    char info[PATH_MAX + 16];
};

static void recovery_paths(const char *data_dir, struct recovery_paths *ret_paths)
{
    (void)snprintf(ret_paths->directory, sizeof ret_paths->directory, "%s/raft", data_dir);
    (void)snprintf(ret_paths->peers, sizeof ret_paths->peers, "%s/peers.json",
                   ret_paths->directory);
    (void)snprintf(ret_paths->info, sizeof ret_paths->info, "%s/peers.info", ret_paths->directory);
}

static enum err recovery_failed(struct reason *why, const char *path, const char *what)
{
    reason_set(why, "%s: %s: %s", path, what, strerror(errno));
    return ERR_IO;
}

static enum err recovery_sync(const char *directory, struct reason *why)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return recovery_failed(why, directory, "open");
    }
    enum err e = fsync(fd) == 0 ? OK : recovery_failed(why, directory, "fsync");
    (void)close(fd);
    return e;
}

/* Under another name first: whoever finds it finds all of it. */
static enum err recovery_write_info(const struct recovery_paths *p, struct reason *why)
{
    char draft[PATH_MAX + 32];
    size_t len = sizeof RECOVERY_INFO - 1;
    (void)snprintf(draft, sizeof draft, "%s.new", p->info);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return recovery_failed(why, draft, "open");
    }
    enum err e = write(fd, RECOVERY_INFO, len) == (ssize_t)len && fsync(fd) == 0
                     ? OK
                     : recovery_failed(why, draft, "write");
    (void)close(fd);
    if (e == OK && rename(draft, p->info) != 0) {
        e = recovery_failed(why, p->info, "rename");
    }
    return e == OK ? recovery_sync(p->directory, why) : e;
}

/* ERR_NOT_FOUND if there is none. */
static enum err recovery_load(const char *path, struct buf *text, struct reason *why)
{
    char piece[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : recovery_failed(why, path, "open");
    }
    enum err e = OK;
    ssize_t got = 0;
    do {
        got = read(fd, piece, sizeof piece);
        if (got < 0) {
            e = recovery_failed(why, path, "read");
        } else if (buf_append(text, (struct bytes){.ptr = piece, .len = (size_t)got}) != OK) {
            reason_set(why, "%s: is larger than %zu bytes", path, PEERS_FILE_MAX);
            e = ERR_INVALID;
        }
    } while (e == OK && got > 0);
    (void)close(fd);
    return e;
}

/* --- what it says ---------------------------------------------------------------------------- */

/* host:port */
static bool recovery_take_address(const json_t *value, char ret_address[STORE_ADDRESS_MAX])
{
    const char *text = json_string_value(value);
    const char *colon = text == NULL ? NULL : strrchr(text, ':');
    uint64_t port = 0;
    if (colon == NULL || colon == text || strlen(text) >= STORE_ADDRESS_MAX ||
        strchr(text, '/') != NULL || bytes_to_u64(bytes_of(colon + 1), &port) != OK || port == 0 ||
        port > UINT16_MAX) {
        return false;
    }
    (void)snprintf(ret_address, STORE_ADDRESS_MAX, "%s", text);
    return true;
}

static enum err
recovery_take_object(json_t *value, struct store_server *ret_server, struct reason *why)
{
    const char *name = NULL;
    json_t *field = NULL;
    json_object_foreach(value, name, field)
    {
        if (strcmp(name, "id") == 0) {
            const char *id = json_string_value(field);
            if (id == NULL || !uuid_valid(bytes_of(id))) {
                reason_set(why, "its id is not a node id (a UUID, as in the file node-id)");
                return ERR_INVALID;
            }
            (void)snprintf(ret_server->node_id, sizeof ret_server->node_id, "%s", id);
            ret_server->id = store_server_id(id);
        } else if (strcmp(name, "address") == 0) {
            if (!recovery_take_address(field, ret_server->address)) {
                reason_set(why, "its address is not of the form host:port");
                return ERR_INVALID;
            }
        } else if (strcmp(name, "non_voter") == 0 && json_is_boolean(field)) {
            ret_server->role = json_is_true(field) ? STORE_STANDBY : STORE_VOTER;
        } else {
            reason_set(why, "'%s' is not a key of it, or has no such value", name);
            return ERR_INVALID;
        }
    }
    if (ret_server->id == 0 || ret_server->address[0] == '\0') {
        reason_set(why, "it lacks its %s", ret_server->id == 0 ? "id" : "address");
        return ERR_INVALID;
    }
    return OK;
}

static enum err recovery_take(json_t *value, struct store_server *ret_server, struct reason *why)
{
    *ret_server = (struct store_server){.role = STORE_VOTER};
    if (json_is_object(value)) {
        return recovery_take_object(value, ret_server, why);
    }
    if (!recovery_take_address(value, ret_server->address)) {
        reason_set(why, "it is neither an object nor an address of the form host:port");
        return ERR_INVALID;
    }
    return OK;
}

static enum err
recovery_parse(struct bytes text, struct store_servers *ret_servers, struct reason *why)
{
    json_error_t error;
    json_t *list = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_array(list)) {
        reason_set(why, list == NULL ? "line %d: %s" : "is not a list", error.line, error.text);
        json_decref(list);
        return ERR_INVALID;
    }
    size_t count = json_array_size(list);
    struct reason what;
    enum err e = OK;
    if (count == 0 || count > STORE_SERVERS_MAX) {
        reason_set(why, "names %zu servers; from 1 to %d are possible", count, STORE_SERVERS_MAX);
        e = ERR_INVALID;
    }
    for (size_t i = 0; e == OK && i < count; i++) {
        e = recovery_take(json_array_get(list, i), &ret_servers->servers[i], &what);
        if (e != OK) {
            reason_set(why, "server %zu of the list: %s", i + 1, what.text);
        }
    }
    ret_servers->count = e == OK ? count : 0;
    json_decref(list);
    return e;
}

/* --- life ------------------------------------------------------------------------------------ */

static enum err recovery_done(void *ctx, struct reason *why)
{
    struct recovery_paths p;
    recovery_paths(ctx, &p);
    if (unlink(p.peers) != 0) {
        return recovery_failed(why, p.peers, "was applied, but cannot be removed");
    }
    return recovery_sync(p.directory, why);
}

void recovery_explain(const char *data_dir, struct reason *why)
{
    struct recovery_paths p;
    struct reason what = *why;
    recovery_paths(data_dir, &p);
    if (strncmp(what.text, data_dir, strlen(data_dir)) != 0) {
        reason_set(why, "%s: %s; nothing was changed", p.peers, what.text);
    }
}

enum err
recovery_read(const char *data_dir, struct store_recovery *ret_recovery, struct reason *why)
{
    struct recovery_paths p;
    struct buf text;
    *ret_recovery = (struct store_recovery){
        .ctx = (void *)(uintptr_t)data_dir, /* the store only hands it back */
        .done = recovery_done,
    };
    recovery_paths(data_dir, &p);
    if (access(p.info, F_OK) != 0) {
        return OK;
    }
    buf_init(&text, PEERS_FILE_MAX);
    enum err e = recovery_load(p.peers, &text, why);
    if (e == OK) {
        e = recovery_parse(buf_view(&text), &ret_recovery->servers, why);
        if (e != OK) {
            recovery_explain(data_dir, why);
        }
    }
    buf_close(&text);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err recovery_keep_info(const char *data_dir, struct reason *why)
{
    struct recovery_paths p;
    recovery_paths(data_dir, &p);
    if (access(p.info, F_OK) == 0) {
        return OK;
    }
    if (mkdir(p.directory, 0755) != 0 && errno != EEXIST) {
        return recovery_failed(why, p.directory, "mkdir");
    }
    if (unlink(p.peers) == 0) {
        log_line(LOG_AGENT_PEERS_IGNORED, "file=%s", p.peers);
    } else if (errno != ENOENT) {
        return recovery_failed(why, p.peers, "unlink");
    }
    return recovery_write_info(&p, why);
}

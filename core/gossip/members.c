/* The file of members: one line `ADDRESS:PORT NAME` each, so that a node that was away finds the
 * others again though nobody tells it where they are. */
#include "core/gossip/gossip_priv.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* GOSSIP_MEMBERS_MAX lines of the longest kind would be 3 MiB. */
#define MEMBERS_FILE_MAX MIB(4)
#define MEMBERS_HEAD     "herald members 1\n"
#define MEMBERS_LEFT     "left\n"

static enum err file_read(const char *path, struct buf *out, struct reason *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return ERR_NOT_FOUND;
    }
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && out->len < out->max) {
        char block[KIB(16)];
        size_t room = out->max - out->len;
        got = read(fd, block, room < sizeof block ? room : sizeof block);
        if (got > 0) {
            buf_put(out, (struct bytes){block, (size_t)got});
        }
    }
    if (got < 0) {
        reason_set(why, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return got < 0 ? ERR_IO : OK;
}

static bool line_parse(struct bytes line, struct packet_address *ret_address)
{
    char text[GOSSIP_ADDRESS_LEN + 16];
    size_t end = bytes_find(line, ' ');
    if (end == line.len || end >= sizeof text) {
        return false;
    }
    memcpy(text, line.ptr, end);
    text[end] = '\0';
    return packet_address_parse(text, 0, ret_address) == OK && ret_address->port != 0;
}

static enum err members_parse(struct gossip *g, struct bytes rest, bool rejoin)
{
    if (!bytes_begins(rest, BYTES(MEMBERS_HEAD))) {
        return ERR_INVALID;
    }
    rest = bytes_slice(rest, strlen(MEMBERS_HEAD), rest.len);
    if (bytes_begins(rest, BYTES(MEMBERS_LEFT))) {
        if (!rejoin) {
            return OK;
        }
        rest = bytes_slice(rest, strlen(MEMBERS_LEFT), rest.len);
    }
    g->known = mem_zalloc(GOSSIP_MEMBERS_MAX, sizeof(struct packet_address));
    while (rest.len > 0 && g->known_count < GOSSIP_MEMBERS_MAX) {
        size_t end = bytes_find(rest, '\n');
        /* A line that nobody understands costs one member, not the start. */
        g->known_count += line_parse(bytes_slice(rest, 0, end), &g->known[g->known_count]);
        rest = bytes_slice(rest, end < rest.len ? end + 1 : end, rest.len);
    }
    return OK;
}

enum err members_load(struct gossip *g, bool rejoin, struct reason *why)
{
    struct buf text;
    buf_init(&text, MEMBERS_FILE_MAX);
    enum err e = file_read(g->members_path, &text, why);
    if (e == OK) {
        /* It is a hint whom to ask, written without a sync: power that fails may leave nothing of
         * it, and that is no reason to stay down. */
        e = members_parse(g, buf_view(&text), rejoin);
        if (e != OK) {
            log_line(LOG_GOSSIP_FILE, "path=%s error=\"not a file of members, ignored\"",
                     g->members_path);
            e = OK;
        }
    }
    buf_close(&text);
    return e;
}

static void members_write(struct gossip *g, struct buf *out)
{
    buf_put_str(out, MEMBERS_HEAD);
    if (g->left) {
        buf_put_str(out, MEMBERS_LEFT);
    }
    for (size_t i = 0; i < swim_count(g->swim); i++) {
        const struct gossip_member *m = swim_at(g->swim, i);
        if (m->self || m->status == GOSSIP_LEFT) {
            continue;
        }
        bool v6 = strchr(m->address, ':') != NULL;
        enum err e = buf_printf(out, "%s%s%s:%u %s\n", v6 ? "[" : "", m->address, v6 ? "]" : "",
                                m->port, m->name);
        CHECK(e == OK);
    }
}

void members_save(struct gossip *g)
{
    char beside[PATH_MAX];
    struct buf text;
    timer_stop(&g->save);
    /* Alone and not yet back: what the file knows is worth more. */
    if (g->members_path == NULL || (swim_count(g->swim) == 1 && !g->left)) {
        return;
    }
    buf_init(&text, MEMBERS_FILE_MAX);
    members_write(g, &text);
    (void)snprintf(beside, sizeof beside, "%s.new", g->members_path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len &&
                rename(beside, g->members_path) == 0;
    if (!good) {
        log_line(LOG_GOSSIP_FILE, "path=%s error=%s", beside, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_close(&text);
}

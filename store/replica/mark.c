#include "store/replica/mark.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_SLOT  512
#define MARK_MAGIC "mark"

struct mark_record {
    char magic[4];
    unsigned char index[8];
    unsigned char crc[4];
};
_Static_assert(sizeof(struct mark_record) == 16, "as on disk");

struct mark {
    int fd;
    char *path;
    uint64_t index;
    unsigned next_slot;
    bool fresh;
};

static enum err mark_failed(const struct mark *m, const char *what, struct reason *why)
{
    int error = errno;
    reason_set(why, "%s: %s: %s", m->path, what, strerror(error));
    return error == ENOSPC || error == EDQUOT ? ERR_NO_SPACE : ERR_IO;
}

static uint32_t mark_crc(const struct mark_record *r)
{
    return checksum((struct bytes){.ptr = r->magic, .len = 12});
}

static bool mark_load_slot(struct mark *m, unsigned slot, uint64_t *ret_index)
{
    struct mark_record r;
    ssize_t got = pread(m->fd, &r, sizeof r, (off_t)slot * MARK_SLOT);
    if (got != (ssize_t)sizeof r || memcmp(r.magic, MARK_MAGIC, sizeof r.magic) != 0) {
        return false;
    }
    uint32_t crc = 0;
    uint64_t index = 0;
    for (unsigned i = 0; i < 8; i++) {
        crc |= i < 4 ? (uint32_t)r.crc[i] << (8 * i) : 0;
        index |= (uint64_t)r.index[i] << (8 * i);
    }
    if (crc != mark_crc(&r)) {
        return false;
    }
    *ret_index = index;
    return true;
}

enum err mark_set(struct mark *m, uint64_t index, bool sync, struct reason *why)
{
    struct mark_record r = {.magic = MARK_MAGIC};
    for (unsigned i = 0; i < 8; i++) {
        r.index[i] = (unsigned char)(index >> (8 * i));
    }
    uint32_t crc = mark_crc(&r);
    for (unsigned i = 0; i < 4; i++) {
        r.crc[i] = (unsigned char)(crc >> (8 * i));
    }
    /* A lower index must not lose against the other slot's higher one. */
    unsigned slots = index < m->index ? 2 : 1;
    for (unsigned i = 0; i < slots; i++) {
        ssize_t put = pwrite(m->fd, &r, sizeof r, (off_t)m->next_slot * MARK_SLOT);
        if (put != (ssize_t)sizeof r) {
            return mark_failed(m, "write", why);
        }
        m->next_slot ^= 1;
    }
    if (sync && fdatasync(m->fd) != 0) {
        return mark_failed(m, "fdatasync", why);
    }
    m->index = index;
    return OK;
}

static enum err mark_load(struct mark *m, struct reason *why)
{
    uint64_t index[2] = {0};
    bool good[2] = {mark_load_slot(m, 0, &index[0]), mark_load_slot(m, 1, &index[1])};
    if (!good[0] && !good[1]) {
        reason_set(why,
                   "%s: offset 0: damaged; restore the data directory from a backup, or start with "
                   "an empty one",
                   m->path);
        return ERR_CORRUPT;
    }
    unsigned newest = !good[0] || (good[1] && index[1] > index[0]) ? 1 : 0;
    m->index = index[newest];
    m->next_slot = newest ^ 1;
    return OK;
}

/* Both slots, so that from now on one of them is always whole. */
static enum err mark_create(struct mark *m, struct reason *why)
{
    m->fresh = true;
    for (int slot = 0; slot < 2; slot++) {
        enum err e = mark_set(m, 0, slot == 1, why);
        if (e != OK) {
            return e;
        }
    }
    return OK;
}

enum err mark_open(const char *path, struct mark **ret_mark, struct reason *why)
{
    struct mark *m = mem_zalloc(1, sizeof *m);
    struct stat st;
    enum err e = OK;
    m->path = mem_strdup(path);
    m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (m->fd < 0 || fstat(m->fd, &st) != 0) {
        e = mark_failed(m, "open", why);
    } else if (st.st_size == 0) {
        /* New, or a crash came before its first write: then nothing else was written either. */
        e = mark_create(m, why);
    } else {
        e = mark_load(m, why);
    }
    if (e != OK) {
        mark_close(m);
        return e;
    }
    *ret_mark = m;
    return OK;
}

void mark_close(struct mark *m)
{
    if (m == NULL) {
        return;
    }
    if (m->fd >= 0) {
        (void)close(m->fd);
    }
    free(m->path);
    free(m);
}

uint64_t mark_index(const struct mark *m)
{
    return m->index;
}

bool mark_fresh(const struct mark *m)
{
    return m->fresh;
}

#include "core/api/archive_private.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/backup.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ARCHIVE_INFLATE KIB(64)
/* Three headers, three paddings, the sums and the end. */
#define ARCHIVE_TAR_MAX (ARCHIVE_STATE_MAX + ARCHIVE_META_MAX + KIB(8))

static enum err archive_bad(struct reason *why, const char *what)
{
    reason_set(why, "failed to read snapshot file: %s", what);
    return ERR_INVALID;
}

/* --- gzip ------------------------------------------------------------------------------------ */

/* Takes the seal off, if it is the right one. */
static enum err archive_unseal(struct bytes *file, struct reason *why)
{
    char hex[SHA256_HEX_LEN];
    if (!bytes_begins(*file, BYTES(ARCHIVE_GZIP_HEAD))) {
        return archive_bad(why, "gzip: invalid header");
    }
    if (file->len < ARCHIVE_GZIP_LEN + 8 + ARCHIVE_SEAL_LEN) {
        return archive_bad(why, "unexpected EOF");
    }
    struct bytes body = bytes_slice(*file, 0, file->len - ARCHIVE_SEAL_LEN);
    struct bytes seal = bytes_slice(*file, body.len, file->len);
    struct sha256 *hash = sha256_new();
    sha256_update(hash, body);
    sha256_hex(hash, hex);
    sha256_free(hash);
    size_t head = sizeof(ARCHIVE_SEAL_HEAD) - 1;
    if (!bytes_begins(seal, BYTES(ARCHIVE_SEAL_HEAD)) ||
        !bytes_equal(bytes_slice(seal, head + SHA256_HEX_LEN, seal.len),
                     BYTES(ARCHIVE_SEAL_TAIL))) {
        return archive_bad(why, "its end is missing, or it was not written by Herald");
    }
    if (!bytes_equal(bytes_slice(seal, head, head + SHA256_HEX_LEN),
                     (struct bytes){hex, sizeof hex})) {
        return archive_bad(why, "gzip: invalid checksum");
    }
    *file = body;
    return OK;
}

static enum err archive_inflate_all(z_stream *stream, struct buf *out)
{
    static const size_t step = ARCHIVE_INFLATE;
    char *room = mem_alloc(step);
    enum err e = OK;
    int rc = Z_OK;
    while (e == OK && rc == Z_OK) {
        stream->next_out = (Bytef *)room;
        stream->avail_out = (uInt)step;
        rc = inflate(stream, Z_NO_FLUSH);
        e = buf_append(out, (struct bytes){room, step - stream->avail_out});
    }
    free(room);
    return e == OK && rc != Z_STREAM_END ? ERR_INVALID : e;
}

static enum err archive_inflate(struct bytes file, struct buf *out, struct reason *why)
{
    z_stream stream = {0};
    struct bytes body = bytes_slice(file, ARCHIVE_GZIP_LEN, file.len - 8);
    if (body.len > UINT32_MAX) {
        return ERR_TOO_BIG;
    }
    CHECK(inflateInit2(&stream, -15) == Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)body.ptr;
    stream.avail_in = (uInt)body.len;
    enum err e = archive_inflate_all(&stream, out);
    if (e == OK && stream.avail_in > 0) {
        e = ERR_INVALID;
    }
    (void)inflateEnd(&stream);
    if (e == OK) {
        uint32_t crc = 0;
        const unsigned char *trailer = (const unsigned char *)file.ptr + file.len - 8;
        for (unsigned i = 0; i < 4; i++) {
            crc |= (uint32_t)trailer[i] << (8 * i);
        }
        e = crc == crc32(0, (const Bytef *)out->ptr, (uInt)out->len) ? OK : ERR_INVALID;
    }
    if (e == ERR_TOO_BIG) {
        (void)archive_bad(why, "it is larger than this server takes");
        return e;
    }
    return e == OK ? OK : archive_bad(why, "gzip: invalid checksum");
}

/* --- tar ------------------------------------------------------------------------------------- */

/* Takes the next member off, which must be this one: there is one form of its header. */
static enum err archive_member(struct bytes *tar,
                               const char *name,
                               size_t max,
                               struct bytes *ret_data,
                               struct reason *why)
{
    struct archive_block want;
    struct archive_block have;
    uint64_t size = 0;
    if (tar->len < ARCHIVE_BLOCK) {
        return archive_bad(why, "unexpected EOF");
    }
    memcpy(&have, tar->ptr, sizeof have);
    for (size_t i = 0; i < sizeof have.size - 1; i++) {
        size = size << 3 | (uint64_t)(have.size[i] & 7);
    }
    archive_block_make(&want, name, size);
    if (memcmp(&want, &have, sizeof want) != 0) {
        return archive_bad(why, "archive/tar: invalid tar header");
    }
    size_t padded = (size_t)(size + -size % ARCHIVE_BLOCK);
    if (size > max || tar->len - ARCHIVE_BLOCK < padded) {
        return archive_bad(why, "unexpected EOF");
    }
    *ret_data = bytes_slice(*tar, ARCHIVE_BLOCK, ARCHIVE_BLOCK + (size_t)size);
    *tar = bytes_slice(*tar, ARCHIVE_BLOCK + padded, tar->len);
    return OK;
}

static bool
archive_sum_fits(struct sha256 *hash, struct bytes data, const char *name, struct bytes *sums)
{
    char line[SHA256_HEX_LEN + 32];
    char hex[SHA256_HEX_LEN];
    sha256_update(hash, data);
    sha256_hex(hash, hex);
    int len = snprintf(line, sizeof line, "%.*s  %s\n", SHA256_HEX_LEN, hex, name);
    struct bytes want = {line, (size_t)len};
    bool fits = bytes_begins(*sums, want);
    if (fits) {
        *sums = bytes_slice(*sums, want.len, sums->len);
    }
    return fits;
}

static enum err
archive_check_sums(struct bytes meta, struct bytes state, struct bytes sums, struct reason *why)
{
    struct sha256 *hash = sha256_new();
    const char *bad = NULL;
    if (!archive_sum_fits(hash, meta, "meta.json", &sums)) {
        bad = "failed checking integrity of snapshot: hash check failed for \"meta.json\"";
    } else if (!archive_sum_fits(hash, state, "state.bin", &sums) || sums.len > 0) {
        bad = "failed checking integrity of snapshot: hash check failed for \"state.bin\"";
    }
    sha256_free(hash);
    return bad == NULL ? OK : archive_bad(why, bad);
}

/* --- contents -------------------------------------------------------------------------------- */

static uint64_t archive_number(const json_t *json, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(json, name));
    return value > 0 ? (uint64_t)value : 0;
}

static void archive_text(const json_t *json, const char *name, char ret_text[ARCHIVE_TEXT_MAX])
{
    const char *text = json_string_value(json_object_get(json, name));
    (void)snprintf(ret_text, ARCHIVE_TEXT_MAX, "%s", text == NULL ? "" : text);
}

static enum err
archive_read_meta(struct bytes data, struct archive_meta *ret_meta, struct reason *why)
{
    json_error_t error;
    json_t *json = json_loadb(data.ptr, data.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json)) {
        json_decref(json);
        return archive_bad(why, "failed to decode metadata");
    }
    struct archive_meta meta = {
        .version = archive_number(json, "Version"),
        .index = archive_number(json, "Index"),
        .term = archive_number(json, "Term"),
        .size = archive_number(json, "Size"),
    };
    const json_t *servers = json_object_get(json_object_get(json, "Configuration"), "Servers");
    archive_text(json, "ID", meta.id);
    archive_text(json_array_get(servers, 0), "ID", meta.server);
    archive_text(json_array_get(servers, 0), "Address", meta.address);
    json_decref(json);
    if (meta.version != 1) {
        return archive_bad(why, "metadata of an unknown version");
    }
    *ret_meta = meta;
    return OK;
}

bool archive_piece(const struct archive *a, size_t *at, struct bytes *ret_piece)
{
    struct bytes rest = bytes_slice(a->state, *at, a->state.len);
    if (rest.len < 4) {
        return false;
    }
    size_t len = 0;
    for (unsigned i = 0; i < 4; i++) {
        len |= (size_t)(unsigned char)rest.ptr[i] << (8 * i);
    }
    if (rest.len - 4 < len) {
        return false;
    }
    *ret_piece = bytes_slice(rest, 4, 4 + len);
    *at += 4 + len;
    return true;
}

/* All of state.bin is pieces that can be restored. */
static enum err archive_check_state(struct archive *a, struct reason *why)
{
    size_t at = 0;
    struct bytes piece;
    if (a->meta.size != a->state.len) {
        return archive_bad(why, "its size is not what its metadata say");
    }
    if (!bytes_begins(a->state, ARCHIVE_STATE_HEAD)) {
        return archive_bad(why, "its state was not written by Herald, or by another version");
    }
    a->state = bytes_slice(a->state, ARCHIVE_STATE_HEAD.len, a->state.len);
    while (archive_piece(a, &at, &piece)) {
        uint64_t rows = 0;
        if (backup_check(piece, &rows) != OK) {
            return archive_bad(why, "its state is not of our form");
        }
        a->rows += rows;
        a->pieces++;
    }
    return at == a->state.len ? OK : archive_bad(why, "unexpected EOF");
}

/* Of `a->tar`. */
static enum err archive_read(struct archive *a, struct reason *why)
{
    struct bytes rest = buf_view(&a->tar);
    struct bytes meta = {0};
    struct bytes sums = {0};
    enum err e = archive_member(&rest, "meta.json", ARCHIVE_META_MAX, &meta, why);
    if (e == OK) {
        e = archive_member(&rest, "state.bin", ARCHIVE_STATE_MAX, &a->state, why);
    }
    if (e == OK) {
        e = archive_member(&rest, "SHA256SUMS", ARCHIVE_BLOCK, &sums, why);
    }
    if (e == OK) {
        e = archive_check_sums(meta, a->state, sums, why);
    }
    if (e == OK) {
        e = archive_read_meta(meta, &a->meta, why);
    }
    return e == OK ? archive_check_state(a, why) : e;
}

static enum err archive_take(struct archive *a, struct archive *ret_archive, struct reason *why)
{
    enum err e = archive_read(a, why);
    if (e != OK) {
        archive_close(a);
        return e;
    }
    *ret_archive = *a;
    return OK;
}

enum err archive_open_tar(struct bytes tar, struct archive *ret_archive, struct reason *why)
{
    struct archive a = {0};
    buf_init(&a.tar, ARCHIVE_TAR_MAX);
    if (buf_append(&a.tar, tar) != OK) {
        return ERR_TOO_BIG;
    }
    return archive_take(&a, ret_archive, why);
}

enum err archive_open(struct bytes file, struct archive *ret_archive, struct reason *why)
{
    struct archive a = {0};
    enum err e = archive_unseal(&file, why);
    if (e != OK) {
        return e;
    }
    buf_init(&a.tar, ARCHIVE_TAR_MAX);
    e = archive_inflate(file, &a.tar, why);
    if (e != OK) {
        archive_close(&a);
        return e;
    }
    return archive_take(&a, ret_archive, why);
}

void archive_close(struct archive *a)
{
    buf_close(&a->tar);
    *a = (struct archive){0};
}

#include "core/api/archive.h"

#include "core/api/archive_private.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Raw deflate: header and trailer are ours, so that every byte of the file is known. */
#define ARCHIVE_WINDOW  (-15)
#define ARCHIVE_MEMORY  8
#define ARCHIVE_DEFLATE KIB(16)

struct archive_writer {
    struct buf *out;
    struct archive_meta meta;
    z_stream stream;
    uint32_t crc;          /* of what went into the gzip */
    uint64_t plain;        /* and its bytes */
    uint64_t state;        /* bytes of state.bin so far */
    struct sha256 *whole;  /* of the file */
    struct sha256 *member; /* of the member at hand */
    char meta_sum[SHA256_HEX_LEN];
    enum err failed;
};

void archive_block_make(struct archive_block *b, const char *name, uint64_t size)
{
    unsigned sum = 0;
    *b = (struct archive_block){.type = '0', .magic = {'u', 's', 't', 'a', 'r', '\0', '0', '0'}};
    (void)snprintf(b->name, sizeof b->name, "%s", name);
    (void)snprintf(b->mode, sizeof b->mode, "0000600");
    (void)snprintf(b->uid, sizeof b->uid, "0000000");
    (void)snprintf(b->gid, sizeof b->gid, "0000000");
    (void)snprintf(b->size, sizeof b->size, "%011llo", (unsigned long long)(size & 077777777777U));
    (void)snprintf(b->mtime, sizeof b->mtime, "00000000000");
    memset(b->sum, ' ', sizeof b->sum);
    for (size_t i = 0; i < ARCHIVE_BLOCK; i++) {
        sum += ((const unsigned char *)b)[i];
    }
    (void)snprintf(b->sum, 7, "%06o", sum & 0777777U);
}

/* --- writing --------------------------------------------------------------------------------- */

static void archive_raw(struct archive_writer *w, struct bytes data)
{
    if (w->failed == OK) {
        w->failed = buf_append(w->out, data);
        sha256_update(w->whole, data);
    }
}

static void archive_deflate(struct archive_writer *w, struct bytes data, int flush)
{
    char room[ARCHIVE_DEFLATE];
    /* The library does not write there. */
    w->stream.next_in = (Bytef *)(uintptr_t)data.ptr;
    w->stream.avail_in = (uInt)data.len;
    int rc = Z_OK;
    do {
        w->stream.next_out = (Bytef *)room;
        w->stream.avail_out = sizeof room;
        rc = deflate(&w->stream, flush);
        CHECK(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
        archive_raw(w, (struct bytes){room, sizeof room - w->stream.avail_out});
    } while (w->stream.avail_out == 0);
    CHECK(flush != Z_FINISH || rc == Z_STREAM_END);
}

/* Bytes of the tar. */
static void archive_put(struct archive_writer *w, struct bytes data)
{
    CHECK(data.len <= ARCHIVE_STATE_MAX);
    w->crc = (uint32_t)crc32(w->crc, (const Bytef *)data.ptr, (uInt)data.len);
    w->plain += data.len;
    archive_deflate(w, data, Z_NO_FLUSH);
}

static void archive_put_member(struct archive_writer *w, struct bytes data)
{
    sha256_update(w->member, data);
    archive_put(w, data);
}

static void archive_member_begin(struct archive_writer *w, const char *name, uint64_t size)
{
    struct archive_block block;
    archive_block_make(&block, name, size);
    archive_put(w, (struct bytes){(const char *)&block, sizeof block});
}

static void
archive_member_end(struct archive_writer *w, uint64_t size, char ret_sum[SHA256_HEX_LEN])
{
    static const char zeros[ARCHIVE_BLOCK];
    sha256_hex(w->member, ret_sum);
    archive_put(w, (struct bytes){zeros, (size_t)(-size % ARCHIVE_BLOCK)});
}

static char *archive_meta_json(const struct archive_meta *m)
{
    json_t *json =
        json_pack("{s:i, s:s, s:I, s:I, s:n, s:{s:[{s:i, s:s, s:s}]}, s:I, s:I}", "Version", 1,
                  "ID", m->id, "Index", (json_int_t)m->index, "Term", (json_int_t)m->term, "Peers",
                  "Configuration", "Servers", "Suffrage", 0, "ID", m->server, "Address", m->address,
                  "ConfigurationIndex", (json_int_t)1, "Size", (json_int_t)m->size);
    CHECK(json != NULL);
    char *text = json_dumps(json, JSON_COMPACT);
    CHECK(text != NULL);
    json_decref(json);
    return text;
}

struct archive_writer *archive_writer_new(const struct archive_meta *meta, struct buf *out)
{
    struct archive_writer *w = mem_zalloc(1, sizeof *w);
    w->out = out;
    w->meta = *meta;
    w->whole = sha256_new();
    w->member = sha256_new();
    CHECK(deflateInit2(&w->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, ARCHIVE_WINDOW,
                       ARCHIVE_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK);
    (void)snprintf(w->meta.id, sizeof w->meta.id, "%llu-%llu-%llu", (unsigned long long)meta->term,
                   (unsigned long long)meta->index, (unsigned long long)meta->wall_ms);
    archive_raw(w, BYTES(ARCHIVE_GZIP_HEAD));
    char *json = archive_meta_json(&w->meta);
    size_t len = strlen(json);
    archive_member_begin(w, "meta.json", len + 1);
    archive_put_member(w, (struct bytes){json, len});
    archive_put_member(w, BYTES("\n"));
    archive_member_end(w, len + 1, w->meta_sum);
    free(json);
    archive_member_begin(w, "state.bin", meta->size);
    archive_put_member(w, ARCHIVE_STATE_HEAD);
    w->state = ARCHIVE_STATE_HEAD.len;
    return w;
}

enum err archive_write(struct archive_writer *w, struct bytes piece)
{
    char len[4];
    for (unsigned i = 0; i < sizeof len; i++) {
        len[i] = (char)(piece.len >> (8 * i));
    }
    archive_put_member(w, (struct bytes){len, sizeof len});
    archive_put_member(w, piece);
    w->state += ARCHIVE_PIECE_LEN(piece);
    return w->failed;
}

static void archive_put_sums(struct archive_writer *w, const char state_sum[SHA256_HEX_LEN])
{
    char sums[256];
    char none[SHA256_HEX_LEN];
    int len = snprintf(sums, sizeof sums, "%.*s  meta.json\n%.*s  state.bin\n", SHA256_HEX_LEN,
                       w->meta_sum, SHA256_HEX_LEN, state_sum);
    CHECK(len > 0 && (size_t)len < sizeof sums);
    archive_member_begin(w, "SHA256SUMS", (uint64_t)len);
    archive_put_member(w, (struct bytes){sums, (size_t)len});
    archive_member_end(w, (uint64_t)len, none);
}

static void archive_put_end(struct archive_writer *w)
{
    static const char zeros[2 * ARCHIVE_BLOCK];
    char trailer[8];
    char seal[SHA256_HEX_LEN];
    archive_put(w, (struct bytes){zeros, sizeof zeros});
    archive_deflate(w, (struct bytes){0}, Z_FINISH);
    for (unsigned i = 0; i < 4; i++) {
        trailer[i] = (char)(w->crc >> (8 * i));
        trailer[4 + i] = (char)(w->plain >> (8 * i));
    }
    archive_raw(w, (struct bytes){trailer, sizeof trailer});
    sha256_hex(w->whole, seal);
    archive_raw(w, BYTES(ARCHIVE_SEAL_HEAD));
    archive_raw(w, (struct bytes){seal, sizeof seal});
    archive_raw(w, BYTES(ARCHIVE_SEAL_TAIL));
}

enum err archive_finish(struct archive_writer *w)
{
    char state_sum[SHA256_HEX_LEN];
    if (w->state != w->meta.size) {
        return ERR_INVALID;
    }
    archive_member_end(w, w->state, state_sum);
    archive_put_sums(w, state_sum);
    archive_put_end(w);
    return w->failed;
}

void archive_writer_free(struct archive_writer *w)
{
    if (w == NULL) {
        return;
    }
    (void)deflateEnd(&w->stream);
    sha256_free(w->whole);
    sha256_free(w->member);
    free(w);
}

/* A backup as a file: a gzipped tar of meta.json, state.bin and SHA256SUMS, as Consul's snapshots
 * are, with our own state.bin.
 *
 * Format   state.bin is a line "herald state 1", then pieces (store/backup.h), each behind its
 *          length (4 bytes, little-endian). Behind the archive comes a second, empty gzip member
 *          whose comment is the SHA-256 of the first, byte by byte: what gzip does not check (its
 *          header, its padding) is checked too. Every tar reader takes the file as it is.
 * Owner    what a reader gives out is its own until archive_close().
 * Limits   ARCHIVE_META_MAX, ARCHIVE_STATE_MAX.
 * Errors   reading: ERR_INVALID with `why` "failed to read snapshot file: ..."; ERR_TOO_BIG.
 * Threads  one at a time.
 */
#ifndef CORE_API_ARCHIVE_H
#define CORE_API_ARCHIVE_H

#include "core/base/buf.h"

#define ARCHIVE_TEXT_MAX 128

struct archive_meta {
    char id[ARCHIVE_TEXT_MAX]; /* "<term>-<index>-<ms>" */
    uint64_t version;          /* 1 */
    uint64_t index;
    uint64_t term;
    uint64_t size;                  /* of state.bin */
    char server[ARCHIVE_TEXT_MAX];  /* the id of the server that wrote it */
    char address[ARCHIVE_TEXT_MAX]; /* and its address */
    uint64_t wall_ms;               /* when: written only */
};

/* --- writing --------------------------------------------------------------------------------- */

struct archive_writer;

/* Bytes that one piece takes of state.bin, and its first line: what `meta.size` is the sum of. */
#define ARCHIVE_HEAD_LEN         15U
#define ARCHIVE_PIECE_LEN(bytes) (4U + (bytes).len)

/* Appends to `out`, which the caller may empty between two calls. `meta->size` is already known:
 * the pieces are counted first. */
struct archive_writer *archive_writer_new(const struct archive_meta *meta, struct buf *out);
/* ERR_TOO_BIG if `out` takes no more: then give up. */
enum err archive_write(struct archive_writer *w, struct bytes piece) ERR_MUST_USE;
/* ERR_INVALID if the pieces were not as many bytes as said. */
enum err archive_finish(struct archive_writer *w) ERR_MUST_USE;
void archive_writer_free(struct archive_writer *w);

/* --- reading --------------------------------------------------------------------------------- */

struct archive {
    struct archive_meta meta;
    uint64_t rows;
    uint64_t pieces;
    struct buf tar;     /* private */
    struct bytes state; /* private */
};

/* Checks all of it. */
enum err
archive_open(struct bytes file, struct archive *ret_archive, struct reason *why) ERR_MUST_USE;
/* The same for what is inside the gzip; copied. */
enum err
archive_open_tar(struct bytes tar, struct archive *ret_archive, struct reason *why) ERR_MUST_USE;
void archive_close(struct archive *a);
/* Takes the next piece off; false behind the last. Begin with `*at` = 0. */
bool archive_piece(const struct archive *a, size_t *at, struct bytes *ret_piece);

#endif

/* What writing and reading an archive share.
 *
 * Threads  any; nothing is shared.
 */
#ifndef CORE_API_ARCHIVE_PRIVATE_H
#define CORE_API_ARCHIVE_PRIVATE_H

#include "core/api/archive.h"
#include "core/api/sha256.h"

#define ARCHIVE_STATE_HEAD BYTES("herald state 1\n")

/* One gzip header for all: no time, no name; what Go's writer puts there too. */
#define ARCHIVE_GZIP_HEAD "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
#define ARCHIVE_GZIP_LEN  10U

/* The second member: a header with a comment, and the shortest compressed form of nothing. */
#define ARCHIVE_SEAL_HEAD "\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xffherald sha256 "
#define ARCHIVE_SEAL_TAIL "\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"
#define ARCHIVE_SEAL_LEN                                                                           \
    (sizeof(ARCHIVE_SEAL_HEAD) - 1 + SHA256_HEX_LEN + sizeof(ARCHIVE_SEAL_TAIL) - 1)

/* A header of tar (POSIX ustar). */
#define ARCHIVE_BLOCK 512U

struct archive_block {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12]; /* octal */
    char mtime[12];
    char sum[8]; /* of all bytes, these taken as blanks */
    char type;
    char link[100];
    char magic[8];
    char user[32];
    char group[32];
    char device[16];
    char prefix[155];
    char rest[12];
};
_Static_assert(sizeof(struct archive_block) == ARCHIVE_BLOCK, "one block");

/* The header of a plain file: there is one form for each name and size. */
void archive_block_make(struct archive_block *b, const char *name, uint64_t size);

#endif

/* A directory of a test's own, and what tests do to files.
 *
 * Threads  one test is one process.
 */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[64];

static inline int scratch_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void scratch_make(void)
{
    (void)snprintf(scratch, sizeof scratch, "/tmp/herald-unit-XXXXXX");
    cr_assert_not_null(mkdtemp(scratch));
}

static inline void scratch_drop(void)
{
    (void)nftw(scratch, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void file_flip(const char *path, off_t at)
{
    unsigned char c = 0;
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &c, 1, at), 1);
    c ^= 0x10;
    cr_assert_eq(pwrite(fd, &c, 1, at), 1);
    (void)close(fd);
}

static inline off_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Copies a directory of files, or one file. */
static inline void file_copy(const char *from, const char *to)
{
    char command[2048];
    (void)snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", to, from, to);
    cr_assert_eq(system(command), 0);
}

#endif

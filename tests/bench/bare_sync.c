/* The limit of a durable write: append records to a file, as many as come together in one group,
 * and wait for the disk after each group. Prints one line of JSON.
 *
 *   bare_sync --dir DIRECTORY [--record 256] [--group 1] [--ms 2000]
 *
 * The file is on the directory's file system and is removed at once.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_ROOM (64 << 20)

int main(int argc, char **argv)
{
    const char *dir = ".";
    char path[4096];
    uint64_t record = 256;
    uint64_t group = 1;
    uint64_t ms = 2000;
    struct samples latency = {0};
    bench_options(argc, argv,
                  (struct bench_option[]){{"dir", &dir, NULL},
                                          {"record", NULL, &record},
                                          {"group", NULL, &group},
                                          {"ms", NULL, &ms},
                                          {0}});
    snprintf(path, sizeof(path), "%s/bare_sync.XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        bench_fail("%s: %s", path, strerror(errno));
    }
    unlink(path);
    /* As databases do with their logs: the disk then has no blocks to find meanwhile. */
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOG_ROOM) != 0) {
        bench_fail("no room for %d bytes: %s", LOG_ROOM, strerror(errno));
    }
    size_t len = record * group;
    char *bytes = bench_alloc(len, 1);
    memset(bytes, 'v', len);
    off_t at = 0;
    uint64_t begin = bench_now();
    uint64_t now = begin;
    while (now - begin < ms * NS_PER_MS) {
        if (pwrite(fd, bytes, len, at) != (ssize_t)len || fdatasync(fd) != 0) {
            bench_fail("write: %s", strerror(errno));
        }
        at += (off_t)len;
        uint64_t done = bench_now();
        samples_add(&latency, done - now);
        now = done;
    }
    printf("{\"syncs\": %zu, \"per_s\": %.0f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", latency.count,
           (double)(latency.count * group) * (double)NS_PER_S / (double)(now - begin),
           bench_ms(samples_at(&latency, 0.5)), bench_ms(samples_at(&latency, 0.99)));
    samples_close(&latency);
    free(bytes);
    close(fd);
    return 0;
}

#include "core/base/check.h"
#include "core/base/env.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static struct timespec env_real_clock(clockid_t clock)
{
    struct timespec ts = {0};
    int rc = clock_gettime(clock, &ts);
    CHECK(rc == 0);
    return ts;
}

uint64_t env_real_now_ms(void)
{
    struct timespec ts = env_real_clock(CLOCK_MONOTONIC);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t env_real_now_us(void)
{
    struct timespec ts = env_real_clock(CLOCK_MONOTONIC);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t env_real_wall_ms(void)
{
    struct timespec ts = env_real_clock(CLOCK_REALTIME);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void env_real_random(void *ret_data, size_t len)
{
    char *at = ret_data;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            fatal("getrandom: %s", strerror(errno));
        }
        at += got;
        len -= (size_t)got;
    }
}

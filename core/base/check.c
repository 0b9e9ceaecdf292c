#include "core/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

_Noreturn void check_failed(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "herald: bug: CHECK(%s) failed at %s:%d\n", cond, file, line);
    abort();
}

_Noreturn void fatal(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)fprintf(stderr, "herald: fatal: %s\n", text);
    (void)fflush(stderr);
    /* No atexit handlers: other threads still run and own what those would free. */
    _exit(EX_SOFTWARE);
}

#include "core/base/err.h"

#include "core/base/check.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    int http_status;
    const char *text;
} ERRORS[] = {
    {"OK", 200, "ok"},
#define X(name, http, text) {#name, http, text},
#include "core/base/err.tbl.h"
#undef X
};

static const unsigned ERROR_COUNT = sizeof ERRORS / sizeof ERRORS[0];

const char *err_name(enum err e)
{
    CHECK((unsigned)e < ERROR_COUNT);
    return ERRORS[e].name;
}

const char *err_text(enum err e)
{
    CHECK((unsigned)e < ERROR_COUNT);
    return ERRORS[e].text;
}

int err_http_status(enum err e)
{
    CHECK((unsigned)e < ERROR_COUNT);
    return ERRORS[e].http_status;
}

void reason_set(struct reason *why, const char *format, ...)
{
    if (why == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}

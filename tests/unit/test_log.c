#include "core/base/log.h"
#include "core/base/metric.h"

#include <criterion/criterion.h>
#include <string.h>

static char seen[4096];

static void remember(struct log_tap *tap, struct bytes line)
{
    (void)tap;
    cr_assert_lt(line.len, sizeof seen);
    memcpy(seen, line.ptr, line.len);
    seen[line.len] = '\0';
}

/* `2026-11-22T17:10:17.425Z [INFO]  agent: Stopping: signal=SIGTERM` */
Test(log, a_tap_gets_lines_of_its_level_in_consuls_form)
{
    struct log_tap tap = {.level = LOG_DEBUG, .line = remember};
    log_set_level(LOG_ERROR);
    log_tap_open(&tap);
    log_line(LOG_AGENT_STOPPING, "signal=%s", "SIGTERM");
    cr_assert_str_eq(seen + strlen("2026-11-22T17:10:17.425Z "),
                     "[INFO]  agent: Stopping: signal=SIGTERM\n");
    log_line(LOG_HTTP_REQUEST, "%s", "");
    cr_assert_str_eq(seen + strlen("2026-11-22T17:10:17.425Z "),
                     "[DEBUG] http: Request finished\n");
    log_tap_close(&tap);
    seen[0] = '\0';
    log_line(LOG_AGENT_STOPPING, "%s", "");
    cr_assert_str_empty(seen);
}

Test(log, json_lines_stay_json_whatever_is_in_them)
{
    struct log_tap tap = {.level = LOG_INFO, .json = true, .line = remember};
    log_tap_open(&tap);
    log_line(LOG_CONFIG_WARNING, "%s", "a \"quoted\"\nkey");
    cr_assert_not_null(strstr(seen, "\"@level\":\"WARN\""));
    cr_assert_not_null(strstr(seen, "\"details\":\"a \\\"quoted\\\"\\nkey\"}\n"));
    log_tap_close(&tap);
}

Test(log, levels_are_read_as_consul_reads_them)
{
    enum log_level level = LOG_TRACE;
    cr_assert_eq(log_level_parse(BYTES("ERR"), &level), OK);
    cr_assert_eq(level, LOG_ERROR);
    cr_assert_eq(log_level_parse(BYTES("warn"), &level), OK);
    cr_assert_eq(level, LOG_WARN);
    cr_assert_eq(log_level_parse(BYTES("zzz"), &level), ERR_INVALID);
}

Test(metric, both_forms_say_what_was_counted)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metric_add(METRIC_HTTP_REQUESTS, 3);
    metric_observe(METRIC_LOG_SYNC, 1.5);
    metric_observe(METRIC_LOG_SYNC, 0.5);
    metrics_refresh();
    cr_assert_gt(metric_value(METRIC_ALLOC_BYTES), 0);
    cr_assert_eq(metrics_json(&out, 0), OK);
    buf_put_char(&out, '\0');
    cr_assert_not_null(strstr(out.ptr, "\"Timestamp\":\"1970-01-01 00:00:00 +0000 UTC\""));
    cr_assert_not_null(strstr(out.ptr, "\"Name\":\"consul.runtime.alloc_bytes\""));
    cr_assert_not_null(strstr(out.ptr,
                              "\"consul.raft.fsync\",\"Count\":2,\"Sum\":2.000,\"Min\":0.500,"
                              "\"Max\":1.500,\"Mean\":1.000"));
    buf_clear(&out);
    cr_assert_eq(metrics_prometheus(&out), OK);
    buf_put_char(&out, '\0');
    cr_assert_not_null(
        strstr(out.ptr, "# TYPE consul_http_requests counter\nconsul_http_requests 3\n"));
    buf_close(&out);
}

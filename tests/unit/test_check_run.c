/* Checks that need no socket: TTLs in virtual time, thresholds, and the bytes of gRPC and HTTP/2.
 */
#include "tests/unit/agent_world.h"

#include "core/agent/check/run.h"
#include "core/agent/check/threshold.h"
#include "core/agent/check/wire.h"

struct seen {
    size_t count;
    enum check_status status;
    char output[64];
};

static void
seen_found(void *ctx, struct check_run *run, enum check_status status, struct bytes output)
{
    struct seen *s = ctx;
    (void)run;
    s->count++;
    s->status = status;
    (void)snprintf(s->output, sizeof s->output, "%.*s", BYTES_FORMAT(output));
}

/* It is critical once its time is over, and not while it is renewed. */
Test(run, a_ttl_expires_unless_it_is_renewed)
{
    struct world w;
    struct seen seen = {0};
    world_open(&w);
    struct check_host host = {.env = &w.env, .ctx = &seen, .found = seen_found};
    struct check_definition d = {.kind = CHECK_TTL, .ttl_ms = 10000};
    struct check_run *run = check_run_open(&host, &d, NULL);
    for (unsigned i = 0; i < 10; i++) {
        world_pass(&w, 9000);
        check_run_renew(run);
    }
    cr_assert_eq(seen.count, 0);
    world_pass(&w, 9999);
    cr_assert_eq(seen.count, 0);
    world_pass(&w, 1);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.status, CHECK_CRITICAL);
    cr_assert_str_eq(seen.output, "TTL expired");
    world_pass(&w, 100000);
    cr_assert_eq(seen.count, 1);
    check_run_close(run);
    timers_close(&w.env.timers);
}

/* What follows a row of results: `p`, `w`, `c`, or `.` where the status stays. */
static void take(const struct check_definition *d, const char *results, const char *expected)
{
    struct threshold t;
    threshold_init(&t, d);
    for (size_t i = 0; results[i] != '\0'; i++) {
        enum check_status status = CHECK_PASSING;
        enum check_status result = results[i] == 'p'   ? CHECK_PASSING
                                   : results[i] == 'w' ? CHECK_WARNING
                                                       : CHECK_CRITICAL;
        char got = '.';
        if (threshold_take(&t, result, &status)) {
            got = "?pwc"[status];
        }
        cr_assert_eq(got, expected[i], "%s at %zu: %c", results, i, got);
    }
}

Test(threshold, without_any_each_result_counts)
{
    struct check_definition d = {0};
    take(&d, "ppwccp", "ppwccp");
}

Test(threshold, it_takes_so_many_in_a_row)
{
    struct check_definition d = {.success_before_passing = 3, .failures_before_critical = 2};
    take(&d, "ppp", "..p");
    take(&d, "cpcc", "...c");
    take(&d, "ppcppp", ".....p");
}

Test(threshold, warning_comes_before_critical)
{
    struct check_definition d = {.failures_before_warning = 2, .failures_before_critical = 4};
    take(&d, "ccccc", ".wwcc");
    struct check_definition behind = {.failures_before_warning = 5, .failures_before_critical = 2};
    take(&behind, "ccc", ".cc");
}

Test(wire, a_health_question_is_asked_and_its_answer_read)
{
    struct buf out;
    struct reason why = {{0}};
    buf_init(&out, GRPC_QUESTION_MAX);
    cr_assert_eq(grpc_question(&out, BYTES("web")), OK);
    cr_assert(bytes_equal(buf_view(&out), BYTES("\0\0\0\0\5\12\3web")));
    buf_clear(&out);
    cr_assert_eq(grpc_question(&out, BYTES("")), OK);
    cr_assert(bytes_equal(buf_view(&out), BYTES("\0\0\0\0\0")));
    buf_close(&out);
    cr_assert(grpc_serving(BYTES("\0\0\0\0\2\10\1"), &why));
    cr_assert_not(grpc_serving(BYTES("\0\0\0\0\2\10\2"), &why));
    cr_assert_str_eq(why.text, "NOT_SERVING");
    cr_assert_not(grpc_serving(BYTES("\0\0\0\0\0"), &why));
    cr_assert_not(grpc_serving(BYTES("\1"), &why));
    cr_assert_not(grpc_serving(BYTES(""), &why));
}

/* Only an acknowledged PING with our bytes is an answer; a GOAWAY or a frame that is none is the
 * end. */
Test(wire, a_ping_comes_back)
{
    static const char data[H2_PING_LEN] = {1, 2, 3, 4, 5, 6, 7, 8};
    cr_assert_eq(h2_pinged(BYTES("\0\0\0\4\0\0\0\0\0"), data), ERR_NOT_FOUND);
    cr_assert_eq(h2_pinged(BYTES("\0\0\0\4\0\0\0\0\0\0\0\10\6\1\0\0\0\0\1\2\3\4\5\6\7\10"), data),
                 OK);
    cr_assert_eq(h2_pinged(BYTES("\0\0\10\6\0\0\0\0\0\1\2\3\4\5\6\7\10"), data), ERR_NOT_FOUND);
    cr_assert_eq(h2_pinged(BYTES("\0\0\10\6\1\0\0\0\0\1\2\3\4\5\6\7"), data), ERR_NOT_FOUND);
    cr_assert_eq(h2_pinged(BYTES("\0\0\10\7\0\0\0\0\0\0\0\0\0\0\0\0\0"), data), ERR_INVALID);
    cr_assert_eq(h2_pinged(BYTES("HTTP/1.1 400 Bad Request\r\n"), data), ERR_INVALID);
}

/* Durations as Go prints them: what Consul's clients read out of autopilot's configuration. */
#include "core/api/cluster.h"
#include "core/base/text.h"

#include <criterion/criterion.h>

Test(duration, is_printed_as_go_prints_it)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ms"},
        {200, "200ms"},
        {999, "999ms"},
        {1000, "1s"},
        {1500, "1.5s"},
        {1050, "1.05s"},
        {10000, "10s"},
        {60000, "1m0s"},
        {90500, "1m30.5s"},
        {3600000, "1h0m0s"},
        {3661001, "1h1m1.001s"},
        {UINT64_MAX, "5124095576030h25m51.615s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[DURATION_TEXT_LEN];
        duration_text(cases[i].ms, text);
        cr_assert_str_eq(text, cases[i].text);
    }
}

/* What is printed is read back as the same, but for the fraction of a millisecond nobody has. */
Test(duration, comes_back)
{
    for (uint64_t ms = 1; ms < 100000000; ms = ms * 3 + 1) {
        char text[DURATION_TEXT_LEN];
        uint64_t back = 0;
        duration_text(ms, text);
        cr_assert_eq(duration_parse(bytes_of(text), &back), OK, "%s", text);
        cr_assert_eq(back, ms, "%s", text);
    }
}

#include "tests/unit/front_lib.h"

static void setup(void)
{
    world_open(NULL, NULL);
}

static void teardown(void)
{
    world_close();
}

TestSuite(front, .init = setup, .fini = teardown, .timeout = 120);

/* Says `text` on a connection of its own and returns all that comes until the end, or one answer.
 */
static char answer[1 << 16];

static const char *ask(const char *text)
{
    int fd = dial();
    say(fd, text);
    hear_answer(fd, answer, sizeof answer);
    close(fd);
    return answer;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

#define HAS(text)     cr_assert(strstr(answer, text) != NULL, "no \"%s\" in: %s", text, answer)
#define HAS_NOT(text) cr_assert(strstr(answer, text) == NULL, "\"%s\" in: %s", text, answer)

Test(front, answers_a_get)
{
    (void)ask("GET /echo/a%2Fb//..?x=1&y HTTP/1.1\r\nHost: h\r\nX-Ask: why\r\n\r\n");
    cr_assert(begins(answer, "HTTP/1.1 200 OK\r\n"));
    HAS("Content-Type: text/plain\r\n");
    HAS("Vary: Accept-Encoding\r\n");
    HAS("X-Extra: always\r\n");
    HAS("X-Said: yes  X-Evil: 1\r\n");
    HAS("\r\nDate: ");
    HAS("GET rest=a/b//.. body= x=1 y= ask=why");
    HAS_NOT("Connection:");
}

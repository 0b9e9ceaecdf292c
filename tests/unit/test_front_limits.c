#include "tests/unit/front_lib.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* Deadlines that a test can wait for; what happens is the close, the clock is not asked. */
static const struct front_limits SHORT = {
    .head_ms = 150,
    .body_ms = 150,
    .idle_ms = 150,
    .write_stall_ms = 150,
};

static void setup_short(void)
{
    world_open(&SHORT, NULL);
}

static void teardown(void)
{
    world_close();
}

TestSuite(front_deadline, .init = setup_short, .fini = teardown, .timeout = 120);
/* Each opens a front of its own making. */
TestSuite(front_options, .timeout = 120);

/* --- deadlines: the tests wait for the end, not for a clock ------------------------------------
 */

Test(front_deadline, half_a_head_then_silence)
{
    int fd = dial();
    say(fd, "GET /echo/ HTTP/1.1\r\nHost:");
    (void)hear_until(fd, answer, sizeof answer, NULL);
    cr_assert(begins(answer, "HTTP/1.1 408 "), "%s", answer);
    close(fd);
}

/* The deadline is one for the whole head: a byte now and then does not move it. */
Test(front_deadline, a_dripping_head_is_cut_off)
{
    int fd = dial();
    char c = 'a';
    say(fd, "GET /echo/");
    for (int i = 0; i < FRONT_TEST_WAIT_MS / 20; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 20) > 0) {
            break;
        }
        say_bytes(fd, (struct bytes){.ptr = &c, .len = 1});
    }
    (void)hear_until(fd, answer, sizeof answer, "too long");
    cr_assert(begins(answer, "HTTP/1.1 408 "), "%s", answer);
    close(fd);
}

Test(front_deadline, a_dripping_body_is_cut_off)
{
    int fd = dial();
    char c = 'a';
    say(fd, "PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < FRONT_TEST_WAIT_MS / 20; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 20) > 0) {
            break;
        }
        say_bytes(fd, (struct bytes){.ptr = &c, .len = 1});
    }
    (void)hear_until(fd, answer, sizeof answer, "too long");
    cr_assert(begins(answer, "HTTP/1.1 408 "), "%s", answer);
    close(fd);
}

Test(front_deadline, silence_from_the_start_and_between_requests)
{
    int fd = dial();
    cr_assert(hear_end(fd));
    close(fd);
    fd = dial();
    say(fd, "GET /echo/x HTTP/1.1\r\nHost: h\r\n\r\n");
    hear_answer(fd, answer, sizeof answer);
    HAS("rest=x");
    cr_assert_eq(hear_until(fd, answer, sizeof answer, NULL), 0);
    close(fd);
}

/* Nobody reads the answer: the front does not keep it for ever. */
Test(front_deadline, a_reader_that_stalls_is_let_go)
{
    int fd = dial();
    say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    EVENTUALLY(front_connections(world.front) == 1);
    EVENTUALLY(front_connections(world.front) == 0);
    close(fd);
}

/* A parked request has no deadline of the front's. */
Test(front_deadline, a_parked_request_may_wait)
{
    int fd = dial();
    int other = dial();
    say(fd, "GET /park HTTP/1.1\r\nHost: h\r\n\r\n");
    EVENTUALLY(atomic_load(&world.parked_count) == 1);
    cr_assert(hear_end(other), "the silent one is closed, and some more time has passed");
    close(other);
    (void)ask("POST /wake HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nup");
    hear_answer(fd, answer, sizeof answer);
    HAS("\r\n\r\nup");
    close(fd);
}

/* --- limits and listeners ----------------------------------------------------------------------
 */

Test(front_options, a_client_has_so_many_connections)
{
    struct front_limits limits = {.connections_per_client = 3};
    int fds[3];
    world_open(&limits, NULL);
    for (int i = 0; i < 3; i++) {
        fds[i] = dial();
    }
    EVENTUALLY(front_connections(world.front) == 3);
    int fd = dial();
    (void)hear_until(fd, answer, sizeof answer, NULL);
    cr_assert(begins(answer, "HTTP/1.1 429 "), "%s", answer);
    HAS("Your IP is issuing too many concurrent connections, please rate limit your calls");
    close(fd);
    close(fds[0]);
    EVENTUALLY(front_connections(world.front) == 2);
    (void)ask("GET /echo/x HTTP/1.1\r\nHost: h\r\n\r\n");
    HAS("rest=x");
    close(fds[1]);
    close(fds[2]);
    world_close();
}

Test(front_options, a_unix_socket_answers_with_its_mode)
{
    char folder[] = "/tmp/herald-front-XXXXXX";
    char address[100];
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(address, sizeof address, "unix://%s/http.sock", folder);
    const char *path = address + 7;
    /* The second time over what the first one could have left behind. */
    for (int i = 0; i < 2; i++) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        (void)snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
        if (i == 1) {
            int left = socket(AF_UNIX, SOCK_STREAM, 0);
            cr_assert_eq(bind(left, (struct sockaddr *)&to, sizeof to), 0);
            close(left);
        }
        world_open(NULL, address);
        struct stat st;
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode & 0777, 0600);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        say(fd, "GET /echo/x HTTP/1.1\r\nHost: h\r\n\r\n");
        hear_answer(fd, answer, sizeof answer);
        HAS("rest=x");
        close(fd);
        world_close();
        cr_assert_neq(stat(path, &st), 0, "the path goes with the front");
    }
    rmdir(folder);
}

Test(front_options, a_taken_port_is_said)
{
    world_open(NULL, NULL);
    struct loop *loop = loop_new("second");
    struct front *second = NULL;
    struct reason why = {{0}};
    struct front_listen at = {.address = "127.0.0.1", .port = world.port};
    struct front_options options = {.loop = loop, .listen = &at, .listen_count = 1};
    cr_assert_eq(front_new(&options, &second, &why), ERR_IN_USE);
    cr_assert(strstr(why.text, "127.0.0.1 port") != NULL, "%s", why.text);
    at.address = "not an address";
    cr_assert_eq(front_new(&options, &second, &why), ERR_INVALID);
    /* The process's other fronts share it. */
    at.address = "127.0.0.1";
    options.number = 1;
    cr_assert_eq(front_new(&options, &second, &why), OK, "%s", why.text);
    front_free(second);
    loop_free(loop);
    world_close();
}

/* Out of descriptors: who comes then is told, and the listener goes on afterwards. */
Test(front_options, no_descriptor_left)
{
    struct rlimit before;
    struct rlimit low;
    world_open(NULL, NULL);
    (void)ask("GET /echo/x HTTP/1.1\r\nHost: h\r\n\r\n");
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)fd + 1;
    EVENTUALLY(front_connections(world.front) == 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(world.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    /* What the answered connection left free is filled. */
    int filler[64];
    int fillers = 0;
    while (fillers < 64 && (filler[fillers] = dup(fd)) >= 0) {
        fillers++;
    }
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)hear_until(fd, answer, sizeof answer, NULL);
    cr_assert(begins(answer, "HTTP/1.1 503 "), "%s", answer);
    for (int i = 0; i < fillers; i++) {
        close(filler[i]);
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(fd);
    (void)ask("GET /echo/y HTTP/1.1\r\nHost: h\r\n\r\n");
    HAS("rest=y");
    world_close();
}

/* --- the end -----------------------------------------------------------------------------------
 */

struct drain_mail {
    struct mail mail;
    uint64_t timeout_ms;
};

static void drain_done(struct front *f)
{
    (void)f;
    atomic_store(&world.drained, true);
}

static void drain_begin(struct mail *m)
{
    front_stop_accepting(world.front);
    front_drain(world.front, LIST_OWNER(m, struct drain_mail, mail)->timeout_ms, drain_done);
}

/* Idle ones go at once, the one at work gets its answer, and the last one. */
Test(front_options, draining_lets_answers_finish)
{
    struct drain_mail drain = {.mail.deliver = drain_begin, .timeout_ms = FRONT_TEST_WAIT_MS};
    world_open(NULL, NULL);
    int idle = dial();
    int parked = dial();
    int waker = dial();
    say(parked, "GET /park HTTP/1.1\r\nHost: h\r\n\r\n");
    say(waker, "POST /wake HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n");
    EVENTUALLY(atomic_load(&world.parked_count) == 1);
    EVENTUALLY(front_connections(world.front) == 3);
    mailbox_post(loop_mailbox(world.loop), &drain.mail);
    cr_assert(hear_end(idle));
    say(waker, "up");
    hear_answer(parked, answer, sizeof answer);
    HAS("\r\nConnection: close\r\n");
    HAS("\r\n\r\nup");
    cr_assert(hear_end(parked));
    cr_assert(hear_end(waker));
    close(idle);
    close(parked);
    close(waker);
    EVENTUALLY(atomic_load(&world.drained));
    cr_assert_eq(atomic_load(&world.cancelled), 0);
    world_close();
}

Test(front_options, draining_ends_in_time)
{
    struct drain_mail drain = {.mail.deliver = drain_begin, .timeout_ms = 50};
    world_open(NULL, NULL);
    int parked = dial();
    say(parked, "GET /park HTTP/1.1\r\nHost: h\r\n\r\n");
    EVENTUALLY(atomic_load(&world.parked_count) == 1);
    mailbox_post(loop_mailbox(world.loop), &drain.mail);
    EVENTUALLY(atomic_load(&world.drained));
    cr_assert_eq(atomic_load(&world.cancelled), 1);
    cr_assert(hear_end(parked));
    close(parked);
    world_close();
}

/* Whatever is open when the front goes: nothing leaks (the sanitizer says). */
Test(front_options, freeing_with_everything_open)
{
    world_open(NULL, NULL);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = dial();
    }
    say(fds[0], "GET /park HTTP/1.1\r\nHost: h\r\n\r\nGET /echo/x HTTP/1.1\r\n");
    say(fds[1], "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    say(fds[2], "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    say(fds[3], "PUT /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    EVENTUALLY(atomic_load(&world.parked_count) == 1 && atomic_load(&world.stream_count) == 1);
    world_close();
    cr_assert_eq(atomic_load(&world.cancelled), 2);
    for (int i = 0; i < 5; i++) {
        close(fds[i]);
    }
}

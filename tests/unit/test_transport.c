#include "core/base/log.h"
#include "core/base/metric.h"
#include "transport_world.h"

static struct node a;
static struct node b;
static struct node c;

static void setup(void)
{
    fds_before = fds_open();
}

/* Nothing is left behind, whatever a test did. */
static void teardown(void)
{
    cr_assert_eq(fds_open(), fds_before, "descriptors are left");
}

TestSuite(transport, .init = setup, .fini = teardown);

/* --- messages ----------------------------------------------------------------------------------
 */

/* Many small ones and a few of the largest size, on both channels, both ways, each once, in order.
 */
Test(transport, messages_arrive_in_order_both_ways)
{
    node_open(&a, 1, NULL);
    node_open(&b, 2, NULL);
    pair_start(&a, &b);
    struct node_call small = {.count = 5000, .len_min = MESSAGE_HEAD, .len_max = 300};
    struct node_call large = {.count = 4, .len_min = RPC_MESSAGE_MAX, .len_max = RPC_MESSAGE_MAX};
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned channel = 0; channel < 2; channel++) {
            small.channel = large.channel = channel;
            small.peer = large.peer = 2;
            cr_assert_eq(node_send(&a, small), OK);
            cr_assert_eq(node_send(&a, large), OK);
            small.peer = large.peer = 1;
            cr_assert_eq(node_send(&b, large), OK);
            cr_assert_eq(node_send(&b, small), OK);
        }
    }
    wait_for(&a.received, 3 * 2 * 5004);
    wait_for(&b.received, 3 * 2 * 5004);
    uint64_t sent = node_do(&a, do_sent_bytes, (struct node_call){0}).number;
    cr_assert_geq(sent, 24 * (RPC_MESSAGE_MAX + FRAME_HEAD_LEN));
    cr_assert_eq(node_do(&b, do_received_bytes, (struct node_call){0}).number, sent);
    cr_assert_eq(look(&a.downs[2]) + look(&b.downs[1]), 0);
    node_close(&a);
    node_close(&b);
}

/* Three on one loop, each with each. */
Test(transport, several_live_on_one_loop)
{
    struct loop *loop = loop_new("shared");
    struct node *nodes[] = {&a, &b, &c};
    for (uint64_t i = 0; i < 3; i++) {
        node_open(nodes[i], i + 1, loop);
    }
    for (int i = 0; i < 9; i++) {
        if (i / 3 != i % 3) {
            cr_assert_eq(node_set_peer(nodes[i / 3], i % 3 + 1, nodes[i % 3]->port), OK);
        }
    }
    for (int i = 0; i < 3; i++) {
        node_start(nodes[i]);
    }
    loop_start(loop);
    for (int i = 0; i < 9; i++) {
        if (i / 3 != i % 3) {
            wait_for(&nodes[i / 3]->ups[i % 3 + 1], 1);
            struct node_call what = {.peer = i % 3 + 1, .count = 1000, .len_min = 100};
            what.len_max = 2000;
            cr_assert_eq(node_send(nodes[i / 3], what), OK);
        }
    }
    for (int i = 0; i < 3; i++) {
        wait_for(&nodes[i]->received, 2000);
    }
    for (int i = 0; i < 3; i++) {
        node_close(nodes[i]);
    }
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
}

Test(transport, ipv6_works_as_well)
{
    char address[32];
    node_open_at(&a, 1, NULL, "::1", 0);
    node_open(&b, 2, NULL);
    (void)snprintf(address, sizeof address, "[::1]:%u", a.port);
    struct node_call call = {.peer = 1, .address = address};
    cr_assert_eq(node_do(&b, do_set_peer, call).err, OK);
    cr_assert_eq(node_set_peer(&a, 2, b.port), OK);
    node_start(&a);
    node_start(&b);
    wait_for(&b.ups[1], 1);
    call = (struct node_call){.peer = 1, .count = 10, .len_min = 20, .len_max = 20};
    cr_assert_eq(node_send(&b, call), OK);
    wait_for(&a.received, 10);
    node_close(&a);
    node_close(&b);
}

/* --- connections that come and go --------------------------------------------------------------
 */

/* A peer that restarts is found again, and the user is told that something may be missing. */
Test(transport, peer_that_restarts_is_found_again)
{
    node_open(&a, 1, NULL);
    node_open(&b, 2, NULL);
    pair_start(&a, &b);
    struct node_call what = {.peer = 2, .count = 100, .len_min = 9, .len_max = 90};
    uint16_t port = b.port;
    for (unsigned round = 1; round <= 3; round++) {
        cr_assert_eq(node_send(&a, what), OK);
        wait_for(&b.received, 100);
        node_close(&b);
        wait_for(&a.downs[2], round);
        cr_assert_eq(node_send(&a, what), ERR_BUSY);
        node_open_at(&b, 2, NULL, "127.0.0.1", port);
        cr_assert_eq(node_set_peer(&b, 1, a.port), OK);
        node_start(&b);
        wait_for(&a.ups[2], round + 1);
    }
    cr_assert_eq(node_send(&a, what), OK);
    wait_for(&b.received, 100);
    node_close(&a);
    node_close(&b);
}

/* The same id at another address: what was dialled is broken, and dialled there. */
Test(transport, another_address_is_dialled_instead)
{
    node_open(&a, 1, NULL);
    node_open(&b, 2, NULL);
    node_open(&c, 2, NULL);
    cr_assert_eq(node_set_peer(&c, 1, a.port), OK);
    pair_start(&a, &b);
    (void)node_do(&b, do_drop_peer, (struct node_call){.peer = 1});
    wait_for(&a.downs[2], 1);
    node_start(&c);
    cr_assert_eq(node_set_peer(&a, 2, c.port), OK);
    wait_for(&c.ups[1], 1);
    struct node_call what = {.peer = 2, .count = 1, .len_min = 50, .len_max = 50};
    node_send_when_up(&a, what);
    /* The same again changes nothing. */
    unsigned downs = look(&a.downs[2]);
    cr_assert_eq(node_set_peer(&a, 2, c.port), OK);
    cr_assert_eq(node_send(&a, what), OK);
    wait_for(&c.received, 2);
    cr_assert_eq(look(&a.downs[2]), downs);
    cr_assert_eq(look(&b.received), 0);
    node_close(&a);
    node_close(&b);
    node_close(&c);
}

/* Who is dropped is not sent to, and not listened to. */
Test(transport, dropped_peer_is_a_stranger)
{
    node_open(&a, 1, NULL);
    node_open(&b, 2, NULL);
    pair_start(&a, &b);
    (void)node_do(&a, do_drop_peer, (struct node_call){.peer = 2});
    struct node_call what = {.peer = 2, .count = 1, .len_min = 50, .len_max = 50};
    cr_assert_eq(node_send(&a, what), ERR_NOT_FOUND);
    wait_for(&b.downs[1], 1);
    /* It dials again, and is refused again. */
    wait_for(&b.downs[1], 2);
    cr_assert_eq(look(&a.downs[2]), 0, "nothing is said of who was dropped");
    node_close(&a);
    node_close(&b);
}

/* The message at hand stays readable when its sender is dropped while it is read. */
Test(transport, peer_may_be_dropped_from_inside_a_callback)
{
    node_open(&a, 1, NULL);
    node_open(&b, 2, NULL);
    b.drop_on_receive = 1;
    pair_start(&a, &b);
    struct node_call what = {.peer = 2, .count = 100, .len_min = 50, .len_max = 500};
    cr_assert_eq(node_send(&a, what), OK);
    wait_for(&a.downs[2], 1);
    node_close(&a);
    node_close(&b);
    cr_assert_eq(b.received, 1);
}

/* Different clusters do not speak; 0 speaks to all. */
Test(transport, other_cluster_is_refused)
{
    node_open(&a, 1, NULL);
    node_open(&b, 2, NULL);
    (void)node_do(&a, do_set_cluster, (struct node_call){.number = 7});
    pair_start(&a, &b);
    struct node_call what = {.peer = 2, .count = 1, .len_min = 50, .len_max = 50};
    cr_assert_eq(node_send(&a, what), OK);
    wait_for(&b.received, 1);
    (void)node_do(&b, do_set_cluster, (struct node_call){.number = 8});
    unsigned downs_of_a = look(&a.downs[2]);
    unsigned downs_of_b = look(&b.downs[1]);
    wait_for(&a.downs[2], downs_of_a + 2);
    wait_for(&b.downs[1], downs_of_b + 2);
    cr_assert_eq(look(&a.received), 0);
    (void)node_do(&b, do_set_cluster, (struct node_call){.number = 7});
    what.peer = 1;
    node_send_when_up(&b, what);
    wait_for(&a.received, 1);
    node_close(&a);
    node_close(&b);
}

/* --- limits ------------------------------------------------------------------------------------
 */

/* A peer that takes nothing costs TRANSPORT_PENDING_MAX, no more; closing with all that in flight
 * leaves nothing behind. */
Test(transport, full_queue_is_busy_and_can_be_closed)
{
    node_open(&a, 1, NULL);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(listener, 4), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    cr_assert_eq(node_set_peer(&a, 2, ntohs(at.sin_port)), OK);
    struct node_call what = {
        .peer = 2, .count = 1000, .len_min = MIB(1), .len_max = RPC_MESSAGE_MAX};
    cr_assert_eq(node_send(&a, what), ERR_BUSY, "not connected yet");
    node_start(&a);
    wait_for(&a.ups[2], 1);
    cr_assert_eq(node_send(&a, what), ERR_BUSY);
    uint64_t pending = node_do(&a, do_pending, (struct node_call){.peer = 2}).number;
    cr_assert_leq(pending, TRANSPORT_PENDING_MAX);
    cr_assert_geq(pending, TRANSPORT_PENDING_MAX / 2);
    what.channel = TRANSPORT_BULK;
    what.count = 1;
    (void)node_send(&a, what);
    node_close(&a);
    (void)close(listener);
}

static void in_flight(struct node *first, struct node *second)
{
    struct node_call what = {.count = 20, .len_min = MIB(1), .len_max = RPC_MESSAGE_MAX};
    node_open(first, 1, NULL);
    node_open(second, 2, NULL);
    pair_start(first, second);
    for (unsigned channel = 0; channel < 2; channel++) {
        what.channel = channel;
        what.peer = 2;
        (void)node_send(first, what);
        what.peer = 1;
        (void)node_send(second, what);
    }
    node_close(first);
    node_close(second);
}

/* Whatever was on its way when both ended. */
Test(transport, closing_with_everything_in_flight_leaves_nothing)
{
    for (unsigned round = 0; round < 5; round++) {
        in_flight(&a, &b);
    }
}

Test(transport, addresses_are_parsed_strictly)
{
    static const char *const BAD[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        ":8300",
        "host:8300",
        "::1:8300",
        "[127.0.0.1]:8300",
        "[::1]",
        "[::1:8300",
        "[]:8300",
        "127.0.0.1:8300x",
        "127.0.0.1:-1",
        "127.0.0.1 :80",
        "11111111111111111111111111111111111111111111111111111111111111111111111111111111111:1",
    };
    node_open(&a, 1, NULL);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct node_call call = {.peer = 2, .address = BAD[i]};
        cr_assert_eq(node_do(&a, do_set_peer, call).err, ERR_INVALID, "%s", BAD[i]);
    }
    cr_assert_eq(node_set_peer(&a, 1, 8300), ERR_INVALID, "our own id");
    cr_assert_eq(node_set_peer(&a, 0, 8300), ERR_INVALID, "no id");
    struct reason why = {{0}};
    struct transport *other = NULL;
    struct transport_options options = {
        .loop = a.loop, .id = 9, .listen_address = "127.0.0.1", .listen_port = a.port};
    cr_assert_eq(transport_open(&options, &other, &why), ERR_IN_USE);
    options.listen_address = "nowhere";
    cr_assert_eq(transport_open(&options, &other, &why), ERR_INVALID);
    node_close(&a);
}

/* --- whoever else may call ---------------------------------------------------------------------
 */

static unsigned refused_lines;

static void on_line(struct log_tap *tap, struct bytes line)
{
    (void)tap;
    char text[LOG_LINE_MAX + 1];
    (void)snprintf(text, sizeof text, "%.*s", BYTES_FORMAT(line));
    if (strstr(text, "refused") != NULL) {
        (void)pthread_mutex_lock(&lock);
        refused_lines++;
        (void)pthread_mutex_unlock(&lock);
    }
}

/* Node 1 of cluster 7 knows a node 2, where nobody listens. */
static void hostile_start(void)
{
    node_open(&a, 1, NULL);
    (void)node_do(&a, do_set_cluster, (struct node_call){.number = 7});
    cr_assert_eq(node_set_peer(&a, 2, 1), OK);
    node_start(&a);
}

static const struct hello GOOD = {.cluster = 7, .sender = 2, .receiver = 1};

/* Each is closed; one line in the log for all of them, for they come from one address. */
Test(transport, wrong_hellos_are_refused_with_one_line)
{
    struct log_tap tap = {.level = LOG_WARN, .line = on_line};
    char data[HELLO_LEN];
    hostile_start();
    log_tap_open(&tap);
    static const struct hello BAD[] = {
        {.cluster = 8, .sender = 2, .receiver = 1}, {.cluster = 7, .sender = 2, .receiver = 3},
        {.cluster = 7, .sender = 3, .receiver = 1}, {.cluster = 0, .sender = 0, .receiver = 1},
        {.cluster = 7, .sender = 1, .receiver = 1},
    };
    uint64_t refused = metric_value(METRIC_PEER_REFUSED);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        int fd = raw_dial(a.port);
        raw_say_hello(fd, BAD[i]);
        raw_say_frame(fd, i);
        raw_ended(fd, "wrong hello");
    }
    for (size_t i = 0; i < HELLO_LEN; i++) {
        hello_encode(&GOOD, data);
        data[i] = (char)(data[i] ^ 4);
        int fd = raw_dial(a.port);
        raw_say(fd, data, sizeof data);
        raw_ended(fd, "flipped hello");
    }
    int fd = raw_dial(a.port);
    raw_say(fd, "GET / HTTP/1.1\r\nHost: example\r\nUser-Agent: it\r\n\r\n", 50);
    raw_ended(fd, "HTTP");
    log_tap_close(&tap);
    cr_assert_eq(look(&refused_lines), 1);
    cr_assert_eq(metric_value(METRIC_PEER_REFUSED) - refused, 5 + HELLO_LEN + 1);
    cr_assert_eq(look(&a.received), 0);
    node_close(&a);
}

/* What came before a bad frame arrived; what comes behind it is not looked at. */
Test(transport, bad_frames_end_the_connection)
{
    hostile_start();
    static const char *const BAD[] = {
        "\377\377\377\377\0\0\0\0abcd",
        "\1\0\x20\0\0\0\0\0abcd",
        "\0\0\0\0\0\0\0\0abcd",
        "\4\0\0\0\1\2\3\4abcd",
    };
    for (unsigned i = 0; i < 4; i++) {
        int fd = raw_dial(a.port);
        raw_say_hello(fd, GOOD);
        raw_say_frame(fd, 10UL * i);
        raw_say_frame(fd, 10UL * i + 1);
        raw_say(fd, BAD[i], 12);
        raw_say_frame(fd, 10UL * i + 2);
        raw_ended(fd, "bad frame");
        wait_for(&a.received, 2 * (i + 1));
    }
    cr_assert_eq(look(&a.received), 8);
    node_close(&a);
}

/* Bytes may come one by one. */
Test(transport, pieces_of_any_size_make_frames)
{
    char data[HELLO_LEN + 2 * (FRAME_HEAD_LEN + 20)];
    hostile_start();
    hello_encode(&GOOD, data);
    for (unsigned i = 0; i < 2; i++) {
        char *at = data + HELLO_LEN + i * (FRAME_HEAD_LEN + 20);
        message_fill(at + FRAME_HEAD_LEN, 20, i, 0);
        frame_head((struct bytes){at + FRAME_HEAD_LEN, 20}, at);
    }
    int on = 1;
    int fd = raw_dial(a.port);
    (void)setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    for (size_t i = 0; i < sizeof data; i++) {
        raw_say(fd, data + i, 1);
    }
    wait_for(&a.received, 2);
    (void)close(fd);
    node_close(&a);
}

/* The sender that dials anew has given up its older connection; the other channel stays. */
Test(transport, newer_connection_replaces_the_older)
{
    hostile_start();
    int bulk = raw_dial(a.port);
    raw_say_hello(bulk, (struct hello){.channel = 1, .cluster = 7, .sender = 2, .receiver = 1});
    int older = raw_dial(a.port);
    raw_say_hello(older, GOOD);
    raw_say_frame(older, 1);
    wait_for(&a.received, 1);
    int newer = raw_dial(a.port);
    raw_say_hello(newer, GOOD);
    raw_ended(older, "older connection");
    raw_say_frame(newer, 2);
    wait_for(&a.received, 2);
    raw_say_frame(bulk, 3);
    wait_for(&a.received, 3);
    (void)close(newer);
    (void)close(bulk);
    node_close(&a);
}

/* A hello that never ends is given its time, and no more. */
Test(transport, slow_hello_is_refused)
{
    hostile_start();
    int silent = raw_dial(a.port);
    int slow = raw_dial(a.port);
    raw_say(slow, "HRLD", 4);
    raw_ended(silent, "silent");
    raw_ended(slow, "slow");
    node_close(&a);
}

/* Idle strangers take all places: the oldest of them makes room, so peers still get in. */
Test(transport, idle_strangers_keep_nobody_out)
{
    int fds[TRANSPORT_CONNECTIONS_MAX + 10];
    hostile_start();
    for (unsigned i = 0; i < TRANSPORT_CONNECTIONS_MAX + 10; i++) {
        fds[i] = raw_dial(a.port);
    }
    for (unsigned i = 0; i < 10; i++) {
        raw_ended(fds[i], "one too many");
    }
    int fd = raw_dial(a.port);
    raw_say_hello(fd, GOOD);
    raw_say_frame(fd, 1);
    wait_for(&a.received, 1);
    raw_ended(fds[10], "one too many");
    (void)close(fd);
    for (unsigned i = 11; i < TRANSPORT_CONNECTIONS_MAX + 10; i++) {
        (void)close(fds[i]);
    }
    node_close(&a);
}

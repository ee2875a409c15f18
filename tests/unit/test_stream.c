#include <criterion/criterion.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/limits.h"
#include "proxy/stream.h"

/* A stream on one end of a pair of sockets, the test on the other. */
struct pair {
    struct event_base *base;
    struct stream *stream;
    int fd; /* non-blocking */
    unsigned n_connected, n_data, n_drained, n_closed;
    bool free_at_data, free_at_closed;
};

static void on_stream(void *context, struct stream *stream, enum stream_event event)
{
    struct pair *pair = context;
    switch (event) {
    case STREAM_CONNECTED:
        pair->n_connected++;
        break;
    case STREAM_DATA:
        pair->n_data++;
        if (pair->free_at_data) {
            stream_free(stream);
            pair->stream = NULL;
        }
        break;
    case STREAM_DRAINED:
        pair->n_drained++;
        break;
    case STREAM_CLOSED:
        pair->n_closed++;
        if (pair->free_at_closed) {
            stream_free_flushed(stream);
            pair->stream = NULL;
        }
        break;
    }
}

static struct pair make_pair(void)
{
    struct pair pair = {.base = event_base_new()};
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    pair.fd = fds[1];
    pair.stream = stream_accept(pair.base, fds[0], on_stream, NULL);
    cr_assert_not_null(pair.stream);
    return pair;
}

/* The same over TCP, where a reset can lose what was sent. */
static struct pair make_tcp_pair(void)
{
    struct pair pair = {.base = event_base_new()};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pair.fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(pair.fd, (struct sockaddr *)&address, sizeof address), 0);
    fcntl(pair.fd, F_SETFL, O_NONBLOCK);
    pair.stream = stream_accept(pair.base, accept(listener, NULL, NULL), on_stream, NULL);
    cr_assert_not_null(pair.stream);
    close(listener);
    return pair;
}

static void turn(struct pair *pair)
{
    for (int i = 0; i < 8; i++)
        event_base_loop(pair->base, EVLOOP_NONBLOCK);
}

static void end(struct pair *pair)
{
    if (pair->fd >= 0)
        close(pair->fd);
    stream_free(pair->stream);
    turn(pair);
    event_base_free(pair->base);
}

static size_t unread(struct pair *pair)
{
    return evbuffer_get_length(stream_input(pair->stream));
}

Test(stream, bytes_arrive_in_the_input)
{
    struct pair pair = make_pair();
    stream_set_callback(pair.stream, on_stream, &pair);
    cr_assert_eq(write(pair.fd, "hello", 5), 5);
    turn(&pair);
    cr_expect_eq(pair.n_data, 1);
    cr_expect_eq(unread(&pair), 5);
    cr_expect_str_eq(stream_peer(pair.stream), "unix");
    cr_expect(!stream_is_tls(pair.stream));
    end(&pair);
}

Test(stream, a_paused_stream_is_silent_and_a_resumed_one_tells_what_it_holds)
{
    struct pair pair = make_pair();
    stream_set_callback(pair.stream, on_stream, &pair);
    cr_assert_eq(write(pair.fd, "abc", 3), 3);
    turn(&pair);
    stream_pause(pair.stream);
    cr_assert_eq(write(pair.fd, "def", 3), 3);
    turn(&pair);
    cr_expect_eq(pair.n_data, 1);
    cr_expect_eq(unread(&pair), 3);
    stream_resume(pair.stream);
    cr_expect_eq(pair.n_data, 1, "not from inside the call");
    turn(&pair);
    cr_expect_geq(pair.n_data, 2);
    cr_expect_eq(unread(&pair), 6);
    /* Nothing unread, nothing to tell. */
    evbuffer_drain(stream_input(pair.stream), 6);
    pair.n_data = 0;
    stream_pause(pair.stream);
    stream_resume(pair.stream);
    turn(&pair);
    cr_expect_eq(pair.n_data, 0);
    end(&pair);
}

Test(stream, a_new_owner_is_told_of_unread_input)
{
    struct pair pair = make_pair(), other = {0};
    stream_set_callback(pair.stream, on_stream, &pair);
    cr_assert_eq(write(pair.fd, "abc", 3), 3);
    turn(&pair);
    stream_set_callback(pair.stream, on_stream, &other);
    turn(&pair);
    cr_expect_eq(pair.n_data, 1);
    cr_expect_eq(other.n_data, 1);
    end(&pair);
}

Test(stream, a_slow_reader_makes_congestion_and_then_relief)
{
    struct pair pair = make_pair();
    static char block[1 << 16];
    char got[1 << 16];
    stream_set_callback(pair.stream, on_stream, &pair);
    for (int i = 0; i < 16; i++)
        evbuffer_add(stream_output(pair.stream), block, sizeof block);
    turn(&pair);
    pair.n_drained = 0;
    cr_expect(stream_is_congested(pair.stream));
    size_t total = 0;
    for (int i = 0; i < 1000 && total < 16 * sizeof block; i++) {
        ssize_t here = read(pair.fd, got, sizeof got);
        total += here > 0 ? (size_t)here : 0;
        turn(&pair);
    }
    cr_expect_eq(total, 16 * sizeof block);
    cr_expect(!stream_is_congested(pair.stream));
    cr_expect_gt(pair.n_drained, 0);
    end(&pair);
}

Test(stream, unread_input_is_bounded)
{
    struct pair pair = make_pair();
    static char block[1 << 16];
    size_t sent = 0;
    stream_set_callback(pair.stream, on_stream, &pair);
    stream_limit_input(pair.stream, 10000);
    for (int i = 0; i < 100; i++) {
        ssize_t here = write(pair.fd, block, sizeof block);
        sent += here > 0 ? (size_t)here : 0;
        turn(&pair);
    }
    cr_expect_geq(unread(&pair), 10000);
    cr_expect_leq(unread(&pair), 10000 + LIMIT_READ_ONCE_BYTES);
    cr_expect_lt(pair.n_data, 10, "a full stream does not call for ever");
    size_t got = 0;
    for (int i = 0; i < 1000 && got < sent; i++) {
        got += unread(&pair);
        evbuffer_drain(stream_input(pair.stream), unread(&pair));
        turn(&pair);
        cr_expect_leq(unread(&pair), 10000 + LIMIT_READ_ONCE_BYTES);
    }
    cr_expect_eq(got, sent);
    end(&pair);
}

Test(stream, a_stream_may_be_freed_within_its_callback)
{
    struct pair pair = make_pair();
    stream_set_callback(pair.stream, on_stream, &pair);
    pair.free_at_data = true;
    cr_assert_eq(write(pair.fd, "x", 1), 1);
    turn(&pair);
    cr_expect_eq(pair.n_data, 1);
    char byte;
    cr_expect_eq(read(pair.fd, &byte, 1), 0, "closed");
    end(&pair);
}

Test(stream, what_came_before_the_end_is_still_there)
{
    struct pair pair = make_pair();
    stream_set_callback(pair.stream, on_stream, &pair);
    cr_assert_eq(write(pair.fd, "last words", 10), 10);
    shutdown(pair.fd, SHUT_WR);
    turn(&pair);
    cr_expect_eq(pair.n_closed, 1);
    cr_expect_eq(unread(&pair), 10);
    /* The other half is open. */
    evbuffer_add(stream_output(pair.stream), "answer", 6);
    turn(&pair);
    char got[16];
    cr_expect_eq(read(pair.fd, got, sizeof got), 6);
    end(&pair);
}

Test(stream, last_words_are_sent_whole)
{
    struct pair pair = make_tcp_pair();
    static char block[1 << 20];
    char got[1 << 16];
    stream_set_callback(pair.stream, on_stream, &pair);
    /* Unread input: closing now would reset the connection. */
    cr_assert_eq(write(pair.fd, "unread", 6), 6);
    evbuffer_add(stream_output(pair.stream), block, sizeof block);
    stream_free_flushed(pair.stream);
    pair.stream = NULL;
    cr_assert_eq(write(pair.fd, "more", 4), 4);
    size_t total = 0;
    bool ended = false;
    for (int i = 0; i < 10000 && !ended; i++) {
        turn(&pair);
        ssize_t here = read(pair.fd, got, sizeof got);
        cr_assert(here >= 0 || errno == EAGAIN, "%s", strerror(errno));
        total += here > 0 ? (size_t)here : 0;
        ended = here == 0;
        if (here < 0)
            usleep(100);
    }
    cr_expect(ended);
    cr_expect_eq(total, sizeof block);
    end(&pair);
}

Test(stream, one_who_goes_on_talking_after_the_last_words_is_dropped)
{
    struct pair pair = make_pair();
    stream_set_callback(pair.stream, on_stream, &pair);
    evbuffer_add(stream_output(pair.stream), "bye", 3);
    stream_free_flushed(pair.stream);
    pair.stream = NULL;
    char got[8];
    bool dropped = false;
    for (int i = 0; i < 300 * LIMIT_LINGER_SECONDS && !dropped; i++) {
        turn(&pair);
        dropped = send(pair.fd, "x", 1, MSG_NOSIGNAL) < 0;
        usleep(10000);
    }
    cr_expect(dropped);
    cr_expect_eq(read(pair.fd, got, sizeof got), 3);
    end(&pair);
}

Test(stream, last_words_to_one_who_has_hung_up_end_too)
{
    struct pair pair = make_pair();
    stream_set_callback(pair.stream, on_stream, &pair);
    pair.free_at_closed = true;
    shutdown(pair.fd, SHUT_WR);
    turn(&pair);
    cr_expect_eq(pair.n_closed, 1);
    char byte;
    cr_expect_eq(read(pair.fd, &byte, 1), 0);
    end(&pair);
}

static bool eventually(struct pair *pair, const unsigned *counter)
{
    for (int i = 0; i < 200 && *counter == 0; i++) {
        event_base_loop(pair->base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    return *counter > 0;
}

Test(stream, a_missing_server_is_reported_later)
{
    struct pair pair = {.base = event_base_new(), .fd = -1};
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    pair.stream = stream_connect(pair.base, (const struct sockaddr *)&address, sizeof address,
                                 on_stream, &pair);
    cr_assert_not_null(pair.stream);
    cr_expect_eq(pair.n_closed, 0);
    cr_expect(eventually(&pair, &pair.n_closed));
    cr_expect_eq(unread(&pair), 0);
    end(&pair);
}

Test(stream, an_address_that_is_none_is_refused)
{
    struct pair pair = {.base = event_base_new(), .fd = -1};
    struct sockaddr_storage address[2] = {{.ss_family = AF_UNIX}};
    cr_expect_null(stream_connect(pair.base, (struct sockaddr *)address, 1, on_stream, &pair));
    cr_expect_null(
        stream_connect(pair.base, (struct sockaddr *)address, sizeof address, on_stream, &pair));
    end(&pair);
}

/* A listening socket on the machine itself; its address. */
static int listen_tcp(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(listener, (struct sockaddr *)address, sizeof *address), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)address, &length), 0);
    return listener;
}

Test(stream, a_server_is_reached_over_tcp)
{
    struct pair pair = {.base = event_base_new(), .fd = -1};
    struct sockaddr_in address;
    int listener = listen_tcp(&address);
    cr_assert_eq(listen(listener, 4), 0);
    pair.stream =
        stream_connect(pair.base, (struct sockaddr *)&address, sizeof address, on_stream, &pair);
    evbuffer_add(stream_output(pair.stream), "early", 5);
    cr_expect(eventually(&pair, &pair.n_connected));
    pair.fd = accept(listener, NULL, NULL);
    char got[8] = "";
    for (int i = 0; i < 200 && got[0] == '\0'; i++) {
        event_base_loop(pair.base, EVLOOP_NONBLOCK);
        (void)!recv(pair.fd, got, 5, MSG_DONTWAIT);
        usleep(1000);
    }
    cr_expect_str_eq(got, "early");
    cr_expect_eq(send(pair.fd, "late", 4, 0), 4);
    cr_expect(eventually(&pair, &pair.n_data));
    cr_expect_eq(unread(&pair), 4);
    close(listener);
    end(&pair);
}

Test(stream, a_refused_tcp_connection_is_reported_later)
{
    struct pair pair = {.base = event_base_new(), .fd = -1};
    struct sockaddr_in address;
    int listener = listen_tcp(&address); /* bound, and nobody listens */
    pair.stream =
        stream_connect(pair.base, (struct sockaddr *)&address, sizeof address, on_stream, &pair);
    cr_assert_not_null(pair.stream);
    cr_expect_eq(pair.n_closed, 0);
    cr_expect(eventually(&pair, &pair.n_closed));
    close(listener);
    end(&pair);
}

Test(stream, a_busy_server_is_tried_again)
{
    struct pair pair = {.base = event_base_new(), .fd = -1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/test-stream-%d", (int)getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), others[16], n_others = 0;
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 0), 0);
    while (n_others < 16) { /* fill the backlog */
        others[n_others] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(others[n_others++], (struct sockaddr *)&address, sizeof address) != 0)
            break;
    }
    cr_assert_lt(n_others, 16);
    pair.stream =
        stream_connect(pair.base, (struct sockaddr *)&address, sizeof address, on_stream, &pair);
    evbuffer_add(stream_output(pair.stream), "early", 5);
    cr_expect(!eventually(&pair, &pair.n_connected));
    cr_expect_eq(pair.n_closed, 0);
    int last = -1;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < n_others; i++) {
        if (last >= 0)
            close(last);
        last = accept(listener, NULL, NULL);
        if (eventually(&pair, &pair.n_connected))
            break;
    }
    cr_expect_eq(pair.n_connected, 1);
    /* What was written before the connection was made arrives. */
    char got[8];
    while ((pair.fd = accept(listener, NULL, NULL)) >= 0) {
        turn(&pair);
        if (recv(pair.fd, got, sizeof got, MSG_DONTWAIT) == 5)
            break;
        close(pair.fd);
    }
    cr_expect_geq(pair.fd, 0);
    for (int i = 0; i < n_others; i++)
        close(others[i]);
    close(last);
    close(listener);
    unlink(address.sun_path);
    end(&pair);
}

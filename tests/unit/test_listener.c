#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/listener.h"

enum { FDS_MAX = 64 };

struct seen {
    int fds[FDS_MAX];
    size_t n;
};

static void on_accept(void *context, int fd)
{
    struct seen *seen = context;
    seen->fds[seen->n++] = fd;
}

static int dial(const struct listener *listener)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(listener_port(listener)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void turn(struct event_base *base, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
}

static void close_all(struct seen *seen)
{
    for (size_t i = 0; i < seen->n; i++)
        close(seen->fds[i]);
}

Test(listener, above_the_limit_a_client_is_told_and_closed)
{
    struct event_base *base = event_base_new();
    struct seen seen = {0};
    char error[512], reply[256];
    struct listener *listener = listener_new(base, "127.0.0.1", 0, 2, on_accept, &seen, error);
    cr_assert_not_null(listener);
    int fds[] = {dial(listener), dial(listener), dial(listener)};
    turn(base, 20);
    cr_expect_eq(seen.n, 2);
    cr_expect_eq(listener_connections(listener), 2);
    ssize_t got = recv(fds[2], reply, sizeof reply, MSG_DONTWAIT);
    cr_assert_gt(got, 0);
    cr_expect_eq(reply[0], 'E');
    cr_expect(memmem(reply, (size_t)got, "C53300", 6) != NULL);
    cr_expect_eq(recv(fds[2], reply, sizeof reply, MSG_DONTWAIT), 0);
    /* One leaves, one may come. */
    listener_release(listener);
    int again = dial(listener);
    turn(base, 20);
    cr_expect_eq(seen.n, 3);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    close(again);
    close_all(&seen);
    listener_free(listener);
    event_base_free(base);
}

Test(listener, out_of_descriptors_it_waits_and_goes_on)
{
    struct event_base *base = event_base_new();
    struct seen seen = {0};
    char error[512];
    struct listener *listener = listener_new(base, "127.0.0.1", 0, 50, on_accept, &seen, error);
    cr_assert_not_null(listener);
    int client = dial(listener);
    struct rlimit before, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)client + 1; /* nothing above it can be opened */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    turn(base, 50);
    cr_expect_eq(seen.n, 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    turn(base, 20);
    cr_expect_eq(seen.n, 0, "it still waits");
    turn(base, 400);
    cr_expect_eq(seen.n, 1, "the client was not lost");
    close(client);
    close_all(&seen);
    listener_free(listener);
    event_base_free(base);
}

Test(listener, a_port_in_use_is_said_to_be_so)
{
    struct event_base *base = event_base_new();
    char error[512] = "";
    struct listener *first = listener_new(base, "127.0.0.1", 0, 1, on_accept, NULL, error);
    cr_assert_not_null(first);
    cr_expect_null(
        listener_new(base, "127.0.0.1", listener_port(first), 1, on_accept, NULL, error));
    cr_expect(strstr(error, strerror(EADDRINUSE)) != NULL, "%s", error);
    cr_expect_null(listener_new(base, "256.256.256.256", 1, 1, on_accept, NULL, error));
    cr_expect(strstr(error, "cannot find the address 256.256.256.256") != NULL, "%s", error);
    listener_free(first);
    event_base_free(base);
}

Test(listener, a_stopped_listener_refuses_and_still_counts)
{
    struct event_base *base = event_base_new();
    struct seen seen = {0};
    char error[512];
    struct listener *listener = listener_new(base, "127.0.0.1", 0, 5, on_accept, &seen, error);
    cr_assert_not_null(listener);
    int client = dial(listener);
    turn(base, 20);
    uint16_t port = listener_port(listener);
    listener_stop(listener);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int late = socket(AF_INET, SOCK_STREAM, 0);
    cr_expect_eq(connect(late, (const struct sockaddr *)&address, sizeof address), -1);
    cr_expect_eq(listener_connections(listener), 1);
    listener_release(listener);
    cr_expect_eq(listener_connections(listener), 0);
    close(client);
    close(late);
    close_all(&seen);
    listener_free(listener);
    event_base_free(base);
}

static int dial_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_geq(fd, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

Test(listener, a_unix_socket_is_made_anew_and_for_its_user_alone)
{
    struct event_base *base = event_base_new();
    struct seen seen = {0};
    char folder[] = "/tmp/pgveil-listener-XXXXXX", path[64], error[512] = "";
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    for (int i = 0; i < 2; i++) { /* the second time over what the first has left */
        struct listener *listener = listener_new_unix(base, path, 1, on_accept, &seen, error);
        struct stat status;
        cr_assert_not_null(listener, "%s", error);
        cr_assert_eq(stat(path, &status), 0);
        cr_expect_eq(status.st_mode & 07777, 0600);
        int first = dial_path(path), second = dial_path(path);
        turn(base, 20);
        cr_expect_eq(listener_connections(listener), 1, "the limit holds");
        close(first);
        close(second);
        listener_free(listener);
    }
    cr_expect_eq(dial_path(path), -1, "nobody answers any more");
    close_all(&seen);
    unlink(path);
    rmdir(folder);
    event_base_free(base);
}

Test(listener, a_path_that_cannot_be_had_is_said_to_be_so)
{
    struct event_base *base = event_base_new();
    char path[200], error[512] = "";
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    cr_expect_null(listener_new_unix(base, path, 1, on_accept, NULL, error));
    cr_expect_not_null(strstr(error, strerror(ENAMETOOLONG)), "%s", error);
    cr_expect_null(listener_new_unix(base, "/nowhere/at/all", 1, on_accept, NULL, error));
    cr_expect_not_null(strstr(error, strerror(ENOENT)), "%s", error);
    cr_expect_null(listener_new_unix(base, "/tmp", 1, on_accept, NULL, error), "a folder");
    event_base_free(base);
}

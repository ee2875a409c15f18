#include "proxy/listener.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/limits.h"
#include "proxy/log.h"
#include "proxy/wire.h"

enum { SOCKETS_MAX = 16 };

struct listener {
    listener_accepted *accepted;
    void *context;
    uint64_t connections, connections_max;
    size_t n_sockets;
    struct event *sockets[SOCKETS_MAX]; /* owned, each with its descriptor */
    struct event *resume;               /* owned; pending while descriptors are short */
    uint16_t port;
    bool is_full; /* it was said that the limit is reached */
};

/* The client may be about to ask for TLS; an error in clear text is understood all the same.
 * Whoever cannot take it at once is closed without. */
static void turn_away(int fd)
{
    const struct wire_report report = {
        .severity = "FATAL", .sqlstate = "53300", .message = "sorry, too many clients already"};
    struct evbuffer *out = evbuffer_new();
    if (out != NULL) {
        wire_report(out, &report);
        evbuffer_write(out, fd);
        evbuffer_free(out);
    }
    shutdown(fd, SHUT_WR);
    close(fd);
}

static void pause_accepting(struct listener *listener, int reason)
{
    struct timeval pause = {.tv_sec = LIMIT_ACCEPT_PAUSE_MS / 1000,
                            .tv_usec = LIMIT_ACCEPT_PAUSE_MS % 1000 * 1000L};
    log_error("cannot accept connections for a moment: %s", strerror(reason));
    if (event_add(listener->resume, &pause) != 0)
        return; /* no timer: go on at once, at the price of another message */
    for (size_t i = 0; i < listener->n_sockets; i++)
        event_del(listener->sockets[i]);
}

static void on_resume(evutil_socket_t unused, short what, void *context)
{
    struct listener *listener = context;
    (void)unused, (void)what;
    for (size_t i = 0; i < listener->n_sockets; i++) {
        if (event_add(listener->sockets[i], NULL) != 0)
            log_error("cannot go on accepting: out of memory");
    }
}

static void take(struct listener *listener, int fd)
{
    if (listener->connections >= listener->connections_max) {
        if (!listener->is_full)
            log_warning("the limit of %llu connections is reached",
                        (unsigned long long)listener->connections_max);
        listener->is_full = true;
        turn_away(fd);
        return;
    }
    listener->connections++;
    listener->accepted(listener->context, fd);
}

static void on_connection(evutil_socket_t socket, short what, void *context)
{
    struct listener *listener = context;
    (void)what;
    for (int i = 0; i < LIMIT_ACCEPT_ONCE; i++) {
        int fd = accept4(socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(listener, fd);
            continue;
        }
        switch (errno) {
        case EAGAIN:
            return;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause_accepting(listener, errno);
            return;
        default: /* that one connection is gone already */
            log_debug("accept: %s", strerror(errno));
            break;
        }
    }
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } own = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof own;
    if (getsockname(fd, &own.any, &length) != 0)
        return 0;
    return ntohs(own.any.sa_family == AF_INET6 ? own.v6.sin6_port : own.v4.sin_port);
}

/* Takes the descriptor, bound. False with errno set. */
static bool listen_at(struct listener *listener, struct event_base *base, int fd)
{
    bool ready = listen(fd, LIMIT_BACKLOG) == 0;
    struct event *event =
        ready ? event_new(base, fd, EV_READ | EV_PERSIST, on_connection, listener) : NULL;
    if (event == NULL || event_add(event, NULL) != 0) {
        int reason = ready ? ENOMEM : errno;
        if (event != NULL)
            event_free(event);
        close(fd);
        errno = reason;
        return false;
    }
    listener->sockets[listener->n_sockets++] = event;
    return true;
}

static void close_keeping_errno(int fd)
{
    int reason = errno;
    close(fd);
    errno = reason;
}

/* False with errno set. */
static bool listen_on(struct listener *listener, struct event_base *base,
                      const struct addrinfo *address)
{
    static const int yes = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    /* An IPv6 socket must not take the IPv4 port beside it. */
    bool ready = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                 (address->ai_family != AF_INET6 ||
                  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) == 0) &&
                 bind(fd, address->ai_addr, address->ai_addrlen) == 0;
    if (!ready) {
        close_keeping_errno(fd);
        return false;
    }
    if (!listen_at(listener, base, fd))
        return false;
    listener->port = bound_port(fd);
    return true;
}

/* False with errno set. */
static bool listen_on_path(struct listener *listener, struct event_base *base, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ready = (unlink(path) == 0 || errno == ENOENT) &&
                 bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                 chmod(path, S_IRUSR | S_IWUSR) == 0;
    if (!ready) {
        close_keeping_errno(fd);
        return false;
    }
    return listen_at(listener, base, fd);
}

static bool listen_on_all(struct listener *listener, struct event_base *base, const char *address,
                          uint16_t port, char error[512])
{
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char service[8];
    int reason = 0;
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(strcmp(address, "*") == 0 ? NULL : address, service, &hints, &found);
    if (failed != 0) {
        snprintf(error, 512, "cannot find the address %s: %s", address, gai_strerror(failed));
        return false;
    }
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (listener->n_sockets == SOCKETS_MAX || (port == 0 && listener->n_sockets == 1))
            break;
        if (listen_on(listener, base, at))
            continue;
        reason = errno;
        log_warning("cannot listen on one address of %s: %s", address, strerror(reason));
    }
    freeaddrinfo(found);
    if (listener->n_sockets == 0)
        snprintf(error, 512, "cannot listen on %s port %u: %s", address, port, strerror(reason));
    return listener->n_sockets > 0;
}

static struct listener *new_listener(struct event_base *base, uint64_t connections_max,
                                     listener_accepted *accepted, void *context, char error[512])
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        snprintf(error, 512, "out of memory");
        return NULL;
    }
    listener->accepted = accepted;
    listener->context = context;
    listener->connections_max = connections_max;
    listener->resume = evtimer_new(base, on_resume, listener);
    if (listener->resume == NULL) {
        snprintf(error, 512, "out of memory");
        listener_free(listener);
        return NULL;
    }
    return listener;
}

struct listener *listener_new(struct event_base *base, const char *address, uint16_t port,
                              uint64_t connections_max, listener_accepted *accepted, void *context,
                              char error[512])
{
    struct listener *listener = new_listener(base, connections_max, accepted, context, error);
    if (listener != NULL && !listen_on_all(listener, base, address, port, error)) {
        listener_free(listener);
        return NULL;
    }
    return listener;
}

struct listener *listener_new_unix(struct event_base *base, const char *path,
                                   uint64_t connections_max, listener_accepted *accepted,
                                   void *context, char error[512])
{
    struct listener *listener = new_listener(base, connections_max, accepted, context, error);
    if (listener != NULL && !listen_on_path(listener, base, path)) {
        snprintf(error, 512, "cannot listen on %.400s: %s", path, strerror(errno));
        listener_free(listener);
        return NULL;
    }
    return listener;
}

void listener_stop(struct listener *listener)
{
    for (size_t i = 0; i < listener->n_sockets; i++) {
        int fd = event_get_fd(listener->sockets[i]);
        event_free(listener->sockets[i]);
        close(fd);
    }
    listener->n_sockets = 0;
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    listener_stop(listener);
    if (listener->resume != NULL)
        event_free(listener->resume);
    free(listener);
}

void listener_release(struct listener *listener)
{
    assert(listener->connections > 0);
    listener->connections--;
    listener->is_full = false;
}

uint64_t listener_connections(const struct listener *listener)
{
    return listener->connections;
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

uint64_t listener_raise_descriptors(uint64_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur >= wanted)
        return limit.rlim_cur;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

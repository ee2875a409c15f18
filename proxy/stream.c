#include "proxy/stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/limits.h"
#include "proxy/log.h"
#include "proxy/tls.h"
#include "proxy/tls_target.h"

/*
 * Callbacks of libevent are deferred, so that a stream never calls its owner from inside the
 * owner's own writing or pausing. A stream that its owner frees within the callback stays as an
 * empty shell until the callback returned.
 *
 * A stream that says its last words (stream_free_flushed) sends them, closes its writing half and
 * then reads and throws away for a moment: closing a socket with unread input makes the kernel send
 * a reset, which can overtake the words.
 */

enum stream_state {
    STATE_CONNECTING, /* not connected yet */
    STATE_OPEN,
    STATE_HANDSHAKE,
    STATE_INPUT_ENDED, /* end of file was reported; writing is still possible */
    STATE_BROKEN,      /* nothing goes in or out any more */
    STATE_FLUSHING,    /* no owner: sends what is left */
    STATE_LINGERING,   /* no owner: all sent, waits for the peer's end of file */
    STATE_FREED,       /* a shell, while its callback is on the stack */
};

struct stream {
    struct stream *next, **link;     /* among the ownerless; link NULL: has an owner */
    struct event_base *base;         /* borrowed */
    struct bufferevent *transport;   /* owned, with socket and ssl; without socket: connecting */
    SSL *ssl;                        /* part of transport; NULL: plain */
    struct event *connector;         /* owned; connects, or tries again */
    int connecting;                  /* socket whose connection is under way; -1: none */
    struct event *deadline;          /* owned; ends the last words */
    struct sockaddr_storage address; /* where to */
    socklen_t address_length;
    stream_callback *callback;
    void *context;
    enum stream_state state;
    size_t input_max; /* 0: no limit */
    bool paused;      /* by the owner */
    bool is_full;     /* input_max is reached */
    bool outlives_output;
    bool in_callback;
    char peer[INET6_ADDRSTRLEN + 16];
};

static void set_state(struct stream *stream, enum stream_state state)
{
    assert(stream->state != STATE_FREED);
    stream->state = state;
}

/* TLS peers tell a broken connection from an ended one by this alert. */
static void say_goodbye(struct stream *stream)
{
    if (stream->ssl == NULL || SSL_in_init(stream->ssl))
        return;
    ERR_clear_error();
    SSL_shutdown(stream->ssl);
    ERR_clear_error();
}

/* Streams that linger: nobody counts their descriptors any more, so that they are few. */
static size_t n_lingering;
/* Streams that flush or linger: only a deadline ends them. */
static struct stream *ownerless;

static void join_ownerless(struct stream *stream)
{
    stream->next = ownerless;
    if (ownerless != NULL)
        ownerless->link = &stream->next;
    stream->link = &ownerless;
    ownerless = stream;
}

static void leave_ownerless(struct stream *stream)
{
    if (stream->link == NULL)
        return;
    *stream->link = stream->next;
    if (stream->next != NULL)
        stream->next->link = stream->link;
    stream->link = NULL;
}

static void destroy(struct stream *stream)
{
    if (stream->state == STATE_LINGERING)
        n_lingering--;
    leave_ownerless(stream);
    if (stream->transport != NULL) {
        if (stream->state == STATE_OPEN)
            say_goodbye(stream);
        bufferevent_free(stream->transport);
        stream->transport = NULL;
    }
    if (stream->connector != NULL)
        event_free(stream->connector);
    stream->connector = NULL;
    if (stream->connecting >= 0)
        close(stream->connecting);
    stream->connecting = -1;
    if (stream->deadline != NULL)
        event_free(stream->deadline);
    stream->deadline = NULL;
    set_state(stream, STATE_FREED);
    if (!stream->in_callback)
        free(stream);
}

/* The owner's turn; the stream may be gone afterwards. */
static void tell(struct stream *stream, enum stream_event event)
{
    assert(!stream->in_callback);
    stream->in_callback = true;
    stream->callback(stream->context, stream, event);
    stream->in_callback = false;
    if (stream->state == STATE_FREED)
        free(stream);
}

static void on_deadline(evutil_socket_t unused, short what, void *context)
{
    (void)unused, (void)what;
    destroy(context);
}

static void linger(struct stream *stream)
{
    say_goodbye(stream);
    set_state(stream, STATE_LINGERING);
    n_lingering++;
    struct timeval limit = {.tv_sec = LIMIT_LINGER_SECONDS};
    if (n_lingering > LIMIT_LINGER_STREAMS ||
        shutdown(bufferevent_getfd(stream->transport), SHUT_WR) != 0 ||
        event_add(stream->deadline, &limit) != 0 ||
        bufferevent_enable(stream->transport, EV_READ) != 0) {
        destroy(stream);
        return;
    }
    struct evbuffer *input = bufferevent_get_input(stream->transport);
    evbuffer_drain(input, evbuffer_get_length(input));
}

/* Stops reading while the input is full, and goes on once it is not. */
static void measure_input(struct stream *stream)
{
    size_t unread = evbuffer_get_length(bufferevent_get_input(stream->transport));
    bool is_full = stream->input_max > 0 && unread >= stream->input_max;
    if (is_full == stream->is_full)
        return;
    stream->is_full = is_full;
    if (is_full)
        bufferevent_disable(stream->transport, EV_READ);
    else if (!stream->paused && stream->state == STATE_OPEN)
        bufferevent_enable(stream->transport, EV_READ);
}

static void on_readable(struct bufferevent *transport, void *context)
{
    struct stream *stream = context;
    switch (stream->state) {
    case STATE_OPEN:
    case STATE_INPUT_ENDED:
        measure_input(stream);
        if (!stream->paused && evbuffer_get_length(bufferevent_get_input(transport)) > 0)
            tell(stream, STREAM_DATA);
        break;
    case STATE_FLUSHING:
    case STATE_LINGERING:
        evbuffer_drain(bufferevent_get_input(transport),
                       evbuffer_get_length(bufferevent_get_input(transport)));
        break;
    case STATE_CONNECTING:
    case STATE_HANDSHAKE:
    case STATE_BROKEN:
    case STATE_FREED:
        break;
    }
}

static void on_drained(struct bufferevent *transport, void *context)
{
    struct stream *stream = context;
    switch (stream->state) {
    case STATE_OPEN:
    case STATE_INPUT_ENDED:
        tell(stream, STREAM_DRAINED);
        break;
    case STATE_FLUSHING:
        if (evbuffer_get_length(bufferevent_get_output(transport)) == 0)
            linger(stream);
        break;
    case STATE_CONNECTING:
    case STATE_HANDSHAKE:
    case STATE_BROKEN:
    case STATE_LINGERING:
    case STATE_FREED:
        break;
    }
}

static void log_tls_failure(const struct stream *stream)
{
    unsigned long code = bufferevent_get_openssl_error(stream->transport);
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (reason != NULL)
        log_info("%s: TLS: %s", stream->peer, reason);
    else if (stream->state == STATE_HANDSHAKE)
        log_info("%s: TLS: the handshake was not finished", stream->peer);
    ERR_clear_error();
}

static void on_event(struct bufferevent *transport, short what, void *context)
{
    struct stream *stream = context;
    (void)transport;
    if (stream->state == STATE_FREED)
        return;
    if ((what & BEV_EVENT_CONNECTED) != 0) { /* the TLS handshake */
        if (stream->state == STATE_HANDSHAKE) {
            set_state(stream, STATE_OPEN);
            tell(stream, STREAM_CONNECTED);
        }
        return;
    }
    if (stream->ssl != NULL)
        log_tls_failure(stream);
    if (stream->state == STATE_FLUSHING || stream->state == STATE_LINGERING) {
        destroy(stream);
        return;
    }
    if (stream->state == STATE_BROKEN)
        return;
    if (stream->outlives_output && stream->state == STATE_OPEN && (what & BEV_EVENT_WRITING) != 0) {
        struct evbuffer *output = bufferevent_get_output(transport);
        bufferevent_disable(transport, EV_WRITE);
        evbuffer_unfreeze(output, 1);
        evbuffer_drain(output, evbuffer_get_length(output));
        return;
    }
    bool input_ended = (what & BEV_EVENT_EOF) != 0 && stream->ssl == NULL;
    if (input_ended && stream->state == STATE_INPUT_ENDED)
        return;
    set_state(stream, input_ended ? STATE_INPUT_ENDED : STATE_BROKEN);
    tell(stream, STREAM_CLOSED);
}

/* Puts the bufferevent under the stream's callbacks and marks. */
static bool adopt(struct stream *stream, struct bufferevent *transport)
{
    stream->transport = transport;
    bufferevent_setcb(transport, on_readable, on_drained, on_event, stream);
    bufferevent_setwatermark(transport, EV_WRITE, LIMIT_OUTPUT_LOW_BYTES, 0);
    if (bufferevent_set_max_single_read(transport, LIMIT_READ_ONCE_BYTES) != 0)
        return false;
    return true;
}

static const int transport_options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;

static bool start(struct stream *stream)
{
    short directions = stream->paused ? EV_WRITE : EV_READ | EV_WRITE;
    return bufferevent_enable(stream->transport, directions) == 0;
}

static void describe_address(struct stream *stream, const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN] = "?";
    snprintf(stream->peer, sizeof stream->peer, "unix");
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(stream->peer, sizeof stream->peer, "%s:%u", host, ntohs(v4->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(stream->peer, sizeof stream->peer, "[%s]:%u", host, ntohs(v6->sin6_port));
    }
}

static void describe_peer(struct stream *stream, int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof storage;
    if (getpeername(fd, (struct sockaddr *)&storage, &length) != 0)
        storage.ss_family = AF_UNSPEC;
    describe_address(stream, &storage);
}

/* Small answers leave at once, dead peers are noticed. What the kernel refuses is not worth the
 * connection: the session's own time-outs remain. */
static void tune_tcp(int fd)
{
    static const struct {
        int level, option, value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, LIMIT_KEEPALIVE_IDLE_SECONDS},
        {IPPROTO_TCP, TCP_KEEPINTVL, LIMIT_KEEPALIVE_INTERVAL_SECONDS},
        {IPPROTO_TCP, TCP_KEEPCNT, LIMIT_KEEPALIVE_COUNT},
    };
    struct sockaddr_storage own = {0};
    socklen_t length = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &length) != 0 || own.ss_family == AF_UNIX)
        return;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (setsockopt(fd, settings[i].level, settings[i].option, &settings[i].value,
                       sizeof settings[i].value) != 0)
            log_debug("a socket option was refused: %s", strerror(errno));
    }
}

static struct stream *new_stream(struct event_base *base, stream_callback *callback, void *context)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->base = base;
    stream->connecting = -1;
    stream->callback = callback;
    stream->context = context;
    return stream;
}

struct stream *stream_accept(struct event_base *base, int fd, stream_callback *callback,
                             void *context)
{
    struct stream *stream = new_stream(base, callback, context);
    struct bufferevent *transport = bufferevent_socket_new(base, fd, transport_options);
    if (stream == NULL || transport == NULL) {
        if (transport == NULL)
            close(fd);
        else
            bufferevent_free(transport);
        free(stream);
        return NULL;
    }
    describe_peer(stream, fd);
    tune_tcp(fd);
    stream->state = STATE_OPEN;
    if (evutil_make_socket_nonblocking(fd) != 0 || !adopt(stream, transport) || !start(stream)) {
        stream->transport = transport;
        stream->state = STATE_BROKEN;
        destroy(stream);
        return NULL;
    }
    return stream;
}

static void connect_failed(struct stream *stream, int reason)
{
    const struct sockaddr_un *local = (const struct sockaddr_un *)&stream->address;
    log_warning("cannot connect to %s: %s",
                local->sun_family == AF_UNIX ? local->sun_path : stream->peer, strerror(reason));
    set_state(stream, STATE_BROKEN);
    tell(stream, STREAM_CLOSED);
}

static void connect_done(struct stream *stream)
{
    bufferevent_setfd(stream->transport, stream->connecting);
    tune_tcp(stream->connecting);
    stream->connecting = -1;
    set_state(stream, STATE_OPEN);
    if (start(stream))
        tell(stream, STREAM_CONNECTED);
    else
        connect_failed(stream, EIO);
}

static void try_connect(evutil_socket_t unused, short what, void *context);

/* EINPROGRESS: over TCP the answer comes when the socket can be written to. EAGAIN: a Unix socket
 * whose backlog is full is worth another try. */
static bool wait_to_connect(struct stream *stream, int reason)
{
    struct timeval pause = {.tv_usec = LIMIT_CONNECT_RETRY_MS * 1000L};
    bool again = reason == EAGAIN;
    if (reason != EINPROGRESS && !again)
        return false;
    if (again) {
        close(stream->connecting);
        stream->connecting = -1;
    }
    return event_assign(stream->connector, stream->base, stream->connecting,
                        again ? EV_TIMEOUT : EV_WRITE, try_connect, stream) == 0 &&
           event_add(stream->connector, again ? &pause : NULL) == 0;
}

static void try_connect(evutil_socket_t unused, short what, void *context)
{
    struct stream *stream = context;
    const struct sockaddr *address = (const struct sockaddr *)&stream->address;
    int reason = 0;
    (void)unused, (void)what;
    if (stream->connecting >= 0) {
        socklen_t length = sizeof reason;
        if (getsockopt(stream->connecting, SOL_SOCKET, SO_ERROR, &reason, &length) != 0)
            reason = errno;
    } else {
        stream->connecting =
            socket(stream->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (stream->connecting < 0 ||
            connect(stream->connecting, address, stream->address_length) != 0)
            reason = errno;
    }
    if (reason == 0)
        connect_done(stream);
    else if (stream->connecting < 0 || !wait_to_connect(stream, reason))
        connect_failed(stream, reason);
}

struct stream *stream_connect(struct event_base *base, const struct sockaddr *address,
                              socklen_t length, stream_callback *callback, void *context)
{
    struct stream *stream = new_stream(base, callback, context);
    struct timeval at_once = {0};
    if (stream == NULL)
        return NULL;
    stream->state = STATE_CONNECTING;
    if (length < sizeof address->sa_family || length > sizeof stream->address) {
        destroy(stream);
        return NULL;
    }
    memcpy(&stream->address, address, length);
    stream->address_length = length;
    describe_address(stream, &stream->address);
    stream->transport = bufferevent_socket_new(base, -1, transport_options);
    stream->connector = evtimer_new(base, try_connect, stream);
    if (stream->transport == NULL || !adopt(stream, stream->transport) ||
        stream->connector == NULL || event_add(stream->connector, &at_once) != 0) {
        destroy(stream);
        return NULL;
    }
    return stream;
}

void stream_free(struct stream *stream)
{
    if (stream != NULL)
        destroy(stream);
}

void stream_free_flushed(struct stream *stream)
{
    if (stream == NULL)
        return;
    struct timeval limit = {.tv_sec = LIMIT_FLUSH_SECONDS};
    bool can_send = stream->state == STATE_OPEN || stream->state == STATE_INPUT_ENDED;
    if (can_send)
        stream->deadline = evtimer_new(stream->base, on_deadline, stream);
    if (stream->deadline == NULL || event_add(stream->deadline, &limit) != 0) {
        destroy(stream);
        return;
    }
    bool empty = evbuffer_get_length(bufferevent_get_output(stream->transport)) == 0;
    bool input_ended = stream->state == STATE_INPUT_ENDED;
    if (empty && input_ended) {
        destroy(stream);
        return;
    }
    set_state(stream, STATE_FLUSHING);
    join_ownerless(stream);
    bufferevent_disable(stream->transport, EV_READ);
    bufferevent_setwatermark(stream->transport, EV_WRITE, 0, 0);
    if (empty)
        linger(stream);
}

void stream_drop_flushed(void)
{
    while (ownerless != NULL)
        destroy(ownerless);
}

void stream_set_callback(struct stream *stream, stream_callback *callback, void *context)
{
    stream->callback = callback;
    stream->context = context;
    /* What the former owner left unread is news for the new one. */
    if (stream->state == STATE_OPEN)
        bufferevent_trigger(stream->transport, EV_READ, BEV_OPT_DEFER_CALLBACKS);
}

/* Takes ssl in any case. */
static bool start_tls(struct stream *stream, SSL *ssl, enum bufferevent_ssl_state side)
{
    if (ssl == NULL)
        return false;
    if (stream->state != STATE_OPEN || stream->ssl != NULL ||
        evbuffer_get_length(bufferevent_get_input(stream->transport)) > 0)
        goto refused;
    int fd = bufferevent_getfd(stream->transport);
    /* What was written before is for the plain socket: a few bytes, which always fit. */
    struct evbuffer *output = bufferevent_get_output(stream->transport);
    evbuffer_unfreeze(output, 1);
    while (evbuffer_get_length(output) > 0) {
        if (evbuffer_write(output, fd) <= 0)
            goto refused;
    }
    if (bufferevent_disable(stream->transport, EV_READ | EV_WRITE) != 0 ||
        bufferevent_setfd(stream->transport, -1) != 0)
        goto refused;
    bufferevent_free(stream->transport);
    stream->transport = NULL;
    struct bufferevent *transport =
        bufferevent_openssl_socket_new(stream->base, fd, ssl, side, transport_options);
    if (transport == NULL) {
        close(fd);
        set_state(stream, STATE_BROKEN);
        goto refused;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(transport, 1);
    stream->ssl = ssl;
    set_state(stream, STATE_HANDSHAKE);
    size_t input_max = stream->input_max;
    stream->input_max = 0;
    if (!adopt(stream, transport) || !start(stream))
        return false;
    if (input_max > 0)
        stream_limit_input(stream, input_max);
    return true;
refused:
    SSL_free(ssl);
    return false;
}

bool stream_start_tls(struct stream *stream, struct ssl_ctx_st *tls)
{
    return start_tls(stream, SSL_new(tls), BUFFEREVENT_SSL_ACCEPTING);
}

bool stream_start_tls_client(struct stream *stream, const struct tls_target *target)
{
    return start_tls(stream, tls_target_begin(target), BUFFEREVENT_SSL_CONNECTING);
}

bool stream_is_writable(const struct stream *stream)
{
    return stream->state == STATE_OPEN || stream->state == STATE_INPUT_ENDED;
}

bool stream_is_tls(const struct stream *stream)
{
    return stream->ssl != NULL;
}

size_t stream_channel_binding(const struct stream *stream, unsigned char out[64])
{
    return stream->ssl == NULL ? 0 : tls_end_point(stream->ssl, out);
}

struct evbuffer *stream_input(struct stream *stream)
{
    return bufferevent_get_input(stream->transport);
}

struct evbuffer *stream_output(struct stream *stream)
{
    return bufferevent_get_output(stream->transport);
}

void stream_pause(struct stream *stream)
{
    if (stream->paused)
        return;
    stream->paused = true;
    if (stream->state == STATE_OPEN)
        bufferevent_disable(stream->transport, EV_READ);
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused)
        return;
    stream->paused = false;
    if (stream->state != STATE_OPEN && stream->state != STATE_INPUT_ENDED)
        return;
    if (stream->state == STATE_OPEN && !stream->is_full)
        bufferevent_enable(stream->transport, EV_READ);
    /* What was read before the pause may not have been looked at. */
    bufferevent_trigger(stream->transport, EV_READ, BEV_OPT_DEFER_CALLBACKS);
}

/* libevent's own high mark calls back without end while the input is full. */
static void on_input_changed(struct evbuffer *input, const struct evbuffer_cb_info *change,
                             void *context)
{
    struct stream *stream = context;
    (void)input;
    if (stream->is_full && change->n_deleted > 0)
        bufferevent_trigger(stream->transport, EV_READ, BEV_OPT_DEFER_CALLBACKS);
}

void stream_limit_input(struct stream *stream, size_t bytes_max)
{
    struct evbuffer *input = bufferevent_get_input(stream->transport);
    if (stream->input_max == 0 && evbuffer_add_cb(input, on_input_changed, stream) == NULL) {
        log_error("%s: out of memory: input is not limited", stream->peer);
        return;
    }
    stream->input_max = bytes_max;
}

void stream_outlive_output(struct stream *stream)
{
    stream->outlives_output = stream->ssl == NULL;
}

bool stream_is_congested(const struct stream *stream)
{
    return stream->transport != NULL &&
           evbuffer_get_length(bufferevent_get_output(stream->transport)) > LIMIT_OUTPUT_HIGH_BYTES;
}

const char *stream_peer(const struct stream *stream)
{
    return stream->peer;
}

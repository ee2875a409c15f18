/* A whole login over a socket pair: the bytes that a client sends, in pieces of 1 to 256 bytes as
 * the first byte says. However they read, the login ends in exactly one callback. */
#include <assert.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/login.h"

static const struct config config = {
    .tls_mode = CONFIG_TLS_DISABLE, .login_timeout_ms = 10000, .message_bytes_max = 65536};

struct ends {
    unsigned accepted, cancelled, ended;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void find_verifier(void *owner, void *login, const char *user)
{
    (void)owner;
    assert(user[0] != '\0');
    login_verifier(login, NULL, user[0] == 'f');
}

static void accepted(void *owner, struct stream *stream, struct startup *startup)
{
    struct ends *ends = owner;
    ends->accepted++;
    stream_free(stream);
    startup_free(startup);
}

static void cancelled(void *owner, uint32_t pid, uint32_t key)
{
    struct ends *ends = owner;
    (void)pid, (void)key;
    ends->cancelled++;
}

static void ended(void *owner)
{
    struct ends *ends = owner;
    ends->ended++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct event_base *base;
    if (base == NULL) {
        log_set_level("error");
        base = event_base_new();
    }
    if (size == 0 || size > 20000)
        return 0;
    struct ends ends = {0};
    const struct login_context context = {.base = base,
                                          .config = &config,
                                          .find_verifier = find_verifier,
                                          .accepted = accepted,
                                          .cancel = cancelled,
                                          .ended = ended,
                                          .owner = &ends};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        abort();
    login_start(&context, fds[0]);
    size_t piece = (size_t)data[0] + 1;
    for (size_t at = 1; at < size; at += piece) {
        size_t here = size - at < piece ? size - at : piece;
        if (send(fds[1], data + at, here, MSG_NOSIGNAL) < 0)
            break;
        event_base_loop(base, EVLOOP_NONBLOCK);
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    close(fds[1]);
    for (int turn = 0; turn < 6; turn++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    /* Nobody knows a password here. */
    assert(ends.accepted == 0 && ends.cancelled + ends.ended == 1);
    return 0;
}

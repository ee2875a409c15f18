#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

/* Every fixed bound of the connection layer, each with its reason. What a DBA may want to change is
 * in config/config.h instead. Lengths of messages count their own four bytes, like the field. */
#include <assert.h>

enum {
    /* PostgreSQL's own bounds: a startup packet, an authentication message, and the messages that
     * hold no more than a name. */
    LIMIT_STARTUP_MIN = 8,
    LIMIT_STARTUP_MAX = 10000,
    LIMIT_AUTH_MESSAGE_MAX = 65535,
    LIMIT_SMALL_MESSAGE_MAX = 10000,
    /* The longest message PostgreSQL itself can build. */
    LIMIT_SERVER_MESSAGE_MAX = 1 << 30,

    /* Output of one stream: above the high mark its peer is too slow and the source is paused;
     * below the low mark the source goes on. Some hundred packets apart, so that neither side
     * starves. */
    LIMIT_OUTPUT_HIGH_BYTES = 1 << 18,
    LIMIT_OUTPUT_LOW_BYTES = 1 << 16,
    /* Read from a socket in one go: one busy peer does not hold up the others for long. */
    LIMIT_READ_ONCE_BYTES = 1 << 16,

    /* libpq's asynchronous interface may wait for ever on longer TLS records. */
    LIMIT_TLS_RECORD_BYTES = 8192,

    /* A peer that does not take its last message is dropped after the first time; one that goes on
     * talking after it, after the second. */
    LIMIT_FLUSH_SECONDS = 30,
    LIMIT_LINGER_SECONDS = 1,
    /* Of the latter, so many at once; their descriptors are not counted as connections. */
    LIMIT_LINGER_STREAMS = 64,

    /* Dead peers are noticed after idle + count * interval = two minutes. */
    LIMIT_KEEPALIVE_IDLE_SECONDS = 60,
    LIMIT_KEEPALIVE_INTERVAL_SECONDS = 15,
    LIMIT_KEEPALIVE_COUNT = 4,

    /* Waiting connections of the listening socket. */
    LIMIT_BACKLOG = 256,
    /* Connections accepted in one turn of the event loop. */
    LIMIT_ACCEPT_ONCE = 64,
    /* DBAs at work at the same time: enough for a few tools, too few to be in the analysts' way. */
    LIMIT_CONTROL_CONNECTIONS = 16,
    /* One statement of the administration console: a command and a name or two. */
    LIMIT_CONSOLE_MESSAGE_BYTES = 8192,
    /* Out of descriptors or memory: no further accept for so long. */
    LIMIT_ACCEPT_PAUSE_MS = 200,

    /* A Unix socket whose backlog is full is tried again after so long. */
    LIMIT_CONNECT_RETRY_MS = 20,
    /* A cancel request to a twin that does not answer is given up. */
    LIMIT_CANCEL_SECONDS = 10,
};

static_assert(LIMIT_OUTPUT_LOW_BYTES < LIMIT_OUTPUT_HIGH_BYTES, "the marks are in order");
static_assert(LIMIT_SMALL_MESSAGE_MAX < LIMIT_AUTH_MESSAGE_MAX, "small is small");

#endif

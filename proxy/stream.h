#ifndef PROXY_STREAM_H
#define PROXY_STREAM_H

/* A byte stream over a socket, plain or TLS: the only file with bufferevents. Knows no PostgreSQL.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct stream;
struct evbuffer;
struct ssl_ctx_st;
struct tls_target;

enum stream_event {
    STREAM_CONNECTED, /* after stream_connect, or when the TLS handshake is done */
    STREAM_DATA,      /* new bytes in stream_input */
    STREAM_DRAINED,   /* output fell below its low mark */
    /* End of file or error; what was read before is still in stream_input. After an end of file of
     * a plain stream writing is still possible; an error then comes as a second STREAM_CLOSED. */
    STREAM_CLOSED,
};

typedef void stream_callback(void *context, struct stream *stream, enum stream_event event);

/* Callbacks come from the event loop only, never from inside a function of this file.
 *
 * Takes the descriptor. NULL on failure (the descriptor is then closed). */
struct stream *stream_accept(struct event_base *base, int fd, stream_callback *callback,
                             void *context);
/* address: of a Unix socket, IPv4 or IPv6; copied. A server that is not there: STREAM_CLOSED. What
 * is written before STREAM_CONNECTED is sent after it. NULL: no memory, or no address. */
struct stream *stream_connect(struct event_base *base, const struct sockaddr *address,
                              socklen_t length, stream_callback *callback, void *context);
/* Closes at once and frees; safe inside the stream's own callback (freed one turn later). */
void stream_free(struct stream *stream);
/* Sends what is left in the output, then closes and frees; the callback is not called again. Gives
 * up after LIMIT_FLUSH_SECONDS. */
void stream_free_flushed(struct stream *stream);
/* At the end of the program: closes those whose last words are still on their way. */
void stream_drop_flushed(void);
/* Unread input is announced to the new owner by a STREAM_DATA. */
void stream_set_callback(struct stream *stream, stream_callback *callback, void *context);

/* Starts TLS on an open stream whose input is empty; STREAM_CONNECTED follows, or STREAM_CLOSED.
 * False: nothing but stream_free is left to do. */
bool stream_start_tls(struct stream *stream, struct ssl_ctx_st *tls);
/* The same as the client; how the server is verified stands in the target. */
bool stream_start_tls_client(struct stream *stream, const struct tls_target *target);
bool stream_is_tls(const struct stream *stream);
/* After STREAM_CLOSED: true where only the peer's half is closed. */
bool stream_is_writable(const struct stream *stream);
/* tls-server-end-point channel binding of the server's certificate; 0: no TLS, or a certificate
 * without one. */
size_t stream_channel_binding(const struct stream *stream, unsigned char out[64]);

struct evbuffer *stream_input(struct stream *stream);
struct evbuffer *stream_output(struct stream *stream);
/* Back-pressure: a paused stream reads nothing from its socket, reports no STREAM_DATA and does not
 * notice an end of file. After stream_resume a STREAM_DATA follows if unread input is left. Pauses
 * do not nest. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);
/* Reads on only while fewer than so many bytes are unread (LIMIT_READ_ONCE_BYTES may come on top):
 * a net below stream_pause, wider than the largest message. */
void stream_limit_input(struct stream *stream, size_t bytes_max);
/* What the peer said before it went is still to be read where writing to it fails: STREAM_CLOSED
 * comes with the end of the input only. For plain streams. */
void stream_outlive_output(struct stream *stream);
/* True while more bytes wait in the output than its high mark. */
bool stream_is_congested(const struct stream *stream);
const char *stream_peer(const struct stream *stream); /* "127.0.0.1:5555", "unix"; borrowed */

#endif

#ifndef PROXY_TWIN_TARGET_H
#define PROXY_TWIN_TARGET_H

/*
 * Where the twin server is, for sessions whose bytes pgveil relays: an address, and TLS where the
 * administrator's connection has it. Opening asks for TLS as PostgreSQL wants it (SSLRequest).
 */
#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "proxy/stream.h"
#include "proxy/tls_target.h"

struct twin_target {
    struct sockaddr_storage address; /* Unix socket, IPv4 or IPv6 */
    socklen_t length;
    const struct tls_target *tls; /* borrowed; NULL: plain */
};

/* A Unix socket by its path; false where it is too long. */
bool twin_target_unix(struct twin_target *target, const char *path);
/* Where a connection of libpq's leads; false where it leads nowhere, or is encrypted in a way that
 * only libpq knows. tls is taken over where the connection uses it. */
bool twin_target_of(struct twin_target *target, const PGconn *connection,
                    const struct tls_target *tls);
bool twin_target_is_local(const struct twin_target *target); /* a Unix socket */

/* The first steps on a stream made by stream_connect: hand it every event until it is open. */
enum twin_opening { TWIN_OPENING, TWIN_OPEN, TWIN_SHUT };
struct twin_opener {
    bool asked; /* the server owes one byte: whether it speaks TLS */
};
enum twin_opening twin_opener_step(struct twin_opener *opener, const struct twin_target *target,
                                   struct stream *stream, enum stream_event event);

#endif

#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

/*
 * One analyst's connection and its twin session: the relay between them, and the place where
 * private statements leave it. session_internal.h is for the files that make up the session.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proxy/login.h"
#include "proxy/server.h"

/* Takes stream and startup of an authenticated client. */
void session_start(struct server *server, struct stream *stream, struct startup *startup);
/* A CancelRequest with the session's own key: stops what runs. Silent where nothing fits. */
void session_cancel(struct server *server, uint32_t pid, uint32_t key);
/* The dataset's twin has changed places with a new one, or could not: sessions that waited for that
 * go on with the newest. */
void session_twin_switched(struct server *server, const struct dataset *dataset);
/* Tells every client that the server shuts down, and closes. */
void session_shutdown_all(struct server *server);

#endif

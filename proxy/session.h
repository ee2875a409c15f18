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

struct listener;

/* Takes stream and startup of an authenticated client; listener is told when it has gone. */
void session_start(struct server *server, struct listener *listener, struct stream *stream,
                   struct startup *startup);
/* A session of the DBA in the analyst's place: what the twin holds is relayed, a private statement
 * may be explained and nothing else. It does not count as one of the analyst's connections. */
void session_start_explaining(struct server *server, struct listener *listener,
                              struct stream *stream, struct startup *startup);
/* What a DBA may know of a session: nothing of its statements. Texts are borrowed. */
struct session_facts {
    uint32_t pid;
    const char *analyst, *dataset, *peer;
    const char *state; /* opening, idle, idle in transaction, active, measuring */
    uint64_t state_ms; /* for so long */
    bool explains_only;
    bool outdated; /* works with an edition that is not the newest */
};
void session_each(const struct server *server,
                  void (*visit)(void *context, const struct session_facts *facts), void *context);
/* Ends the session with this pid; false: there is none. */
bool session_kill(struct server *server, uint32_t pid);
/* A CancelRequest with the session's own key: stops what runs. Silent where nothing fits. */
void session_cancel(struct server *server, uint32_t pid, uint32_t key);
/* The dataset's twin has changed places with a new one, or could not: sessions that waited for that
 * go on with the newest. */
void session_twin_switched(struct server *server, const struct dataset *dataset);
/* Tells every client that the server shuts down, and closes. */
void session_shutdown_all(struct server *server);

#endif

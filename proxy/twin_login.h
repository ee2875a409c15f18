#ifndef PROXY_TWIN_LOGIN_H
#define PROXY_TWIN_LOGIN_H

/*
 * Logging in to the twin as the analyst: pgveil's own startup and SCRAM client, so that every byte
 * of the session, ParameterStatus and notices included, stays visible. Ends in one callback.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/login.h"
#include "proxy/stream.h"

struct evbuffer;

/* Success: stream is the session, idle after ReadyForQuery (which was consumed); greeting holds the
 * ParameterStatus and notice messages as they came, for the client; pid and key are the twin's.
 * Failure: stream is NULL and greeting holds the twin's ErrorResponse, or nothing where it could
 * not be reached. The callee takes both. */
typedef void twin_login_done(void *context, struct stream *stream, struct evbuffer *greeting,
                             uint32_t pid, uint32_t key);

struct twin_login;
/* socket_path: of the socket itself. startup is read before this returns. done always comes later.
 * NULL: no memory, or a path too long. */
struct twin_login *twin_login_start(struct event_base *base, const char *socket_path,
                                    const struct startup *startup, uint64_t timeout_ms,
                                    twin_login_done *done, void *context);
/* For an external twin server that asks for SCRAM-SHA-256; to be called right after the start. */
bool twin_login_set_password(struct twin_login *login, const char *password);
void twin_login_abandon(struct twin_login *login); /* done is not called */
/* Fire and forget: asks the twin server to cancel. */
void twin_cancel(struct event_base *base, const char *socket_path, uint32_t pid, uint32_t key);

#endif

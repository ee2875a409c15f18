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
#include "proxy/twin_target.h"

struct evbuffer;

/* Success: stream is the session, idle after ReadyForQuery (which was consumed); greeting holds the
 * ParameterStatus and notice messages as they came, for the client; pid and key are the twin's.
 * Failure: stream is NULL and greeting holds the twin's ErrorResponse, or nothing where it could
 * not be reached. The callee takes both. */
typedef void twin_login_done(void *context, struct stream *stream, struct evbuffer *greeting,
                             uint32_t pid, uint32_t key);

struct twin_login;
/* startup and password are read before this returns, target is copied. database: on the twin
 * server. password NULL: pgveil has none, the server lets it in by other means (the managed server
 * by its socket); where one is given a server that asks for none is only believed on a Unix socket
 * or when a certificate was shown. done always comes later. NULL: no memory. */
struct twin_login *twin_login_start(struct event_base *base, const struct twin_target *target,
                                    const struct startup *startup, const char *database,
                                    const char *password, uint64_t timeout_ms,
                                    twin_login_done *done, void *context);
void twin_login_abandon(struct twin_login *login); /* done is not called */
/* Fire and forget: asks the twin server to cancel. */
void twin_cancel(struct event_base *base, const struct twin_target *target, uint32_t pid,
                 uint32_t key);
/* At the end of the program: gives up the requests under way. */
void twin_cancel_drop_all(void);

#endif

#ifndef PROXY_PG_CANCEL_H
#define PROXY_PG_CANCEL_H

/* PostgreSQL's cancel request, sent without blocking the event loop. */
#include <libpq-fe.h>
#include <stdbool.h>

/* Asks the server to stop what runs on this connection. Returns at once; whether the request
 * arrives, and when, is not known. False where it could not be started. The connection may be
 * closed meanwhile. */
bool pg_cancel_send(PGconn *conn);

#endif

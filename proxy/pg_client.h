#ifndef PROXY_PG_CLIENT_H
#define PROXY_PG_CLIENT_H

/*
 * libpq on the event loop: one connection, a queue of statements, one callback each. Connects on
 * demand and again after a loss. Used for the ledger, the protected servers and the twin server's
 * administration; never for an analyst's session.
 */
#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct pg_client;

/* result: borrowed for the call; NULL where the connection was lost before an answer came. Called
 * from the event loop, never from inside pg_client_send. */
typedef void pg_client_done(void *context, const PGresult *result);

struct pg_client *pg_client_new(struct event_base *base, const char *conninfo, const char *label);
/* Pending callbacks are called with NULL. */
void pg_client_free(struct pg_client *client);

/* Queues a statement (extended protocol, text results). values and the arrays are copied. A timeout
 * above zero cancels and then drops the connection. */
void pg_client_send(struct pg_client *client, const char *sql, int n_params, const Oid *types,
                    const char *const *values, uint64_t timeout_ms, pg_client_done *done,
                    void *context);
/* Several statements without parameters in one message, for scripts. */
void pg_client_script(struct pg_client *client, const char *sql, pg_client_done *done,
                      void *context);
/* Asks the server to stop the running statement. */
void pg_client_cancel(struct pg_client *client);
bool pg_client_is_idle(const struct pg_client *client);
/* Drops the connection; the next statement connects again. Pending callbacks get NULL. */
void pg_client_reset(struct pg_client *client);

#endif

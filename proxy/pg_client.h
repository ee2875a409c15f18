#ifndef PROXY_PG_CLIENT_H
#define PROXY_PG_CLIENT_H

/*
 * libpq on the event loop: one connection, a queue of statements, one callback each. Connects on
 * demand and again after a loss, with growing pauses while the server cannot be reached. Used for
 * the ledger, the protected servers and the twin server's administration; never for an analyst's
 * session.
 *
 * A lost connection fails the statement under way, never one that was not sent yet: those wait for
 * the next connection, and fail where it cannot be made (within seconds, if the server was there a
 * moment ago: a restart is bridged). libpq resolves host names synchronously;
 * give hostaddr where that matters.
 */
#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct pg_client;

/* result: borrowed for the call; NULL where the connection was lost before an answer came. Called
 * from the event loop, never from inside pg_client_send. */
typedef void pg_client_done(void *context, const PGresult *result);

/* label names the server in the log. NULL without memory. */
struct pg_client *pg_client_new(struct event_base *base, const char *conninfo, const char *label);
/* For servers whose commits must be believed: a statement during which the server warned counts as
 * one whose connection was lost. A commit whose wait for a standby was cut short says so by a
 * warning, and by nothing else. */
void pg_client_doubt_warnings(struct pg_client *client);
/* Pending callbacks are called with NULL; what they send then is dropped. Safe inside a callback of
 * the client. Accepts NULL. */
void pg_client_free(struct pg_client *client);

/* Queues a statement (extended protocol, text results). values and the arrays are copied. A timeout
 * above zero cancels and then drops the connection. */
void pg_client_send(struct pg_client *client, const char *sql, int n_params, const Oid *types,
                    const char *const *values, uint64_t timeout_ms, pg_client_done *done,
                    void *context);
/* As pg_client_send, row by row: done is called with a PGRES_SINGLE_TUPLE for each row and at the
 * end once more, with PGRES_TUPLES_OK (no row in it), the error, or NULL. done may reset or free
 * the client at any of these. Rows come in slices of some milliseconds, the loop's other work
 * between them, and the server waits meanwhile. */
void pg_client_rows(struct pg_client *client, const char *sql, int n_params, const Oid *types,
                    const char *const *values, uint64_t timeout_ms, pg_client_done *done,
                    void *context);
/* Several statements without parameters in one message, for scripts: the first error, else the last
 * result. */
void pg_client_script(struct pg_client *client, const char *sql, pg_client_done *done,
                      void *context);
/* Asks the server to stop the running statement, without waiting for it. The request may arrive
 * after the statement's end and hit the next one: reset the connection too where that matters. */
void pg_client_cancel(struct pg_client *client);
/* Nothing runs, nothing waits. */
bool pg_client_is_idle(const struct pg_client *client);
/* A connection is up right now. */
bool pg_client_is_connected(const struct pg_client *client);
/* The connection that is up right now, to ask libpq about it; NULL where there is none. */
const PGconn *pg_client_connection(const struct pg_client *client);
/* Changes with every connection: who leaves a transaction open between two statements must see the
 * same number before the second one, which would otherwise run on a new connection. */
unsigned long pg_client_session(const struct pg_client *client);
/* Drops the connection; the next statement connects again. Pending callbacks get NULL. */
void pg_client_reset(struct pg_client *client);

#endif

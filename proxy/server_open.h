#ifndef PROXY_SERVER_OPEN_H
#define PROXY_SERVER_OPEN_H

/* Opening and closing of what the sessions share; main.c only. */
#include <libpq-fe.h>
#include <stdbool.h>

#include "proxy/managed.h"
#include "proxy/server.h"

/* The servers that pgveil runs itself; NULL where external or not started. */
struct server_managed {
    int lock;
    struct managed *ledger, *twins;
};

/* server->base and server->config are set. False with text in error; server_close is to be called
 * all the same. */
bool server_open(struct server *server, struct server_managed *managed, char error[512]);
/* The managed ledger alone, for the DBA: with its schema, whatever was noted of it. */
bool server_open_ledger(struct server *server, struct server_managed *managed, char error[512]);
/* Whether the answer to ledger_not_durable_call lets pgveil go on: nothing confirmed can be lost,
 * or the configuration allows it, and then error says what there is to warn of ("": nothing). */
bool server_ledger_is_durable(const struct config *config, const PGresult *result, char error[512]);
void server_close(struct server *server, struct server_managed *managed);

#endif

#ifndef PROXY_SERVER_IDENTITY_H
#define PROXY_SERVER_IDENTITY_H

/*
 * Which PostgreSQL server a connection leads to. The protected server, the ledger and the twin
 * server must be three: what databases of one server share (sizes, statistics, transaction ids, a
 * full disk) would count the protected rows or reach the ledger.
 */
#include <libpq-fe.h>
#include <stdbool.h>

#include "config/config.h"

struct server_identity {
    char
        system_identifier[32]; /* of the cluster; "" where the role may not ask, or no PostgreSQL */
    char database[16];         /* number of the database; "" where it cannot be told */
    char address[300];         /* of the connection: host, port and database */
    char started[64]; /* of the postmaster, to the microsecond; "" where it cannot be told */
};

/* What can be found out; never fails. Leaves no transaction behind and no error in one: call it
 * outside of one. */
void server_identity_read(PGconn *connection, struct server_identity *identity);
bool server_identity_is_known(const struct server_identity *identity);

/* The database's name in the ledger and in what is kept: by cluster and number, or by the address
 * where these cannot be told. */
enum { SERVER_DATABASE_NAME_MAX = 400 };
void server_identity_name(const struct server_identity *identity,
                          char name[SERVER_DATABASE_NAME_MAX]);
/* A query of the name that the connection's own database has by cluster and number; NULL where the
 * name that is expected is none of this kind (or is itself NULL). */
const char *server_identity_query(const char *expected);
/* A cluster and its copies share the system identifier; behind a pooler or another name the time of
 * the start tells the same server. */
bool server_identity_is_same(const struct server_identity *a, const struct server_identity *b);

/* Whether a server of pgveil's is none of the protected servers that can be reached now. which
 * names it in the error. Synchronous: to be asked before anything is written there. */
bool server_identity_is_apart(const struct server_identity *identity, const char *which,
                              const struct config *config, char error[512]);
/* The same about one protected server. */
bool server_identity_differs(const struct server_identity *identity, const char *which,
                             const struct server_identity *protected_one, const char *dataset,
                             char error[512]);

#endif

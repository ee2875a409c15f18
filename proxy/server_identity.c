#include "proxy/server_identity.h"

#include <stdio.h>
#include <string.h>

static void read_one(PGconn *connection, const char *sql, char *out, size_t size)
{
    PGresult *result = PQexec(connection, sql);
    bool told = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
                !PQgetisnull(result, 0, 0) && (size_t)PQgetlength(result, 0, 0) < size;
    snprintf(out, size, "%s", told ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
}

void server_identity_read(PGconn *connection, struct server_identity *identity)
{
    read_one(connection, "SELECT system_identifier FROM pg_catalog.pg_control_system()",
             identity->system_identifier, sizeof identity->system_identifier);
    read_one(connection,
             "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
             identity->database, sizeof identity->database);
    snprintf(identity->address, sizeof identity->address, "%.150s %.20s %.100s", PQhost(connection),
             PQport(connection), PQdb(connection));
    read_one(connection,
             "SELECT pg_catalog.to_char(pg_catalog.timezone('UTC', "
             "pg_catalog.pg_postmaster_start_time()), 'YYYY-MM-DD HH24:MI:SS.US')",
             identity->started, sizeof identity->started);
}

bool server_identity_is_known(const struct server_identity *identity)
{
    return identity->system_identifier[0] != '\0' || identity->started[0] != '\0';
}

static bool is_same(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

bool server_identity_is_same(const struct server_identity *a, const struct server_identity *b)
{
    return is_same(a->system_identifier, b->system_identifier) || is_same(a->started, b->started);
}

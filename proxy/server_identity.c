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

#define CLUSTER "cluster "

void server_identity_name(const struct server_identity *identity,
                          char name[SERVER_DATABASE_NAME_MAX])
{
    if (identity->system_identifier[0] != '\0' && identity->database[0] != '\0')
        snprintf(name, SERVER_DATABASE_NAME_MAX, CLUSTER "%s database %s",
                 identity->system_identifier, identity->database);
    else
        snprintf(name, SERVER_DATABASE_NAME_MAX, "address %s", identity->address);
}

const char *server_identity_query(const char *expected)
{
    if (expected == NULL || strncmp(expected, CLUSTER, strlen(CLUSTER)) != 0)
        return NULL;
    return "SELECT pg_catalog.concat('" CLUSTER "', c.system_identifier, ' database ', d.oid) "
           "FROM pg_catalog.pg_control_system() c, pg_catalog.pg_database d "
           "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()";
}

static bool is_same(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

bool server_identity_is_same(const struct server_identity *a, const struct server_identity *b)
{
    return is_same(a->system_identifier, b->system_identifier) || is_same(a->started, b->started);
}

bool server_identity_differs(const struct server_identity *identity, const char *which,
                             const struct server_identity *protected_one, const char *dataset,
                             char error[512])
{
    if (!server_identity_is_same(identity, protected_one))
        return true;
    snprintf(error, 512,
             "dataset %.63s: the %s is the protected server, or a copy of its cluster: what the "
             "databases of one server share would tell of the data; make a server of its own with "
             "initdb",
             dataset, which);
    return false;
}

bool server_identity_is_apart(const struct server_identity *identity, const char *which,
                              const struct config *config, char error[512])
{
    static const char *const keywords[] = {"connect_timeout", "dbname", NULL};
    bool apart = true;
    for (size_t i = 0; i < config->n_datasets && apart; i++) {
        const struct config_dataset *dataset = &config->datasets[i];
        const char *const values[] = {"5", dataset->server, NULL};
        struct server_identity protected_one;
        PGconn *connection = PQconnectdbParams(keywords, values, 1);
        if (PQstatus(connection) == CONNECTION_OK) {
            server_identity_read(connection, &protected_one);
            apart = server_identity_differs(identity, which, &protected_one, dataset->name, error);
        }
        PQfinish(connection);
    }
    return apart;
}

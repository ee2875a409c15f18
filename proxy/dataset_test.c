#include "proxy/dataset_test.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/server_identity.h"
#include "proxy/twin.h"
#include "proxy/twin_server.h"

enum { FINDINGS_MAX = 12, NAMES_SHOWN = 5, OLDEST_VERSION = 130000 };

struct dataset_test {
    const struct dataset *dataset;
    void (*finished)(void *context);
    void *context;
    struct worker *worker;
    PGconn *conn; /* the protected server; of the thread */
    struct policy *policy;
    size_t n_findings;
    struct test_finding findings[FINDINGS_MAX];
};

/* --- findings -------------------------------------------------------------------------------- */

static void find(struct dataset_test *test, const char *check, enum test_result result,
                 const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));
static void find(struct dataset_test *test, const char *check, enum test_result result,
                 const char *hint, const char *format, ...)
{
    struct test_finding *finding = &test->findings[test->n_findings++];
    va_list arguments;
    finding->check = check;
    finding->result = result;
    finding->hint = result == TEST_FAILED ? hint : "";
    va_start(arguments, format);
    vsnprintf(finding->detail, sizeof finding->detail, format, arguments);
    va_end(arguments);
    finding->detail[strcspn(finding->detail, "\n")] = '\0';
}

static PGresult *ask(const struct dataset_test *test, const char *sql, int n,
                     const char *const *values)
{
    return PQexecParams(test->conn, sql, n, NULL, values, NULL, NULL, 0);
}

static bool has_rows(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK;
}

/* The first column's texts, as many as are worth reading: "a, b and 3 more". */
static void list_names(const PGresult *result, char *out, size_t size)
{
    int n = PQntuples(result), shown = n > NAMES_SHOWN ? NAMES_SHOWN : n;
    size_t used = 0;
    out[0] = '\0';
    for (int row = 0; row < shown && used < size; row++)
        used += (size_t)snprintf(out + used, size - used, "%s%.80s", row ? ", " : "",
                                 PQgetvalue(result, row, 0));
    if (n > shown && used < size)
        snprintf(out + used, size - used, " and %d more", n - shown);
}

/* Fails where the query names anything. */
static void check_none(struct dataset_test *test, const char *check, const char *sql, int n,
                       const char *const *values, const char *fine, const char *wrong,
                       const char *hint)
{
    PGresult *result = ask(test, sql, n, values);
    char names[440];
    if (!has_rows(result)) {
        find(test, check, TEST_FAILED, "", "%s", PQerrorMessage(test->conn));
    } else if (PQntuples(result) > 0) {
        list_names(result, names, sizeof names);
        find(test, check, TEST_FAILED, hint, "%s %s", wrong, names);
    } else {
        find(test, check, TEST_OK, "", "%s", fine);
    }
    PQclear(result);
}

/* --- the checks ------------------------------------------------------------------------------ */

static void check_policy(struct dataset_test *test)
{
    struct config_error wrong;
    test->policy = policy_read(test->dataset->config->policy, &wrong);
    if (test->policy == NULL)
        find(test, "policy file", TEST_FAILED,
             "`pgveilctl policy check` says the same; docs/policy.md says what a policy holds.",
             "%.150s: %.100s: %.200s", wrong.file, wrong.key, wrong.text);
    else
        find(test, "policy file", TEST_OK, "", "%zu tables, version %.12s", test->policy->n_tables,
             test->policy->version);
}

static bool check_reachable(struct dataset_test *test)
{
    static const char *const keywords[] = {"connect_timeout", "dbname", "client_encoding",
                                           "fallback_application_name", NULL};
    const char *const values[] = {"10", test->dataset->config->server, "UTF8", "pgveil", NULL};
    test->conn = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(test->conn) != CONNECTION_OK) {
        find(test, "server", TEST_FAILED,
             "Is it running, does its pg_hba.conf let pgveil's machine and role in, is the "
             "connection string right?",
             "cannot be reached: %s", PQerrorMessage(test->conn));
        return false;
    }
    int version = PQserverVersion(test->conn);
    const char *encoding = PQparameterStatus(test->conn, "server_encoding");
    bool fits = version >= OLDEST_VERSION && encoding && strcmp(encoding, "SQL_ASCII") != 0;
    find(test, "server", fits ? TEST_OK : TEST_FAILED,
         "pgveil needs version 13 or later and an encoding other than SQL_ASCII.",
         "version %d.%d, encoding %s", version / 10000, version % 10000, encoding ? encoding : "?");
    return fits;
}

static void check_role(struct dataset_test *test)
{
    static const char sql[] =
        "SELECT a.name FROM pg_catalog.pg_roles r, LATERAL (VALUES"
        " ('SUPERUSER', r.rolsuper), ('REPLICATION', r.rolreplication),"
        " ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),"
        " ('pg_write_all_data', EXISTS (SELECT FROM pg_catalog.pg_roles w"
        "   WHERE w.rolname = 'pg_write_all_data'"
        "     AND pg_catalog.pg_has_role(r.oid, w.oid, 'MEMBER'))),"
        " ('pg_execute_server_program',"
        "   pg_catalog.pg_has_role(r.oid, 'pg_execute_server_program', 'MEMBER')),"
        " ('pg_write_server_files',"
        "   pg_catalog.pg_has_role(r.oid, 'pg_write_server_files', 'MEMBER')),"
        " ('pg_read_server_files',"
        "   pg_catalog.pg_has_role(r.oid, 'pg_read_server_files', 'MEMBER'))"
        ") a(name, has) WHERE r.rolname = current_user AND a.has";
    check_none(test, "role", sql, 0, NULL, "an ordinary role", "the role has or is a member of:",
               "Make a role for pgveil: CREATE ROLE pgveil_reader LOGIN; GRANT SELECT ON the "
               "policy's tables.");
}

static void check_apart(struct dataset_test *test, const char *check,
                        const struct server_identity *own)
{
    struct server_identity theirs;
    server_identity_read(test->conn, &theirs);
    if (!server_identity_is_known(&theirs))
        find(test, check, TEST_SKIPPED, "", "the protected server does not say which one it is");
    else if (server_identity_is_same(own, &theirs))
        find(test, check, TEST_FAILED,
             "Statistics that all databases of a server share count the protected rows: give "
             "pgveil servers of its own.",
             "the protected data is on the same server, or on a copy of its cluster");
    else
        find(test, check, TEST_OK, "", "another server");
}

static void check_transaction(struct dataset_test *test)
{
    static const char sql[] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
    PGresult *begun = PQexec(test->conn, sql);
    PGresult *result =
        PQexec(test->conn, "SELECT pg_catalog.current_setting('transaction_isolation'),"
                           " pg_catalog.current_setting('transaction_read_only')");
    bool done = PQresultStatus(begun) == PGRES_COMMAND_OK && has_rows(result) &&
                strcmp(PQgetvalue(result, 0, 0), "repeatable read") == 0 &&
                strcmp(PQgetvalue(result, 0, 1), "on") == 0;
    if (done)
        find(test, "transactions", TEST_OK, "", "read-only, one snapshot");
    else
        find(
            test, "transactions", TEST_FAILED,
            "pgveil measures in read-only REPEATABLE READ transactions; the server must have them.",
            "%s", PQerrorMessage(test->conn)[0] ? PQerrorMessage(test->conn) : "not granted");
    PQclear(begun);
    PQclear(result);
    PQclear(PQexec(test->conn, "ROLLBACK"));
}

/* The policy's tables as an array literal of schema and name, alternating. NULL without memory. */
static char *policy_names(const struct policy *policy)
{
    size_t size = 3;
    for (size_t i = 0; i < policy->n_tables; i++)
        size += 2 * (strlen(policy->tables[i].schema) + strlen(policy->tables[i].name)) + 6;
    char *text = malloc(size), *at = text;
    if (text == NULL)
        return NULL;
    *at++ = '{';
    for (size_t i = 0; i < 2 * policy->n_tables; i++) {
        const struct policy_table *table = &policy->tables[i / 2];
        at += sprintf(at, "%s\"", i > 0 ? "," : "");
        for (const char *name = i % 2 ? table->name : table->schema; *name; name++) {
            if (*name == '"' || *name == '\\')
                *at++ = '\\';
            *at++ = *name;
        }
        *at++ = '"';
    }
    *at++ = '}';
    *at = '\0';
    return text;
}

/* Relations that are neither the system's nor an extension's. */
#define RELATIONS                                                                                  \
    "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c"           \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                    \
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema'"          \
    " AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"          \
    "   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid"          \
    "     AND d.deptype = 'e')"
#define IN_POLICY                                                                                  \
    " EXISTS (SELECT FROM pg_catalog.generate_series(1, pg_catalog.array_length("                  \
    "   $1::pg_catalog.text[], 1), 2) i WHERE ($1::pg_catalog.text[])[i] = n.nspname"              \
    "     AND ($1::pg_catalog.text[])[i + 1] = c.relname)"
#define ORDERED " ORDER BY 1"

static void check_privileges(struct dataset_test *test)
{
    char *names = policy_names(test->policy);
    const char *values[] = {names};
    if (names == NULL)
        return;
    check_none(test, "reads the policy's tables",
               RELATIONS " AND" IN_POLICY
                         " AND NOT (pg_catalog.has_any_column_privilege(c.oid, 'SELECT')"
                         "   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))" ORDERED,
               1, values, "SELECT and USAGE are granted", "may not read",
               "GRANT USAGE ON SCHEMA and GRANT SELECT ON TABLE to the role.");
    check_none(test, "reads nothing else",
               RELATIONS " AND NOT" IN_POLICY
                         " AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')"
                         " AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')" ORDERED,
               1, values, "no table beside the policy's", "may also read",
               "REVOKE SELECT on them, from the role and from PUBLIC.");
    check_none(test, "writes nothing",
               RELATIONS " AND (pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE')"
                         "   OR pg_catalog.has_table_privilege(c.oid, 'DELETE, TRUNCATE'))" ORDERED,
               0, NULL, "no right to write", "may write to",
               "REVOKE INSERT, UPDATE, DELETE, TRUNCATE on them, from the role and from PUBLIC.");
    free(names);
}

/* Joins the policy with the catalogue as a sync does. */
static void check_catalogue(struct dataset_test *test)
{
    char error[512];
    struct catalog *catalog =
        catalog_read(test->dataset->config, test->policy, test->dataset->seed, error);
    if (catalog)
        find(test, "policy fits", TEST_OK, "", "tables, columns, types and keys are as it says");
    else
        find(test, "policy fits", TEST_FAILED, "A sync would be refused for this reason.", "%s",
             error);
    catalog_free(catalog);
}

static void run(struct worker *worker, void *job)
{
    struct dataset_test *test = job;
    const struct dataset_host *host = test->dataset->host;
    worker_tell(worker, "testing", 0, 0);
    check_policy(test);
    if (check_reachable(test)) {
        worker_watch(test->conn);
        check_role(test);
        check_apart(test, "not the ledger's server", host->ledger);
        check_apart(test, "not the twins' server", twin_server_identity(host->twins));
        check_transaction(test);
        if (test->policy) {
            check_privileges(test);
            check_catalogue(test);
        }
    }
    PQfinish(test->conn);
    test->conn = NULL;
}

/* --- the interface --------------------------------------------------------------------------- */

static void on_finished(void *job)
{
    struct dataset_test *test = job;
    test->finished(test->context);
}

struct dataset_test *dataset_test_start(const struct dataset *dataset,
                                        void (*finished)(void *context), void *context)
{
    static const struct worker_calls calls = {.run = run, .finished = on_finished};
    struct dataset_test *test = calloc(1, sizeof *test);
    if (test == NULL)
        return NULL;
    test->dataset = dataset;
    test->finished = finished;
    test->context = context;
    test->worker = worker_start(dataset->host->base, &calls, test);
    if (test->worker != NULL)
        return test;
    dataset_test_free(test);
    return NULL;
}

const struct test_finding *dataset_test_findings(const struct dataset_test *test, size_t *count)
{
    *count = test->n_findings;
    return test->findings;
}

void dataset_test_free(struct dataset_test *test)
{
    if (test == NULL)
        return;
    worker_free(test->worker);
    policy_free(test->policy);
    free(test);
}

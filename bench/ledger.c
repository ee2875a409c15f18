/*
 * What a durable charge costs: charges per second as the proxy sends them, by its queue, where one
 * statement waits for its charge at any time and where 64 do, of one busy analyst or of many,
 * through one pgveil or two; beside what pgbench reaches on the same server with as many clients,
 * with an update of one row and with inserts. A managed ledger in a folder of its own, fsync and
 * all; the folder should be on the disk that is asked about (TMPDIR).
 */
#include <glob.h>
#include <grp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "budget/ledger.h"
#include "budget/ledger_admin.h"
#include "proxy/ledger_queue.h"
#include "proxy/managed.h"

enum { SECONDS = 5, STATEMENTS_MOST = 64, INSTANCES_MOST = 2, PATH_BYTES = 512 };

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* PostgreSQL refuses to run as root. */
static void drop_root(void)
{
    if (geteuid() != 0)
        return;
    const struct passwd *user = getpwnam("postgres");
    if (user == NULL)
        user = getpwnam("nobody");
    if (user == NULL || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        give_up("cannot give up root");
}

/* --- the ledger --------------------------------------------------------------------------------
 */

static char conninfo[PATH_BYTES];

static PGconn *open_ledger(void)
{
    PGconn *connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK)
        give_up("the ledger: %s", PQerrorMessage(connection));
    return connection;
}

static void run(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        give_up("%s: %s", sql, PQerrorMessage(connection));
    PQclear(result);
}

static void call(PGconn *connection, const struct ledger_call *what)
{
    PGresult *result =
        PQexecParams(connection, what->sql, what->n_params, NULL, what->values, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK || strcmp(ledger_admin_word(result), "ok") != 0)
        give_up("%s: %s", what->sql, PQerrorMessage(connection));
    PQclear(result);
}

static void analyst_name(char name[24], size_t number)
{
    snprintf(name, 24, "analyst_%zu", number);
}

static void make_accounts(void)
{
    PGconn *connection = open_ledger();
    struct ledger_grant grant;
    struct ledger_call what;
    char name[24], error[256];
    run(connection, ledger_schema_sql());
    run(connection, "CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL);"
                    "INSERT INTO counter VALUES (1, 0);"
                    "CREATE TABLE line (id bigserial PRIMARY KEY, text text NOT NULL)");
    if (!ledger_grant_init(&grant, 900 * UINT64_C(1000000000), UINT64_C(100000000000000000),
                           LEDGER_GDP, "none", error, sizeof error))
        give_up("%s", error);
    for (size_t i = 0; i < STATEMENTS_MOST; i++) {
        analyst_name(name, i);
        ledger_analyst_add_call(&what, name, "SCRAM-SHA-256$4096:c2FsdA==$a2V5:a2V5");
        call(connection, &what);
        ledger_grant_call(&what, "analyst", name, "bench", &grant);
        call(connection, &what);
    }
    PQfinish(connection);
}

/* --- charges -----------------------------------------------------------------------------------
 */

/* One instance of pgveil, as far as charges are concerned: one loop with its queue. */
struct instance {
    pthread_t thread;
    size_t statements; /* that wait for their charges at any time */
    bool one_analyst;
    double until;
    unsigned long charges;
    size_t pending;
    struct event_base *base;
    struct ledger_queue *queue;
};

/* A statement that charges, and as soon as it has its answer the next one. */
struct statement {
    struct instance *instance;
    char analyst[24];
};

static void new_request(char id[37])
{
    unsigned char random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        give_up("no entropy");
    for (size_t i = 0, at = 0; i < sizeof random; i++)
        at += (size_t)sprintf(id + at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                              random[i]);
}

static void on_charged(void *context, const PGresult *result);

static void charge(struct statement *statement)
{
    /* A count, as the journal keeps it. */
    const struct ledger_release release = {
        .charge = {.mu2_pico = 1000},
        .measures =
            "[{\"kind\":\"count\",\"noise\":\"gaussian\",\"sensitivity\":1,\"groups\":1,\"m\":1}]"};
    char id[37];
    const struct ledger_charge wanted = {.request_id = id,
                                         .analyst = statement->analyst,
                                         .epoch = "day",
                                         .fingerprint = "fingerprint of the statement",
                                         .releases = &release,
                                         .n_releases = 1};
    new_request(id);
    statement->instance->pending++;
    ledger_queue_add(statement->instance->queue, ledger_charge_text(&wanted), false, on_charged,
                     statement);
}

static void on_charged(void *context, const PGresult *result)
{
    struct statement *statement = context;
    struct instance *instance = statement->instance;
    instance->pending--;
    if (ledger_charge_result(result, NULL, NULL, 0) != LEDGER_OK)
        give_up("a charge failed: %s", PQresultErrorMessage(result));
    instance->charges++;
    if (now() < instance->until)
        charge(statement);
    else if (instance->pending == 0)
        event_base_loopbreak(instance->base);
}

static void *run_instance(void *context)
{
    struct instance *instance = context;
    struct statement statements[STATEMENTS_MOST];
    instance->base = event_base_new();
    instance->queue = ledger_queue_new(instance->base, conninfo, "bench", 60000);
    if (instance->base == NULL || instance->queue == NULL)
        give_up("out of memory");
    for (size_t i = 0; i < instance->statements; i++) {
        statements[i].instance = instance;
        analyst_name(statements[i].analyst, instance->one_analyst ? 0 : i);
        charge(&statements[i]);
    }
    event_base_dispatch(instance->base);
    ledger_queue_free(instance->queue);
    event_base_free(instance->base);
    return NULL;
}

/* Durable charges per second, all instances together. */
static double charges_per_second(size_t instances, size_t statements, bool one_analyst)
{
    static struct instance all[INSTANCES_MOST];
    double begin = now();
    unsigned long charges = 0;
    memset(all, 0, sizeof all);
    for (size_t i = 0; i < instances; i++) {
        all[i].statements = statements;
        all[i].one_analyst = one_analyst;
        all[i].until = begin + SECONDS;
        if (pthread_create(&all[i].thread, NULL, run_instance, &all[i]) != 0)
            give_up("no thread");
    }
    for (size_t i = 0; i < instances; i++) {
        pthread_join(all[i].thread, NULL);
        charges += all[i].charges;
    }
    return (double)charges / (now() - begin);
}

/* --- pgbench -----------------------------------------------------------------------------------
 */

static void find_pgbench(char path[PATH_BYTES])
{
    glob_t found;
    snprintf(path, PATH_BYTES, "pgbench");
    if (glob("/usr/lib/postgresql/*/bin/pgbench", 0, NULL, &found) == 0)
        snprintf(path, PATH_BYTES, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
}

static double pgbench(const char *folder, const char *name, const char *script, size_t clients)
{
    char path[PATH_BYTES], program[PATH_BYTES], command[4 * PATH_BYTES], line[256];
    double tps = 0;
    find_pgbench(program);
    snprintf(path, sizeof path, "%s/%s.sql", folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(script, file) == EOF || fclose(file) != 0)
        give_up("cannot write %s", path);
    snprintf(command, sizeof command, "'%s' -n -M prepared -c %zu -j 2 -T %d -f '%s' \"%s\" 2>&1",
             program, clients, SECONDS, path, conninfo);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL)
        give_up("cannot run pgbench");
    while (fgets(line, sizeof line, pipe) != NULL) {
        if (sscanf(line, "tps = %lf", &tps) == 1)
            continue;
    }
    if (pclose(pipe) != 0 || tps <= 0)
        give_up("pgbench failed: %s", command);
    return tps;
}

/* --- the table ---------------------------------------------------------------------------------
 */

static void print_table(const char *folder)
{
    static const char update[] = "UPDATE counter SET n = n + 1 WHERE id = 1;\n";
    static const char insert[] = "INSERT INTO line (text) VALUES ('as long as the entry of a "
                                 "journal, which is a few hundred bytes with its fingerprints');\n";
    /* pgbench has as many clients as there are statements that wait in all. */
    static const struct {
        size_t instances, statements, clients;
        bool one_analyst;
        const char *what;
    } rows[] = {{1, 1, 1, true, "1 waits"},
                {1, 64, 64, true, "64 wait, 1 analyst"},
                {1, 64, 64, false, "64 wait, 64 analysts"},
                {2, 32, 64, true, "64 wait, 1 analyst, 2 pgveils"},
                {2, 32, 64, false, "64 wait, 32 analysts, 2 pgveils"}};
    double updates = 0, inserts = 0;
    size_t measured = 0;
    printf("%-32s %10s %10s %10s %14s %14s\n", "durable, per second", "charges", "update",
           "inserts", "charge:update", "charge:insert");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].clients != measured) {
            updates = pgbench(folder, "update", update, rows[i].clients);
            inserts = pgbench(folder, "insert", insert, rows[i].clients);
            measured = rows[i].clients;
        }
        double charges =
            charges_per_second(rows[i].instances, rows[i].statements, rows[i].one_analyst);
        printf("%-32s %10.0f %10.0f %10.0f %14.2f %14.2f\n", rows[i].what, charges, updates,
               inserts, charges / updates, charges / inserts);
        fflush(stdout);
    }
}

int main(void)
{
    char folder[PATH_BYTES], error[512], command[2 * PATH_BYTES];
    const char *top = getenv("TMPDIR");
    drop_root();
    snprintf(folder, sizeof folder, "%s/pgveil-bench-XXXXXX", top != NULL ? top : "/tmp");
    if (mkdtemp(folder) == NULL)
        give_up("cannot make a folder like %s", folder);
    struct event_base *base = event_base_new();
    struct managed *ledger =
        managed_start(base, MANAGED_LEDGER, folder, NULL, 0, 2 * STATEMENTS_MOST, error);
    if (ledger == NULL)
        give_up("%s", error);
    snprintf(conninfo, sizeof conninfo, "%s dbname=ledger", managed_conninfo(ledger));
    make_accounts();
    print_table(folder);
    managed_stop(ledger);
    event_base_free(base);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

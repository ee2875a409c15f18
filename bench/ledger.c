/*
 * What a durable charge costs: charges per second as the proxy sends them, for one connection, for
 * one busy analyst on 64 and for 64 analysts, beside what pgbench reaches on the same server with
 * an update of one row and with inserts. A managed ledger in a folder of its own, fsync and all;
 * the folder should be on the disk that is asked about (TMPDIR).
 */
#include <event2/event.h>
#include <glob.h>
#include <grp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "budget/ledger.h"
#include "budget/ledger_admin.h"
#include "proxy/managed.h"

enum { SECONDS = 5, CLIENTS_MOST = 64, PATH_BYTES = 512 };

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
    for (size_t i = 0; i < CLIENTS_MOST; i++) {
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

struct client {
    pthread_t thread;
    char analyst[24];
    double until;
    unsigned long charges;
};

static atomic_bool failed;

static void new_request(char id[37])
{
    unsigned char random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        give_up("no entropy");
    for (size_t i = 0, at = 0; i < sizeof random; i++)
        at += (size_t)sprintf(id + at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                              random[i]);
}

static bool charge(PGconn *connection, const char *analyst)
{
    /* A count, as the journal keeps it. */
    const struct ledger_release release = {
        .charge = {.mu2_pico = 1000},
        .measures =
            "[{\"kind\":\"count\",\"noise\":\"gaussian\",\"sensitivity\":1,\"groups\":1,\"m\":1}]"};
    struct ledger_call what;
    char id[37];
    new_request(id);
    ledger_charge_call(&what, id, analyst, "bench", "day", "fingerprint of the statement", &release,
                       1);
    PGresult *result =
        PQexecParams(connection, what.sql, what.n_params, NULL, what.values, NULL, NULL, 0);
    bool done = ledger_charge_result(result, NULL, NULL, 0) == LEDGER_OK;
    if (!done)
        fprintf(stderr, "a charge failed: %s\n", PQerrorMessage(connection));
    PQclear(result);
    ledger_call_free(&what);
    return done;
}

static void *spend(void *context)
{
    struct client *client = context;
    PGconn *connection = open_ledger();
    while (now() < client->until && !atomic_load(&failed)) {
        if (!charge(connection, client->analyst)) {
            atomic_store(&failed, true);
            break;
        }
        client->charges++;
    }
    PQfinish(connection);
    return NULL;
}

/* Durable charges per second of so many connections, of one analyst or of one each. */
static double charges_per_second(size_t clients, bool one_analyst)
{
    static struct client all[CLIENTS_MOST];
    double begin = now();
    unsigned long charges = 0;
    memset(all, 0, sizeof all);
    for (size_t i = 0; i < clients; i++) {
        analyst_name(all[i].analyst, one_analyst ? 0 : i);
        all[i].until = begin + SECONDS;
        if (pthread_create(&all[i].thread, NULL, spend, &all[i]) != 0)
            give_up("no thread");
    }
    for (size_t i = 0; i < clients; i++) {
        pthread_join(all[i].thread, NULL);
        charges += all[i].charges;
    }
    if (atomic_load(&failed))
        exit(EXIT_FAILURE);
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
    static const struct {
        size_t clients;
        bool one_analyst;
        const char *what;
    } rows[] = {{1, true, "1 connection, 1 analyst"},
                {64, true, "64 connections, 1 analyst"},
                {64, false, "64 connections, 64 analysts"}};
    double updates = 0, inserts = 0;
    size_t measured = 0;
    printf("%-28s %10s %10s %10s %14s %14s\n", "durable, per second", "charges", "update",
           "inserts", "charge:update", "charge:insert");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].clients != measured) {
            updates = pgbench(folder, "update", update, rows[i].clients);
            inserts = pgbench(folder, "insert", insert, rows[i].clients);
            measured = rows[i].clients;
        }
        double charges = charges_per_second(rows[i].clients, rows[i].one_analyst);
        printf("%-28s %10.0f %10.0f %10.0f %14.2f %14.2f\n", rows[i].what, charges, updates,
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
        managed_start(base, MANAGED_LEDGER, folder, NULL, 0, 2 * CLIENTS_MOST, error);
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

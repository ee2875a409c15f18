#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/managed.h"
#include "tests/support/pg_server.h"

static struct event_base *base;
static char top[64], state[128], error[512];

static void start(void)
{
    drop_root();
    strcpy(top, "/tmp/pgveil-test-XXXXXX");
    cr_assert_not_null(mkdtemp(top));
    snprintf(state, sizeof state, "%s/state of 'x'", top);
    base = event_base_new();
}

static void stop(void)
{
    char command[128];
    event_base_free(base);
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    cr_assert_eq(system(command), 0);
}

TestSuite(managed, .init = start, .fini = stop, .timeout = 120);

static struct managed *start_kind(enum managed_kind kind)
{
    struct managed *managed = managed_start(base, kind, state, NULL, 1ULL << 30, 20, error);
    cr_assert_not_null(managed, "%s", error);
    return managed;
}

static PGconn *connect_as(const struct managed *managed, const char *rest)
{
    char conninfo[512];
    snprintf(conninfo, sizeof conninfo, "%s %s", managed_conninfo(managed), rest);
    return PQconnectdb(conninfo);
}

static void value_of(const struct managed *managed, const char *database, const char *sql,
                     char value[256])
{
    PGconn *conn = connect_as(managed, database);
    PGresult *result = PQexec(conn, sql);
    snprintf(value, 256, "%s",
             PQresultStatus(result) == PGRES_TUPLES_OK ? PQgetvalue(result, 0, 0)
                                                       : PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

static void run_sql(const struct managed *managed, const char *database, const char *sql)
{
    PGconn *conn = connect_as(managed, database);
    PGresult *result = PQexec(conn, sql);
    cr_assert(PQresultStatus(result) == PGRES_COMMAND_OK ||
                  PQresultStatus(result) == PGRES_TUPLES_OK,
              "%s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

static void loop_until(bool (*reached)(const struct managed *), const struct managed *managed)
{
    for (int i = 0; i < 1000 && !reached(managed); i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(10000);
    }
    cr_assert(reached(managed));
}

static bool answers(const struct managed *managed)
{
    return PQping(managed_conninfo(managed)) == PQPING_OK;
}

Test(managed, a_ledger_server_keeps_its_data_and_is_durable)
{
    char value[256];
    struct managed *ledger = start_kind(MANAGED_LEDGER);
    run_sql(ledger, "dbname=ledger", "CREATE TABLE kept AS SELECT 42 AS x");
    value_of(ledger, "dbname=ledger",
             "SELECT concat_ws(' ', current_setting('fsync'), "
             "current_setting('synchronous_commit'), current_setting('listen_addresses'), "
             "current_setting('server_encoding'), current_setting('log_min_error_statement'))",
             value);
    cr_assert_str_eq(value, "on on  UTF8 panic");
    managed_stop(ledger);
    ledger = start_kind(MANAGED_LEDGER);
    value_of(ledger, "dbname=ledger", "SELECT x FROM kept", value);
    cr_assert_str_eq(value, "42");
    managed_stop(ledger);
}

Test(managed, folders_are_private_and_a_second_pgveil_is_refused)
{
    char path[256], second[512];
    struct stat facts;
    int lock = managed_lock(state, error);
    cr_assert_geq(lock, 0, "%s", error);
    cr_assert_eq(managed_lock(state, second), -1);
    cr_assert_not_null(strstr(second, "another pgveil"));
    struct managed *twins = start_kind(MANAGED_TWINS);
    const char *const folders[] = {"", "/twins", "/twins/data", "/twins/socket"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", state, folders[i]);
        cr_assert_eq(stat(path, &facts), 0);
        cr_assert_eq(facts.st_mode & 07777, 0700, "%s", path);
    }
    cr_assert_eq(stat(managed_socket_path(twins), &facts), 0);
    cr_assert(S_ISSOCK(facts.st_mode));
    managed_stop(twins);
    close(lock);
    lock = managed_lock(state, error);
    cr_assert_geq(lock, 0);
    close(lock);
}

Test(managed, only_members_of_the_group_reach_twins_and_nothing_else)
{
    struct managed *twins = start_kind(MANAGED_TWINS);
    run_sql(twins, "dbname=postgres",
            "CREATE ROLE pgveil_analyst; CREATE ROLE ada LOGIN IN ROLE pgveil_analyst; "
            "CREATE ROLE mallory LOGIN");
    run_sql(twins, "dbname=postgres", "CREATE DATABASE census");
    static const struct {
        const char *rest;
        bool allowed;
    } cases[] = {
        {"user=ada dbname=census", true},
        {"user=ada dbname=postgres", false},
        {"user=ada dbname=template1", false},
        {"user=mallory dbname=census", false},
        {"user=ada dbname=census replication=database", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PGconn *conn = connect_as(twins, cases[i].rest);
        bool ok = PQstatus(conn) == CONNECTION_OK;
        if (ok && strstr(cases[i].rest, "replication") != NULL) {
            PGresult *result = PQexec(conn, "IDENTIFY_SYSTEM");
            ok = PQresultStatus(result) == PGRES_TUPLES_OK;
            PQclear(result);
        }
        cr_assert_eq(ok, cases[i].allowed, "%s", cases[i].rest);
        PQfinish(conn);
    }
    managed_stop(twins);
}

Test(managed, a_killed_postmaster_is_started_again)
{
    char value[256];
    struct managed *ledger = start_kind(MANAGED_LEDGER);
    run_sql(ledger, "dbname=ledger", "CREATE TABLE kept AS SELECT 7 AS x");
    int before = managed_pid(ledger);
    kill(before, SIGKILL);
    usleep(50000);
    loop_until(answers, ledger);
    cr_assert_neq(managed_pid(ledger), before);
    value_of(ledger, "dbname=ledger", "SELECT x FROM kept", value);
    cr_assert_str_eq(value, "7");
    managed_stop(ledger);
}

Test(managed, the_twins_begin_empty_whatever_a_crash_left)
{
    char path[256], value[256];
    struct managed *twins = start_kind(MANAGED_TWINS);
    run_sql(twins, "dbname=postgres", "CREATE DATABASE leftover");
    kill(managed_pid(twins), SIGKILL);
    managed_stop(twins);
    snprintf(path, sizeof path, "%s/twins/data/global/pg_control", state);
    cr_assert_eq(truncate(path, 100), 0);
    twins = start_kind(MANAGED_TWINS);
    value_of(twins, "dbname=postgres", "SELECT count(*) FROM pg_database", value);
    cr_assert_str_eq(value, "3");
    managed_stop(twins);
}

/* A pgveil in a process of its own, killed: its server ends, and the next pgveil starts cleanly. */
Test(managed, servers_end_with_a_killed_pgveil_and_the_next_run_starts)
{
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct event_base *own = event_base_new();
        struct managed *managed = managed_start(own, MANAGED_LEDGER, state, NULL, 0, 20, error);
        int postmaster = managed != NULL ? managed_pid(managed) : -1;
        if (write(ready[1], &postmaster, sizeof postmaster) < 0)
            _exit(1);
        pause();
        _exit(0);
    }
    int postmaster = -1;
    cr_assert_eq(read(ready[0], &postmaster, sizeof postmaster), (ssize_t)sizeof postmaster);
    cr_assert_gt(postmaster, 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct managed *ledger = start_kind(MANAGED_LEDGER);
    cr_assert_neq(managed_pid(ledger), postmaster);
    managed_stop(ledger);
}

Test(managed, a_stale_pid_file_of_another_process_does_not_matter)
{
    char path[256];
    struct managed *ledger = start_kind(MANAGED_LEDGER);
    managed_stop(ledger);
    snprintf(path, sizeof path, "%s/ledger/data/postmaster.pid", state);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file, "%d\n%s/ledger/data\n1\n5432\n../socket\n\n", (int)getppid(), state);
    fclose(file);
    ledger = start_kind(MANAGED_LEDGER);
    managed_stop(ledger);
}

Test(managed, an_interrupted_initdb_is_repeated)
{
    char path[256];
    cr_assert_eq(mkdir(state, 0700), 0);
    const char *const parts[] = {"/twins", "/twins/data.new", "/twins/data.new/base"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", state, parts[i]);
        cr_assert_eq(mkdir(path, 0700), 0);
    }
    managed_stop(start_kind(MANAGED_TWINS));
}

Test(managed, what_cannot_work_is_said_clearly)
{
    char deep[512];
    snprintf(deep, sizeof deep, "%s/%0100d", top, 0);
    cr_assert_null(managed_start(base, MANAGED_LEDGER, deep, NULL, 0, 20, error));
    cr_assert_not_null(strstr(error, "state_directory is too long"), "%s", error);
    cr_assert_null(managed_start(base, MANAGED_LEDGER, state, "/nonexistent", 0, 20, error));
    cr_assert_not_null(strstr(error, "postgres_bin"), "%s", error);
    cr_assert_null(managed_start(base, MANAGED_LEDGER, "/proc/x", NULL, 0, 20, error));
    cr_assert_not_null(strstr(error, "cannot create the folder"), "%s", error);
    cr_assert_null(managed_start(base, MANAGED_LEDGER, "/tmp", NULL, 0, 20, error));
    cr_assert_not_null(strstr(error, "belongs to"), "%s", error);
    /* Far too little memory for a server: its own words are passed on. */
    cr_assert_null(managed_start(base, MANAGED_TWINS, state, NULL, 32 << 20, 20, error));
    cr_assert_not_null(strstr(error, "did not start"), "%s", error);
}

Test(managed, the_memory_limit_turns_greed_into_an_error)
{
    char value[256];
    struct managed *twins = managed_start(base, MANAGED_TWINS, state, NULL, 512 << 20, 20, error);
    cr_assert_not_null(twins, "%s", error);
    value_of(twins, "dbname=postgres", "SELECT length(repeat('x', 900000000))", value);
    cr_assert_not_null(strstr(value, "out of memory"), "%s", value);
    cr_assert(answers(twins));
    managed_stop(twins);
}

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "proxy/measure.h"
#include "proxy/server_identity.h"
#include "tests/support/pg_server.h"

static struct pg_server server;
static struct event_base *base;
static struct measure_pool *pool;
static char conninfo[192];
static char name[] = "census";
static struct config_dataset dataset = {.name = name, .server = conninfo, .measurements_max = 2};
static struct config config = {.measurement_timeout_ms = 5000, .answer_rows_max = 1};

static void start(void)
{
    pg_server_start(&server, NULL);
    pg_server_run(&server, "postgres",
                  "CREATE TABLE t AS SELECT i, i % 3 AS k FROM generate_series(1, 9) i;"
                  "INSERT INTO t VALUES (100, NULL); CREATE ROLE reader LOGIN; GRANT SELECT ON t "
                  "TO reader; ALTER ROLE reader SET DateStyle = 'SQL, DMY'; ALTER ROLE reader SET "
                  "TimeZone = 'Asia/Tokyo'; ALTER ROLE reader SET extra_float_digits = -5");
    snprintf(conninfo, sizeof conninfo, "host=%s user=reader dbname=postgres", server.directory);
    base = event_base_new();
    pool = measure_pool_new(base, &config, &dataset);
}

static void stop(void)
{
    measure_pool_free(pool);
    event_base_free(base);
    pg_server_stop(&server);
}

TestSuite(measure, .init = start, .fini = stop, .timeout = 60);

/* A plan of up to four releases and what came of it. */
struct trial {
    struct plan plan;
    struct plan_relation relations[4];
    struct release releases[4];
    int calls;
    bool failed;
    size_t release; /* rows of the ones before are complete */
    char text[1024];
};

static void close_releases(struct trial *trial, size_t before)
{
    for (; trial->release < before; trial->release++)
        strcat(trial->text, "|");
}

static bool describe_row(void *context, size_t number, size_t part, const char *const *keys,
                         const __int128 *values)
{
    struct trial *trial = context;
    const struct release *release = &trial->releases[number];
    close_releases(trial, number);
    size_t length = strlen(trial->text);
    cr_assert(length < sizeof trial->text - 200);
    for (size_t k = 0; k < release->n_keys; k++)
        length += (size_t)sprintf(trial->text + length, "%.40s:", keys[k] ? keys[k] : "NULL");
    for (size_t m = 0; m < (part == 0 ? release->n_measures : 2); m++)
        length += (size_t)sprintf(trial->text + length, "%lld ", (long long)values[m]);
    return strstr(trial->text, "666 ") == NULL;
}

static void describe(void *context, bool failed)
{
    struct trial *trial = context;
    trial->calls++;
    trial->failed = failed;
    close_releases(trial, trial->plan.n_relations);
}

static void add(struct trial *trial, const char *sql, size_t n_keys, size_t n_measures)
{
    size_t i = trial->plan.n_relations++;
    trial->releases[i] = (struct release){
        .sql = sql, .n_keys = n_keys, .n_measures = n_measures, .n_drawn = n_measures};
    trial->relations[i] =
        (struct plan_relation){.kind = RELATION_RELEASE, .release = &trial->releases[i]};
    trial->plan.relations = trial->relations;
}

static void wait_for(const struct trial *trial)
{
    struct timeval begin, now;
    gettimeofday(&begin, NULL);
    do {
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        usleep(500);
        gettimeofday(&now, NULL);
    } while (trial->calls == 0 && now.tv_sec - begin.tv_sec < 20);
    cr_assert_eq(trial->calls, 1);
}

static const char *run(struct trial *trial)
{
    measure_start(pool, &trial->plan, "Europe/Oslo", describe_row, describe, trial);
    cr_assert_eq(trial->calls, 0, "not from inside measure_start");
    wait_for(trial);
    return trial->failed ? "failed" : trial->text;
}

static const char *run_one(const char *sql, size_t n_keys, size_t n_measures)
{
    static struct trial trial;
    memset(&trial, 0, sizeof trial);
    add(&trial, sql, n_keys, n_measures);
    return run(&trial);
}

Test(measure, rows_keys_and_nulls_arrive_exactly)
{
    cr_assert_str_eq(
        run_one("SELECT k::text, count(*), sum(i) FROM public.t GROUP BY k ORDER BY k", 1, 2),
        "0:3 18 1:3 12 2:3 15 NULL:1 100 |");
    cr_assert_str_eq(run_one("SELECT 12345678901234567::numeric * -1", 0, 1),
                     "-12345678901234567 |");
    cr_assert_str_eq(run_one("SELECT 'x', 1 WHERE false", 1, 1), "|");
}

Test(measure, parameters_are_typed_and_may_be_null)
{
    struct sql_value params[] = {{TYPE_INT8, "5"}, {TYPE_TEXT, NULL}, {TYPE_TEXT, "o'k"}};
    struct trial trial = {0};
    add(&trial, "SELECT coalesce($2, $3), count(*) FROM public.t WHERE i <= $1", 1, 1);
    trial.releases[0].n_params = 3;
    trial.releases[0].params = params;
    cr_assert_str_eq(run(&trial), "o'k:5 |");
}

Test(measure, several_releases_see_one_snapshot_and_releases_without_measures_are_skipped)
{
    struct trial trial = {0};
    add(&trial, "SELECT count(*) FROM public.t, pg_sleep(0.5)", 0, 1);
    add(&trial, NULL, 1, 0);
    add(&trial, "SELECT count(*) FROM public.t", 0, 1);
    measure_start(pool, &trial.plan, NULL, describe_row, describe, &trial);
    for (int i = 0; i < 200; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    cr_assert_eq(trial.calls, 0);
    pg_server_run(&server, "postgres", "INSERT INTO t VALUES (7, 7)");
    wait_for(&trial);
    cr_assert_str_eq(trial.text, "10 ||10 |");
}

Test(measure, the_shortcut_is_taken_only_where_its_proof_holds)
{
    static const struct {
        const char *proof, *expected;
    } cases[] = {
        {"SELECT true", "2 |"},       {"SELECT false", "1 |"},
        {"SELECT NULL::bool", "1 |"}, {"SELECT true WHERE false", "1 |"},
        {"SELECT true, true", "1 |"}, {"SELECT true UNION ALL SELECT true", "1 |"},
        {"SELECT 1/0 = 1", "failed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trial trial = {0};
        add(&trial, "SELECT 1", 0, 1);
        trial.releases[0].sql_proved = "SELECT 2";
        trial.releases[0].proof_sql = cases[i].proof;
        cr_assert_str_eq(run(&trial), cases[i].expected, "%s", cases[i].proof);
    }
}

Test(measure, settings_are_pinned_whatever_the_role_says)
{
    cr_assert_str_eq(
        run_one("SELECT concat_ws(' ', current_setting('DateStyle'), current_setting('TimeZone'), "
                "current_setting('search_path') = '\"\"', current_setting('extra_float_digits'), "
                "current_setting('transaction_isolation'), "
                "current_setting('transaction_read_only')), 0",
                1, 1),
        "ISO, MDY UTC t 3 repeatable read on:0 |");
}

Test(measure, the_time_zone_is_set_only_for_releases_that_use_it)
{
    struct trial trial = {0};
    add(&trial, "SELECT current_setting('TimeZone'), 0", 1, 1);
    trial.releases[0].uses_time_zone = true;
    cr_assert_str_eq(run(&trial), "Europe/Oslo:0 |");
    trial.calls = 0;
    measure_start(pool, &trial.plan, "UTC'; DROP TABLE t; --", describe_row, describe, &trial);
    wait_for(&trial);
    cr_assert(trial.failed);
    trial.calls = 0;
    measure_start(pool, &trial.plan, "No/Where", describe_row, describe, &trial);
    wait_for(&trial);
    cr_assert(trial.failed);
}

Test(measure, whatever_goes_wrong_looks_the_same)
{
    static const struct {
        const char *sql;
        size_t n_keys, n_measures;
    } cases[] = {
        {"SELECT 1/0", 0, 1},
        {"SELECT NULL::int", 0, 1},
        {"SELECT 1.5", 0, 1},
        {"SELECT 'NaN'::numeric", 0, 1},
        {"SELECT 1, 2", 0, 1},
        {"SELECT 1", 1, 1},
        {"SELECT nonsense", 0, 1},
        {"INSERT INTO public.t VALUES (1, 1)", 0, 1},
        {"CREATE TABLE public.x (y int)", 0, 1},
        {"SELECT 666", 0, 1},
        {"SELECT pg_terminate_backend(pg_backend_pid())::int", 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_str_eq(run_one(cases[i].sql, cases[i].n_keys, cases[i].n_measures), "failed",
                         "%s", cases[i].sql);
        cr_assert_str_eq(run_one("SELECT 4", 0, 1), "4 |", "the pool goes on after %s",
                         cases[i].sql);
    }
    cr_assert_str_neq(run_one("SELECT i FROM generate_series(1, 100) i", 0, 1), "failed");
}

Test(measure, time_runs_while_waiting_and_the_server_is_told_to_stop)
{
    struct trial slow[2] = {{.calls = 0}}, waits = {0};
    measure_pool_free(pool);
    config.measurement_timeout_ms = 700;
    pool = measure_pool_new(base, &config, &dataset);
    for (int i = 0; i < 2; i++) {
        add(&slow[i], "SELECT count(*) FROM pg_sleep(30) /* slow */", 0, 1);
        measure_start(pool, &slow[i].plan, NULL, describe_row, describe, &slow[i]);
    }
    add(&waits, "SELECT 1", 0, 1);
    measure_start(pool, &waits.plan, NULL, describe_row, describe, &waits);
    wait_for(&slow[0]);
    wait_for(&slow[1]);
    wait_for(&waits);
    cr_assert(slow[0].failed && slow[1].failed);
    /* Long before they would have ended by themselves. */
    const char *active = "";
    time_t until = time(NULL) + 20;
    while (strcmp(active, "0 |") != 0 && time(NULL) < until)
        active = run_one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND "
                         "state = 'active' AND query LIKE '%slow%' AND pid <> pg_backend_pid()",
                         0, 1);
    cr_assert_str_eq(active, "0 |");
}

Test(measure, an_abandoned_measurement_calls_nobody_and_frees_its_place)
{
    struct trial slow[3] = {{.calls = 0}}, next = {0};
    struct measurement *measurements[3];
    for (int i = 0; i < 3; i++) {
        add(&slow[i], "SELECT count(*) FROM pg_sleep(30)", 0, 1);
        measurements[i] =
            measure_start(pool, &slow[i].plan, NULL, describe_row, describe, &slow[i]);
    }
    for (int i = 0; i < 100; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    measure_abandon(measurements[2]);
    measure_abandon(measurements[0]);
    add(&next, "SELECT 9", 0, 1);
    cr_assert_str_eq(run(&next), "9 |");
    measure_abandon(measurements[1]);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(slow[i].calls, 0);
}

Test(measure, a_restarted_server_costs_no_measurement)
{
    cr_assert_str_eq(run_one("SELECT 1", 0, 1), "1 |");
    pg_server_pause(&server);
    cr_assert_str_eq(run_one("SELECT 2", 0, 1), "failed");
    pg_server_resume(&server);
    cr_assert_str_eq(run_one("SELECT 3", 0, 1), "3 |");
}

Test(measure, a_server_killed_in_the_middle_fails_the_measurement)
{
    struct trial slow = {0};
    add(&slow, "SELECT count(*) FROM pg_sleep(30)", 0, 1);
    measure_start(pool, &slow.plan, NULL, describe_row, describe, &slow);
    for (int i = 0; i < 100; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    pg_server_pause(&server);
    wait_for(&slow);
    cr_assert(slow.failed);
    pg_server_resume(&server);
    cr_assert_str_eq(run_one("SELECT 3", 0, 1), "3 |");
}

/* Of a reservation: how often it was ready. */
static int ready_calls;
static struct measurement *reserved;

static void count_ready(void *context)
{
    (void)context;
    ready_calls++;
}

static void turn_until_ready(const struct trial *trial)
{
    for (int i = 0; i < 4000 && ready_calls == 0 && trial->calls == 0; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
}

Test(measure, a_reservation_asks_nothing_before_it_is_told_to_go)
{
    struct trial trial = {0};
    add(&trial, "SELECT count(*) FROM public.t", 0, 1);
    reserved =
        measure_reserve(pool, &trial.plan, NULL, count_ready, describe_row, describe, &trial);
    turn_until_ready(&trial);
    cr_assert_eq(ready_calls, 1);
    cr_assert_eq(trial.calls, 0);
    pg_server_run(&server, "postgres", "INSERT INTO t VALUES (101, 1)");
    measure_go(reserved, NULL);
    wait_for(&trial);
    cr_assert_str_eq(trial.text, "11 |", "the snapshot is taken by the first question");
}

Test(measure, a_reservation_fails_before_it_is_ready_where_the_server_is_gone)
{
    struct trial trial = {0};
    pg_server_pause(&server);
    add(&trial, "SELECT count(*) FROM public.t", 0, 1);
    reserved =
        measure_reserve(pool, &trial.plan, NULL, count_ready, describe_row, describe, &trial);
    turn_until_ready(&trial);
    cr_assert_eq(ready_calls, 0);
    cr_assert_eq(trial.calls, 1);
    cr_assert(trial.failed);
    pg_server_resume(&server);
}

/* The database's name as the catalogue would have it. */
static const char *database_name(void)
{
    static char database[SERVER_DATABASE_NAME_MAX];
    struct server_identity identity;
    PGconn *connection = PQconnectdb(conninfo);
    server_identity_read(connection, &identity);
    server_identity_name(&identity, database);
    PQfinish(connection);
    return database;
}

Test(measure, only_the_database_that_the_plan_was_made_for_is_measured)
{
    for (int i = 0; i < 4; i++) { /* the pool has two connections */
        struct trial right = {.plan = {.database = database_name()}};
        struct trial wrong = {.plan = {.database = "cluster 1 database 2"}};
        ready_calls = 0;
        add(&right, "SELECT count(*) FROM public.t", 0, 1);
        add(&wrong, "SELECT count(*) FROM public.t", 0, 1);
        measure_start(pool, &right.plan, NULL, describe_row, describe, &right);
        wait_for(&right);
        cr_expect(!right.failed);
        cr_expect_str_eq(right.text, "10 |");
        measure_reserve(pool, &wrong.plan, NULL, count_ready, describe_row, describe, &wrong);
        turn_until_ready(&wrong);
        cr_expect(wrong.failed);
        cr_expect_eq(ready_calls, 0, "refused before the charge");
        cr_expect_str_eq(wrong.text, "|");
    }
}

Test(measure, a_connection_that_was_closed_meanwhile_is_looked_at_again)
{
    for (int i = 0; i < 3; i++) {
        struct trial trial = {.plan = {.database = database_name()}};
        add(&trial, "SELECT count(*) FROM public.t", 0, 1);
        measure_start(pool, &trial.plan, NULL, describe_row, describe, &trial);
        wait_for(&trial);
        cr_expect(!trial.failed);
        cr_expect_str_eq(trial.text, "10 |");
        pg_server_run(&server, "postgres",
                      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = "
                      "'reader'");
    }
}

Test(measure, an_abandoned_reservation_gives_its_connection_back)
{
    for (int i = 0; i < 5; i++) { /* more than there are connections */
        struct trial trial = {0};
        ready_calls = 0;
        add(&trial, "SELECT 1", 0, 1);
        reserved =
            measure_reserve(pool, &trial.plan, NULL, count_ready, describe_row, describe, &trial);
        turn_until_ready(&trial);
        cr_assert_eq(ready_calls, 1);
        measure_abandon(reserved);
        cr_assert_eq(trial.calls, 0);
    }
    cr_assert_str_eq(run_one("SELECT 4", 0, 1), "4 |");
}

Test(measure, a_connection_lost_after_the_reservation_is_not_replaced_silently)
{
    for (int turns = 0; turns <= 200; turns += 200) { /* the loss is noticed by then, or not */
        struct trial trial = {0};
        ready_calls = 0;
        add(&trial, "SELECT count(*) FROM public.t", 0, 1);
        reserved =
            measure_reserve(pool, &trial.plan, NULL, count_ready, describe_row, describe, &trial);
        turn_until_ready(&trial);
        cr_assert_eq(ready_calls, 1);
        pg_server_run(
            &server, "postgres",
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = "
            "'reader'");
        for (int i = 0; i < turns; i++) {
            event_base_loop(base, EVLOOP_NONBLOCK);
            usleep(100);
        }
        measure_go(reserved, NULL);
        cr_assert_eq(trial.calls, 0, "not from inside measure_go");
        wait_for(&trial);
        cr_assert(trial.failed);
        cr_assert_str_eq(run_one("SELECT 4", 0, 1), "4 |");
    }
}

/* A plan that buys bounds, and the one that is made with them. */
static struct trial first, second;

static void find_bounds(void *context)
{
    (void)context;
    if (++ready_calls == 1)
        return;
    cr_assert_str_eq(first.text, "10 ", "the bounds have been measured, and nothing else");
    pg_server_run(&server, "postgres", "INSERT INTO t VALUES (101, 1)");
    memset(&first.plan, 0, sizeof first.plan); /* gone */
    measure_replan(reserved, &second.plan);
    measure_go(reserved, NULL);
}

Test(measure, behind_bounds_another_plan_is_measured_in_the_same_snapshot)
{
    add(&first, "SELECT count(*) FROM public.t", 0, 1);
    add(&first, "SELECT 0", 0, 1);
    first.plan.n_bounds = 1;
    add(&second, "SELECT 'not asked again'", 0, 1);
    add(&second, "SELECT count(*) + 1000 FROM public.t", 0, 1);
    second.plan.n_bounds = 1;
    reserved =
        measure_reserve(pool, &first.plan, NULL, find_bounds, describe_row, describe, &first);
    turn_until_ready(&first);
    cr_assert_eq(ready_calls, 1);
    measure_go(reserved, NULL);
    wait_for(&first);
    cr_assert_not(first.failed);
    cr_assert_eq(ready_calls, 2);
    cr_assert_str_eq(first.text, "10 |1010 ");
}

static void give_up(void *context)
{
    (void)context;
    if (++ready_calls == 2)
        measure_abandon(reserved);
}

Test(measure, what_is_abandoned_behind_bounds_gives_its_connection_back)
{
    for (int i = 0; i < 5; i++) { /* more than there are connections */
        struct trial trial = {0};
        bool skipped[] = {i % 2 == 0, false}; /* the bounds were taken over, or measured */
        ready_calls = 0;
        add(&trial, "SELECT 1", 0, 1);
        add(&trial, "SELECT 2", 0, 1);
        trial.plan.n_bounds = 1;
        reserved =
            measure_reserve(pool, &trial.plan, NULL, give_up, describe_row, describe, &trial);
        turn_until_ready(&trial);
        measure_go(reserved, skipped);
        for (int n = 0; n < 4000 && ready_calls == 1; n++) {
            event_base_loop(base, EVLOOP_NONBLOCK);
            usleep(1000);
        }
        cr_assert_eq(ready_calls, 2);
        cr_assert_eq(trial.calls, 0);
    }
    cr_assert_str_eq(run_one("SELECT 4", 0, 1), "4 |");
}

/* Kept answers: what is sent is what the schema reads, and what comes back is what was sent. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "budget/ledger_admin.h"
#include "budget/ledger_answers.h"
#include "tests/support/charge.h"
#include "tests/support/pg_server.h"

#define ONE "1111111111111111111111111111111111111111111111111111111111111111"
#define TWO "2222222222222222222222222222222222222222222222222222222222222222"
#define DRAW "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

static const char request[] = "00000000-0000-4000-8000-000000000001";

enum { COLUMNS = 20 };
static const char *const good[COLUMNS] = {"17",
                                          "0",
                                          "1",
                                          ONE,
                                          "2026-11-22T06:00:00.000000Z",
                                          "laplace",
                                          "2",
                                          "-3",
                                          "5",
                                          "4",
                                          "999",
                                          "123456",
                                          "70000",
                                          "500",
                                          "0",
                                          "2",
                                          "{a,NULL,\"b,\\\"{}\\\\\",\"\"}",
                                          "{-1,170141183460469231731687303715884105727}",
                                          TWO,
                                          "{" ONE "," DRAW "}"};

/* A result of one row as the server would send it, column `changed` with another value. */
static enum ledger_outcome read(int changed, const char *value, struct ledger_answers *answers)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc columns[COLUMNS];
    static char name[] = "c";
    memset(columns, 0, sizeof(columns));
    for (int i = 0; i < COLUMNS; i++) {
        columns[i].name = name;
        columns[i].typid = 25;
    }
    cr_assert(PQsetResultAttrs(result, COLUMNS, columns));
    for (int i = 0; i < COLUMNS; i++) {
        const char *text = i == changed ? value : good[i];
        char copy[256];
        snprintf(copy, sizeof(copy), "%s", text ? text : "");
        cr_assert(PQsetvalue(result, 0, i, text ? copy : NULL, text ? (int)strlen(text) : -1));
    }
    enum ledger_outcome outcome = ledger_answers_result(result, answers);
    PQclear(result);
    return outcome;
}

Test(ledger_answers, a_row_is_read_whole)
{
    struct ledger_answers answers;
    cr_assert_eq(read(-1, NULL, &answers), LEDGER_OK);
    cr_assert_eq(answers.n, 1);
    const struct ledger_answer *answer = &answers.items[0];
    cr_assert_eq(answer->id, 17);
    cr_assert_eq(answer->release, 0);
    cr_assert_eq(answer->measure, 1);
    cr_assert_str_eq(answer->identity, ONE);
    cr_assert_str_eq(answer->since, "2026-11-22T06:00:00.000000Z");
    cr_assert_eq(answer->calibration.mechanism, DP_LAPLACE);
    cr_assert_eq(answer->calibration.grid.scale10, 2);
    cr_assert_eq(answer->calibration.grid.exp2, -3);
    cr_assert_eq(answer->calibration.delta_grid, 5);
    cr_assert_eq(answer->calibration.groups, 4);
    cr_assert_eq(answer->calibration.m, 999);
    cr_assert_eq(answer->calibration.charge.mu2_pico, 123456);
    cr_assert_eq(answer->calibration.charge.delta_atto, 70000);
    cr_assert(answer->calibration.charge.pure);
    cr_assert_eq(answer->calibration.charge.epsilon, 500);
    cr_assert_eq(answer->keys_of, 0);
    cr_assert_eq(answer->n_keys, 2);
    cr_assert_eq(answer->n_groups, 2);
    cr_assert_str_eq(answer->keys[0], "a");
    cr_assert_null(answer->keys[1]);
    cr_assert_str_eq(answer->keys[2], "b,\"{}\\");
    cr_assert_str_eq(answer->keys[3], "");
    cr_assert_str_eq(answer->family, TWO);
    cr_assert_eq(answer->n_fold_keys, 2);
    cr_assert_str_eq(answer->fold_keys[0], ONE);
    cr_assert_str_eq(answer->fold_keys[1], DRAW);
    cr_assert(answer->noisy[0] == -1);
    cr_assert(answer->noisy[1] == (__int128)(((unsigned __int128)1 << 127) - 1));
    ledger_answers_free(&answers);
}

Test(ledger_answers, keys_alone_and_numbers_alone_are_answers_and_nothing_is_not)
{
    struct ledger_answers answers;
    cr_assert_eq(read(17, NULL, &answers), LEDGER_OK);
    cr_assert_null(answers.items[0].noisy);
    cr_assert_eq(answers.items[0].n_groups, 2);
    ledger_answers_free(&answers);
    cr_assert_eq(read(16, NULL, &answers), LEDGER_OK);
    cr_assert_null(answers.items[0].keys);
    cr_assert_eq(answers.items[0].n_groups, 2);
    ledger_answers_free(&answers);
}

Test(ledger_answers, what_makes_no_sense_is_not_believed)
{
    static const struct {
        int column;
        const char *value;
    } wrong[] = {
        {0, "-1"},
        {0, NULL},
        {1, "x"},
        {3, NULL},
        {5, "geometric"},
        {5, NULL},
        {6, ""},
        {7, "1.5"},
        {8, "-1"},
        {10, "0"},
        {11, "x"},
        {13, "x"},
        {14, NULL},
        {15, "0"},
        {15, "3"},
        {16, "{a,b,c}"},
        {16, "{a,b}"},
        {16, "a,b,c,d"},
        {16, "{a,b,c,d"},
        {16, "{a,b,\"c,d}"},
        {16, "{a,b,c,d}}"},
        {16, "{a,,c,d}"},
        {16, "{a,b,c,d\\"},
        {16, ""},
        {17, "{1}"},
        {17, "{1,NULL}"},
        {17, "{1,2.5}"},
        {17, "{1,NaN}"},
        {17, "{1,-}"},
        {17, "{1,x}"},
        {17, "{1,2,3}"},
        {17, "{1,170141183460469231731687303715884105728}"},
        {17, "{1,999999999999999999999999999999999999999999}"},
        {18, NULL},
        {19, NULL},
        {19, "{" ONE ",NULL}"},
        {19, "{" ONE},
    };
    struct ledger_answers answers;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_eq(read(wrong[i].column, wrong[i].value, &answers), LEDGER_FAILED,
                     "column %d: %s", wrong[i].column, wrong[i].value ? wrong[i].value : "NULL");
        cr_expect_null(answers.memory);
        ledger_answers_free(&answers);
    }
    cr_assert_eq(ledger_answers_result(NULL, &answers), LEDGER_FAILED);
    cr_assert_eq(ledger_keep_result(NULL), LEDGER_FAILED);
}

Test(ledger_answers, questions_travel_as_one_array)
{
    static const char *const identities[] = {ONE, TWO ":" ONE ":" DRAW};
    struct ledger_call call;
    ledger_kept_call(&call, "ana", "census", "hour", identities, 2);
    cr_assert_eq(call.n_params, 5);
    cr_assert_str_eq(call.values[2], "hour");
    cr_assert_str_eq(call.values[3], "{" ONE "," TWO ":" ONE ":" DRAW "}");
    ledger_call_free(&call);
    ledger_kept_call(&call, "ana", "census", "hour", identities, 0);
    cr_assert_str_eq(call.values[3], "{}");
    ledger_call_free(&call);
}

/* --- with a server -------------------------------------------------------------------------------
 */

static struct pg_server server;
static PGconn *ledger;

static PGresult *send(struct ledger_call *call)
{
    PGresult *result =
        PQexecParams(ledger, call->sql, call->n_params, NULL, call->values, NULL, NULL, 0);
    ledger_call_free(call);
    return result;
}

static void grant(const char *analyst)
{
    struct ledger_call call;
    struct ledger_grant budget;
    char error[256];
    ledger_analyst_add_call(&call, analyst, "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy");
    PQclear(send(&call));
    cr_assert(ledger_grant_init(&budget, 1000000000, 1000000000000, LEDGER_GDP, "none", error,
                                sizeof(error)));
    ledger_grant_call(&call, "analyst", analyst, "census", &budget);
    PGresult *result = send(&call);
    cr_assert_str_eq(ledger_admin_word(result), "ok");
    PQclear(result);
}

static void begin(void)
{
    static const char *const settings[] = {"fsync = off", NULL};
    char conninfo[192];
    pg_server_start(&server, settings);
    snprintf(conninfo, sizeof(conninfo), "%s dbname=postgres", server.conninfo);
    ledger = PQconnectdb(conninfo);
    cr_assert_eq(PQstatus(ledger), CONNECTION_OK);
    PQclear(PQexec(ledger, ledger_schema_sql()));
    grant("ana");
    grant("bob");
}

static void end(void)
{
    PQfinish(ledger);
    pg_server_stop(&server);
}

static const struct ledger_release releases[2] = {
    {.charge = {.mu2_pico = 5000, .delta_atto = 7}, .measures = "[]", .fingerprint = DRAW},
    {.charge = {.mu2_pico = 6000, .epsilon = 9, .pure = true}, .measures = "[{\"m\": 1}]"}};

static enum ledger_outcome charge(const char *id, const char *analyst, uint64_t adopted[2])
{
    const struct ledger_charge charge = {.request_id = id,
                                         .analyst = analyst,
                                         .epoch = "day",
                                         .fingerprint = "print",
                                         .releases = releases,
                                         .n_releases = 2};
    PGresult *result = charge_alone(ledger, "census", &charge);
    enum ledger_outcome outcome = ledger_charge_result(result, NULL, adopted, 2);
    PQclear(result);
    return outcome;
}

static enum ledger_outcome keep(const char *analyst, const struct ledger_answer *answers, size_t n)
{
    struct ledger_call call;
    ledger_keep_call(&call, request, analyst, "census", "day", releases, 2, answers, n);
    PGresult *result = send(&call);
    enum ledger_outcome outcome = ledger_keep_result(result);
    PQclear(result);
    return outcome;
}

static void expect_same(const struct ledger_answer *a, const struct ledger_answer *b)
{
    cr_assert_str_eq(a->identity, b->identity);
    cr_assert_eq(a->measure, b->measure);
    cr_assert_eq(a->calibration.mechanism, b->calibration.mechanism);
    cr_assert_eq(a->calibration.grid.scale10, b->calibration.grid.scale10);
    cr_assert_eq(a->calibration.grid.exp2, b->calibration.grid.exp2);
    cr_assert_eq(a->calibration.delta_grid, b->calibration.delta_grid);
    cr_assert_eq(a->calibration.groups, b->calibration.groups);
    cr_assert_eq(a->calibration.m, b->calibration.m);
    cr_assert_eq(a->calibration.charge.mu2_pico, b->calibration.charge.mu2_pico);
    cr_assert_eq(a->calibration.charge.delta_atto, b->calibration.charge.delta_atto);
    cr_assert_eq(a->calibration.charge.pure, b->calibration.charge.pure);
    cr_assert_eq(a->calibration.charge.epsilon, b->calibration.charge.epsilon);
    cr_assert_eq(a->n_keys, b->n_keys);
    cr_assert_eq(a->n_groups, b->n_groups);
    cr_assert_eq(a->keys == NULL, b->keys == NULL);
    cr_assert_eq(a->noisy == NULL, b->noisy == NULL);
    cr_assert_eq(a->n_fold_keys, b->n_fold_keys);
    cr_assert_eq(a->family == NULL, b->family == NULL);
    cr_assert(a->family == NULL || strcmp(a->family, b->family) == 0);
    for (size_t i = 0; i < a->n_fold_keys; i++)
        cr_assert_str_eq(a->fold_keys[i], b->fold_keys[i]);
    for (size_t i = 0; a->keys && i < a->n_groups * a->n_keys; i++) {
        cr_assert_eq(a->keys[i] == NULL, b->keys[i] == NULL);
        cr_assert(a->keys[i] == NULL || strcmp(a->keys[i], b->keys[i]) == 0, "%s", a->keys[i]);
    }
    for (size_t i = 0; a->noisy && i < a->n_groups; i++) {
        cr_assert(a->noisy[i] == b->noisy[i]);
    }
}

static const char *const keys[] = {"", NULL, "NULL", "null", "a\"b\\c,{}", "\t\n\x01 é€𝄞"};
static const char *const fold_keys[] = {TWO, ONE};
static const __int128 noisy[] = {0, -((__int128)1 << 100), ((__int128)1 << 126)};
static const struct ledger_answer drawn[] = {
    {.identity = ONE,
     .calibration = {.mechanism = DP_GAUSSIAN,
                     .grid = {2, -5},
                     .delta_grid = 3,
                     .groups = 4,
                     .m = ((uint64_t)1 << 61) + 1,
                     .charge = {.mu2_pico = 5000, .delta_atto = 7}},
     .n_keys = 2,
     .keys = keys,
     .n_groups = 3,
     .noisy = noisy},
    {.measure = 2,
     .identity = TWO,
     .calibration = {.grid = {0, 11}, .delta_grid = 1, .groups = 1, .m = 1},
     .n_keys = 2,
     .keys_of = LEDGER_KEYS_HERE,
     .n_groups = 3,
     .noisy = noisy},
    {.release = 1,
     .identity = TWO,
     .calibration = {.mechanism = DP_LAPLACE,
                     .grid = {0, 0},
                     .delta_grid = 1,
                     .groups = 1,
                     .m = 77,
                     .charge = {.mu2_pico = 6000, .epsilon = 9, .pure = true}},
     .family = DRAW,
     .n_fold_keys = 2,
     .fold_keys = fold_keys,
     .n_groups = 1,
     .noisy = noisy},
};

Test(ledger_answers, what_was_kept_comes_back_to_who_paid, .init = begin, .fini = end)
{
    static const char *const identities[] = {ONE, TWO};
    struct ledger_answers answers;
    struct ledger_call call;
    uint64_t adopted[2];
    cr_assert_eq(keep("ana", drawn, 3), LEDGER_FAILED, "nothing was charged yet");
    cr_assert_eq(charge(request, "ana", adopted), LEDGER_OK);
    cr_assert_eq(adopted[0] + adopted[1], 0);
    cr_assert_eq(keep("bob", drawn, 3), LEDGER_FAILED);
    cr_assert_eq(keep("ana", drawn, 3), LEDGER_OK);
    cr_assert_eq(keep("ana", drawn, 3), LEDGER_OK, "a second time");

    ledger_kept_call(&call, "ana", "census", "day", identities, 2);
    PGresult *result = send(&call);
    cr_assert_eq(ledger_answers_result(result, &answers), LEDGER_OK);
    PQclear(result);
    cr_assert_eq(answers.n, 3);
    expect_same(&answers.items[0], &drawn[0]);
    expect_same(&answers.items[1], &drawn[2]);
    expect_same(&answers.items[2], &drawn[1]);
    cr_assert_eq(answers.items[2].keys_of, answers.items[0].id);
    cr_assert_eq(answers.items[1].keys_of, 0);
    ledger_answers_free(&answers);

    ledger_kept_call(&call, "bob", "census", "day", identities, 2);
    result = send(&call);
    cr_assert_eq(ledger_answers_result(result, &answers), LEDGER_OK);
    cr_assert_eq(answers.n, 0);
    ledger_answers_free(&answers);
    PQclear(result);
}

/* How many answers there are to one question. */
static size_t found(const char *question)
{
    struct ledger_answers answers;
    struct ledger_call call;
    ledger_kept_call(&call, "ana", "census", "day", &question, 1);
    PGresult *result = send(&call);
    cr_assert_eq(ledger_answers_result(result, &answers), LEDGER_OK);
    size_t n = answers.n;
    for (size_t i = 0; i < n; i++)
        expect_same(&answers.items[i], &drawn[2]);
    ledger_answers_free(&answers);
    PQclear(result);
    return n;
}

Test(ledger_answers, finer_groups_are_found_by_their_family_and_keys, .init = begin, .fini = end)
{
    uint64_t adopted[2];
    cr_assert_eq(charge(request, "ana", adopted), LEDGER_OK);
    cr_assert_eq(keep("ana", drawn, 3), LEDGER_OK);
    cr_expect_eq(found(DRAW ":"), 1u);
    cr_expect_eq(found(DRAW ":" ONE), 1u);
    cr_expect_eq(found(DRAW ":" ONE ":" TWO), 1u, "in whatever order");
    cr_expect_eq(found(DRAW ":" DRAW), 0u, "a key that it has not");
    cr_expect_eq(found(DRAW ":" ONE ":" DRAW), 0u);
    cr_expect_eq(found(ONE ":" ONE), 0u, "another family");
    cr_expect_eq(found(DRAW), 0u, "no identity");
}

Test(ledger_answers, another_analyst_takes_the_draw_over, .init = begin, .fini = end)
{
    static const char second[] = "00000000-0000-4000-8000-000000000002";
    struct ledger_answers answers;
    struct ledger_call call;
    uint64_t adopted[2];
    cr_assert_eq(charge(request, "ana", adopted), LEDGER_OK);
    cr_assert_eq(keep("ana", drawn, 3), LEDGER_OK);
    cr_assert_eq(charge(second, "bob", adopted), LEDGER_OK);
    cr_assert_neq(adopted[0], 0);
    cr_assert_eq(adopted[1], 0, "it has no fingerprint");
    ledger_adopted_call(&call, second, "bob");
    PGresult *result = send(&call);
    cr_assert_eq(ledger_answers_result(result, &answers), LEDGER_OK);
    PQclear(result);
    cr_assert_eq(answers.n, 2);
    expect_same(&answers.items[0], &drawn[0]);
    expect_same(&answers.items[1], &drawn[1]);
    cr_assert_eq(answers.items[1].release, 0);
    ledger_answers_free(&answers);
}

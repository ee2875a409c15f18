/* Charges through the queue, to a real ledger: each has its own outcome, whatever it goes together
 * with. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "budget/ledger.h"
#include "budget/ledger_admin.h"
#include "proxy/ledger_queue.h"
#include "tests/support/pg_server.h"

enum { CHARGES_MOST = 200, TIMEOUT_MS = 30000 };

static struct pg_server server;
static char conninfo[192];
static PGconn *ledger; /* to look, and to be in the way */
static struct event_base *base;
static struct ledger_queue *queue;

static char *ask(const char *sql)
{
    static char value[128];
    PGresult *result = PQexec(ledger, sql);
    cr_assert(PQresultStatus(result) == PGRES_TUPLES_OK ||
                  PQresultStatus(result) == PGRES_COMMAND_OK,
              "%s", PQerrorMessage(ledger));
    snprintf(value, sizeof value, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return value;
}

static void expect_ok(const struct ledger_call *call)
{
    PGresult *result =
        PQexecParams(ledger, call->sql, call->n_params, NULL, call->values, NULL, NULL, 0);
    cr_assert_str_eq(ledger_admin_word(result), "ok", "%s", PQerrorMessage(ledger));
    PQclear(result);
}

/* Epsilon 1: the cap is a little above 55.5e9. */
static void grant_to(const char *holder, const char *name)
{
    struct ledger_call call;
    struct ledger_grant budget;
    char error[256];
    cr_assert(ledger_grant_init(&budget, 1000000000, 1000000000000, LEDGER_GDP, "none", error,
                                sizeof(error)));
    ledger_grant_call(&call, holder, name, "census", &budget);
    expect_ok(&call);
}

static void grant(const char *analyst)
{
    struct ledger_call call;
    ledger_analyst_add_call(&call, analyst, "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy");
    expect_ok(&call);
    grant_to("analyst", analyst);
}

static void begin(void)
{
    static const char *const settings[] = {"fsync = off", "deadlock_timeout = 10ms", NULL};
    pg_server_start(&server, settings);
    snprintf(conninfo, sizeof conninfo, "%s dbname=postgres", server.conninfo);
    ledger = PQconnectdb(conninfo);
    cr_assert_eq(PQstatus(ledger), CONNECTION_OK);
    ask(ledger_schema_sql());
    grant("ana");
    grant("bob");
    base = event_base_new();
    queue = ledger_queue_new(base, conninfo, "census", TIMEOUT_MS);
}

static void end(void)
{
    cr_assert_str_eq(ask("SELECT count(*) FROM (SELECT seq FROM pgveil.check_journal(1, 1000000) "
                         "UNION ALL SELECT seq FROM pgveil.check_state(0, '')) f"),
                     "0", "the ledger does not add up");
    ledger_queue_free(queue);
    event_base_free(base);
    PQfinish(ledger);
    pg_server_stop(&server);
}

TestSuite(ledger_queue, .init = begin, .fini = end, .timeout = 120);

/* One charge, and what came of it. */
struct asked {
    char request[37];
    const char *analyst;
    uint64_t mu2_pico;
    bool done, lost, error;
    enum ledger_outcome outcome;
    struct ledger_account account;
};

static struct asked asked[CHARGES_MOST];

static void on_charged(void *context, const PGresult *result)
{
    struct asked *charge = context;
    cr_assert_not(charge->done, "answered twice");
    charge->done = true;
    charge->lost = result == NULL;
    charge->error = result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR;
    charge->outcome = ledger_charge_result(result, &charge->account, NULL, 0);
}

static void add_to(struct ledger_queue *to, struct asked *charge, bool alone)
{
    const struct ledger_release release = {.charge = {.mu2_pico = charge->mu2_pico},
                                           .measures = "[]"};
    const struct ledger_charge wanted = {.request_id = charge->request,
                                         .analyst = charge->analyst,
                                         .epoch = "day",
                                         .fingerprint = "print",
                                         .releases = &release,
                                         .n_releases = 1};
    charge->done = false;
    ledger_queue_add(to, ledger_charge_text(&wanted), alone, on_charged, charge);
}

static void ask_for(size_t i, const char *analyst, uint64_t mu2_pico)
{
    asked[i] = (struct asked){.analyst = analyst, .mu2_pico = mu2_pico};
    snprintf(asked[i].request, sizeof asked[i].request, "00000000-0000-4000-8000-%012zu", i);
}

static void add(size_t i, const char *analyst, uint64_t mu2_pico)
{
    ask_for(i, analyst, mu2_pico);
    add_to(queue, &asked[i], false);
}

static void wait_for(size_t n)
{
    time_t until = time(NULL) + 60;
    for (size_t i = 0; i < n;) {
        if (asked[i].done) {
            i++;
            continue;
        }
        cr_assert(time(NULL) < until, "charge %zu has no answer", i);
        event_base_loop(base, EVLOOP_ONCE);
    }
}

static uint64_t number(const char *sql)
{
    return strtoull(ask(sql), NULL, 10);
}

/* Until so many batches wait for what the other connection has locked, or for each other. */
static void wait_for_locks(size_t n)
{
    while (number("SELECT count(*) FROM pg_locks WHERE NOT granted") < n)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static uint64_t batches(void)
{
    return number("SELECT count(DISTINCT at) FROM pgveil.journal WHERE kind = 'charge'");
}

static uint64_t charged(void)
{
    return number("SELECT count(*) FROM pgveil.journal WHERE kind = 'charge'");
}

Test(ledger_queue, a_charge_that_comes_alone_goes_alone)
{
    for (size_t i = 0; i < 3; i++) {
        add(i, "ana", 5000);
        cr_assert_not(asked[i].done, "answered from inside the call");
        wait_for(i + 1);
        cr_assert_eq(asked[i].outcome, LEDGER_OK);
        cr_assert_eq(asked[i].account.mu2_spent_pico, 5000 * (i + 1));
    }
    cr_assert_eq(batches(), 3);
}

Test(ledger_queue, what_comes_together_is_one_transaction_up_to_a_limit)
{
    for (size_t i = 0; i < 150; i++)
        add(i, i % 3 == 0 ? "bob" : "ana", 5000 + i);
    wait_for(150);
    uint64_t spent = 0;
    for (size_t i = 0; i < 150; i++) {
        spent += 5000 + i;
        cr_assert_eq(asked[i].outcome, LEDGER_OK);
        cr_assert_eq(asked[i].account.booked_mu2_pico, 5000 + i);
        cr_assert_eq(asked[i].account.dataset_mu2_spent_pico, spent, "in the order of arrival");
    }
    cr_assert_eq(batches(), 3);
    cr_assert_eq(number("SELECT sum(mu2_pico) FROM pgveil.journal"), spent);
}

Test(ledger_queue, what_comes_while_a_batch_is_under_way_goes_with_the_next)
{
    ask("BEGIN");
    ask("SELECT * FROM pgveil.account FOR UPDATE");
    add(0, "ana", 5000);
    wait_for_locks(1);
    for (size_t i = 1; i < 40; i++) {
        add(i, "ana", 5000);
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    ask("COMMIT");
    wait_for(40);
    cr_assert_eq(asked[39].account.mu2_spent_pico, 40 * 5000);
    cr_assert_eq(batches(), 2);
}

Test(ledger_queue, each_charge_of_a_batch_has_its_own_outcome)
{
    struct ledger_call call;
    add(0, "ana", 7000);
    wait_for(1);
    ledger_analyst_add_call(&call, "eve", "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy");
    expect_ok(&call);
    ask("UPDATE pgveil.account SET frozen = 'for a test' WHERE name = 'bob'");
    add(0, "ana", 7000); /* the same again */
    add(1, "ana", 60000000000);
    add(2, "ana", 8000);
    add(3, "bob", 9000);
    add(4, "eve", 9000);
    add(5, "ana", 1);
    wait_for(6);
    cr_assert_eq(asked[0].outcome, LEDGER_OK);
    cr_assert_eq(asked[0].account.mu2_spent_pico, 7000, "debited once");
    cr_assert_eq(asked[1].outcome, LEDGER_EXCEEDED);
    cr_assert_eq(asked[1].account.booked_mu2_pico, 60000000000);
    cr_assert_eq(asked[2].outcome, LEDGER_OK);
    cr_assert_eq(asked[2].account.mu2_spent_pico, 15000);
    cr_assert_eq(asked[3].outcome, LEDGER_FROZEN);
    cr_assert_eq(asked[4].outcome, LEDGER_NO_ACCOUNT);
    cr_assert_eq(asked[5].outcome, LEDGER_OK);
    cr_assert_eq(asked[5].account.booked_mu2_pico, 1000, "the minimum");
    cr_assert_eq(batches(), 2);
    cr_assert_eq(charged(), 3);
    ask("UPDATE pgveil.account SET frozen = NULL");
}

Test(ledger_queue, one_that_is_at_fault_takes_no_other_down)
{
    for (size_t i = 0; i < 20; i++) {
        ask_for(i, "ana", 5000);
        if (i == 7)
            snprintf(asked[i].request, sizeof asked[i].request, "not a request id");
        if (i == 8)
            asked[i].mu2_pico = UINT64_MAX;
        if (i == 9)
            memcpy(asked[i].request, asked[3].request, sizeof asked[i].request);
        if (i == 10) { /* as one before, for another price */
            memcpy(asked[i].request, asked[4].request, sizeof asked[i].request);
            asked[i].mu2_pico = 6000;
        }
        add_to(queue, &asked[i], false);
    }
    wait_for(20);
    for (size_t i = 0; i < 20; i++) {
        cr_assert_eq(asked[i].error, i == 7 || i == 8 || i == 10, "%zu", i);
        cr_assert_eq(asked[i].outcome, asked[i].error ? LEDGER_FAILED : LEDGER_OK);
    }
    cr_assert_eq(charged(), 16);
    cr_assert_eq(asked[19].account.mu2_spent_pico, 16 * 5000);
}

Test(ledger_queue, a_batch_that_collides_with_a_change_is_sent_again_as_it_is)
{
    grant_to("group", "north");
    ask("BEGIN");
    ask("SELECT * FROM pgveil.account WHERE name = 'ana' FOR UPDATE");
    for (size_t i = 0; i < 30; i++)
        add(i, i % 2 ? "ana" : "bob", 5000);
    wait_for_locks(1);
    ask("SELECT pgveil.member('north', 'ana', true)");
    ask("COMMIT");
    wait_for(30);
    for (size_t i = 0; i < 30; i++)
        cr_assert_eq(asked[i].outcome, LEDGER_OK);
    cr_assert_eq(batches(), 1);
    cr_assert_eq(number("SELECT mu2_spent_pico FROM pgveil.account WHERE name = 'north'"),
                 15 * 5000);
}

Test(ledger_queue, what_was_an_error_goes_alone)
{
    ask_for(0, "ana", UINT64_MAX);
    add_to(queue, &asked[0], true);
    for (size_t i = 1; i < 10; i++)
        add(i, "ana", 5000);
    wait_for(10);
    cr_assert(asked[0].error);
    cr_assert_eq(asked[9].account.mu2_spent_pico, 9 * 5000);
    cr_assert_eq(batches(), 1);
}

Test(ledger_queue, a_lost_connection_leaves_every_charge_open_and_asked_again_it_debits_once)
{
    for (int round = 0; round < 2; round++) {
        ask("BEGIN");
        ask("SELECT * FROM pgveil.account FOR UPDATE");
        for (size_t i = 0; i < 30; i++)
            add(i, i % 2 ? "ana" : "bob", 5000);
        wait_for_locks(1);
        ask("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted");
        ask("COMMIT");
        wait_for(30);
        for (size_t i = 0; i < 30; i++)
            cr_assert(asked[i].lost || asked[i].error);
        for (size_t i = 0; i < 30; i++)
            add_to(queue, &asked[i], false);
        wait_for(30);
        for (size_t i = 0; i < 30; i++)
            cr_assert_eq(asked[i].outcome, LEDGER_OK);
        cr_assert_eq(charged(), 30);
    }
}

static void set_standby(const char *name)
{
    char sql[96];
    snprintf(sql, sizeof sql, "ALTER SYSTEM SET synchronous_standby_names = '%s'", name);
    ask(sql);
    ask("SELECT pg_reload_conf()");
    while (strcmp(ask("SHOW synchronous_standby_names"), name) != 0)
        usleep(10000);
}

Test(ledger_queue, a_charge_that_no_standby_has_is_open_whatever_cut_the_wait_short)
{
    set_standby("away");
    ask("SET synchronous_commit = local");
    ask("ALTER ROLE CURRENT_USER SET statement_timeout = '300ms'");
    ask("ALTER ROLE CURRENT_USER SET client_min_messages = 'error'");
    struct ledger_queue *hurried = ledger_queue_new(base, conninfo, "census", TIMEOUT_MS);
    for (size_t i = 0; i < 3; i++) {
        ask_for(i, "ana", 5000);
        add_to(hurried, &asked[i], false);
    }
    wait_for(3);
    for (size_t i = 0; i < 3; i++)
        cr_assert(asked[i].lost, "confirmed without the standby");
    set_standby("");
    for (size_t i = 0; i < 3; i++)
        add_to(hurried, &asked[i], false);
    wait_for(3);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(asked[i].outcome, LEDGER_OK);
    cr_assert_eq(charged(), 3);
    ledger_queue_free(hurried);
}

Test(ledger_queue, a_charge_that_waits_too_long_is_given_back_open)
{
    struct ledger_queue *impatient = ledger_queue_new(base, conninfo, "census", 300);
    ask("BEGIN");
    ask("SELECT * FROM pgveil.account FOR UPDATE");
    ask_for(0, "ana", 5000);
    add_to(impatient, &asked[0], false);
    event_base_loop(base, EVLOOP_NONBLOCK);
    for (size_t i = 1; i < 5; i++) {
        ask_for(i, "ana", 5000);
        add_to(impatient, &asked[i], false);
    }
    wait_for(5);
    for (size_t i = 0; i < 5; i++)
        cr_assert(asked[i].lost || asked[i].error);
    ask("COMMIT");
    for (size_t i = 0; i < 5; i++)
        add_to(queue, &asked[i], false);
    wait_for(5);
    cr_assert_eq(asked[4].outcome, LEDGER_OK);
    cr_assert_eq(charged(), 5);
    ledger_queue_free(impatient);
}

Test(ledger_queue, a_queue_that_ends_gives_every_charge_back)
{
    struct ledger_queue *ending = ledger_queue_new(base, conninfo, "census", TIMEOUT_MS);
    for (size_t i = 0; i < 100; i++) {
        ask_for(i, "ana", 5000);
        add_to(ending, &asked[i], false);
        if (i == 20)
            event_base_loop(base, EVLOOP_NONBLOCK);
    }
    ledger_queue_free(ending);
    for (size_t i = 0; i < 100; i++)
        cr_assert(asked[i].done && asked[i].lost);
}

Test(ledger_queue, the_last_of_a_budget_is_spent_once)
{
    uint64_t cap = number("SELECT cap_pico FROM pgveil.account WHERE name = 'ana'");
    size_t accepted = 0;
    add(199, "ana", cap - 50 * UINT64_C(7000000) - 1);
    for (size_t i = 0; i < 150; i++)
        add(i, "ana", 7000000);
    wait_for(150);
    for (size_t i = 0; i < 150; i++) {
        accepted += asked[i].outcome == LEDGER_OK;
        cr_assert(asked[i].outcome == LEDGER_OK || asked[i].outcome == LEDGER_EXCEEDED);
    }
    cr_assert_eq(accepted, 50);
    cr_assert_eq(number("SELECT mu2_spent_pico FROM pgveil.account WHERE name = 'ana'"), cap - 1);
}

/* The batches of each lock all accounts, and name the analysts in opposite order; both begin while
 * the account in the middle is locked. */
Test(ledger_queue, two_instances_on_the_same_accounts_never_lock_each_other_out)
{
    enum { EACH = 64, ROUNDS = 10 };
    struct ledger_queue *other = ledger_queue_new(base, conninfo, "census", TIMEOUT_MS);
    static struct asked first[EACH], second[EACH];
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < EACH; i++) {
            first[i] = (struct asked){.analyst = i < EACH / 2 ? "ana" : "bob", .mu2_pico = 5000};
            second[i] = (struct asked){.analyst = i < EACH / 2 ? "bob" : "ana", .mu2_pico = 5000};
            snprintf(first[i].request, 37, "00000000-0000-4000-8001-%012zu", round * 1000 + i);
            snprintf(second[i].request, 37, "00000000-0000-4000-8002-%012zu", round * 1000 + i);
            add_to(queue, &first[i], false);
            add_to(other, &second[i], false);
        }
        ask("BEGIN");
        ask("SELECT * FROM pgveil.account WHERE name = '' FOR UPDATE");
        wait_for_locks(2);
        ask("COMMIT");
        for (size_t i = 0; i < EACH; i++)
            while (!first[i].done || !second[i].done)
                event_base_loop(base, EVLOOP_ONCE);
        for (size_t i = 0; i < EACH; i++)
            cr_assert(first[i].outcome == LEDGER_OK && second[i].outcome == LEDGER_OK);
    }
    cr_assert_eq(number("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), 0);
    cr_assert_eq(batches(), 2 * ROUNDS);
    cr_assert_eq(number("SELECT mu2_spent_pico FROM pgveil.account WHERE name = ''"),
                 2 * ROUNDS * EACH * UINT64_C(5000));
    ledger_queue_free(other);
}

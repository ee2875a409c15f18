/* The ledger's calls sent over libpq to a server: what is built is what the schema understands. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "budget/ledger.h"
#include "budget/ledger_admin.h"
#include "tests/support/charge.h"
#include "tests/support/pg_server.h"

static struct pg_server server;
static PGconn *ledger;

static PGresult *send(const struct ledger_call *call)
{
    return PQexecParams(ledger, call->sql, call->n_params, NULL, call->values, NULL, NULL, 0);
}

static void expect_ok(const struct ledger_call *call)
{
    PGresult *result = send(call);
    cr_assert_str_eq(ledger_admin_word(result), "ok", "%s", PQerrorMessage(ledger));
    PQclear(result);
}

static void grant(const char *analyst, dp_nano epsilon, enum ledger_mode mode)
{
    struct ledger_call call;
    struct ledger_grant budget;
    char error[256];
    ledger_analyst_add_call(&call, analyst, "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy");
    expect_ok(&call);
    cr_assert(
        ledger_grant_init(&budget, epsilon, 1000000000000, mode, "day", error, sizeof(error)));
    ledger_grant_call(&call, "analyst", analyst, "census", &budget);
    expect_ok(&call);
}

static void begin(void)
{
    static const char *const settings[] = {"fsync = off", NULL};
    char conninfo[192];
    pg_server_start(&server, settings);
    snprintf(conninfo, sizeof(conninfo), "%s dbname=postgres", server.conninfo);
    ledger = PQconnectdb(conninfo);
    cr_assert_eq(PQstatus(ledger), CONNECTION_OK);
    for (int i = 0; i < 2; i++) {
        PGresult *result = PQexec(ledger, ledger_schema_sql());
        cr_assert(PQresultStatus(result) == PGRES_COMMAND_OK ||
                      PQresultStatus(result) == PGRES_TUPLES_OK,
                  "%s", PQerrorMessage(ledger));
        PQclear(result);
    }
    cr_assert_eq(PQtransactionStatus(ledger), PQTRANS_IDLE);
}

static void end(void)
{
    PQfinish(ledger);
    pg_server_stop(&server);
}

static enum ledger_outcome charge(const char *request, const char *analyst, uint64_t mu2_pico,
                                  struct ledger_account *account)
{
    struct ledger_release release = {.charge = {.mu2_pico = mu2_pico, .delta_atto = 5},
                                     .measures = "[]"};
    const struct ledger_charge charge = {.request_id = request,
                                         .analyst = analyst,
                                         .epoch = "day",
                                         .fingerprint = "print",
                                         .releases = &release,
                                         .n_releases = 1};
    PGresult *result = charge_alone(ledger, "census", &charge);
    enum ledger_outcome outcome = ledger_charge_result(result, account, NULL, 0);
    PQclear(result);
    return outcome;
}

static const char first[] = "00000000-0000-4000-8000-000000000001";
static const char second[] = "00000000-0000-4000-8000-000000000002";

Test(ledger_calls, a_charge_is_booked_resolved_and_shown, .init = begin, .fini = end)
{
    static const char *const columns[] = {"at",    "statement", "epsilon", "mu2_pico",
                                          "delta", "share",     "state"};
    struct ledger_call call;
    struct ledger_account account;
    grant("ana", 1000000000, LEDGER_GDP);
    cr_assert_eq(charge(first, "ana", 12345, &account), LEDGER_OK);
    cr_assert_eq(account.booked_mu2_pico, 12345);
    cr_assert_eq(account.mu2_spent_pico, 12345);
    cr_assert_eq(account.dataset_mu2_spent_pico, 12345);
    cr_assert_eq(account.delta_spent, 5);
    cr_assert_str_eq(account.cap_mode, "gdp");
    cr_assert_eq(charge(first, "ana", 12345, &account), LEDGER_OK);
    cr_assert_eq(account.mu2_spent_pico, 12345);

    ledger_resolve_call(&call, first, true);
    PGresult *result = send(&call);
    cr_assert_str_eq(ledger_admin_word(result), "answered");
    PQclear(result);

    ledger_history_call(&call, "ana", "census");
    result = send(&call);
    cr_assert_eq(PQntuples(result), 1);
    cr_assert_eq(PQnfields(result), 7);
    for (int i = 0; i < 7; i++) {
        cr_assert_str_eq(PQfname(result, i), columns[i]);
        cr_assert_eq(PQftype(result, i), 25);
    }
    cr_assert_str_eq(PQgetvalue(result, 0, 3), "12345");
    cr_assert_str_eq(PQgetvalue(result, 0, 6), "answered");
    PQclear(result);
}

Test(ledger_calls, refusals_arrive_with_the_account, .init = begin, .fini = end)
{
    struct ledger_call call;
    struct ledger_account account;
    cr_assert_eq(charge(first, "ana", 12345, &account), LEDGER_NO_ACCOUNT);
    grant("ana", 1000000000, LEDGER_GDP);
    cr_assert_eq(charge(first, "ana", 60000000000, &account), LEDGER_EXCEEDED);
    cr_assert_eq(account.booked_mu2_pico, 60000000000);
    cr_assert_eq(account.mu2_spent_pico, 0);
    cr_assert_eq(account.mu2_cap_pico, ledger_account_remaining_mu2(&account));
    cr_assert_eq(charge(second, "ana", UINT64_MAX, &account), LEDGER_FAILED);
    ledger_analyst_enable_call(&call, "ana", false);
    expect_ok(&call);
    cr_assert_eq(charge(first, "ana", 12345, &account), LEDGER_FROZEN);
    cr_assert_str_eq(account.refused_by, "analyst");
}

Test(ledger_calls, a_charge_within_a_transaction_block_fails_and_spends_nothing, .init = begin,
     .fini = end)
{
    struct ledger_account account;
    grant("ana", 1000000000, LEDGER_GDP);
    PQclear(PQexec(ledger, "BEGIN"));
    cr_assert_eq(charge(first, "ana", 12345, &account), LEDGER_FAILED);
    PQclear(PQexec(ledger, "COMMIT"));
    cr_assert_eq(charge(second, "ana", 5000, &account), LEDGER_OK);
    cr_assert_eq(account.mu2_spent_pico, 5000);
}

Test(ledger_calls, accounts_logins_and_datasets_are_read, .init = begin, .fini = end)
{
    struct ledger_call call;
    struct ledger_account account;
    struct ledger_login login;
    struct ledger_dataset dataset, again;
    ledger_login_call(&call, "ana");
    PGresult *result = send(&call);
    cr_assert_eq(ledger_login_result(result, &login), LEDGER_OK);
    cr_assert_not(login.known);
    PQclear(result);

    grant("ana", 2500000000, LEDGER_ZCDP);
    result = send(&call);
    cr_assert_eq(ledger_login_result(result, &login), LEDGER_OK);
    cr_assert(login.known && login.enabled);
    cr_assert_str_eq(login.verifier, "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy");
    PQclear(result);

    ledger_account_call(&call, "ana", "census");
    result = send(&call);
    cr_assert_eq(ledger_account_result(result, &account), LEDGER_OK);
    cr_assert_str_eq(account.epsilon, "2.5");
    cr_assert_str_eq(account.delta, "0.000001");
    cr_assert_str_eq(account.cap_mode, "zcdp");
    cr_assert_str_eq(account.window, "day");
    PQclear(result);
    ledger_account_call(&call, "ana", "panel");
    result = send(&call);
    cr_assert_eq(ledger_account_result(result, &account), LEDGER_NO_ACCOUNT);
    PQclear(result);
    ledger_accounts_call(&call, "ana");
    result = send(&call);
    cr_assert_eq(PQntuples(result), 1);
    cr_assert_eq(ledger_accounts_result(result, 0, &account), LEDGER_OK);
    cr_assert_eq(ledger_accounts_result(result, 1, &account), LEDGER_FAILED);
    PQclear(result);

    ledger_dataset_call(&call, "census");
    result = send(&call);
    cr_assert_eq(ledger_dataset_result(result, &dataset), LEDGER_OK);
    cr_assert_eq(strlen(dataset.instance), 36);
    PQclear(result);
    result = send(&call);
    cr_assert_eq(ledger_dataset_result(result, &again), LEDGER_OK);
    cr_assert_str_eq(again.instance, dataset.instance);
    cr_assert_eq(again.hash_seed, dataset.hash_seed);
    PQclear(result);
}

static bool continues(const struct ledger_head *noted)
{
    struct ledger_call call;
    bool answer;
    ledger_continues_call(&call, noted);
    PGresult *result = send(&call);
    cr_assert_eq(ledger_continues_result(result, &answer), LEDGER_OK);
    PQclear(result);
    return answer;
}

static void read_head(struct ledger_head *head)
{
    struct ledger_call call;
    ledger_head_call(&call);
    PGresult *result = send(&call);
    cr_assert_eq(ledger_head_result(result, head), LEDGER_OK);
    PQclear(result);
}

Test(ledger_calls, a_noted_head_tells_a_ledger_that_lost_entries, .init = begin, .fini = end)
{
    struct ledger_head empty, head, later;
    struct ledger_account account;
    read_head(&empty);
    cr_assert_eq(empty.seq, 0);
    cr_assert(continues(&empty));
    grant("ana", 1000000000, LEDGER_GDP);
    cr_assert_eq(charge(first, "ana", 12345, &account), LEDGER_OK);
    read_head(&head);
    cr_assert_eq(head.seq, 4);
    cr_assert_eq(charge(second, "ana", 12345, &account), LEDGER_OK);
    cr_assert(continues(&empty) && continues(&head));
    read_head(&later);
    PQclear(PQexec(ledger, "SET session_replication_role = replica"));
    PQclear(PQexec(ledger, "DELETE FROM pgveil.journal WHERE seq = 5"));
    cr_assert(continues(&head));
    cr_assert_not(continues(&later));
    head.hash[0] = head.hash[0] == '0' ? '1' : '0';
    cr_assert_not(continues(&head));
    empty.hash[0] = empty.hash[0] == '0' ? '1' : '0';
    cr_assert_not(continues(&empty));
}

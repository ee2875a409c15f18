/*
 * What the ledger tells an analyst: dp.budget and dp.history, which are relations of the final
 * statement, and the budget that EXPLAIN shows. Nothing is spent here.
 */
#include <assert.h>
#include <string.h>

#include "proxy/budget_text.h"
#include "proxy/statement_internal.h"

static void explain(struct statement_run *run)
{
    const struct plan *plan = run->plan;
    const struct ledger_account *account = &run->session->account;
    if (plan->explain_json) {
        const char *json =
            arena_printf(run->arena, "[{\"Plan\": %s, \"Budget\": %s}]", plan->explain_json,
                         budget_explain_json(run->arena, &plan->charge, account));
        release_text_arrays(1, 1, &json, run->arrays);
    } else {
        const char **lines = arena_alloc(run->arena, (plan->n_explain + 2) * sizeof *lines);
        memcpy(lines, plan->explain, plan->n_explain * sizeof *lines);
        budget_explain(run->arena, &plan->charge, account, lines + plan->n_explain);
        release_text_arrays(1, plan->n_explain + 2, lines, run->arrays);
    }
    run_bind_final(run);
}

static void feed(struct statement_run *run, size_t n_columns, size_t n_rows,
                 const char *const *cells)
{
    release_text_arrays(n_columns, run->plan->probe ? 0 : n_rows, cells, &run->arrays[run->fed]);
    run->fed++;
    run_feed(run);
}

static int rows_of(const PGresult *result)
{
    return result && PQresultStatus(result) == PGRES_TUPLES_OK ? PQntuples(result) : -1;
}

static void on_accounts(struct statement_run *run, const PGresult *result)
{
    int rows = rows_of(result);
    const char **cells = arena_alloc(run->arena, ((size_t)(rows < 0 ? 0 : rows) + 1) *
                                                     BUDGET_COLUMNS * sizeof *cells);
    bool read = rows >= 0;
    for (int row = 0; read && row < rows; row++) {
        struct ledger_account account;
        read = ledger_accounts_result(result, row, &account) != LEDGER_FAILED;
        if (read)
            budget_row(run->arena, &account, &run->settings, cells + (size_t)row * BUDGET_COLUMNS);
    }
    if (!read)
        run_fail_ledger(run);
    else if (!run_stops(run))
        feed(run, BUDGET_COLUMNS, (size_t)rows, cells);
}

static void on_history(struct statement_run *run, const PGresult *result)
{
    int rows = rows_of(result);
    if (rows < 0 || PQnfields(result) != HISTORY_COLUMNS) {
        run_fail_ledger(run);
        return;
    }
    const char **cells =
        arena_alloc(run->arena, ((size_t)rows + 1) * HISTORY_COLUMNS * sizeof *cells);
    for (int i = 0; i < rows * HISTORY_COLUMNS; i++) {
        const char *cell = PQgetvalue(result, i / HISTORY_COLUMNS, i % HISTORY_COLUMNS);
        cells[i] = cell[0] == '\0' ? NULL : arena_strdup(run->arena, cell);
    }
    if (!run_stops(run))
        feed(run, HISTORY_COLUMNS, (size_t)rows, cells);
}

/* Asks the ledger for each relation that it feeds, one after the other; then the releases' turn. */
void run_feed(struct statement_run *run)
{
    const struct startup *startup = run->session->startup;
    struct ledger_call call;
    while (run->fed < run->plan->n_relations) {
        switch (run->plan->relations[run->fed].kind) {
        case RELATION_RELEASE:
            run->fed++;
            break;
        case RELATION_BUDGET:
            ledger_accounts_call(&call, startup->user);
            run_ask_ledger(run, &call, on_accounts);
            return;
        case RELATION_HISTORY:
            ledger_history_call(&call, startup->user, startup->database);
            run_ask_ledger(run, &call, on_history);
            return;
        }
    }
    run_charge_or_answer(run);
}

static void on_explain_account(struct statement_run *run, const PGresult *result)
{
    enum ledger_outcome outcome =
        result ? ledger_account_result(result, &run->session->account) : LEDGER_FAILED;
    if (outcome == LEDGER_FAILED || outcome == LEDGER_NO_ACCOUNT)
        run_fail_ledger(run);
    else if (!run_stops(run))
        explain(run);
}

void run_explain(struct statement_run *run)
{
    const struct startup *startup = run->session->startup;
    struct ledger_call call;
    ledger_account_call(&call, startup->user, startup->database);
    run_ask_ledger(run, &call, on_explain_account);
    ledger_call_free(&call);
}

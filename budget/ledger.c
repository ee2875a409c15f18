/*
 * Builds the ledger's calls and reads their results. What a result says is believed only where
 * every field has the form expected; anything else is LEDGER_FAILED, which the caller treats as
 * "not charged, not answered". Numbers travel as decimal text, names as bound parameters.
 */
#include "budget/ledger.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ledger_answer.h"
#include "budget/ledger_call.h"

/* In this order: each file uses what those before it made. */
/* clang-format off */
static const char schema[] =
#include "budget/schema.sql.h"
#include "budget/schema_account.sql.h"
#include "budget/schema_database.sql.h"
#include "budget/schema_answers.sql.h"
#include "budget/schema_charge.sql.h"
#include "budget/schema_debit.sql.h"
#include "budget/schema_verify.sql.h"
#include "budget/schema_admin.sql.h"
    ;
/* clang-format on */

const char *ledger_schema_sql(void)
{
    return schema;
}

void ledger_resolve_call(struct ledger_call *call, const char *request_id, bool answered)
{
    ledger_call_begin(call, "SELECT pgveil.resolve($1::pg_catalog.uuid, $2::pg_catalog.bool)");
    ledger_call_text(call, request_id);
    ledger_call_bool(call, answered);
}

void ledger_account_call(struct ledger_call *call, const char *analyst, const char *dataset)
{
    assert(dataset);
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.accounts($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, analyst);
    ledger_call_text(call, dataset);
}

void ledger_accounts_call(struct ledger_call *call, const char *analyst)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.accounts($1::pg_catalog.text, NULL)");
    ledger_call_text(call, analyst);
}

void ledger_history_call(struct ledger_call *call, const char *analyst, const char *dataset)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.history($1::pg_catalog.text, $2::pg_catalog.text,"
                            " $3::pg_catalog.int8)");
    ledger_call_text(call, analyst);
    ledger_call_text(call, dataset);
    ledger_call_integer(call, LEDGER_HISTORY_MAX);
}

void ledger_login_call(struct ledger_call *call, const char *analyst)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.login($1::pg_catalog.text)");
    ledger_call_text(call, analyst);
}

void ledger_dataset_call(struct ledger_call *call, const char *dataset)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.dataset($1::pg_catalog.text)");
    ledger_call_text(call, dataset);
}

void ledger_serve_call(struct ledger_call *call, const char *dataset, const char *database)
{
    ledger_call_begin(call, "SELECT pgveil.serve($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, dataset);
    ledger_call_text(call, database);
}

enum ledger_outcome ledger_serve_result(const PGresult *result, const char **siblings)
{
    *siblings = "";
    if (!ledger_has_rows(result, 1, 1) || PQgetisnull(result, 0, 0))
        return LEDGER_FAILED;
    *siblings = PQgetvalue(result, 0, 0);
    return LEDGER_OK;
}

void ledger_head_call(struct ledger_call *call)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.newest()");
}

void ledger_continues_call(struct ledger_call *call, const struct ledger_head *noted)
{
    ledger_call_begin(call, "SELECT pgveil.continues($1::pg_catalog.int8, $2::pg_catalog.text)");
    ledger_call_integer(call, noted->seq);
    ledger_call_text(call, noted->hash);
}

static bool read_account(const PGresult *result, int row, struct ledger_account *account)
{
    memset(account, 0, sizeof(*account));
    if (!PQgetisnull(result, row, ANSWER_REFUSED_BY) &&
        !ledger_read_text(result, row, ANSWER_REFUSED_BY, account->refused_by,
                          sizeof(account->refused_by))) {
        return false;
    }
    return ledger_read_text(result, row, ANSWER_DATASET, account->dataset,
                            sizeof(account->dataset)) &&
           ledger_read_text(result, row, ANSWER_EPSILON, account->epsilon,
                            sizeof(account->epsilon)) &&
           ledger_read_text(result, row, ANSWER_DELTA, account->delta, sizeof(account->delta)) &&
           ledger_read_text(result, row, ANSWER_CAP_MODE, account->cap_mode,
                            sizeof(account->cap_mode)) &&
           ledger_read_unsigned(result, row, ANSWER_CAP, &account->mu2_cap_pico) &&
           ledger_read_unsigned(result, row, ANSWER_SPENT, &account->mu2_spent_pico) &&
           ledger_read_unsigned(result, row, ANSWER_DELTA_KEYS, &account->delta_keys_cap) &&
           ledger_read_unsigned(result, row, ANSWER_DELTA_CONV, &account->delta_conv) &&
           ledger_read_unsigned(result, row, ANSWER_DELTA_SPENT, &account->delta_spent) &&
           ledger_read_unsigned(result, row, ANSWER_EPSILON_CAP, &account->epsilon_cap) &&
           ledger_read_unsigned(result, row, ANSWER_EPSILON_SPENT, &account->epsilon_spent) &&
           ledger_read_bool(result, row, ANSWER_ALL_PURE, &account->all_pure) &&
           ledger_read_text(result, row, ANSWER_SPENT_SHARE, account->spent_share,
                            sizeof(account->spent_share)) &&
           ledger_read_text(result, row, ANSWER_WINDOW, account->window, sizeof(account->window)) &&
           ledger_read_text(result, row, ANSWER_WINDOW_ENDS, account->window_ends,
                            sizeof(account->window_ends)) &&
           ledger_read_bool(result, row, ANSWER_DATASET_CAPPED, &account->dataset_capped) &&
           ledger_read_unsigned(result, row, ANSWER_DATASET_CAP, &account->dataset_mu2_cap_pico) &&
           ledger_read_unsigned(result, row, ANSWER_DATASET_SPENT,
                                &account->dataset_mu2_spent_pico) &&
           ledger_read_unsigned(result, row, ANSWER_BOOKED, &account->booked_mu2_pico) &&
           ledger_read_unsigned(result, row, ANSWER_MINIMUM, &account->minimum_mu2_pico);
}

/* account is left as it was where the row says nothing of it; NULL: not wanted. */
static enum ledger_outcome read_answer(const PGresult *result, int row,
                                       struct ledger_account *account)
{
    static const struct {
        const char *text;
        enum ledger_outcome outcome;
    } outcomes[] = {{"ok", LEDGER_OK}, {"exceeded", LEDGER_EXCEEDED}, {"frozen", LEDGER_FROZEN}};
    char text[16];
    struct ledger_account read;
    if (!ledger_read_text(result, row, ANSWER_OUTCOME, text, sizeof(text))) {
        return LEDGER_FAILED;
    }
    if (strcmp(text, "no_account") == 0) {
        return LEDGER_NO_ACCOUNT;
    }
    if (!read_account(result, row, &read)) {
        return LEDGER_FAILED;
    }
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (strcmp(text, outcomes[i].text) == 0) {
            if (account) {
                *account = read;
            }
            return outcomes[i].outcome;
        }
    }
    return LEDGER_FAILED;
}

/* Reads as many numbers as there are releases, a space between two; no text: all are zero. */
static bool read_adopted(const PGresult *result, uint64_t *adopted, size_t n)
{
    memset(adopted, 0, n * sizeof(*adopted));
    if (PQgetisnull(result, 0, ANSWER_ADOPTED)) {
        return true;
    }
    const char *text = PQgetvalue(result, 0, ANSWER_ADOPTED);
    for (size_t i = 0; i < n; i++) {
        char *end;
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 18) {
            return false;
        }
        adopted[i] = strtoull(text, &end, 10);
        if (*end != (i + 1 < n ? ' ' : '\0')) {
            return false;
        }
        text = end + 1;
    }
    return true;
}

enum ledger_outcome ledger_charge_result(const PGresult *result, struct ledger_account *account,
                                         uint64_t *adopted, size_t n_releases)
{
    if (!ledger_has_rows(result, ANSWER_COLUMNS, 1) || PQntuples(result) != 1 ||
        (adopted && !read_adopted(result, adopted, n_releases))) {
        return LEDGER_FAILED;
    }
    return read_answer(result, 0, account);
}

enum ledger_outcome ledger_accounts_result(const PGresult *result, int row,
                                           struct ledger_account *account)
{
    if (row < 0 || !ledger_has_rows(result, ANSWER_COLUMNS, row + 1)) {
        return LEDGER_FAILED;
    }
    return read_answer(result, row, account);
}

enum ledger_outcome ledger_account_result(const PGresult *result, struct ledger_account *account)
{
    if (!ledger_has_rows(result, ANSWER_COLUMNS, 0)) {
        return LEDGER_FAILED;
    }
    return PQntuples(result) == 0 ? LEDGER_NO_ACCOUNT : read_answer(result, 0, account);
}

enum ledger_outcome ledger_login_result(const PGresult *result, struct ledger_login *login)
{
    memset(login, 0, sizeof(*login));
    if (!ledger_has_rows(result, 2, 0) || PQntuples(result) > 1) {
        return LEDGER_FAILED;
    }
    if (PQntuples(result) == 0) {
        return LEDGER_OK;
    }
    if (!ledger_read_text(result, 0, 0, login->verifier, sizeof(login->verifier)) ||
        !ledger_read_bool(result, 0, 1, &login->enabled)) {
        memset(login, 0, sizeof(*login));
        return LEDGER_FAILED;
    }
    login->known = true;
    return LEDGER_OK;
}

enum ledger_outcome ledger_dataset_result(const PGresult *result, struct ledger_dataset *dataset)
{
    char seed[24];
    char *end = NULL;
    memset(dataset, 0, sizeof(*dataset));
    if (!ledger_has_rows(result, 2, 1) || PQntuples(result) != 1 ||
        !ledger_read_text(result, 0, 0, dataset->instance, sizeof(dataset->instance)) ||
        !ledger_read_text(result, 0, 1, seed, sizeof(seed)) || seed[0] == '\0') {
        return LEDGER_FAILED;
    }
    dataset->hash_seed = (int64_t)strtoll(seed, &end, 10);
    return *end == '\0' ? LEDGER_OK : LEDGER_FAILED;
}

enum ledger_outcome ledger_head_result(const PGresult *result, struct ledger_head *head)
{
    memset(head, 0, sizeof(*head));
    bool ok = ledger_has_rows(result, 2, 1) && PQntuples(result) == 1 &&
              ledger_read_unsigned(result, 0, 0, &head->seq) &&
              ledger_read_text(result, 0, 1, head->hash, sizeof(head->hash)) &&
              strspn(head->hash, "0123456789abcdef") == sizeof(head->hash) - 1;
    return ok ? LEDGER_OK : LEDGER_FAILED;
}

enum ledger_outcome ledger_continues_result(const PGresult *result, bool *continues)
{
    *continues = false;
    bool ok = ledger_has_rows(result, 1, 1) && PQntuples(result) == 1 &&
              ledger_read_bool(result, 0, 0, continues);
    return ok ? LEDGER_OK : LEDGER_FAILED;
}

void ledger_not_durable_call(struct ledger_call *call)
{
    ledger_call_begin(call, "SELECT pgveil.not_durable()");
}

enum ledger_outcome ledger_not_durable_result(const PGresult *result,
                                              char settings[LEDGER_NOT_DURABLE_SIZE])
{
    settings[0] = '\0';
    bool ok = ledger_has_rows(result, 1, 1) && PQntuples(result) == 1 &&
              ledger_read_text(result, 0, 0, settings, LEDGER_NOT_DURABLE_SIZE);
    return ok ? LEDGER_OK : LEDGER_FAILED;
}

uint64_t ledger_account_remaining_mu2(const struct ledger_account *account)
{
    uint64_t own = account->mu2_spent_pico >= account->mu2_cap_pico
                       ? 0
                       : account->mu2_cap_pico - account->mu2_spent_pico;
    if (!account->dataset_capped) {
        return own;
    }
    uint64_t shared = account->dataset_mu2_spent_pico >= account->dataset_mu2_cap_pico
                          ? 0
                          : account->dataset_mu2_cap_pico - account->dataset_mu2_spent_pico;
    return own < shared ? own : shared;
}

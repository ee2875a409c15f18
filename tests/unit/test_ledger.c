/* The ledger's calls and what is believed of their results; no server. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget/accountant.h"
#include "budget/ctl.h"
#include "budget/ctl_audit.h"
#include "budget/ledger.h"
#include "budget/ledger_admin.h"

enum { COLUMNS = 23 };

static const char *const good[COLUMNS] = {"ok",
                                          NULL,
                                          "census",
                                          "3",
                                          "0.000001",
                                          "gdp",
                                          "415918135275",
                                          "1000",
                                          "99999000000",
                                          "900000000000",
                                          "0",
                                          "3000000000",
                                          "0",
                                          "f",
                                          "0.000001",
                                          "day",
                                          "2026-11-23T00:00:00.000000Z",
                                          "t",
                                          "415918135275",
                                          "2500",
                                          "1000",
                                          "1000",
                                          NULL};

/* A result as the server would send it: one row, column `changed` with another value. */
static PGresult *answer(int changed, const char *value)
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
    return result;
}

static enum ledger_outcome outcome_with(int changed, const char *value)
{
    struct ledger_account account;
    PGresult *result = answer(changed, value);
    enum ledger_outcome outcome = ledger_charge_result(result, &account, NULL, 0);
    PQclear(result);
    return outcome;
}

static struct ledger_charge charge_of(const struct ledger_release *releases, size_t n)
{
    return (struct ledger_charge){.request_id = "id",
                                  .analyst = "ana \"x\"",
                                  .epoch = "week",
                                  .fingerprint = "print",
                                  .releases = releases,
                                  .n_releases = n};
}

Test(ledger, a_charge_carries_every_amount_as_text)
{
    struct ledger_release releases[] = {
        {.charge =
             {.mu2_pico = 123456789012345, .delta_atto = 7, .epsilon = 500000000, .pure = true},
         .measures = "[{\"m\": 3}]",
         .fingerprint = "0123abcd"},
        {.charge = {.mu2_pico = 1, .epsilon = 9, .pure = false}, .measures = "[]"},
    };
    const struct ledger_charge charge = charge_of(releases, 2);
    char *text = ledger_charge_text(&charge);
    /* What is not pure has no epsilon. */
    cr_assert_str_eq(text, "{\"request\":\"id\",\"analyst\":\"ana \\\"x\\\"\",\"epoch\":\"week\","
                           "\"fingerprint\":\"print\",\"releases\":["
                           "{\"mu2\":123456789012345,\"delta\":7,\"epsilon\":500000000,"
                           "\"fingerprint\":\"0123abcd\",\"measures\":[{\"m\": 3}]},"
                           "{\"mu2\":1,\"delta\":0,\"fingerprint\":null,\"measures\":[]}]}");
    free(text);
}

Test(ledger, a_batch_is_a_list_of_its_charges)
{
    static const char *const charges[] = {"{1}", "{2}", "{3}"};
    struct ledger_call call;
    ledger_charges_call(&call, "census", charges, 3);
    cr_assert_eq(call.n_params, 2);
    cr_assert_str_eq(call.values[0], "census");
    cr_assert_str_eq(call.values[1], "[{1},{2},{3}]");
    ledger_call_free(&call);
}

Test(ledger, a_charge_beyond_the_ledgers_integers_is_not_made_smaller)
{
    struct ledger_release release = {.charge = {.mu2_pico = UINT64_MAX}, .measures = "[]"};
    const struct ledger_charge charge = charge_of(&release, 1);
    char *text = ledger_charge_text(&charge);
    cr_assert_not_null(strstr(text, "\"mu2\":18446744073709551615,"));
    free(text);
}

/* The result of a call, as the server would send it: one row of one text. */
static PGresult *packed(const char *text)
{
    static char name[] = "answers";
    PGresAttDesc column = {.name = name, .typid = 25};
    char copy[512];
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    cr_assert(PQsetResultAttrs(result, 1, &column));
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    cr_assert(PQsetvalue(result, 0, 0, text ? copy : NULL, text ? (int)strlen(text) : -1));
    return result;
}

#define REFUSED(dataset) "10:no_account,-," dataset ",-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,"

Test(ledger, the_answers_of_a_batch_are_told_apart)
{
    static const char accepted[] =
        "2:ok,-,8:c,5:x,-,,1:3,8:0.000001,3:gdp,12:415918135275,4:1000,11:99999000000,"
        "12:900000000000,1:0,10:3000000000,1:0,1:f,8:0.000001,3:day,0:,1:t,12:415918135275,4:2500,"
        "4:1000,4:1000,3:0 5,";
    char text[512];
    struct ledger_account account;
    uint64_t draws[2];
    PGresult *answers[2];
    snprintf(text, sizeof text, "%s%s", accepted, REFUSED("6:census"));
    PGresult *result = packed(text);
    cr_assert(ledger_charges_split(result, answers, 2));
    PQclear(result);
    cr_assert_eq(ledger_charge_result(answers[0], &account, draws, 2), LEDGER_OK);
    cr_assert_str_eq(account.dataset, "c,5:x,-,");
    cr_assert_str_eq(account.window_ends, "");
    cr_assert_eq(account.dataset_mu2_spent_pico, 2500);
    cr_assert_eq(draws[1], 5);
    cr_assert_eq(ledger_charge_result(answers[1], &account, NULL, 0), LEDGER_NO_ACCOUNT);
    PQclear(answers[0]);
    PQclear(answers[1]);
}

Test(ledger, a_batch_whose_answers_make_no_sense_has_none)
{
    static const char *const texts[] = {
        NULL,
        "",
        REFUSED("6:census"),
        REFUSED("6:census") REFUSED("6:census") "-,",
        REFUSED("6:census") REFUSED("5:census"),
        REFUSED("6:census") REFUSED("7:census"),
        REFUSED("6:census") REFUSED(":census"),
        REFUSED("6:census") REFUSED("99999999999999999999999:census"),
        REFUSED("6:census") REFUSED("-6:census"),
        REFUSED("6:census") "10:no_account,-,6:census,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,1:",
        REFUSED("6:census") "10:no_account,-,6:census,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-"};
    PGresult *answers[2];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        PGresult *result = packed(texts[i]);
        cr_expect_not(ledger_charges_split(result, answers, 2), "%s", texts[i]);
        PQclear(result);
    }
    PGresult *error = PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
    cr_assert_not(ledger_charges_split(error, answers, 2));
    cr_assert_not(ledger_charges_split(NULL, answers, 2));
    PQclear(error);
}

Test(ledger, a_charge_says_which_draws_it_takes_over)
{
    static const char *const wrong[] = {"0",       "0 17",   "0 17 5 1", "0  17 5", "0 -1 5",
                                        "0 17 5 ", "0 17 x", "",         " 0 17 5"};
    uint64_t draws[3];
    PGresult *result = answer(22, "0 17 999999999999999999");
    cr_assert_eq(ledger_charge_result(result, NULL, draws, 3), LEDGER_OK);
    cr_assert_eq(draws[0], 0);
    cr_assert_eq(draws[1], 17);
    cr_assert_eq(draws[2], 999999999999999999);
    PQclear(result);
    result = answer(22, NULL);
    cr_assert_eq(ledger_charge_result(result, NULL, draws, 3), LEDGER_OK);
    cr_assert_eq(draws[0] + draws[1] + draws[2], 0);
    PQclear(result);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        result = answer(22, wrong[i]);
        cr_expect_eq(ledger_charge_result(result, NULL, draws, 3), LEDGER_FAILED, "%s", wrong[i]);
        PQclear(result);
    }
}

Test(ledger, a_result_fills_the_account)
{
    struct ledger_account account;
    PGresult *result = answer(-1, NULL);
    cr_assert_eq(ledger_charge_result(result, &account, NULL, 0), LEDGER_OK);
    cr_assert_str_eq(account.dataset, "census");
    cr_assert_str_eq(account.epsilon, "3");
    cr_assert_str_eq(account.delta, "0.000001");
    cr_assert_eq(account.mu2_cap_pico, 415918135275);
    cr_assert_eq(account.mu2_spent_pico, 1000);
    cr_assert_eq(account.delta_keys_cap, 99999000000);
    cr_assert_eq(account.delta_conv, 900000000000);
    cr_assert_eq(account.epsilon_cap, 3000000000);
    cr_assert_not(account.all_pure);
    cr_assert_str_eq(account.cap_mode, "gdp");
    cr_assert_str_eq(account.spent_share, "0.000001");
    cr_assert_str_eq(account.window, "day");
    cr_assert_str_eq(account.window_ends, "2026-11-23T00:00:00.000000Z");
    cr_assert(account.dataset_capped);
    cr_assert_eq(account.dataset_mu2_spent_pico, 2500);
    cr_assert_eq(account.booked_mu2_pico, 1000);
    cr_assert_str_eq(account.refused_by, "");
    cr_assert_eq(ledger_account_remaining_mu2(&account), 415918135275 - 2500);
    PQclear(result);
}

Test(ledger, what_was_known_of_an_account_stays_known_where_a_result_says_nothing)
{
    struct ledger_account account = {.delta_conv = 17};
    PGresult *results[] = {answer(0, "no_account"), answer(0, "?"), answer(7, "x"), NULL};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        cr_assert_neq(ledger_charge_result(results[i], &account, NULL, 0), LEDGER_OK);
        cr_assert_neq(ledger_account_result(results[i], &account), LEDGER_OK);
        cr_assert_eq(account.delta_conv, 17);
        PQclear(results[i]);
    }
}

Test(ledger, refusals_are_told_apart)
{
    struct ledger_account account;
    cr_assert_eq(outcome_with(0, "exceeded"), LEDGER_EXCEEDED);
    cr_assert_eq(outcome_with(0, "frozen"), LEDGER_FROZEN);
    cr_assert_eq(outcome_with(0, "no_account"), LEDGER_NO_ACCOUNT);
    PGresult *result = answer(1, "dataset");
    cr_assert_eq(ledger_charge_result(result, &account, NULL, 0), LEDGER_OK);
    cr_assert_str_eq(account.refused_by, "dataset");
    PQclear(result);
}

Test(ledger, what_makes_no_sense_is_a_failure)
{
    static const char *const numbers[] = {"",   "-1",  "1.5", "1e3",
                                          " 1", "abc", NULL,  "99999999999999999999"};
    cr_assert_eq(outcome_with(0, "OK"), LEDGER_FAILED);
    cr_assert_eq(outcome_with(0, ""), LEDGER_FAILED);
    cr_assert_eq(outcome_with(0, NULL), LEDGER_FAILED);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cr_assert_eq(outcome_with(7, numbers[i]), LEDGER_FAILED, "case %zu", i);
        cr_assert_eq(outcome_with(20, numbers[i]), LEDGER_FAILED, "case %zu", i);
    }
    cr_assert_eq(outcome_with(13, "yes"), LEDGER_FAILED);
    cr_assert_eq(outcome_with(15, "fortnight"), LEDGER_FAILED);
    cr_assert_eq(outcome_with(2, "a name that is longer than any name that PostgreSQL would ever "
                                 "let pass as an identifier"),
                 LEDGER_FAILED);
}

Test(ledger, no_result_or_an_error_is_a_failure_everywhere)
{
    struct ledger_account account;
    struct ledger_login login;
    struct ledger_dataset dataset;
    struct ledger_head head;
    bool continues;
    PGresult *results[] = {NULL, PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR),
                           PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK),
                           PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK)};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        cr_assert_eq(ledger_charge_result(results[i], NULL, NULL, 0), LEDGER_FAILED);
        cr_assert_eq(ledger_account_result(results[i], &account), LEDGER_FAILED);
        cr_assert_eq(ledger_accounts_result(results[i], 0, &account), LEDGER_FAILED);
        cr_assert_eq(ledger_login_result(results[i], &login), LEDGER_FAILED);
        cr_assert_not(login.known);
        cr_assert_eq(ledger_dataset_result(results[i], &dataset), LEDGER_FAILED);
        cr_assert_eq(ledger_head_result(results[i], &head), LEDGER_FAILED);
        cr_assert_eq(ledger_continues_result(results[i], &continues), LEDGER_FAILED);
        cr_assert_not(continues);
        cr_assert_str_eq(ledger_admin_word(results[i]), "");
        PQclear(results[i]);
    }
}

Test(ledger, remaining_is_the_smaller_of_both_caps_and_never_below_zero)
{
    struct ledger_account account = {.mu2_cap_pico = 100, .mu2_spent_pico = 40};
    cr_assert_eq(ledger_account_remaining_mu2(&account), 60);
    account.dataset_capped = true;
    account.dataset_mu2_cap_pico = 50;
    account.dataset_mu2_spent_pico = 45;
    cr_assert_eq(ledger_account_remaining_mu2(&account), 5);
    account.dataset_mu2_spent_pico = 90;
    cr_assert_eq(ledger_account_remaining_mu2(&account), 0);
}

Test(ledger, a_grant_splits_delta_to_the_last_atto)
{
    struct ledger_grant grant;
    char error[256];
    uint64_t cap;
    cr_assert(ledger_grant_init(&grant, 1000000000, 1000000000000, LEDGER_GDP, "day", error,
                                sizeof(error)));
    cr_assert_eq(grant.delta_conv, 900000000000);
    cr_assert_eq(grant.delta_keys, 100000000000 - 1000000);
    cr_assert(dp_mu2_cap(1000000000, 900000000000, &cap));
    cr_assert_eq(grant.cap_pico, cap);
    /* A delta that ten does not divide: the remainder goes away from the conversion. */
    cr_assert(ledger_grant_init(&grant, 1000000000, 1000000000007, LEDGER_GDP, "day", error,
                                sizeof(error)));
    cr_assert_eq(grant.delta_conv + grant.delta_keys + 1000000, 1000000000007);
    cr_assert_eq(grant.delta_conv, 900000000006);
}

Test(ledger, a_pure_grant_keeps_all_of_delta_for_keys)
{
    struct ledger_grant grant;
    char error[256];
    cr_assert(ledger_grant_init(&grant, 1000000000, 1000000000000, LEDGER_PURE, "none", error,
                                sizeof(error)));
    cr_assert_eq(grant.cap_pico, 0);
    cr_assert_eq(grant.delta_conv, 0);
    cr_assert_eq(grant.delta_keys, 999999000000);
}

/* ALGORITHMS 5.6 prints 0.0487119, 0.3701397 and 3.0785575 for twice rho at delta 1e-6. */
Test(ledger, zcdp_caps_are_those_of_the_optimal_conversion)
{
    static const struct {
        dp_nano epsilon;
        uint64_t low, high;
    } caps[] = {{1000000000, 48711850000, 48711950000},
                {3000000000, 370139650000, 370139750000},
                {10000000000, 3078557450000, 3078557550000}};
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        uint64_t cap = 0;
        cr_assert(accountant_zcdp_cap(caps[i].epsilon, 1000000000000, &cap));
        cr_assert(cap >= caps[i].low && cap <= caps[i].high, "%lu", (unsigned long)cap);
    }
}

Test(ledger, zcdp_caps_grow_with_epsilon_and_delta_and_stay_below_gaussian_dp)
{
    uint64_t before = 0;
    for (dp_nano epsilon = 100000000; epsilon < 10000000000; epsilon += 300000000) {
        uint64_t cap = 0;
        uint64_t larger = 0;
        uint64_t gaussian = 0;
        cr_assert(accountant_zcdp_cap(epsilon, 1000000000000, &cap));
        cr_assert(accountant_zcdp_cap(epsilon, 1100000000000, &larger));
        cr_assert(dp_mu2_cap(epsilon, 1000000000000, &gaussian));
        cr_assert(cap > before && larger > cap && cap < gaussian);
        before = cap;
    }
    cr_assert_not(accountant_zcdp_cap(0, 1000000000000, &before));
    cr_assert_not(accountant_zcdp_cap(1000000000, 0, &before));
    cr_assert_not(accountant_zcdp_cap(1000000000, 1000000000000000000, &before));
}

Test(ledger, a_delta_too_small_to_split_is_refused_with_the_reason)
{
    struct ledger_grant grant;
    char error[256];
    cr_assert(
        ledger_grant_init(&grant, 1000000000, 10000000, LEDGER_GDP, "none", error, sizeof(error)));
    cr_assert_eq(grant.delta_keys, 0);
    cr_assert_not(
        ledger_grant_init(&grant, 1000000000, 9999990, LEDGER_GDP, "none", error, sizeof(error)));
    cr_assert(strstr(error, "1e-12"));
}

Test(ctl_audit, a_price_is_recomputed_from_its_integers)
{
    struct dp_charge charge;
    /* sigma = 2^50 / 2^47 = 8 grid units: mu^2 = (1/8)^2 for each of 1, then of 4 groups. */
    cr_assert(ctl_audit_price("[[{\"mechanism\":\"gaussian\",\"delta\":1,\"groups\":1,"
                              "\"m\":140737488355328}],"
                              "[{\"mechanism\":\"gaussian\",\"delta\":1,\"groups\":4,"
                              "\"m\":140737488355328}]]",
                              &charge));
    cr_assert_eq(charge.mu2_pico, 5 * 15625000000);
    cr_assert_not(charge.pure);
    /* epsilon = 3 * 2^47 / 2^50 */
    cr_assert(ctl_audit_price("[[{\"mechanism\":\"laplace\",\"delta\":3,\"groups\":1,"
                              "\"m\":140737488355328}]]",
                              &charge));
    cr_assert_eq(charge.epsilon, 375000000);
    cr_assert(charge.pure);
    cr_assert(ctl_audit_price("[]", &charge));
    cr_assert_eq(charge.mu2_pico, 0);
    /* Two quantiles in three groups: six mechanisms of range 0.2, each of which costs what a
     * 0.1-DP one does. */
    uint64_t each = 0;
    cr_assert(ctl_audit_price("[[{\"measure\":\"quantiles\",\"mechanism\":\"exponential\",\"n\":2,"
                              "\"groups\":3,\"half_range\":100000000}]]",
                              &charge));
    cr_assert(dp_mu2_of_pure(100000000, &each));
    cr_assert_eq(charge.mu2_pico, 6 * each);
    cr_assert_eq(charge.epsilon, 1200000000);
    cr_assert(charge.pure);
    /* Ninety-nine are seven levels. */
    cr_assert(ctl_audit_price("[[{\"measure\":\"quantiles\",\"mechanism\":\"exponential\",\"n\":99,"
                              "\"groups\":1,\"half_range\":100000000}]]",
                              &charge));
    cr_assert_eq(charge.mu2_pico, 7 * each);
}

Test(ctl_audit, what_cannot_be_recomputed_is_not_taken_for_free)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[1]",
        "[[1]]",
        "[[{}]]",
        "[[{\"mechanism\":\"gaussian\",\"delta\":1,\"groups\":1}]]",
        "[[{\"mechanism\":\"gaussian\",\"delta\":-1,\"groups\":1,\"m\":1}]]",
        "[[{\"mechanism\":\"exponential\",\"n\":0,\"groups\":1,\"half_range\":100000000}]]",
        "[[{\"mechanism\":\"exponential\",\"n\":1,\"groups\":1}]]",
        "[[{\"mechanism\":\"none\",\"delta\":1,\"groups\":1,\"m\":1}]]",
        "[[{\"mechanism\":\"gaussian\",\"delta\":9000000000000000000,\"groups\":9,"
        "\"m\":4611686018427387904}]]",
        "[] x"};
    struct dp_charge charge;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_not(ctl_audit_price(texts[i], &charge), "%s", texts[i]);
    }
}

Test(ctl, amounts_are_read_exactly_or_not_at_all)
{
    static const struct {
        const char *text;
        int places;
        uint64_t units;
    } amounts[] = {{"3", 9, 3000000000},        {"0.000000001", 9, 1},
                   {"1e-6", 18, 1000000000000}, {"0.50", 9, 500000000},
                   {"2.5e0", 9, 2500000000},    {"0.1000000000000", 9, 100000000}};
    static const char *const refused[] = {
        "0", "-1", "", "x", "nan", "inf", "1e-10", "1e30", "0.0", "1,5", "9223372036.854775808"};
    uint64_t units;
    for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        cr_assert(ctl_read_amount(amounts[i].text, amounts[i].places, &units));
        cr_assert_eq(units, amounts[i].units, "%s", amounts[i].text);
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        cr_assert_not(ctl_read_amount(refused[i], 9, &units), "%s", refused[i]);
    }
}

Test(ctl, names_and_passwords_with_control_characters_are_refused)
{
    const char *why;
    cr_assert(ctl_name_usable("ana", true, &why));
    cr_assert(ctl_name_usable("Zo\xc3\xab O'Neil", true, &why));
    cr_assert_not(ctl_name_usable("", true, &why));
    cr_assert_not(ctl_name_usable("a\nb", true, &why));
    cr_assert_not(ctl_name_usable("a\x7f", true, &why));
    cr_assert_not(ctl_name_usable("a\xc2\x85", true, &why));
    cr_assert_not(ctl_name_usable("a\xff", true, &why));
    cr_assert_not(ctl_name_usable("a\xed\xa0\x80", true, &why));
    cr_assert_not(ctl_name_usable("pg_read_all_data", true, &why));
    cr_assert_not(ctl_name_usable("pgveil_admin", true, &why));
    cr_assert_not(ctl_name_usable("public", true, &why));
    cr_assert(ctl_name_usable("public", false, &why));
    cr_assert_not(ctl_name_usable(
        "1234567890123456789012345678901234567890123456789012345678901234", false, &why));
    cr_assert(ctl_password_usable("p\xc3\xa4ss word", &why));
    cr_assert_not(ctl_password_usable("", &why));
    cr_assert_not(ctl_password_usable("tab\there", &why));
}

Test(ctl, every_command_is_found_by_its_own_words_and_says_what_it_does)
{
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        char copy[64];
        char *words[2];
        int n_words = 0;
        int used = 0;
        snprintf(copy, sizeof(copy), "%s", command->name);
        for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
            words[n_words++] = word;
        }
        cr_assert_eq(ctl_find_command(n_words, words, &used), command, "%s", command->name);
        cr_assert_eq(used, n_words);
        cr_assert(command->summary[0] >= 'a' && command->summary[0] <= 'z', "%s", command->name);
        cr_assert_not_null(command->run);
    }
}

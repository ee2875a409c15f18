#include "proxy/budget_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PICO_SCALE = 12 };

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 1;
}

static uint64_t price_of(const struct dp_charge *charge, const struct ledger_account *account)
{
    return charge->mu2_pico > account->minimum_mu2_pico ? charge->mu2_pico
                                                        : account->minimum_mu2_pico;
}

static const char *mu2_text(struct arena *arena, uint64_t pico)
{
    struct dp_decimal value = {.digits = (__int128)pico, .scale = PICO_SCALE};
    char text[DP_DECIMAL_TEXT_MAX];
    value = dp_decimal_normalize(&value);
    dp_decimal_print(&value, text);
    return arena_strdup(arena, text);
}

/* What is left of the own grant: by the Gaussian-DP filter, or by summing epsilon where that leaves
 * more and every charge so far was pure. */
static double remaining_share(const struct ledger_account *account)
{
    double left = 1 - share(account->mu2_spent_pico, account->mu2_cap_pico);
    if (account->all_pure && account->epsilon_cap > 0) {
        double pure = 1 - share(account->epsilon_spent, account->epsilon_cap);
        left = pure > left ? pure : left;
    }
    return left < 0 ? 0 : left;
}

const char *budget_notice(struct arena *arena, const struct ledger_account *after)
{
    return arena_printf(arena,
                        "this statement cost %.4g %% of your budget (mu^2 %s); %.4g %% remains",
                        100 * share(after->booked_mu2_pico, after->mu2_cap_pico),
                        mu2_text(arena, after->booked_mu2_pico), 100 * remaining_share(after));
}

void budget_refusal(const struct dp_charge *charge, const struct ledger_account *account,
                    enum ledger_outcome outcome, struct refusal *refusal)
{
    memset(refusal, 0, sizeof *refusal);
    bool shared = strcmp(account->refused_by, "dataset") == 0;
    if (outcome == LEDGER_FROZEN) {
        strcpy(refusal->sqlstate, "53400");
        snprintf(refusal->message, sizeof refusal->message, "%s is frozen",
                 shared ? "the dataset's account" : "your account");
        strcpy(refusal->hint, "Ask the DBA to look at it (pgveilctl).");
        return;
    }
    if (outcome == LEDGER_NO_ACCOUNT) {
        strcpy(refusal->sqlstate, "53400");
        strcpy(refusal->message, "no privacy budget was granted to you on this dataset");
        strcpy(refusal->hint, "Ask the DBA for one (pgveilctl budget grant).");
        return;
    }
    struct ledger_account of = *account;
    if (shared) {
        of.mu2_cap_pico = account->dataset_mu2_cap_pico;
        of.mu2_spent_pico = account->dataset_mu2_spent_pico;
        of.all_pure = false;
    }
    strcpy(refusal->sqlstate, "53400");
    strcpy(refusal->message, shared ? "the budget that all analysts of this dataset share does not "
                                      "suffice for this statement"
                                    : "the privacy budget does not suffice for this statement");
    char price[DP_DECIMAL_TEXT_MAX], left[DP_DECIMAL_TEXT_MAX];
    struct dp_decimal value = {.digits = (__int128)price_of(charge, account), .scale = PICO_SCALE};
    dp_decimal_print(&value, price);
    value.digits =
        of.mu2_cap_pico > of.mu2_spent_pico ? (__int128)(of.mu2_cap_pico - of.mu2_spent_pico) : 0;
    dp_decimal_print(&value, left);
    snprintf(refusal->detail, sizeof refusal->detail,
             "The statement costs %.4g %% of the budget (mu^2 %s), %.4g %% remains (mu^2 %s). "
             "Nothing was charged.",
             100 * share(price_of(charge, account), of.mu2_cap_pico), price,
             100 * remaining_share(&of), left);
    snprintf(refusal->hint, sizeof refusal->hint,
             "SET dp.epsilon to a smaller value, or ask for less at once%s%s.",
             of.window_ends[0] ? "; the budget's window ends at " : "", of.window_ends);
}

void budget_explain(struct arena *arena, const struct dp_charge *charge,
                    const struct ledger_account *account, const char *lines[2])
{
    uint64_t price = charge->mu2_pico > 0 ? price_of(charge, account) : 0;
    struct ledger_account after = *account;
    after.mu2_spent_pico += price;
    after.epsilon_spent += charge->pure ? charge->epsilon : 0;
    after.all_pure = account->all_pure && (charge->pure || price == 0);
    lines[0] = arena_printf(arena, "Price: %.4g %% of the budget (mu^2 %s)",
                            100 * share(price, account->mu2_cap_pico), mu2_text(arena, price));
    lines[1] = arena_printf(arena, "Budget: %.4g %% remains before, %.4g %% after",
                            100 * remaining_share(account), 100 * remaining_share(&after));
}

const char *budget_explain_json(struct arena *arena, const struct dp_charge *charge,
                                const struct ledger_account *account)
{
    uint64_t price = charge->mu2_pico > 0 ? price_of(charge, account) : 0;
    return arena_printf(arena,
                        "{\"price_mu2_pico\": %" PRIu64 ", \"spent_mu2_pico\": %" PRIu64
                        ", \"cap_mu2_pico\": %" PRIu64 "}",
                        price, account->mu2_spent_pico, account->mu2_cap_pico);
}

void budget_row(struct arena *arena, const struct ledger_account *account, dp_nano epsilon,
                const char *cells[BUDGET_COLUMNS])
{
    uint64_t remaining = ledger_account_remaining_mu2(account);
    uint64_t each = 0;
    bool priced = dp_mu2_cap(epsilon, account->delta_conv, &each) && each > 0;
    double left = remaining_share(account);
    cells[0] = arena_strdup(arena, account->dataset);
    cells[1] = arena_strdup(arena, account->epsilon);
    cells[2] = arena_strdup(arena, account->delta);
    cells[3] = arena_printf(arena, "%.9f", 1 - left);
    cells[4] = arena_printf(arena, "%.9f", left);
    cells[5] = arena_printf(arena, "%" PRIu64, account->mu2_spent_pico);
    cells[6] = arena_printf(arena, "%" PRIu64, account->mu2_cap_pico);
    cells[7] = account->window_ends[0] ? arena_strdup(arena, account->window_ends) : NULL;
    cells[8] = priced ? arena_printf(arena, "%" PRIu64, remaining / each) : NULL;
}

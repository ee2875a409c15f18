#include "proxy/budget_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PICO_SCALE = 12, NANO_SCALE = 9 };

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 1;
}

static bool counts_epsilon(const struct ledger_account *account)
{
    return strcmp(account->cap_mode, "pure") == 0;
}

static const char *units_text(struct arena *arena, uint64_t units, int scale)
{
    struct dp_decimal value = {.digits = (__int128)units, .scale = scale};
    char text[DP_DECIMAL_TEXT_MAX];
    value = dp_decimal_normalize(&value);
    dp_decimal_print(&value, text);
    return arena_strdup(arena, text);
}

/* A price in the account's own currency: mu^2, or the sum of epsilons. */
struct price {
    double share;
    const char *text;
};

static struct price price_text(struct arena *arena, const struct ledger_account *account,
                               uint64_t mu2_pico, dp_nano epsilon)
{
    struct price price;
    if (counts_epsilon(account)) {
        price.share = share(epsilon, account->epsilon_cap);
        price.text = arena_printf(arena, "epsilon %s", units_text(arena, epsilon, NANO_SCALE));
    } else {
        price.share = share(mu2_pico, account->mu2_cap_pico);
        price.text = arena_printf(arena, "mu^2 %s", units_text(arena, mu2_pico, PICO_SCALE));
    }
    return price;
}

static uint64_t least_mu2(const struct dp_charge *charge, const struct ledger_account *account)
{
    if (charge->mu2_pico == 0)
        return 0;
    return charge->mu2_pico > account->minimum_mu2_pico ? charge->mu2_pico
                                                        : account->minimum_mu2_pico;
}

/* What is left of the own grant: by the filter of its mode, or by summing epsilon where that leaves
 * more and every charge so far was pure. */
static double remaining_share(const struct ledger_account *account)
{
    double pure = 1 - share(account->epsilon_spent, account->epsilon_cap);
    double left = 1 - share(account->mu2_spent_pico, account->mu2_cap_pico);
    if (counts_epsilon(account) || (account->all_pure && account->epsilon_cap > 0 && pure > left))
        left = pure;
    return left < 0 ? 0 : left;
}

const char *budget_notice(struct arena *arena, const struct dp_charge *charge,
                          const struct ledger_account *after)
{
    struct price price = price_text(arena, after, after->booked_mu2_pico, charge->epsilon);
    return arena_printf(arena, "this statement cost %.4g %% of your budget (%s); %.4g %% remains",
                        100 * price.share, price.text, 100 * remaining_share(after));
}

static void refuse_account(const struct ledger_account *account, enum ledger_outcome outcome,
                           struct refusal *refusal)
{
    if (outcome == LEDGER_FROZEN) {
        snprintf(refusal->message, sizeof refusal->message, "%s account is frozen",
                 account->refused_by[0] == '\0' || strcmp(account->refused_by, "analyst") == 0
                     ? "your"
                     : "the shared");
        strcpy(refusal->hint, "Ask the DBA to look at it (pgveilctl budget show).");
    } else {
        strcpy(refusal->message, "no privacy budget was granted to you on this dataset");
        strcpy(refusal->hint, "Ask the DBA for one (pgveilctl budget grant).");
    }
}

static const char *whose_budget(const struct ledger_account *account)
{
    if (strcmp(account->refused_by, "dataset") == 0)
        return "the budget that all analysts of this dataset share does not suffice for this "
               "statement";
    if (strcmp(account->refused_by, "group") == 0)
        return "the budget that your group of analysts shares does not suffice for this statement";
    if (strcmp(account->refused_by, "database") == 0)
        return "the budget of another dataset over the same database does not suffice for this "
               "statement";
    return "the privacy budget does not suffice for this statement";
}

/* Only the accounts that the ledger shows to this analyst have numbers: the own one and the
 * dataset's. */
static void tell_remainder(struct arena *arena, const struct dp_charge *charge,
                           const struct ledger_account *account, struct refusal *refusal)
{
    struct ledger_account of = *account;
    if (strcmp(account->refused_by, "dataset") == 0) {
        of.mu2_cap_pico = account->dataset_mu2_cap_pico;
        of.mu2_spent_pico = account->dataset_mu2_spent_pico;
        of.all_pure = false;
    }
    struct price price = price_text(arena, &of, least_mu2(charge, account), charge->epsilon);
    if (strcmp(account->refused_by, "group") == 0 || strcmp(account->refused_by, "database") == 0) {
        snprintf(refusal->detail, sizeof refusal->detail,
                 "The statement costs %s. Nothing was charged.", price.text);
        return;
    }
    uint64_t mu2 = of.mu2_cap_pico > of.mu2_spent_pico ? of.mu2_cap_pico - of.mu2_spent_pico : 0;
    dp_nano epsilon = of.epsilon_cap > of.epsilon_spent ? of.epsilon_cap - of.epsilon_spent : 0;
    struct price left = price_text(arena, &of, mu2, epsilon);
    snprintf(refusal->detail, sizeof refusal->detail,
             "The statement costs %.4g %% of the budget (%s), %.4g %% remains (%s). Nothing was "
             "charged.",
             100 * price.share, price.text, 100 * remaining_share(&of), left.text);
}

void budget_refusal(struct arena *arena, const struct dp_charge *charge,
                    const struct ledger_account *account, enum ledger_outcome outcome,
                    struct refusal *refusal)
{
    memset(refusal, 0, sizeof *refusal);
    strcpy(refusal->sqlstate, "53400");
    if (outcome != LEDGER_EXCEEDED) {
        refuse_account(account, outcome, refusal);
        return;
    }
    snprintf(refusal->message, sizeof refusal->message, "%s", whose_budget(account));
    tell_remainder(arena, charge, account, refusal);
    snprintf(refusal->hint, sizeof refusal->hint,
             "SET dp.epsilon to a smaller value, or ask for less at once%s%s.",
             account->window_ends[0] ? "; the budget's window ends at " : "", account->window_ends);
}

void budget_explain(struct arena *arena, const struct dp_charge *charge,
                    const struct ledger_account *account, const char *lines[2])
{
    uint64_t booked = least_mu2(charge, account);
    struct price price = price_text(arena, account, booked, charge->epsilon);
    struct ledger_account after = *account;
    after.mu2_spent_pico += booked;
    after.epsilon_spent += charge->pure ? charge->epsilon : 0;
    after.all_pure = account->all_pure && (charge->pure || booked == 0);
    lines[0] =
        arena_printf(arena, "Price: %.4g %% of the budget (%s)", 100 * price.share, price.text);
    lines[1] = arena_printf(arena, "Budget: %.4g %% remains before, %.4g %% after",
                            100 * remaining_share(account), 100 * remaining_share(&after));
}

const char *budget_explain_json(struct arena *arena, const struct dp_charge *charge,
                                const struct ledger_account *account)
{
    return arena_printf(arena,
                        "{\"price_mu2_pico\": %" PRIu64 ", \"spent_mu2_pico\": %" PRIu64
                        ", \"cap_mu2_pico\": %" PRIu64 "}",
                        least_mu2(charge, account), account->mu2_spent_pico, account->mu2_cap_pico);
}

/* By how much one pure release moves twice the rho: 2 epsilon tanh(epsilon / 2). */
static uint64_t zcdp_of_pure(dp_nano epsilon)
{
    double value = (double)epsilon / 1e9;
    return (uint64_t)ceil(2e12 * value * tanh(value / 2));
}

/* What an ungrouped count at this epsilon costs by the filter of the account's mode. */
static uint64_t price_of_count(const struct ledger_account *account, dp_nano epsilon, bool laplace)
{
    uint64_t price = 0;
    if (laplace && strcmp(account->cap_mode, "zcdp") == 0)
        price = zcdp_of_pure(epsilon);
    else if (!(laplace ? dp_mu2_of_pure(epsilon, &price)
                       : dp_mu2_cap(epsilon, account->delta_conv, &price)))
        return 0;
    return price > account->minimum_mu2_pico ? price : account->minimum_mu2_pico;
}

/* How many ungrouped counts at this epsilon are left, with the noise that they would have. */
static const char *queries_left(struct arena *arena, const struct ledger_account *account,
                                const struct plan_settings *settings)
{
    bool pure = counts_epsilon(account);
    uint64_t left = 0;
    if (settings->epsilon == 0)
        return NULL;
    for (int laplace = 0; laplace < 2 && !pure; laplace++) {
        uint64_t price = price_of_count(account, settings->epsilon, laplace);
        if (price == 0 || (!settings->automatic && laplace != settings->laplace))
            continue;
        uint64_t count = ledger_account_remaining_mu2(account) / price;
        left = count > left ? count : left;
    }
    /* A sum of epsilons is a filter as well, while nothing else was spent. */
    if ((pure || ((settings->laplace || settings->automatic) && account->all_pure)) &&
        account->epsilon_cap > account->epsilon_spent) {
        uint64_t count = (account->epsilon_cap - account->epsilon_spent) / settings->epsilon;
        left = count > left ? count : left;
    }
    return arena_printf(arena, "%" PRIu64, left);
}

void budget_row(struct arena *arena, const struct ledger_account *account,
                const struct plan_settings *settings, const char *cells[BUDGET_COLUMNS])
{
    double left = remaining_share(account);
    cells[0] = arena_strdup(arena, account->dataset);
    cells[1] = arena_strdup(arena, account->epsilon);
    cells[2] = arena_strdup(arena, account->delta);
    cells[3] = arena_printf(arena, "%.9f", 1 - left);
    cells[4] = arena_printf(arena, "%.9f", left);
    cells[5] = arena_printf(arena, "%" PRIu64, account->mu2_spent_pico);
    cells[6] = arena_printf(arena, "%" PRIu64, account->mu2_cap_pico);
    cells[7] = account->window_ends[0] ? arena_strdup(arena, account->window_ends) : NULL;
    cells[8] = queries_left(arena, account, settings);
}

/*
 * Laplace or Gaussian. Explicit settings decide; with dp.mechanism = auto it is what the account
 * has spent and what the release needs. An earlier release of the same statement counts as spent.
 */
#include "mechanisms/sharing.h"
#include "parser/price.h"

static void spend(struct dp_account_state *account, const struct dp_charge *charge)
{
    account->all_pure = account->all_pure && charge->pure;
    if (__builtin_add_overflow(account->mu2_spent_pico, charge->mu2_pico,
                               &account->mu2_spent_pico) ||
        __builtin_add_overflow(account->epsilon_spent, charge->epsilon, &account->epsilon_spent))
        account->all_pure = false;
}

/* What the account will have spent when this release is charged. */
static struct dp_account_state account_before(const struct level *level)
{
    const struct compile *c = level->compile;
    struct dp_account_state account = c->request->settings->account;
    for (size_t i = 0; i < c->levels.n && c->levels.items[i] != level; i++)
        if (release_is_measured(c->levels.items[i]->release))
            spend(&account, &c->levels.items[i]->release->charge);
    for (size_t i = 0; i < c->automatic.n; i++)
        if (c->automatic.items[i].payer != NULL && c->automatic.items[i].payer != level)
            spend(&account, &c->automatic.items[i].release->charge);
    return account;
}

/* Numbers that one unit can move. */
static uint64_t coordinates(const struct level *level)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < level->n_measures; i++) {
        struct price_sensitivity s;
        if (!price_sensitivity(level, &level->measures[i], &s) ||
            __builtin_add_overflow(sum, s.groups, &sum))
            return UINT64_MAX;
    }
    for (size_t i = 0; i < level->histograms.n; i++)
        for (size_t n = 0; n < level->histograms.items[i].ranks.n; n++)
            if (__builtin_add_overflow(sum, level->bounding.unit_groups, &sum))
                return UINT64_MAX;
    return sum > 0 ? sum : 1;
}

enum dp_mechanism mechanism_choose(const struct level *level, dp_nano epsilon)
{
    const struct plan_settings *settings = level->compile->request->settings;
    if (level->forced != NOT_FORCED)
        return level->forced == FORCED_LAPLACE ? DP_LAPLACE : DP_GAUSSIAN;
    if (!settings->automatic)
        return settings->laplace ? DP_LAPLACE : DP_GAUSSIAN;
    const struct dp_account_state account = account_before(level);
    if (epsilon == 0) /* nothing to pay for */
        return DP_GAUSSIAN;
    if (account.mu2_cap_pico == 0) /* an account that counts in plain epsilon alone */
        return DP_LAPLACE;
    return dp_choose_mechanism(&account, epsilon, coordinates(level));
}

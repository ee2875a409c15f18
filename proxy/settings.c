#include "proxy/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { NANO_SCALE = 9, ATTO_SCALE = 18 };

/* A decimal in units of 10^-scale; false where it is no number, negative, finer or larger. */
static bool read_units(const char *text, int scale, uint64_t *units)
{
    struct dp_decimal value, factor = dp_decimal_from_int(1), product;
    for (int i = 0; i < scale; i++)
        factor.digits *= 10;
    if (!dp_decimal_parse(text, strlen(text), &value) ||
        !dp_decimal_multiply(&value, &factor, &product))
        return false;
    product = dp_decimal_normalize(&product);
    if (product.scale > 0 || product.digits < 0 || product.digits > INT64_MAX)
        return false;
    *units = (uint64_t)product.digits;
    return true;
}

static void print_units(uint64_t units, int scale, char text[DP_DECIMAL_TEXT_MAX])
{
    struct dp_decimal value = {.digits = (__int128)units, .scale = scale};
    value = dp_decimal_normalize(&value);
    dp_decimal_print(&value, text);
}

static bool refuse_value(struct refusal *refusal, const char *setting, const char *value,
                         const char *hint)
{
    strcpy(refusal->sqlstate, "22023");
    snprintf(refusal->message, sizeof refusal->message,
             "invalid value for parameter \"%s\": \"%.100s\"", setting, value);
    snprintf(refusal->hint, sizeof refusal->hint, "%s", hint);
    return false;
}

static bool read_epsilon(const char *text, const struct config_dataset *dataset,
                         struct plan_settings *settings, struct refusal *refusal)
{
    settings->epsilon = dataset->epsilon_default;
    if (text[0] == '\0')
        return true;
    if (read_units(text, NANO_SCALE, &settings->epsilon) && settings->epsilon > 0 &&
        settings->epsilon <= dataset->epsilon_max)
        return true;
    char most[DP_DECIMAL_TEXT_MAX], hint[200];
    print_units(dataset->epsilon_max, NANO_SCALE, most);
    snprintf(
        hint, sizeof hint,
        "A number from 0.000000001 to %s with at most 9 decimal places, or '' for the default.",
        most);
    return refuse_value(refusal, "dp.epsilon", text, hint);
}

static bool read_delta(const char *text, const struct config_dataset *dataset,
                       const struct ledger_account *account, struct plan_settings *settings,
                       struct refusal *refusal)
{
    settings->delta = dataset->delta_default;
    if (text[0] == '\0')
        return true;
    if (read_units(text, ATTO_SCALE, &settings->delta) && settings->delta > 0 &&
        settings->delta <= account->delta_keys_cap)
        return true;
    char most[DP_DECIMAL_TEXT_MAX], hint[200];
    print_units(account->delta_keys_cap, ATTO_SCALE, most);
    snprintf(hint, sizeof hint,
             "A number above 0 and at most %s, the account's share for group keys, or '' for the "
             "default.",
             most);
    return refuse_value(refusal, "dp.delta", text, hint);
}

/* Unset: Gaussian, which an account that is asked more than a few questions lives longest with;
 * where only plain epsilon counts, Laplace. */
static bool read_mechanism(const char *text, const struct ledger_account *account,
                           struct plan_settings *settings, struct refusal *refusal)
{
    bool unset = text[0] == '\0';
    settings->laplace =
        strcasecmp(text, "laplace") == 0 || (unset && strcmp(account->cap_mode, "pure") == 0);
    settings->automatic = strcasecmp(text, "auto") == 0;
    if (unset || settings->laplace || settings->automatic || strcasecmp(text, "gaussian") == 0)
        return true;
    return refuse_value(refusal, "dp.mechanism", text,
                        "One of gaussian, laplace, auto, or '' for the default.");
}

static bool read_max_error(const char *text, const struct config_dataset *dataset,
                           struct plan_settings *settings, struct refusal *refusal)
{
    struct dp_decimal value;
    settings->epsilon_max = dataset->epsilon_max;
    if (text[0] == '\0')
        return true;
    if (!dp_decimal_parse(text, strlen(text), &value) || value.digits <= 0)
        return refuse_value(refusal, "dp.max_error", text,
                            "The largest error of counts and sums that you accept, a number above "
                            "0, or '' to let dp.epsilon decide.");
    settings->max_error = dp_decimal_normalize(&value);
    return true;
}

static bool read_confidence(const char *text, struct plan_settings *settings,
                            struct refusal *refusal)
{
    const uint64_t one = 1000000000;
    uint64_t confidence = one / 100 * 95;
    if (text[0] != '\0' &&
        (!read_units(text, NANO_SCALE, &confidence) || confidence < one / 2 || confidence >= one))
        return refuse_value(refusal, "dp.confidence", text,
                            "A number from 0.5 to 0.999999999 with at most 9 decimal places, or "
                            "'' for 0.95.");
    settings->beta = (double)(one - confidence) / (double)one;
    return true;
}

/* The account as dp.mechanism = auto looks at it. The dataset's cap counts in mu^2 once anybody
 * spent otherwise than in plain epsilon; as it is not known whether somebody did, plain epsilon is
 * out of the question where anybody else spent. */
static void read_account(const struct ledger_account *account, struct plan_settings *settings)
{
    bool alone =
        !account->dataset_capped || account->dataset_mu2_spent_pico <= account->mu2_spent_pico;
    settings->account = (struct dp_account_state){.mu2_cap_pico = account->mu2_cap_pico,
                                                  .mu2_spent_pico = account->mu2_spent_pico,
                                                  .epsilon_cap = account->epsilon_cap,
                                                  .epsilon_spent = account->epsilon_spent,
                                                  .all_pure = account->all_pure && alone};
}

bool settings_read(const struct flight *flight, const struct config *config,
                   const struct config_dataset *dataset, const struct ledger_account *account,
                   struct plan_settings *settings, struct refusal *refusal)
{
    memset(settings, 0, sizeof *settings);
    memset(refusal, 0, sizeof *refusal);
    settings->delta_conv = account->delta_conv;
    settings->groups_max = config->domain_groups_max;
    settings->work_max = config->unit_work_max;
    settings->time_zone = flight->settings[FLIGHT_TIME_ZONE];
    read_account(account, settings);
    return read_epsilon(flight->settings[FLIGHT_EPSILON], dataset, settings, refusal) &&
           read_delta(flight->settings[FLIGHT_DELTA], dataset, account, settings, refusal) &&
           read_mechanism(flight->settings[FLIGHT_MECHANISM], account, settings, refusal) &&
           read_max_error(flight->settings[FLIGHT_MAX_ERROR], dataset, settings, refusal) &&
           read_confidence(flight->settings[FLIGHT_CONFIDENCE], settings, refusal);
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

static const char *const words_off[] = {"off", "false", "no", "0", NULL};
static const char *const words_on[] = {"on", "true", "yes", "1", "", NULL};

bool settings_read_reuse(const struct flight *flight, bool *reuse, struct refusal *refusal)
{
    const char *text = flight->settings[FLIGHT_REUSE];
    memset(refusal, 0, sizeof *refusal);
    *reuse = is_one_of(text, words_on);
    return *reuse || is_one_of(text, words_off) ||
           refuse_value(refusal, "dp.reuse", text,
                        "on, or '', to be given again what was paid for; off to have it measured, "
                        "and charged, anew.");
}

bool settings_want_notice(const struct flight *flight)
{
    static const char *const above[] = {"warning", "error", "fatal", "panic", NULL};
    return !is_one_of(flight->settings[FLIGHT_NOTICES], words_off) &&
           !is_one_of(flight->settings[FLIGHT_MIN_MESSAGES], above);
}

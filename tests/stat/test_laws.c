/* The product passes every check, and every planted fault fails the check named for it. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "mechanisms/noise.h"
#include "mechanisms/sampler.h"
#include "tests/support/mechanism_checks.h"

static check_function *find(const char *name)
{
    const struct check *const lists[] = {law_checks, privacy_checks};
    for (size_t l = 0; l < 2; l++) {
        for (const struct check *c = lists[l]; c->name != NULL; c++) {
            if (strcmp(c->name, name) == 0) {
                return c->run;
            }
        }
    }
    cr_assert_fail("no check %s", name);
    return NULL;
}

static void all_pass(const struct check *checks)
{
    for (const struct check *c = checks; c->name != NULL; c++) {
        printf("%s\n", c->name);
        cr_expect(c->run(&product), "%s", c->name);
    }
}

Test(laws, draws_follow_their_laws)
{
    all_pass(law_checks);
}

Test(laws, what_is_released_costs_no_more_than_is_charged)
{
    all_pass(privacy_checks);
}

/* What the servers draw: from the pool, with the system's entropy. */
static bool from_pool(enum dp_mechanism mechanism, uint64_t m, int64_t *noise)
{
    static struct dp_noise *pool;
    static unsigned used; /* since the pool was filled */
    if (pool == NULL) {
        pool = dp_noise_new();
    }
    const struct dp_calibration calibration = {.mechanism = mechanism, .m = m};
    __int128 noisy;
    if (pool == NULL || !dp_noise_add(pool, &calibration, 1000000, &noisy)) {
        return false;
    }
    for (used++; used > 3000 && dp_noise_wants_refill(pool);) {
        if (!dp_noise_refill(pool)) {
            return false;
        }
    }
    used = used > 3000 ? 0 : used;
    *noise = (int64_t)(noisy - 1000000);
    return true;
}

static bool pool_laplace(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    (void)rng;
    return from_pool(DP_LAPLACE, m, noise);
}

static bool pool_gaussian(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    (void)rng;
    return from_pool(DP_GAUSSIAN, m, noise);
}

Test(laws, the_pool_gives_the_same_laws)
{
    struct implementation pooled = product;
    pooled.laplace = pool_laplace;
    pooled.gaussian = pool_gaussian;
    pooled.draws = 300000;
    static const char *const names[] = {"laplace_cells", "gaussian_cells", "tail_counts", "moments",
                                        "low_bits_and_sign"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        cr_expect(find(names[i])(&pooled), "%s", names[i]);
    }
}

/* Planted faults. */

static bool gaussian_floor(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    struct dp_base base;
    if (!dp_sample_base_gaussian(rng, &base)) {
        return false;
    }
    int64_t quotient = (int64_t)(base.magnitude / m);
    *noise = base.negative ? -quotient - 1 : quotient;
    return true;
}

static bool gaussian_truncated(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    struct dp_base base;
    if (!dp_sample_base_gaussian(rng, &base)) {
        return false;
    }
    int64_t quotient = (int64_t)(base.magnitude / m);
    *noise = base.negative ? -quotient : quotient;
    return true;
}

static bool laplace_negative_zero(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    struct dp_divisor divisor = dp_divisor_make(m);
    struct dp_base base;
    if (!dp_sample_base_laplace(rng, &base)) {
        return false;
    }
    (void)dp_laplace_noise(&divisor, &base, noise);
    return true;
}

static bool laplace_sign_from_fraction(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    struct dp_divisor divisor = dp_divisor_make(m);
    struct dp_base base;
    do {
        if (!dp_sample_base_laplace(rng, &base)) {
            return false;
        }
        base.negative = (base.magnitude >> 20 & 1) != 0;
    } while (!dp_laplace_noise(&divisor, &base, noise));
    return true;
}

/* Three percent of the Gaussian's proposals pass without the rejection step. */
static bool gaussian_lax_rejection(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    struct dp_divisor divisor = dp_divisor_make(m);
    struct dp_base base;
    unsigned __int128 lot;
    if (!dp_sample_below(rng, 33, &lot)) {
        return false;
    }
    bool drawn =
        lot == 0 ? dp_sample_base_laplace(rng, &base) : dp_sample_base_gaussian(rng, &base);
    *noise = drawn ? dp_gaussian_noise(&divisor, &base) : 0;
    return drawn;
}

static bool calibrate_even(const struct dp_decimal *delta, const struct dp_grid *natural,
                           uint64_t groups, uint64_t mu2_pico, struct dp_calibration *out)
{
    bool done = dp_calibrate_gaussian(delta, natural, groups, mu2_pico, out);
    out->m -= 1;
    return done;
}

static bool calibrate_sigma_down(const struct dp_decimal *delta, const struct dp_grid *natural,
                                 uint64_t groups, uint64_t mu2_pico, struct dp_calibration *out)
{
    bool done = dp_calibrate_gaussian(delta, natural, groups, mu2_pico, out);
    out->m += 2;
    return done;
}

static struct dp_decimal half(const struct dp_decimal *delta)
{
    struct dp_decimal two = dp_decimal_from_int(2);
    struct dp_decimal result = *delta;
    (void)dp_decimal_divide(delta, &two, delta->scale + 1, true, &result);
    return result;
}

static bool calibrate_half_gaussian(const struct dp_decimal *delta, const struct dp_grid *natural,
                                    uint64_t groups, uint64_t mu2_pico, struct dp_calibration *out)
{
    struct dp_decimal less = half(delta);
    return dp_calibrate_gaussian(&less, natural, groups, mu2_pico, out);
}

static bool calibrate_half_laplace(const struct dp_decimal *delta, const struct dp_grid *natural,
                                   uint64_t groups, dp_nano epsilon, struct dp_calibration *out)
{
    struct dp_decimal less = half(delta);
    return dp_calibrate_laplace(&less, natural, groups, epsilon, out);
}

static bool calibrate_without_groups(const struct dp_decimal *delta, const struct dp_grid *natural,
                                     uint64_t groups, uint64_t mu2_pico, struct dp_calibration *out)
{
    (void)groups;
    return dp_calibrate_gaussian(delta, natural, 1, mu2_pico, out);
}

static bool threshold_minus_one(const struct dp_calibration *units, dp_atto delta,
                                uint64_t minimum_units, int64_t *threshold)
{
    bool done = dp_key_threshold(units, delta, minimum_units, threshold);
    *threshold -= 1;
    return done;
}

static bool keep_one_more(const struct dp_rng *rng, const struct dp_keep_table *table,
                          uint64_t units, bool *kept)
{
    return dp_keep(rng, table, units + 1, kept);
}

static bool quantiles_too_sharp(const struct dp_rng *rng, const struct dp_quantile_plan *plan,
                                const uint64_t *weights, size_t n_bins, const struct dp_rank *ranks,
                                uint32_t *bins)
{
    struct dp_quantile_plan sharper = *plan;
    sharper.half_range *= 2;
    return dp_draw_quantiles(rng, &sharper, weights, n_bins, ranks, bins);
}

/* A product with one part replaced, and the check that must notice. */
struct fault {
    char name[40];
    char caught_by[40];
    struct implementation part; /* members that are not NULL replace the product's */
};

static const struct fault faults[] = {
    {"floor_for_round", "gaussian_cells", {.gaussian = gaussian_floor}},
    {"truncation_for_round", "gaussian_cells", {.gaussian = gaussian_truncated}},
    {"truncation_seen_by_moments", "moments", {.gaussian = gaussian_truncated}},
    {"negative_zero_kept", "laplace_cells", {.laplace = laplace_negative_zero}},
    {"negative_zero_in_the_audit", "audit_zero", {.laplace = laplace_negative_zero}},
    {"sign_taken_from_the_fraction", "low_bits_and_sign", {.laplace = laplace_sign_from_fraction}},
    {"lax_rejection", "tail_counts", {.gaussian = gaussian_lax_rejection}},
    {"lax_rejection_in_the_cells", "gaussian_cells", {.gaussian = gaussian_lax_rejection}},
    {"even_m", "calibration_is_exact", {.calibrate_gaussian = calibrate_even}},
    {"sigma_rounded_down", "calibration_is_exact", {.calibrate_gaussian = calibrate_sigma_down}},
    {"groups_forgotten", "calibration_is_exact", {.calibrate_gaussian = calibrate_without_groups}},
    {"halved_sensitivity", "calibration_is_exact", {.calibrate_gaussian = calibrate_half_gaussian}},
    {"halved_sensitivity_summed",
     "noise_hides_one_unit",
     {.calibrate_gaussian = calibrate_half_gaussian}},
    {"halved_sensitivity_audited",
     "audit_gaussian",
     {.calibrate_gaussian = calibrate_half_gaussian}},
    {"halved_laplace_summed",
     "noise_hides_one_unit",
     {.calibrate_laplace = calibrate_half_laplace}},
    {"halved_laplace_audited", "audit_laplace", {.calibrate_laplace = calibrate_half_laplace}},
    {"threshold_off_by_one",
     "threshold_hides_a_single_unit",
     {.key_threshold = threshold_minus_one}},
    {"keys_off_by_one", "audit_keys", {.keep = keep_one_more}},
    {"quantiles_too_sharp", "audit_quantile", {.quantiles = quantiles_too_sharp}},
};

enum { FAULTS = sizeof(faults) / sizeof(*faults) };

/* Each test runs in a process of its own, so that an index is passed and no address. */
ParameterizedTestParameters(laws, every_planted_fault_is_caught_by_its_check)
{
    static size_t indices[FAULTS];
    for (size_t i = 0; i < FAULTS; i++) {
        indices[i] = i;
    }
    return cr_make_param_array(size_t, indices, FAULTS);
}

ParameterizedTest(size_t *index, laws, every_planted_fault_is_caught_by_its_check)
{
    const struct fault *fault = &faults[*index];
    struct implementation faulty = product;
    faulty.draws = 400000;
    const struct implementation *part = &fault->part;
    faulty.laplace = part->laplace != NULL ? part->laplace : faulty.laplace;
    faulty.gaussian = part->gaussian != NULL ? part->gaussian : faulty.gaussian;
    faulty.calibrate_gaussian =
        part->calibrate_gaussian != NULL ? part->calibrate_gaussian : faulty.calibrate_gaussian;
    faulty.calibrate_laplace =
        part->calibrate_laplace != NULL ? part->calibrate_laplace : faulty.calibrate_laplace;
    faulty.keep = part->keep != NULL ? part->keep : faulty.keep;
    faulty.quantiles = part->quantiles != NULL ? part->quantiles : faulty.quantiles;
    faulty.key_threshold = part->key_threshold != NULL ? part->key_threshold : faulty.key_threshold;
    printf("%s: %s\n", fault->name, fault->caught_by);
    cr_expect_not(find(fault->caught_by)(&faulty), "%s is not caught by %s", fault->name,
                  fault->caught_by);
}

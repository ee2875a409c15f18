/* Calibration (ALGORITHMS 1.4) in exact integers: the grid, the integer sensitivity, m and the
 * charge are found by comparing products of 1024 bits. No floating point decides any of them. */
#include "mechanisms/calibrate.h"

#include <assert.h>

#include "mechanisms/normal.h"
#include "mechanisms/wide.h"

enum {
    BASE_BITS = 50,  /* the base laws have the scale 2^50 */
    SCALE_BITS = 30, /* natural grids are coarsened until the noise's scale is at most 2^30 */
    FLOAT_BITS = 29, /* a free grid leaves the noise a scale of 2^29 to 2^30 */
    M_BITS_MIN = 19, /* 2^19 <= m < 2^62 */
    M_BITS_MAX = 62,
    EXPONENT_MAX = 256, /* of a grid, either side of zero */
    POWER10_PICO = 12,
    POWER10_NANO = 9
};

/* The noise's scale that was asked for, to the given power, as numerator / denominator in units of
 * 10^-scale10: the standard deviation squared (power 2) or the Laplace scale (power 1). */
struct scale {
    struct dp_wide numerator, denominator;
    unsigned power;
};

static struct dp_wide power2(unsigned exponent)
{
    return dp_wide_shift_left(dp_wide_from(1), exponent);
}

/* scale < 2^exponent, or <= where equal is set. */
static bool is_below_power2(const struct scale *scale, int exponent, bool equal)
{
    int bits = exponent * (int)scale->power;
    struct dp_wide left =
        bits < 0 ? dp_wide_shift_left(scale->numerator, (unsigned)-bits) : scale->numerator;
    struct dp_wide right =
        bits > 0 ? dp_wide_shift_left(scale->denominator, (unsigned)bits) : scale->denominator;
    int order = dp_wide_compare(&left, &right);
    return order < 0 || (equal && order == 0);
}

/* The grid for a scale: the natural one, coarsened by powers of two where the scale exceeds 2^30 of
 * its units; a power of two that leaves 2^29 units where there is none. */
static bool choose_grid(const struct scale *scale, const struct dp_grid *natural,
                        struct dp_grid *grid)
{
    if (natural != NULL) {
        *grid = *natural;
        while (grid->exp2 < EXPONENT_MAX &&
               !is_below_power2(scale, SCALE_BITS + grid->exp2, true)) {
            grid->exp2++;
        }
        return grid->exp2 < EXPONENT_MAX;
    }
    grid->scale10 = 0;
    int floor_log2 = -EXPONENT_MAX;
    while (floor_log2 < EXPONENT_MAX && !is_below_power2(scale, floor_log2 + 1, false)) {
        floor_log2++;
    }
    grid->exp2 = floor_log2 - FLOAT_BITS;
    return floor_log2 > -EXPONENT_MAX && floor_log2 < EXPONENT_MAX;
}

/* delta = numerator / denominator in units of 10^-scale10. */
static void in_units(const struct dp_decimal *delta, int scale10, struct dp_wide *numerator,
                     struct dp_wide *denominator)
{
    int shift = scale10 - delta->scale;
    *numerator = dp_wide_multiply(dp_wide_from((unsigned __int128)delta->digits),
                                  dp_wide_power10(shift > 0 ? (unsigned)shift : 0));
    *denominator = dp_wide_power10(shift < 0 ? (unsigned)-shift : 0);
}

/* ceil(delta / grid), which is at least 1; false where it does not fit. */
static bool integer_sensitivity(const struct dp_decimal *delta, const struct dp_grid *grid,
                                uint64_t *out)
{
    struct dp_wide numerator, denominator;
    in_units(delta, grid->scale10, &numerator, &denominator);
    if (grid->exp2 < 0) {
        numerator = dp_wide_shift_left(numerator, (unsigned)-grid->exp2);
    } else {
        denominator = dp_wide_shift_left(denominator, (unsigned)grid->exp2);
    }
    struct dp_wide quotient = dp_wide_divide(numerator, denominator, true);
    return dp_wide_to_u64(&quotient, out) && *out >> M_BITS_MAX == 0;
}

/* Largest m < 2^63 with m^power * factor <= limit. */
static uint64_t largest_divisor(const struct dp_wide *factor, const struct dp_wide *limit,
                                unsigned power)
{
    uint64_t m = 0;
    for (int bit = M_BITS_MAX; bit >= 0; bit--) {
        uint64_t candidate = m | (uint64_t)1 << bit;
        struct dp_wide value = dp_wide_multiply(*factor, dp_wide_from(candidate));
        if (power == 2) {
            value = dp_wide_multiply(value, dp_wide_from(candidate));
        }
        if (dp_wide_compare(&value, limit) <= 0) {
            m = candidate;
        }
    }
    return m;
}

static bool valid_request(const struct dp_decimal *delta, const struct dp_grid *natural,
                          uint64_t groups, uint64_t budget)
{
    return delta->digits > 0 && groups > 0 && budget > 0 &&
           (natural == NULL || (natural->scale10 >= 0 && natural->scale10 <= DP_DECIMAL_SCALE_MAX &&
                                natural->exp2 > -EXPONENT_MAX && natural->exp2 < EXPONENT_MAX));
}

/* Grid and integer sensitivity; scale is consumed. */
static bool fit_grid(const struct dp_decimal *delta, const struct dp_grid *natural,
                     const struct scale *scale, uint64_t groups, struct dp_calibration *out)
{
    out->groups = groups;
    return choose_grid(scale, natural, &out->grid) &&
           integer_sensitivity(delta, &out->grid, &out->delta_grid);
}

static bool m_in_range(uint64_t m)
{
    return m >> M_BITS_MIN != 0 && m >> M_BITS_MAX == 0;
}

/* 10^12 L0 Dg^2, the factor of m^2 / 2^100 in the charge. */
static struct dp_wide gaussian_factor(const struct dp_calibration *calibration)
{
    struct dp_wide delta = dp_wide_from(calibration->delta_grid);
    struct dp_wide factor =
        dp_wide_multiply(dp_wide_power10(POWER10_PICO), dp_wide_from(calibration->groups));
    return dp_wide_multiply(factor, dp_wide_multiply(delta, delta));
}

bool dp_calibrate_gaussian(const struct dp_decimal *delta, const struct dp_grid *natural,
                           uint64_t groups, uint64_t mu2_pico, struct dp_calibration *out)
{
    if (!valid_request(delta, natural, groups, mu2_pico)) {
        return false;
    }
    struct dp_calibration result = {.mechanism = DP_GAUSSIAN};
    /* sigma^2 = L0 delta^2 / mu^2 */
    struct scale scale = {.power = 2};
    in_units(delta, natural != NULL ? natural->scale10 : 0, &scale.numerator, &scale.denominator);
    scale.numerator = dp_wide_multiply(scale.numerator, scale.numerator);
    scale.numerator = dp_wide_multiply(scale.numerator, dp_wide_from(groups));
    scale.numerator = dp_wide_multiply(scale.numerator, dp_wide_power10(POWER10_PICO));
    scale.denominator = dp_wide_multiply(scale.denominator, scale.denominator);
    scale.denominator = dp_wide_multiply(scale.denominator, dp_wide_from(mu2_pico));
    if (!fit_grid(delta, natural, &scale, groups, &result)) {
        return false;
    }
    struct dp_wide factor = gaussian_factor(&result);
    struct dp_wide limit = dp_wide_multiply(power2(2 * BASE_BITS), dp_wide_from(mu2_pico));
    result.m = largest_divisor(&factor, &limit, 2);
    if (!m_in_range(result.m)) {
        return false;
    }
    result.m -= result.m % 2 == 0; /* odd, so that rounding to nearest has no ties */
    if (!m_in_range(result.m) || !dp_gaussian_charge(&result, &result.charge)) {
        return false;
    }
    *out = result;
    return true;
}

bool dp_gaussian_charge(const struct dp_calibration *calibration, struct dp_charge *charge)
{
    struct dp_wide m = dp_wide_from(calibration->m);
    struct dp_wide value = dp_wide_multiply(gaussian_factor(calibration), dp_wide_multiply(m, m));
    value = dp_wide_shift_right(value, 2 * BASE_BITS, true);
    *charge = (struct dp_charge){.pure = false};
    return dp_wide_to_u64(&value, &charge->mu2_pico);
}

bool dp_calibrate_laplace(const struct dp_decimal *delta, const struct dp_grid *natural,
                          uint64_t groups, dp_nano epsilon, struct dp_calibration *out)
{
    if (!valid_request(delta, natural, groups, epsilon)) {
        return false;
    }
    struct dp_calibration result = {.mechanism = DP_LAPLACE};
    /* the scale is L0 delta / epsilon */
    struct scale scale = {.power = 1};
    in_units(delta, natural != NULL ? natural->scale10 : 0, &scale.numerator, &scale.denominator);
    scale.numerator = dp_wide_multiply(scale.numerator, dp_wide_from(groups));
    scale.numerator = dp_wide_multiply(scale.numerator, dp_wide_power10(POWER10_NANO));
    scale.denominator = dp_wide_multiply(scale.denominator, dp_wide_from(epsilon));
    if (!fit_grid(delta, natural, &scale, groups, &result)) {
        return false;
    }
    struct dp_wide factor = dp_wide_multiply(dp_wide_power10(POWER10_NANO), dp_wide_from(groups));
    factor = dp_wide_multiply(factor, dp_wide_from(result.delta_grid));
    struct dp_wide limit = dp_wide_multiply(power2(BASE_BITS), dp_wide_from(epsilon));
    result.m = largest_divisor(&factor, &limit, 1);
    if (!m_in_range(result.m) || !dp_laplace_charge(&result, &result.charge)) {
        return false;
    }
    *out = result;
    return true;
}

/* ceil(10^9 times Dg m / 2^50), groups times that before rounding. */
static bool laplace_epsilon(const struct dp_calibration *calibration, uint64_t groups, dp_nano *out)
{
    struct dp_wide value =
        dp_wide_multiply(dp_wide_from(groups), dp_wide_from(calibration->delta_grid));
    value = dp_wide_multiply(value, dp_wide_from(calibration->m));
    value = dp_wide_multiply(value, dp_wide_power10(POWER10_NANO));
    value = dp_wide_shift_right(value, BASE_BITS, true);
    return dp_wide_to_u64(&value, out);
}

bool dp_laplace_charge(const struct dp_calibration *calibration, struct dp_charge *charge)
{
    dp_nano each;
    uint64_t mu2_each, mu2_groups;
    *charge = (struct dp_charge){.pure = true};
    if (!laplace_epsilon(calibration, calibration->groups, &charge->epsilon) ||
        !dp_mu2_of_pure(charge->epsilon, &charge->mu2_pico)) {
        return false;
    }
    /* The groups are so many mechanisms, each of its own epsilon: their mu^2 adds up to less than
     * that of the whole, except where rounding each one up costs more. */
    if (laplace_epsilon(calibration, 1, &each) && dp_mu2_of_pure(each, &mu2_each) &&
        !__builtin_mul_overflow(mu2_each, calibration->groups, &mu2_groups) &&
        mu2_groups < charge->mu2_pico) {
        charge->mu2_pico = mu2_groups;
    }
    return true;
}

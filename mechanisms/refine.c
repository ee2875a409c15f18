#include "mechanisms/refine.h"

#include <assert.h>

#include "mechanisms/wide.h"

/* The range of divisors is that of calibrate.c. */
enum {
    M_BITS_MAX = 62,
    M_BITS_MIN = 19,
    BASE_BITS = 50, /* of the base laws' scale */
    /* On a grid that is not the values' own: the noise stays a thousand times wider than a unit. */
    M_BITS_COARSE = 40,
    SHIFT_MAX = 64
};

static uint64_t floor_root(unsigned __int128 square)
{
    uint64_t root = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t candidate = root | (uint64_t)1 << bit;
        if ((unsigned __int128)candidate * candidate <= square) {
            root = candidate;
        }
    }
    return root;
}

static bool sum_squares(const uint64_t *m, size_t n, unsigned __int128 *sum)
{
    *sum = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned __int128 square = (unsigned __int128)m[i] * m[i];
        if (__builtin_add_overflow(*sum, square, sum)) {
            return false;
        }
    }
    return true;
}

static bool with_root(const struct dp_calibration *kept, unsigned __int128 sum,
                      struct dp_calibration *together)
{
    *together = *kept;
    together->m = floor_root(sum);
    return together->m >> M_BITS_MIN != 0 && dp_gaussian_charge(together, &together->charge);
}

bool dp_draws_together(const struct dp_calibration *kept, const uint64_t *m, size_t n,
                       struct dp_calibration *together)
{
    unsigned __int128 sum;
    assert(n > 0);
    return kept->mechanism == DP_GAUSSIAN && sum_squares(m, n, &sum) &&
           with_root(kept, sum, together);
}

uint64_t dp_draws_stated(const uint64_t *m, size_t n, uint64_t together)
{
    unsigned __int128 sum, square;
    if (n < 2 || !sum_squares(m, n, &sum)) {
        return together;
    }
    /* 12 M^2 2^100 / (12 M 2^100 + sum of m^4), M the sum of m^2 */
    struct dp_wide fourth = dp_wide_from(0), all = dp_wide_from(sum);
    for (size_t i = 0; i < n; i++) {
        struct dp_wide own = dp_wide_multiply(dp_wide_from(m[i]), dp_wide_from(m[i]));
        fourth = dp_wide_add(fourth, dp_wide_multiply(own, own));
    }
    struct dp_wide scaled =
        dp_wide_shift_left(dp_wide_multiply(all, dp_wide_from(12)), 2 * BASE_BITS);
    struct dp_wide quotient =
        dp_wide_divide(dp_wide_multiply(scaled, all), dp_wide_add(scaled, fourth), false);
    return dp_wide_to_u128(&quotient, &square) ? floor_root(square) : together;
}

uint64_t dp_refine_target(uint64_t m)
{
    /* 12 m^2 2^100 / (12 2^100 - m^2): all weights together count as one */
    struct dp_wide own = dp_wide_multiply(dp_wide_from(m), dp_wide_from(m));
    struct dp_wide twelve = dp_wide_shift_left(dp_wide_from(12), 2 * BASE_BITS);
    if (dp_wide_compare(&own, &twelve) >= 0) {
        return m;
    }
    unsigned __int128 square;
    struct dp_wide quotient =
        dp_wide_divide(dp_wide_multiply(own, twelve), dp_wide_subtract(twelve, own), true);
    if (!dp_wide_to_u128(&quotient, &square) || square >> 2 * M_BITS_MAX != 0) {
        return m;
    }
    return floor_root(square) + 1;
}

bool dp_draw_of_cells(const struct dp_calibration *cell, uint64_t cells, struct dp_calibration *sum)
{
    unsigned __int128 square;
    assert(cells > 0);
    if (cell->mechanism != DP_GAUSSIAN) {
        return false;
    }
    /* 12 m^2 2^100 / (12 cells 2^100 + (cells - 1) m^2) */
    struct dp_wide own = dp_wide_multiply(dp_wide_from(cell->m), dp_wide_from(cell->m));
    struct dp_wide above =
        dp_wide_multiply(dp_wide_shift_left(own, 2 * BASE_BITS), dp_wide_from(12));
    struct dp_wide below =
        dp_wide_shift_left(dp_wide_multiply(dp_wide_from(cells), dp_wide_from(12)), 2 * BASE_BITS);
    below = dp_wide_add(below, dp_wide_multiply(own, dp_wide_from(cells - 1)));
    struct dp_wide quotient = dp_wide_divide(above, below, false);
    return dp_wide_to_u128(&quotient, &square) && with_root(cell, square, sum);
}

/* The divisor that is as precise on the grid of kept as the wanted one on its own: sigma / grid
 * shrinks as the grid grows. */
static bool on_kept_grid(const struct dp_calibration *wanted, const struct dp_calibration *kept,
                         bool rounds, uint64_t *m)
{
    int shift = kept->grid.exp2 - wanted->grid.exp2;
    if (kept->grid.scale10 != wanted->grid.scale10 || kept->groups != wanted->groups ||
        shift > SHIFT_MAX || shift < -SHIFT_MAX) {
        return false;
    }
    unsigned __int128 value = wanted->m;
    if (shift >= 0) {
        value =
            shift > 0 && value >> (127 - shift) != 0 ? (unsigned __int128)1 << 127 : value << shift;
    } else {
        unsigned __int128 up = ((unsigned __int128)1 << -shift) - 1;
        value = (value + up) >> -shift;
    }
    int bits = rounds ? M_BITS_COARSE : M_BITS_MAX;
    *m = (uint64_t)value;
    return value >> bits == 0;
}

bool dp_refine(const struct dp_calibration *wanted, const struct dp_calibration *kept, bool rounds,
               const uint64_t *m, size_t n, struct dp_calibration *rest,
               struct dp_calibration *together)
{
    uint64_t target;
    unsigned __int128 sum, square;
    assert(n > 0);
    if (wanted->mechanism != DP_GAUSSIAN || kept->mechanism != DP_GAUSSIAN ||
        !on_kept_grid(wanted, kept, rounds, &target) || !sum_squares(m, n, &sum)) {
        return false;
    }
    *rest = *kept;
    rest->m = 0;
    rest->charge = (struct dp_charge){.pure = false};
    square = (unsigned __int128)target * target;
    if (sum >= square) {
        return with_root(kept, sum, together);
    }
    rest->m = floor_root(square - sum - 1) + 1; /* rounded up: the precision is reached */
    if (rest->m >> M_BITS_MIN == 0) {
        rest->m = (uint64_t)1 << M_BITS_MIN;
    }
    rest->m |= 1; /* odd: rounding to nearest has no ties */
    if (rest->m >> M_BITS_MAX != 0 ||
        __builtin_add_overflow(sum, (unsigned __int128)rest->m * rest->m, &sum)) {
        return false;
    }
    return dp_gaussian_charge(rest, &rest->charge) && with_root(kept, sum, together);
}

/* The sum of m^2 times the values of one sign, without it. */
static struct dp_wide weighted(const uint64_t *m, const __int128 *values, size_t n, bool negative)
{
    struct dp_wide sum = dp_wide_from(0);
    for (size_t i = 0; i < n; i++) {
        if ((values[i] < 0) != negative) {
            continue;
        }
        unsigned __int128 size =
            values[i] < 0 ? -(unsigned __int128)values[i] : (unsigned __int128)values[i];
        struct dp_wide weight = dp_wide_multiply(dp_wide_from(m[i]), dp_wide_from(m[i]));
        sum = dp_wide_add(sum, dp_wide_multiply(weight, dp_wide_from(size)));
    }
    return sum;
}

/* The mean in 128 bits, by the distances from the first value: they are as small as the noise, so
 * that this is the way of nearly all values. False where something does not fit. */
static bool combine_near(const uint64_t *m, const __int128 *values, size_t n, __int128 *mean)
{
    __int128 weights = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned __int128 square = (unsigned __int128)m[i] * m[i];
        __int128 part;
        if (square >> 127 != 0 || __builtin_add_overflow(weights, (__int128)square, &weights) ||
            __builtin_sub_overflow(values[i], values[0], &part) ||
            __builtin_mul_overflow(part, (__int128)square, &part) ||
            __builtin_add_overflow(sum, part, &sum)) {
            return false;
        }
    }
    __int128 rest = sum % weights;
    __int128 floor = values[0] + sum / weights;
    if (rest < 0) {
        rest += weights;
        floor--;
    }
    __int128 missing = weights - rest;
    *mean = floor + (rest > missing || (rest == missing && floor >= 0));
    return true;
}

__int128 dp_combine_draws(const uint64_t *m, const __int128 *values, size_t n)
{
    struct dp_wide weights = dp_wide_from(0);
    unsigned __int128 size;
    __int128 mean;
    assert(n > 0);
    if (combine_near(m, values, n, &mean)) {
        return mean;
    }
    for (size_t i = 0; i < n; i++) {
        weights = dp_wide_add(weights, dp_wide_multiply(dp_wide_from(m[i]), dp_wide_from(m[i])));
    }
    struct dp_wide above = weighted(m, values, n, false), below = weighted(m, values, n, true);
    bool negative = dp_wide_compare(&above, &below) < 0;
    struct dp_wide sum = negative ? dp_wide_subtract(below, above) : dp_wide_subtract(above, below);
    /* floor((2 sum + weights) / (2 weights)) */
    sum = dp_wide_add(dp_wide_shift_left(sum, 1), weights);
    sum = dp_wide_divide(sum, dp_wide_shift_left(weights, 1), false);
    bool fits = dp_wide_to_u128(&sum, &size);
    assert(fits && size >> 126 == 0);
    return negative ? -(__int128)size : (__int128)size;
}

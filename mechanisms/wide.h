#ifndef MECHANISMS_WIDE_H
#define MECHANISMS_WIDE_H

/*
 * Unsigned integers of 1024 bits, enough for every product of calibration and decimals to be exact.
 * Slow and plain: nothing here runs once per value. Overflow is sticky: whatever is computed from
 * an overflowed number is overflowed, compares greater than every other number and fits nowhere, so
 * that callers check once at the end.
 */
#include <stdbool.h>
#include <stdint.h>

enum { DP_WIDE_LIMBS = 16 };

struct dp_wide {
    uint64_t limb[DP_WIDE_LIMBS]; /* least significant first */
    bool overflow;
};

struct dp_wide dp_wide_from(unsigned __int128 value);
struct dp_wide dp_wide_power10(unsigned exponent);
struct dp_wide dp_wide_multiply(struct dp_wide a, struct dp_wide b);
struct dp_wide dp_wide_add(struct dp_wide a, struct dp_wide b);
/* a - b; overflow where b > a. */
struct dp_wide dp_wide_subtract(struct dp_wide a, struct dp_wide b);
struct dp_wide dp_wide_shift_left(struct dp_wide a, unsigned bits);
/* a / 2^bits, rounded down, or up where up is set. */
struct dp_wide dp_wide_shift_right(struct dp_wide a, unsigned bits, bool up);
/* a / b, rounded down, or up where up is set; overflow where b is zero. */
struct dp_wide dp_wide_divide(struct dp_wide a, struct dp_wide b, bool up);
/* a / divisor rounded down, with the remainder; divisor > 0. */
struct dp_wide dp_wide_divide_small(struct dp_wide a, uint64_t divisor, uint64_t *remainder);
int dp_wide_compare(const struct dp_wide *a, const struct dp_wide *b);
bool dp_wide_is_zero(const struct dp_wide *a);
/* False where the value does not fit. */
bool dp_wide_to_u128(const struct dp_wide *a, unsigned __int128 *out);
bool dp_wide_to_u64(const struct dp_wide *a, uint64_t *out);

#endif

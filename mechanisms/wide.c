/* Schoolbook arithmetic on 64-bit limbs. Division is by shift and subtract: a few microseconds, and
 * nothing to get wrong. */
#include "mechanisms/wide.h"

#include <assert.h>
#include <stddef.h>

static const struct dp_wide zero;

struct dp_wide dp_wide_from(unsigned __int128 value)
{
    struct dp_wide result = zero;
    result.limb[0] = (uint64_t)value;
    result.limb[1] = (uint64_t)(value >> 64);
    return result;
}

struct dp_wide dp_wide_power10(unsigned exponent)
{
    struct dp_wide result = dp_wide_from(1);
    for (unsigned i = 0; i < exponent && !result.overflow; i++) {
        result = dp_wide_multiply(result, dp_wide_from(10));
    }
    return result;
}

static size_t used_limbs(const struct dp_wide *a)
{
    size_t n = DP_WIDE_LIMBS;
    while (n > 0 && a->limb[n - 1] == 0) {
        n--;
    }
    return n;
}

struct dp_wide dp_wide_multiply(struct dp_wide a, struct dp_wide b)
{
    struct dp_wide result = zero;
    result.overflow = a.overflow || b.overflow;
    size_t n_a = used_limbs(&a);
    size_t n_b = used_limbs(&b);
    for (size_t i = 0; i < n_a; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < n_b || carry != 0; j++) {
            if (i + j >= DP_WIDE_LIMBS) {
                result.overflow = true;
                break;
            }
            unsigned __int128 sum = carry + (unsigned __int128)result.limb[i + j];
            sum += j < n_b ? (unsigned __int128)a.limb[i] * b.limb[j] : 0;
            result.limb[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
    }
    return result;
}

struct dp_wide dp_wide_add(struct dp_wide a, struct dp_wide b)
{
    struct dp_wide result = zero;
    uint64_t carry = 0;
    for (size_t i = 0; i < DP_WIDE_LIMBS; i++) {
        unsigned __int128 sum = (unsigned __int128)a.limb[i] + b.limb[i] + carry;
        result.limb[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    result.overflow = a.overflow || b.overflow || carry != 0;
    return result;
}

struct dp_wide dp_wide_subtract(struct dp_wide a, struct dp_wide b)
{
    struct dp_wide result = zero;
    uint64_t borrow = 0;
    for (size_t i = 0; i < DP_WIDE_LIMBS; i++) {
        unsigned __int128 difference = (unsigned __int128)a.limb[i] - b.limb[i] - borrow;
        result.limb[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> 64) & 1;
    }
    result.overflow = a.overflow || b.overflow || borrow != 0;
    return result;
}

struct dp_wide dp_wide_shift_left(struct dp_wide a, unsigned bits)
{
    struct dp_wide result = zero;
    result.overflow = a.overflow;
    size_t limbs = bits / 64;
    unsigned rest = bits % 64;
    for (size_t i = 0; i < DP_WIDE_LIMBS; i++) {
        if (a.limb[i] == 0) {
            continue;
        }
        unsigned __int128 moved = (unsigned __int128)a.limb[i] << rest;
        uint64_t parts[2] = {(uint64_t)moved, (uint64_t)(moved >> 64)};
        for (size_t part = 0; part < 2; part++) {
            size_t at = i + limbs + part;
            if (parts[part] == 0) {
                continue;
            }
            if (at >= DP_WIDE_LIMBS) {
                result.overflow = true;
            } else {
                result.limb[at] |= parts[part];
            }
        }
    }
    return result;
}

struct dp_wide dp_wide_shift_right(struct dp_wide a, unsigned bits, bool up)
{
    struct dp_wide result = zero;
    size_t limbs = bits / 64;
    unsigned rest = bits % 64;
    bool lost = false;
    for (size_t i = 0; i < DP_WIDE_LIMBS; i++) {
        if (i < limbs) {
            lost = lost || a.limb[i] != 0;
            continue;
        }
        if (rest == 0) {
            result.limb[i - limbs] |= a.limb[i];
            continue;
        }
        uint64_t low = a.limb[i] << (64 - rest);
        result.limb[i - limbs] |= a.limb[i] >> rest;
        if (i > limbs) {
            result.limb[i - limbs - 1] |= low;
        } else {
            lost = lost || low != 0;
        }
    }
    result.overflow = a.overflow;
    return up && lost ? dp_wide_add(result, dp_wide_from(1)) : result;
}

struct dp_wide dp_wide_divide(struct dp_wide a, struct dp_wide b, bool up)
{
    struct dp_wide quotient = zero;
    struct dp_wide rest = zero;
    if (dp_wide_is_zero(&b)) {
        quotient.overflow = true;
        return quotient;
    }
    for (size_t i = 64 * used_limbs(&a); i-- > 0;) {
        rest = dp_wide_shift_left(rest, 1);
        rest.limb[0] |= (a.limb[i / 64] >> (i % 64)) & 1;
        if (dp_wide_compare(&rest, &b) >= 0) {
            rest = dp_wide_subtract(rest, b);
            quotient.limb[i / 64] |= (uint64_t)1 << (i % 64);
        }
    }
    if (up && !dp_wide_is_zero(&rest)) {
        quotient = dp_wide_add(quotient, dp_wide_from(1));
    }
    quotient.overflow = quotient.overflow || rest.overflow || a.overflow || b.overflow;
    return quotient;
}

struct dp_wide dp_wide_divide_small(struct dp_wide a, uint64_t divisor, uint64_t *remainder)
{
    assert(divisor > 0);
    unsigned __int128 rest = 0;
    for (size_t i = DP_WIDE_LIMBS; i-- > 0;) {
        rest = rest << 64 | a.limb[i];
        a.limb[i] = (uint64_t)(rest / divisor);
        rest %= divisor;
    }
    *remainder = (uint64_t)rest;
    return a;
}

int dp_wide_compare(const struct dp_wide *a, const struct dp_wide *b)
{
    if (a->overflow != b->overflow) {
        return a->overflow ? 1 : -1;
    }
    for (size_t i = DP_WIDE_LIMBS; i-- > 0;) {
        if (a->limb[i] != b->limb[i]) {
            return a->limb[i] > b->limb[i] ? 1 : -1;
        }
    }
    return 0;
}

bool dp_wide_is_zero(const struct dp_wide *a)
{
    return !a->overflow && used_limbs(a) == 0;
}

bool dp_wide_to_u128(const struct dp_wide *a, unsigned __int128 *out)
{
    if (a->overflow || used_limbs(a) > 2) {
        return false;
    }
    *out = (unsigned __int128)a->limb[1] << 64 | a->limb[0];
    return true;
}

bool dp_wide_to_u64(const struct dp_wide *a, uint64_t *out)
{
    if (a->overflow || used_limbs(a) > 1) {
        return false;
    }
    *out = a->limb[0];
    return true;
}

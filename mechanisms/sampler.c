/* Von Neumann's method for e^(-x) and rejection (Canonne, Kamath and Steinke 2020) on 64-bit words;
 * a second pair of words is drawn only where the first word does not decide. */
#include "mechanisms/sampler.h"

#include <assert.h>

enum { TRIALS_MAX = 1 << 20, INTEGER_PART_MAX = 1 << 12 };

static bool next(const struct dp_rng *rng, uint64_t *word)
{
    return rng->next64(rng->state, word);
}

bool dp_sample_below(const struct dp_rng *rng, unsigned __int128 bound, unsigned __int128 *out)
{
    assert(bound > 0 && bound >> 127 == 0);
    unsigned __int128 mask = 0;
    while (mask < bound - 1) {
        mask = mask << 1 | 1;
    }
    for (;;) {
        uint64_t high, low;
        if (!next(rng, &high) || !next(rng, &low)) {
            return false;
        }
        unsigned __int128 candidate = ((unsigned __int128)high << 64 | low) & mask;
        if (candidate < bound) {
            *out = candidate;
            return true;
        }
    }
}

/* True with probability n / (2^bits k); n <= 2^bits, k < 2^20. */
static bool bernoulli(const struct dp_rng *rng, unsigned __int128 n, unsigned bits, uint64_t k,
                      bool *out)
{
    assert(k > 0 && k < TRIALS_MAX);
    unsigned shift = 0;
    if (bits <= 64) {
        n <<= 64 - bits;
    } else {
        shift = bits - 64;
    }
    uint64_t word;
    if (!next(rng, &word)) {
        return false;
    }
    unsigned __int128 low = ((unsigned __int128)word * k) << shift;
    unsigned __int128 width = (unsigned __int128)k << shift;
    if (low + width <= n) {
        *out = true;
        return true;
    }
    if (low >= n) {
        *out = false;
        return true;
    }
    unsigned __int128 rest;
    if (!dp_sample_below(rng, width, &rest)) {
        return false;
    }
    *out = rest < n - low;
    return true;
}

/* True with probability e^(-n / 2^bits), n <= 2^bits: the run of successes of ever rarer trials has
 * even length. */
static bool bernoulli_exp1(const struct dp_rng *rng, unsigned __int128 n, unsigned bits, bool *out)
{
    uint64_t k = 1;
    for (;;) {
        bool success;
        if (!bernoulli(rng, n, bits, k, &success)) {
            return false;
        }
        if (!success) {
            *out = k % 2 == 1;
            return true;
        }
        k++;
    }
}

/* True with probability 1/e: the first trial is certain and takes no word. */
static bool bernoulli_expm1(const struct dp_rng *rng, bool *out)
{
    uint64_t k = 2;
    for (;;) {
        bool success;
        if (!bernoulli(rng, (unsigned __int128)1 << DP_BASE_BITS, DP_BASE_BITS, k, &success)) {
            return false;
        }
        if (!success) {
            *out = k % 2 == 1;
            return true;
        }
        k++;
    }
}

bool dp_sample_bernoulli_exp(const struct dp_rng *rng, unsigned __int128 n, unsigned bits,
                             bool *out)
{
    assert(bits >= 1 && bits <= 101);
    for (unsigned __int128 whole = n >> bits; whole > 0; whole--) {
        bool success;
        if (!bernoulli_expm1(rng, &success)) {
            return false;
        }
        if (!success) {
            *out = false;
            return true;
        }
    }
    return bernoulli_exp1(rng, n & (((unsigned __int128)1 << bits) - 1), bits, out);
}

/* True with probability 2/e: a Poisson variable of mean one is at most one. k heads before a tail
 * come with 2^-(k+1); accepting k with (2/1) .. (2/k) / 2 leaves 1 / k!, up to a constant. */
static bool bernoulli_2_over_e(const struct dp_rng *rng, bool *out)
{
    for (;;) {
        uint64_t k = 0;
        bool heads, accepted;
        do {
            if (!bernoulli(rng, 1, 1, 1, &heads)) {
                return false;
            }
            k += heads;
        } while (heads);
        accepted = k > 0;
        if (k == 0 && !bernoulli(rng, 1, 1, 1, &accepted)) {
            return false;
        }
        for (uint64_t i = 3; accepted && i <= k; i++) {
            unsigned __int128 lot;
            if (!dp_sample_below(rng, i, &lot)) {
                return false;
            }
            accepted = lot < 2;
        }
        if (accepted) {
            *out = k <= 1;
            return true;
        }
    }
}

bool dp_sample_scaled_bernoulli_exp(const struct dp_rng *rng, unsigned log2_scale,
                                    unsigned __int128 n, unsigned bits, bool *out)
{
    assert(bits >= 1 && bits <= 101 && n >> bits >= log2_scale);
    for (unsigned i = 0; i < log2_scale; i++) {
        bool success;
        if (!bernoulli_2_over_e(rng, &success)) {
            return false;
        }
        if (!success) {
            *out = false;
            return true;
        }
    }
    return dp_sample_bernoulli_exp(rng, n - ((unsigned __int128)log2_scale << bits), bits, out);
}

bool dp_sample_base_laplace(const struct dp_rng *rng, struct dp_base *out)
{
    uint64_t word, fraction;
    bool accepted;
    do { /* the fraction: uniform, accepted with e^(-fraction / T) */
        if (!next(rng, &word)) {
            return false;
        }
        fraction = word >> (64 - DP_BASE_BITS);
        if (!bernoulli_exp1(rng, fraction, DP_BASE_BITS, &accepted)) {
            return false;
        }
    } while (!accepted);
    uint64_t whole = 0;
    for (;; whole++) {
        bool success;
        if (!bernoulli_expm1(rng, &success)) {
            return false;
        }
        if (!success) {
            break;
        }
        assert(whole < INTEGER_PART_MAX - 1); /* fails with probability e^-4096 */
    }
    out->magnitude = fraction + (whole << DP_BASE_BITS);
    out->negative = word & 1; /* a bit that is not part of the fraction */
    return true;
}

bool dp_sample_base_gaussian(const struct dp_rng *rng, struct dp_base *out)
{
    const uint64_t scale = (uint64_t)1 << DP_BASE_BITS;
    for (;;) {
        struct dp_base proposal;
        if (!dp_sample_base_laplace(rng, &proposal)) {
            return false;
        }
        if (proposal.negative && proposal.magnitude == 0) {
            continue;
        }
        uint64_t y = proposal.magnitude;
        uint64_t distance = y > scale ? y - scale : scale - y;
        /* (distance / T)^2 / 2 */
        bool accepted;
        if (!dp_sample_bernoulli_exp(rng, (unsigned __int128)distance * distance,
                                     2 * DP_BASE_BITS + 1, &accepted)) {
            return false;
        }
        if (accepted) {
            *out = proposal;
            return true;
        }
    }
}

struct dp_divisor dp_divisor_make(uint64_t divisor)
{
    assert(divisor >> 19 != 0 && divisor >> 62 == 0);
    unsigned shift = (unsigned)__builtin_clzll(divisor);
    unsigned __int128 all = ((unsigned __int128)1 << 127) - 1;
    return (struct dp_divisor){
        .divisor = divisor, .reciprocal = (uint64_t)(all / (divisor << shift)), .shift = shift};
}

uint64_t dp_divide(const struct dp_divisor *divisor, uint64_t value)
{
    /* reciprocal = 2^127 / (divisor 2^shift) - e with 0 < e <= 1, so that the estimate is too small
     * by less than 1 + 2^(62 + 44 - 127): one correction suffices. */
    unsigned __int128 product = (unsigned __int128)value * divisor->reciprocal;
    uint64_t quotient = (uint64_t)(product >> (127 - divisor->shift));
    uint64_t rest = value - quotient * divisor->divisor;
    return quotient + (uint64_t)(rest >= divisor->divisor);
}

static int64_t with_sign(uint64_t magnitude, bool negative)
{
    uint64_t mask = -(uint64_t)negative;
    return (int64_t)((magnitude ^ mask) - mask);
}

bool dp_laplace_noise(const struct dp_divisor *m, const struct dp_base *base, int64_t *out)
{
    uint64_t magnitude = dp_divide(m, base->magnitude);
    *out = with_sign(magnitude, base->negative);
    return magnitude != 0 || !base->negative;
}

int64_t dp_gaussian_noise(const struct dp_divisor *m, const struct dp_base *base)
{
    return with_sign(dp_divide(m, base->magnitude + (m->divisor >> 1)), base->negative);
}

#ifndef MECHANISMS_SAMPLER_H
#define MECHANISMS_SAMPLER_H

/*
 * Exact sampling with integers only (ALGORITHMS 1.2): the two base laws of scale 2^50 and what they
 * are made of. Every function is false where the generator fails, and then has no result. How many
 * words a draw takes varies; draws of noise are therefore made before the answer is known.
 */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/rng.h"

enum { DP_BASE_BITS = 50 };

/* A draw of a base law: sign and magnitude below 2^62. */
struct dp_base {
    uint64_t magnitude;
    bool negative;
};

/* Uniform in [0, bound), 0 < bound < 2^127. */
bool dp_sample_below(const struct dp_rng *rng, unsigned __int128 bound, unsigned __int128 *out);

/* True with probability exp(-n / 2^bits); 1 <= bits <= 101, any n. */
bool dp_sample_bernoulli_exp(const struct dp_rng *rng, unsigned __int128 n, unsigned bits,
                             bool *out);

/* True with probability 2^log2_scale e^(-n / 2^bits), which must be (2/e)^log2_scale at most:
 * n >= 2^bits log2_scale; bits as above. */
bool dp_sample_scaled_bernoulli_exp(const struct dp_rng *rng, unsigned log2_scale,
                                    unsigned __int128 n, unsigned bits, bool *out);

/* P(magnitude = x) = (1 - e^(-1/T)) e^(-x/T), T = 2^50, and an independent fair sign: both zeros
 * are possible, the caller rejects the negative one after dividing. */
bool dp_sample_base_laplace(const struct dp_rng *rng, struct dp_base *out);

/* The discrete Gaussian: P(z) proportional to exp(-z^2 / 2T^2), T = 2^50; zero is never negative.
 */
bool dp_sample_base_gaussian(const struct dp_rng *rng, struct dp_base *out);

/* A divisor and its reciprocal: divides numbers below 2^62 by a public number in [2^19, 2^62) in a
 * time that does not depend on them. */
struct dp_divisor {
    uint64_t divisor;
    uint64_t reciprocal;
    unsigned shift;
};
struct dp_divisor dp_divisor_make(uint64_t divisor);
uint64_t dp_divide(const struct dp_divisor *divisor, uint64_t value);

/* Laplace noise floor(X / m) with X's sign; false for the negative zero, which must be drawn again.
 */
bool dp_laplace_noise(const struct dp_divisor *m, const struct dp_base *base, int64_t *out);
/* Gaussian noise: Z / m rounded to nearest; m odd. */
int64_t dp_gaussian_noise(const struct dp_divisor *m, const struct dp_base *base);

#endif

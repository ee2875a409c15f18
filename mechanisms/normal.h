#ifndef MECHANISMS_NORMAL_H
#define MECHANISMS_NORMAL_H

/*
 * The few transcendental functions that calibration needs, in long double and without libm. They
 * see public numbers only (budgets, thresholds), never data. Each result's relative error is below
 * DP_NORMAL_ERROR; callers widen by it to the safe side (mechanisms/proofs/normal.md).
 */

/* Bound of the relative error, with three decimal digits to spare. */
#define DP_NORMAL_ERROR 0x1p-50L

/* e^x for |x| <= 11000. */
long double dp_exp(long double x);
/* e^x - 1 for |x| <= 11000. */
long double dp_expm1(long double x);
/* Natural logarithm of x > 0. */
long double dp_log(long double x);
/* log(1 + x) for x > -1/2. */
long double dp_log1p(long double x);
/* Square root of x >= 0. */
long double dp_sqrt(long double x);

/* Density of the standard normal at |x| <= 100. */
long double dp_normal_density(long double x);
/* P(N > x) / density(x) for x >= 0: Mills' ratio. */
long double dp_normal_mills(long double x);
/* P(N > x) for |x| <= 100. */
long double dp_normal_tail(long double x);
/* P(0 < N < x) for 0 <= x <= 100: keeps its relative precision where x is small. */
long double dp_normal_central(long double x);
/* x with P(N > x) = p for 1e-300 <= p < 1; the error is relative to max(1, |x|). */
long double dp_normal_tail_inverse(long double p);

#endif

#ifndef TESTS_SUPPORT_STATISTICS_H
#define TESTS_SUPPORT_STATISTICS_H

/* Tail probabilities and confidence bounds for the statistical tests. */
#include <stddef.h>
#include <stdint.h>

/* Upper tail of chi-square with df degrees of freedom. */
double chi_square_tail(double chi2, double df);
/* P(X >= k) and P(X <= k) for X binomial. */
double binomial_at_least(uint64_t k, uint64_t n, double p);
double binomial_at_most(uint64_t k, uint64_t n, double p);
/* Clopper and Pearson: the probability is above (below) the result, wrong with probability alpha.
 */
double binomial_lower(uint64_t k, uint64_t n, double alpha);
double binomial_upper(uint64_t k, uint64_t n, double alpha);
double normal_below(double x);
double normal_quantile(double p);

/* Chi-square p-value of counts against expectations; cells with less than 20 expected are merged
 * with their neighbours towards the end. */
double chi_square_of_cells(const double *seen, const double *expected, size_t n);

#endif

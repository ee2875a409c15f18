#ifndef MECHANISMS_ACCURACY_H
#define MECHANISMS_ACCURACY_H

/*
 * Error statements and accuracy first (ALGORITHMS 8). Everything here is made from public numbers
 * and from values that are already released, so that it costs nothing and tells nothing more.
 */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

/* The cheapest calibration whose noise stays within halfwidth with probability 1 - beta. False
 * where there is none in range. */
bool dp_calibrate_gaussian_within(const struct dp_decimal *delta, const struct dp_grid *natural,
                                  uint64_t groups, const struct dp_decimal *halfwidth, double beta,
                                  struct dp_calibration *out);
bool dp_calibrate_laplace_within(const struct dp_decimal *delta, const struct dp_grid *natural,
                                 uint64_t groups, const struct dp_decimal *halfwidth, double beta,
                                 struct dp_calibration *out);

/* Standard deviation of a calibration's noise, grid units. */
double dp_calibration_stddev(const struct dp_calibration *calibration);

/* One grid unit as a double, for statements about errors (never for values). */
double dp_grid_unit(const struct dp_grid *grid);

/* The beta of each of n independent intervals such that all hold together with 1 - beta. */
double dp_simultaneous_beta(double beta, uint64_t n);

/* z with P(|N| > z) = beta. */
double dp_two_sided_z(double beta);

struct dp_interval {
    double low, high;
};

/* Fieller's interval for middle + sum / count within [low, high], from released sum (about the
 * middle) and count with the variances of their noise. The whole range where the count is not
 * clearly above zero. Before an answer: sum 0 and an assumed count. */
struct dp_interval dp_fieller(double sum, double sum_variance, double count, double count_variance,
                              double beta, double low, double high);

/* Two released measurements of one quantity weighted by inverse variance; *variance is that of the
 * result. */
double dp_combine(double first, double first_variance, double second, double second_variance,
                  double *variance);

#endif

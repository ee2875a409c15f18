#ifndef BUDGET_ACCOUNTANT_H
#define BUDGET_ACCOUNTANT_H

/* Caps of the accounting modes beside Gaussian DP, whose cap is dp_mu2_cap. */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

/*
 * Twice the largest rho, in 1e-12 and rounded down, whose zero-concentrated DP implies
 * (epsilon, delta)-DP by the optimal conversion
 *   delta = min over a > 1 of exp((a - 1)(a rho - epsilon)) (1 - 1/a)^a / (a - 1).
 * Any a gives a valid bound, so that an inexact minimum only makes the cap smaller. False where
 * out of range.
 */
bool accountant_zcdp_cap(dp_nano epsilon, dp_atto delta, uint64_t *cap_pico);

#endif

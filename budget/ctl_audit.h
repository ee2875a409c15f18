#ifndef BUDGET_CTL_AUDIT_H
#define BUDGET_CTL_AUDIT_H

/* What a charge must have cost, recomputed from the integers that the journal keeps of its noise.
 */
#include <stdbool.h>

#include "mechanisms/calibrate.h"

/*
 * detail is the journal's JSON: an array of releases, each an array of measures with mechanism,
 * delta (sensitivity in grid units), groups and m; of an adoption an object with one release, its
 * "measures". The sum of their charges, each rounded up;
 * delta_atto is not recomputed. False where the text has another form or the sum does not fit.
 */
bool ctl_audit_price(const char *detail, struct dp_charge *charge);

#endif

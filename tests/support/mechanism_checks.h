#ifndef TESTS_SUPPORT_MECHANISM_CHECKS_H
#define TESTS_SUPPORT_MECHANISM_CHECKS_H

/*
 * The statistical and exact checks of the mechanisms, written against a table of functions so that
 * planted faults can take the product's place: each check must pass for the product and each fault
 * must fail the check named for it. A check fails for a right mechanism with a probability of at
 * most ALPHA; the seeds are fixed, so that it does not fail today and pass
 * tomorrow; STAT_ENTROPY=1 takes real entropy instead.
 */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"
#include "mechanisms/partition.h"
#include "mechanisms/quantile.h"
#include "mechanisms/rng.h"
#include "tests/support/tape_rng.h"

#define ALPHA 1e-6

struct implementation {
    bool (*laplace)(const struct dp_rng *rng, uint64_t m, int64_t *noise);
    bool (*gaussian)(const struct dp_rng *rng, uint64_t m, int64_t *noise);
    bool (*calibrate_gaussian)(const struct dp_decimal *, const struct dp_grid *, uint64_t,
                               uint64_t, struct dp_calibration *);
    bool (*calibrate_laplace)(const struct dp_decimal *, const struct dp_grid *, uint64_t, dp_nano,
                              struct dp_calibration *);
    bool (*key_threshold)(const struct dp_calibration *, dp_atto, uint64_t, int64_t *);
    bool (*keep)(const struct dp_rng *, const struct dp_keep_table *, uint64_t, bool *);
    bool (*quantiles)(const struct dp_rng *, const struct dp_quantile_plan *, const uint64_t *,
                      size_t, const struct dp_rank *, uint32_t *);
    /* Draws of a law for each parameter; 0: two million, or ten times that with STAT_LONG=1 or
     * PGVEIL_TESTS_ALL=1. */
    uint64_t draws;
};

extern const struct implementation product;

typedef bool check_function(const struct implementation *implementation);

struct check {
    const char *name;
    check_function *run;
};

/* Ends with a NULL name. */
extern const struct check law_checks[];
extern const struct check privacy_checks[];

/* The generator of a check: fixed by the seed, or the system's with STAT_ENTROPY=1. */
struct dp_rng stat_rng(struct tape *tape, uint32_t seed);

#endif

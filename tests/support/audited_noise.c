/*
 * Another implementation of mechanisms/noise.h for the audits of tests/attacks: the shipped laws,
 * drawn from a fixed keystream, and every public number that noise is made of written to standard
 * error, so that two neighbouring databases can be compared call by call. With NOISE_FAULT the
 * noise is half as wide as what was charged: the fault that an audit from outside must find. Linked
 * into tests/pgveil-audited-noise and tests/pgveil-half-noise alone.
 */
#include "mechanisms/noise.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "mechanisms/sampler.h"
#include "tests/support/tape_rng.h"

#ifdef NOISE_FAULT
static const bool faulty = true;
#else
static const bool faulty = false;
#endif

struct dp_noise {
    struct tape tape;
    struct dp_rng rng;
    /* How many words a quantile takes depends on the weights: they come from a generator of their
     * own, so that all other noise stays the same on both neighbours. */
    struct tape quantile_tape;
    struct dp_rng quantile_rng;
};

struct dp_noise *dp_noise_new(void)
{
    struct dp_noise *noise = calloc(1, sizeof(*noise));
    if (noise != NULL) {
        noise->rng = tape_keystream(&noise->tape, 1);
        noise->quantile_rng = tape_keystream(&noise->quantile_tape, 2);
    }
    return noise;
}

void dp_noise_free(struct dp_noise *noise)
{
    free(noise);
}

static void print_charge(const struct dp_charge *charge)
{
    fprintf(stderr, "charge %" PRIu64 " %" PRIu64 " %" PRIu64 " %d\n", charge->mu2_pico,
            charge->delta_atto, charge->epsilon, charge->pure);
}

bool dp_noise_add(struct dp_noise *noise, const struct dp_calibration *calibration, __int128 total,
                  __int128 *noisy)
{
    bool gaussian = calibration->mechanism == DP_GAUSSIAN;
    fprintf(stderr, "noise: %s grid %d %d delta %" PRIu64 " groups %" PRIu64 " m %" PRIu64 " ",
            gaussian ? "gaussian" : "laplace", calibration->grid.scale10, calibration->grid.exp2,
            calibration->delta_grid, calibration->groups, calibration->m);
    print_charge(&calibration->charge);
    struct dp_divisor m = dp_divisor_make(faulty ? 2 * calibration->m + 1 : calibration->m);
    struct dp_base base;
    int64_t value;
    bool drawn = false;
    while (!drawn) {
        if (!(gaussian ? dp_sample_base_gaussian : dp_sample_base_laplace)(&noise->rng, &base)) {
            return false;
        }
        drawn = gaussian || dp_laplace_noise(&m, &base, &value);
    }
    *noisy = total + (gaussian ? dp_gaussian_noise(&m, &base) : value);
    return true;
}

bool dp_noise_keep(struct dp_noise *noise, const struct dp_keep_table *table, uint64_t units,
                   bool *kept)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        sum = sum * 1099511628211u + table->keep[i];
    }
    fprintf(stderr, "noise: keep entries %zu offset %" PRIu64 " sum %" PRIu64 " ", table->n_entries,
            table->offset, sum);
    print_charge(&table->charge);
    return dp_keep(&noise->rng, table, faulty ? units + 1 : units, kept);
}

bool dp_noise_quantiles(struct dp_noise *noise, const struct dp_quantile_plan *plan,
                        const uint64_t *weights, size_t n_bins, const struct dp_rank *ranks,
                        uint32_t *bins)
{
    fprintf(stderr, "noise: quantiles %zu bins %zu weight %" PRIu64 " range %" PRIu64 " ", plan->n,
            n_bins, plan->unit_weight, plan->half_range);
    for (size_t i = 0; i < plan->n; i++) {
        fprintf(stderr, "%u/%u%+" PRId64 " ", ranks[i].numerator, ranks[i].denominator,
                ranks[i].units_offset);
    }
    print_charge(&plan->charge);
    struct dp_quantile_plan drawn = *plan;
    drawn.half_range *= faulty ? 2 : 1;
    return dp_draw_quantiles(&noise->quantile_rng, &drawn, weights, n_bins, ranks, bins);
}

bool dp_noise_refill(struct dp_noise *noise)
{
    (void)noise;
    return true;
}

bool dp_noise_wants_refill(const struct dp_noise *noise)
{
    (void)noise;
    return false;
}

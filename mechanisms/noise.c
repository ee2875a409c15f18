/*
 * Two rings of base samples. A value takes one sample and one division by a public number; the
 * ring's slot is wiped. The whole pool lies in memory that a child process finds zeroed, and zero
 * means empty: parent and child never use the same sample. An empty ring draws on the spot.
 */
#include "mechanisms/noise.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "mechanisms/rng.h"
#include "mechanisms/sampler.h"
#include "mechanisms/selftest.h"
#include "mechanisms/wiped.h"

enum {
    RING_SIZE = 65536,
    START_FILL = 4096,  /* of each ring: about a millisecond */
    REFILL_SLICE = 1024 /* draws of each ring in one call */
};

static const unsigned sign_shift = 63;

typedef bool base_law(const struct dp_rng *rng, struct dp_base *out);

/* Samples wait at the end of the array in use; sign in the top bit. */
struct ring {
    uint64_t n;
    uint64_t slots[RING_SIZE];
};

struct dp_noise {
    struct ring laplace, gaussian;
    struct dp_divisor divisor; /* of the last calibration; divisor 0: none */
    bool kernel_wipes;
    pid_t pid;
};

static bool fill(struct ring *ring, base_law *law, uint64_t target, uint64_t draws_max)
{
    for (uint64_t i = 0; i < draws_max && ring->n < target; i++) {
        struct dp_base base;
        if (!law(&dp_rng_system, &base)) {
            return false;
        }
        ring->slots[ring->n++] = base.magnitude | (uint64_t)base.negative << sign_shift;
    }
    return true;
}

static bool take(struct ring *ring, base_law *law, struct dp_base *out)
{
    if (ring->n == 0) {
        return law(&dp_rng_system, out);
    }
    volatile uint64_t *slot = &ring->slots[--ring->n];
    uint64_t sample = *slot;
    *slot = 0;
    out->negative = (sample >> sign_shift) != 0;
    out->magnitude = sample & (((uint64_t)1 << sign_shift) - 1);
    return true;
}

/* Where the kernel does not wipe the pool in a child, the child notices by its process id. */
static void drop_inherited(struct dp_noise *noise)
{
    if (!noise->kernel_wipes && noise->pid != getpid()) {
        explicit_bzero(noise, sizeof(*noise));
        noise->pid = getpid();
    }
}

struct dp_noise *dp_noise_new(void)
{
    bool kernel_wipes;
    if (!dp_rng_reseed() || !dp_self_test()) {
        return NULL;
    }
    struct dp_noise *noise = dp_wiped_alloc(sizeof(*noise), &kernel_wipes);
    if (noise == NULL) {
        return NULL;
    }
    noise->kernel_wipes = kernel_wipes;
    noise->pid = getpid();
    if (!fill(&noise->laplace, dp_sample_base_laplace, START_FILL, START_FILL) ||
        !fill(&noise->gaussian, dp_sample_base_gaussian, START_FILL, START_FILL)) {
        dp_noise_free(noise);
        return NULL;
    }
    return noise;
}

void dp_noise_free(struct dp_noise *noise)
{
    dp_wiped_free(noise, sizeof(*noise));
}

static bool draw(struct dp_noise *noise, enum dp_mechanism mechanism, int64_t *out)
{
    struct dp_base base;
    if (mechanism == DP_GAUSSIAN) {
        assert(noise->divisor.divisor % 2 == 1);
        if (!take(&noise->gaussian, dp_sample_base_gaussian, &base)) {
            return false;
        }
        *out = dp_gaussian_noise(&noise->divisor, &base);
        return true;
    }
    assert(mechanism == DP_LAPLACE);
    do { /* again where the negative zero came up */
        if (!take(&noise->laplace, dp_sample_base_laplace, &base)) {
            return false;
        }
    } while (!dp_laplace_noise(&noise->divisor, &base, out));
    return true;
}

bool dp_noise_add(struct dp_noise *noise, const struct dp_calibration *calibration, __int128 total,
                  __int128 *noisy)
{
    const __int128 limit = (__int128)1 << 100;
    drop_inherited(noise);
    assert(calibration->m != 0); /* a calibration that nobody made, and no divisor is 0 as well */
    if (noise->divisor.divisor != calibration->m) {
        noise->divisor = dp_divisor_make(calibration->m);
    }
    int64_t value;
    if (!draw(noise, calibration->mechanism, &value)) {
        return false;
    }
    if (total > limit) {
        total = limit;
    }
    if (total < -limit) {
        total = -limit;
    }
    *noisy = total + value;
    return true;
}

bool dp_noise_keep(struct dp_noise *noise, const struct dp_keep_table *table, uint64_t units,
                   bool *kept)
{
    (void)noise;
    return dp_keep(&dp_rng_system, table, units, kept);
}

bool dp_noise_quantiles(struct dp_noise *noise, const struct dp_quantile_plan *plan,
                        const uint64_t *weights, size_t n_bins, const struct dp_rank *ranks,
                        uint32_t *bins)
{
    (void)noise;
    return dp_draw_quantiles(&dp_rng_system, plan, weights, n_bins, ranks, bins);
}

bool dp_noise_refill(struct dp_noise *noise)
{
    drop_inherited(noise);
    if (!dp_noise_wants_refill(noise)) {
        return true;
    }
    return dp_rng_reseed() &&
           fill(&noise->laplace, dp_sample_base_laplace, RING_SIZE, REFILL_SLICE) &&
           fill(&noise->gaussian, dp_sample_base_gaussian, RING_SIZE, REFILL_SLICE);
}

bool dp_noise_wants_refill(const struct dp_noise *noise)
{
    return noise->laplace.n < RING_SIZE || noise->gaussian.n < RING_SIZE;
}

#include <criterion/criterion.h>
#include <math.h>

#include "mechanisms/normal.h"
#include "mechanisms/quantile.h"
#include "tests/support/statistics.h"
#include "tests/support/tape_rng.h"

Test(quantile, plans_spend_at_most_what_they_may_and_nearly_all_of_it)
{
    for (size_t n = 1; n < 200; n = n * 2 + 1) {
        for (uint64_t groups = 1; groups < 60; groups *= 7) {
            for (uint64_t mu2 = 1000000000; mu2 < 4000000000000; mu2 *= 11) {
                struct dp_quantile_plan plan;
                if (!dp_plan_quantiles(n, 1 << 20, groups, mu2, &plan)) {
                    cr_expect(mu2 / groups / plan.levels < 10000000, "%zu", n);
                    continue;
                }
                cr_expect(plan.charge.mu2_pico <= mu2);
                cr_expect(plan.charge.mu2_pico > mu2 - mu2 / 1000);
                cr_expect(plan.charge.pure);
                cr_expect_eq(plan.charge.epsilon, plan.half_range * 2 * plan.levels * groups);
            }
        }
    }
    struct dp_quantile_plan plan;
    cr_assert(dp_plan_quantiles(99, 1, 1, 1000000000000, &plan));
    cr_expect_eq(plan.levels, 7, "99 percentiles are seven levels");
    cr_assert(dp_plan_quantiles_pure(4, 1, 2, 1600000000, &plan));
    cr_expect_eq(plan.half_range, 100000000);
    cr_expect_eq(plan.charge.epsilon, 1600000000);
    cr_expect_not(dp_plan_quantiles_pure(4, 1, 2, 1000000, &plan));
    cr_expect_not(dp_plan_quantiles(0, 1, 1, 1000000000000, &plan));
    cr_expect_not(dp_plan_quantiles(1, 0, 1, 1000000000000, &plan));
}

Test(quantile, stated_errors_are_those_of_the_literature)
{
    struct dp_quantile_plan plan;
    const struct dp_rank median = {.numerator = 1, .denominator = 2};
    const struct dp_rank ninth = {.numerator = 9, .denominator = 10};
    cr_assert(dp_plan_quantiles(1, 1 << 20, 1, 10000000000, &plan)); /* mu = 0.1 */
    cr_expect_float_eq(dp_quantile_error(&plan, &median, 0.05), 18.8, 0.05);
    cr_expect_float_eq(dp_quantile_error(&plan, &ninth, 0.05), 33.8, 0.1);
    /* Recursion: simulated errors of the worst rank are 5.2, 9.0 and 9.7 / mu; a Laplace variable
     * of the same variance has up to 8 % more. */
    static const struct {
        size_t n;
        double least, most;
    } worst[] = {{15, 51, 57}, {99, 95, 106}, {127, 89, 99}};
    for (size_t i = 0; i < 3; i++) {
        cr_assert(dp_plan_quantiles(worst[i].n, 1 << 20, 1, 10000000000, &plan));
        double error = dp_quantile_error(&plan, &ninth, 0.05);
        cr_expect(error > worst[i].least && error < worst[i].most, "%zu ranks: %g", worst[i].n,
                  error);
    }
    cr_assert(dp_plan_quantiles(DP_QUANTILES_MAX, 1 << 20, 1, 10000000000, &plan));
    cr_expect(dp_quantile_error(&plan, &ninth, 0.05) > 120);
}

enum { BINS = 12 };

/* Probabilities of the exponential mechanism on a small histogram, summed exactly. */
static void exact_law(const struct dp_quantile_plan *plan, const uint64_t weights[BINS],
                      const struct dp_rank *rank, long double law[BINS])
{
    uint64_t side = rank->numerator > rank->denominator - rank->numerator
                        ? rank->numerator
                        : rank->denominator - rank->numerator;
    long double m = floorl(0x1p50L * (long double)plan->half_range * 1e-9L /
                           (long double)(plan->unit_weight * side));
    long double total = 0;
    for (size_t i = 0; i < BINS; i++) {
        total += (long double)weights[i];
    }
    long double target = rank->numerator * total + (long double)rank->units_offset *
                                                       (long double)plan->unit_weight *
                                                       rank->denominator;
    long double below = 0;
    long double sum = 0;
    for (size_t i = 0; i < BINS; i++) {
        long double over = rank->denominator * below - target;
        below += (long double)weights[i];
        long double under = target - rank->denominator * below;
        law[i] = expl(-m * fmaxl(0, fmaxl(over, under)) / 0x1p50L);
        sum += law[i];
    }
    for (size_t i = 0; i < BINS; i++) {
        law[i] /= sum;
    }
}

/* Does what is drawn follow the exponential mechanism of this plan? */
static void draws_follow_the_law(const struct dp_quantile_plan *plan, const uint64_t weights[BINS],
                                 const struct dp_rank *rank, uint32_t seed)
{
    enum { N = 40000 };
    long double law[BINS];
    exact_law(plan, weights, rank, law);
    double seen[BINS] = {0};
    double expected[BINS];
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, seed);
    for (int i = 0; i < N; i++) {
        uint32_t bin;
        cr_assert(dp_draw_quantiles(&rng, plan, weights, BINS, rank, &bin));
        cr_assert(bin < BINS);
        seen[bin]++;
    }
    for (size_t i = 0; i < BINS; i++) {
        expected[i] = (double)law[i] * N;
    }
    double p = chi_square_of_cells(seen, expected, BINS);
    cr_expect(p > 1e-6, "seed %u: p = %g", seed, p);
}

Test(quantile, draws_follow_the_exponential_mechanism)
{
    const uint64_t weights[BINS] = {3, 0, 2, 7, 0, 0, 1, 4, 9, 0, 2, 2};
    const struct dp_rank median = {.numerator = 1, .denominator = 2};
    const struct dp_rank decile = {.numerator = 9, .denominator = 10};
    const struct dp_rank extreme = {.numerator = 1, .denominator = 1, .units_offset = -3};
    struct dp_quantile_plan plan;
    cr_assert(dp_plan_quantiles(1, 1, 1, 60000000000, &plan));
    draws_follow_the_law(&plan, weights, &median, 1);
    draws_follow_the_law(&plan, weights, &decile, 2);
    draws_follow_the_law(&plan, weights, &extreme, 3);
}

/* A unit that weighs W moves the scores by W times as much, so that they count W times less. */
Test(quantile, the_unit_weight_scales_scores_and_offsets)
{
    enum { W = 1000 };
    uint64_t weights[BINS] = {3, 0, 2, 7, 0, 0, 1, 4, 9, 0, 2, 2};
    for (size_t i = 0; i < BINS; i++) {
        weights[i] = weights[i] * W + i * 37; /* units may spread their weight */
    }
    const struct dp_rank median = {.numerator = 1, .denominator = 2};
    const struct dp_rank extreme = {.numerator = 0, .denominator = 1, .units_offset = 4};
    struct dp_quantile_plan plan;
    cr_assert(dp_plan_quantiles(1, W, 1, 60000000000, &plan));
    draws_follow_the_law(&plan, weights, &median, 4);
    draws_follow_the_law(&plan, weights, &extreme, 5);
}

/* The divisor of scores is rounded down. Here it would be 6.15: a seventh would not be paid for. */
Test(quantile, the_rate_is_rounded_to_the_safe_side)
{
    const struct dp_rank rank = {.numerator = 65535, .denominator = 65536};
    uint64_t weights[BINS];
    for (size_t i = 0; i < BINS; i++) {
        weights[i] = (uint64_t)DP_UNIT_WEIGHT_MAX * 200;
    }
    struct dp_quantile_plan plan;
    cr_assert(dp_plan_quantiles_pure(1, DP_UNIT_WEIGHT_MAX, 1, 3004000, &plan));
    cr_assert_eq(plan.half_range, 1502000);
    draws_follow_the_law(&plan, weights, &rank, 6);
}

/* Every pair of neighbouring histograms of one unit of weight 1, in 6 bins: the privacy loss of
 * each answer lies within a range of R, and so within R itself. */
Test(quantile, the_privacy_loss_stays_within_the_range_paid_for)
{
    static const struct dp_rank ranks[] = {
        {1, 2, 0}, {1, 10, 0}, {9, 10, 0}, {1, 1, -2}, {0, 1, 2}};
    struct dp_quantile_plan plan;
    cr_assert(dp_plan_quantiles(1, 1, 1, 60000000000, &plan));
    long double range = 2 * (long double)plan.half_range * 1e-9L;
    for (unsigned pattern = 0; pattern < 729; pattern++) {
        uint64_t weights[BINS] = {0};
        unsigned rest = pattern;
        for (size_t i = 0; i < 6; i++) {
            weights[2 * i] = rest % 3;
            rest /= 3;
        }
        for (size_t r = 0; r < 5; r++) {
            long double law[BINS];
            long double with_unit[BINS];
            exact_law(&plan, weights, &ranks[r], law);
            for (size_t bin = 0; bin < BINS; bin++) {
                weights[bin]++;
                exact_law(&plan, weights, &ranks[r], with_unit);
                weights[bin]--;
                long double least = INFINITY;
                long double most = -INFINITY;
                for (size_t i = 0; i < BINS; i++) {
                    long double loss = logl(with_unit[i] / law[i]);
                    least = fminl(least, loss);
                    most = fmaxl(most, loss);
                }
                cr_assert(most - least <= range * (1 + 1e-12L), "%u, %zu, %zu", pattern, r, bin);
            }
        }
    }
}

/* Losses within [s, s + R] are at worst two points at both ends: P(x1) = q e^(s + R) against q. The
 * Gaussian pair that passes through (q, p) must need no more mu than the symmetric one, which is
 * what is charged. */
Test(quantile, the_symmetric_pair_is_the_worst_of_its_range)
{
    for (long double range = 0.002L; range < 40; range *= 1.15L) {
        uint64_t charge;
        cr_assert(dp_mu2_of_pure((dp_nano)ceill(range / 2 * 1e9L), &charge));
        long double charged = sqrtl((long double)charge) * 1e-6L;
        long double most = 0;
        for (int step = 1; step < 400; step++) {
            long double s = -range * step / 400;
            long double q = expm1l(-s) / expm1l(range);
            long double p = q * expl(s + range);
            long double not_p = (1 - q) * expl(s);
            if (q < 1e-290L || not_p < 1e-290L) {
                continue;
            }
            /* Phi^-1(p) - Phi^-1(q), each from its smaller tail */
            long double upper =
                p < 0.5L ? -dp_normal_tail_inverse(p) : dp_normal_tail_inverse(not_p);
            long double lower =
                q < 0.5L ? -dp_normal_tail_inverse(q) : dp_normal_tail_inverse(1 - q);
            most = fmaxl(most, upper - lower);
        }
        cr_expect(most <= charged * (1 + 1e-12L), "range %Lg: %.15Lg > %.15Lg", range, most,
                  charged);
        cr_expect(most > charged * 0.9999L - 2e-6L, "range %Lg: %Lg, charged %Lg", range, most,
                  charged);
    }
}

Test(quantile, a_level_of_the_recursion_costs_no_more_than_one_charge)
{
    /* Parts w_i of a unit's weight with sum W have ranges R w_i / W: their charges add up to no
     * more than that of R, because charge / range grows with the range. */
    long double last = 0;
    for (dp_nano half_range = 1000000; half_range < 100000000000; half_range += half_range / 16) {
        uint64_t charge;
        cr_assert(dp_mu2_of_pure(half_range, &charge));
        long double slope = (long double)charge / (long double)half_range;
        cr_expect(slope >= last * (1 - 1e-5L), "at %lu", (unsigned long)half_range);
        last = slope;
    }
}

Test(quantile, many_quantiles_ascend_and_land_near_their_ranks)
{
    enum { N_BINS = 4096, N = 99 };
    static uint64_t weights[N_BINS];
    static struct dp_rank ranks[N];
    static uint32_t bins[N];
    uint64_t total = 0;
    for (size_t i = 0; i < N_BINS; i++) {
        weights[i] = (i * 7919) % 13 * (i < 1000 ? 3 : 1);
        total += weights[i];
    }
    for (uint32_t i = 0; i < N; i++) {
        ranks[i] = (struct dp_rank){.numerator = i + 1, .denominator = 100};
    }
    struct dp_quantile_plan plan;
    cr_assert(dp_plan_quantiles(N, 1, 1, 1000000000000, &plan)); /* mu = 1: errors of a few ranks */
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 9);
    cr_assert(dp_draw_quantiles(&rng, &plan, weights, N_BINS, ranks, bins));
    for (size_t i = 0; i < N; i++) {
        uint64_t below = 0;
        for (size_t b = 0; b < bins[i]; b++) {
            below += weights[b];
        }
        double error = fabs((double)below - (double)total * (double)(i + 1) / 100);
        cr_expect(error < 150, "rank %zu is off by %g", i, error);
        cr_expect(i == 0 || bins[i] >= bins[i - 1]);
    }
}

Test(quantile, empty_and_one_bin_histograms_have_answers)
{
    const uint64_t nothing[4] = {0};
    const struct dp_rank median = {.numerator = 1, .denominator = 2};
    struct dp_quantile_plan plan;
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 11);
    uint32_t bin;
    unsigned seen[4] = {0};
    cr_assert(dp_plan_quantiles(1, 1 << 20, 1, 1000000000000, &plan));
    for (int i = 0; i < 4000; i++) {
        cr_assert(dp_draw_quantiles(&rng, &plan, nothing, 4, &median, &bin));
        seen[bin]++;
    }
    for (size_t i = 0; i < 4; i++) {
        cr_expect(seen[i] > 800 && seen[i] < 1200, "%u where 1000 are expected", seen[i]);
    }
    const uint64_t one[1] = {5};
    cr_assert(dp_draw_quantiles(&rng, &plan, one, 1, &median, &bin) && bin == 0);
    const uint64_t words[1] = {0};
    rng = tape_words(&tape, words, 1);
    cr_expect_not(dp_draw_quantiles(&rng, &plan, nothing, 4, &median, &bin),
                  "no entropy, no answer");
}

Test(quantile, the_best_bin_is_the_exact_quantile)
{
    const uint64_t weights[5] = {1, 1, 1, 1, 1};
    struct dp_quantile_plan plan;
    uint32_t bin;
    cr_assert(dp_plan_quantiles(1, 1, 1, 1000000000000, &plan));
    const struct dp_rank fifths = {.numerator = 3, .denominator = 5};
    cr_assert(dp_best_bin(&plan, weights, 5, &fifths, &bin));
    cr_expect_eq(bin, 2, "the third of five, as percentile_disc has it");
    const struct dp_rank last = {.numerator = 1, .denominator = 1};
    cr_assert(dp_best_bin(&plan, weights, 5, &last, &bin));
    cr_expect_eq(bin, 4);
    const struct dp_rank far = {.numerator = 1, .denominator = 1, .units_offset = -9};
    cr_assert(dp_best_bin(&plan, weights, 5, &far, &bin));
    cr_expect_eq(bin, 0, "more units from the end than there are");
    const uint64_t apart[6] = {1, 0, 0, 1, 0, 1};
    const struct dp_rank median = {.numerator = 1, .denominator = 2};
    cr_assert(dp_best_bin(&plan, apart, 6, &median, &bin));
    cr_expect_eq(bin, 3, "a bin of the data where empty ones are as good");
    cr_expect(dp_extreme_offset(&plan, 4096) > 0);
}

/* 60 % of 10,000 units have the value of bin 3 of 16: the median is that bin, and so are all ranks
 * up to the 70th percentile; the others are spread over bins 0 and 8 to 15. */
static void fill_with_an_atom(uint64_t weights[16])
{
    for (size_t i = 0; i < 16; i++) {
        weights[i] = i == 0 ? 1000 : i == 3 ? 6000 : i >= 8 ? 375 : 0;
    }
}

Test(quantile, a_value_that_many_share_is_found)
{
    uint64_t weights[16];
    fill_with_an_atom(weights);
    static const struct dp_rank ranks[] = {{1, 2, 0}, {1, 4, 0}, {13, 20, 0}, {1, 1, -10}};
    static const uint32_t expected[] = {3, 3, 3, 15};
    struct dp_quantile_plan plan;
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 21);
    cr_assert(dp_plan_quantiles(4, 1, 1, 4000000000000, &plan));
    for (int run = 0; run < 200; run++) {
        uint32_t bins[4];
        cr_assert(dp_draw_quantiles(&rng, &plan, weights, 16, ranks, bins));
        for (size_t i = 0; i < 4; i++) {
            /* any other bin is at least 365 units off: e^-100 */
            cr_expect_eq(bins[i], expected[i], "rank %zu: %u", i, bins[i]);
        }
    }
}

Test(quantile, many_quantiles_of_few_bins_are_each_in_their_bin)
{
    enum { N = 99 };
    uint64_t weights[16];
    fill_with_an_atom(weights);
    struct dp_rank ranks[N];
    uint32_t bins[N];
    for (uint32_t i = 0; i < N; i++) {
        ranks[i] = (struct dp_rank){.numerator = i + 1, .denominator = 100};
    }
    struct dp_quantile_plan plan;
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 22);
    cr_assert(dp_plan_quantiles(N, 1, 1, 4000000000000, &plan));
    for (int run = 0; run < 50; run++) {
        cr_assert(dp_draw_quantiles(&rng, &plan, weights, 16, ranks, bins));
        for (size_t i = 0; i < N; i++) {
            uint64_t below = 0;
            for (size_t b = 0; b < bins[i]; b++) {
                below += weights[b];
            }
            /* errors have a scale below 2 ranks: 60 of them are thirty scales */
            double rank = 10000.0 * (double)(i + 1) / 100;
            double error = fmax((double)below - rank, rank - (double)(below + weights[bins[i]]));
            cr_expect(error < 60, "rank %zu is off by %g", i, error);
        }
    }
}

/* One bin holds all, 65,535 others are e^-13 as likely each: together they come up 12.9 % of the
 * time, however rarely they are proposed. */
Test(quantile, many_unlikely_bins_come_as_often_as_they_should)
{
    enum { N_BINS = 65536, N = 5000 };
    static uint64_t weights[N_BINS];
    const struct dp_rank median = {.numerator = 1, .denominator = 2};
    struct dp_quantile_plan plan;
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 31);
    cr_assert(dp_plan_quantiles_pure(1, 1, 1, 2000000000, &plan)); /* e^-1 for each unit of score */
    weights[40000] = 13;
    double others = (N_BINS - 1) * exp(-13.0);
    double p = others / (1 + others);
    double seen = 0;
    double above = 0;
    for (int i = 0; i < N; i++) {
        uint32_t bin;
        cr_assert(dp_draw_quantiles(&rng, &plan, weights, N_BINS, &median, &bin));
        seen += bin != 40000;
        above += bin > 40000;
    }
    /* 4.9 standard deviations: 1e-6 */
    cr_expect(fabs(seen - N * p) < 4.9 * sqrt(N * p * (1 - p)), "%g where %g are expected", seen,
              N * p);
    double share = 25535.0 / 65535;
    cr_expect(fabs(above - seen * share) < 4.9 * sqrt(seen * share * (1 - share)), "%g of %g above",
              above, seen);
}

/* The first draw of a recursion, that of the middle rank: its bins' probabilities are sums over the
 * parts of each bin, over which the weight is spread evenly. */
Test(quantile, the_middle_of_many_follows_the_law_summed_over_the_parts_of_each_bin)
{
    enum { N = 5000, N_BINS = 4, RANKS = 9, PARTS = 65536, W = 8 };
    const uint64_t weights[N_BINS] = {3 * W, 2 * W, 0, 7 * W};
    struct dp_rank ranks[RANKS];
    for (uint32_t i = 0; i < RANKS; i++) {
        ranks[i] = (struct dp_rank){.numerator = i + 1, .denominator = 10};
    }
    struct dp_quantile_plan plan;
    struct tape tape;
    struct dp_rng rng = tape_fast(&tape, 51);
    cr_assert(dp_plan_quantiles_pure(RANKS, W, 1, 4000000000, &plan)); /* half a range: 1/2 */
    double law[N_BINS];
    double expected[N_BINS];
    double seen[N_BINS] = {0};
    double total = 0;
    double below = 0;
    for (size_t bin = 0; bin < N_BINS; bin++) {
        law[bin] = 0;
        for (int part = 0; part < PARTS; part++) {
            double step = (double)weights[bin] / W / PARTS;
            double distance = fmax(0, fmax(below - 6, 6 - below - step)); /* units of rank */
            law[bin] += exp(-0.5 * 2 * distance);
            below += step;
        }
        total += law[bin];
    }
    for (int i = 0; i < N; i++) {
        uint32_t bins[RANKS];
        cr_assert(dp_draw_quantiles(&rng, &plan, weights, N_BINS, ranks, bins));
        seen[bins[RANKS / 2]]++;
    }
    for (size_t bin = 0; bin < N_BINS; bin++) {
        expected[bin] = N * law[bin] / total;
        cr_assert(expected[bin] > 20, "%g", expected[bin]);
    }
    cr_expect(chi_square_of_cells(seen, expected, N_BINS) > 1e-6, "%g %g %g %g", seen[0], seen[1],
              seen[2], seen[3]);
}

Test(quantile, the_strength_of_a_draw_is_that_of_a_lone_one_with_its_error)
{
    static const struct dp_rank ranks[] = {{1, 2, 0}, {1, 10, 0}, {99, 100, 0}, {0, 1, 40}};
    enum { N = sizeof ranks / sizeof *ranks };
    static const size_t sizes[] = {1, 3, 8, 9, 99, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t mu2 = 1000000000; mu2 < 2000000000000; mu2 *= 7) {
            struct dp_quantile_plan plan, alone;
            dp_nano strengths[N];
            cr_assert(dp_plan_quantiles(sizes[i], 1024, 2, mu2, &plan));
            dp_quantile_strengths(&plan, ranks, N, strengths);
            for (size_t k = 0; k < N; k++) {
                if (sizes[i] <= DP_QUANTILE_SEPARATE_MAX)
                    cr_expect_eq(strengths[k], plan.half_range);
                cr_assert(dp_plan_quantiles_strong(1, 1024, 2, strengths[k], &alone));
                double error = dp_quantile_error(&plan, &ranks[k], 0.05);
                double lone = dp_quantile_error(&alone, &ranks[k], 0.05);
                cr_expect(lone >= error * (1 - 1e-12) && lone <= error * (1 + 1e-6), "%g and %g",
                          lone, error);
            }
        }
}

Test(quantile, a_plan_of_a_given_strength_costs_what_that_strength_costs)
{
    struct dp_quantile_plan bought, strong;
    for (size_t n = 1; n <= 20; n++) {
        cr_assert(dp_plan_quantiles(n, 1 << 20, 3, 300000000000, &bought));
        cr_assert(dp_plan_quantiles_strong(n, 1 << 20, 3, bought.half_range, &strong));
        cr_expect_eq(strong.levels, bought.levels);
        cr_expect_eq(strong.charge.mu2_pico, bought.charge.mu2_pico);
        cr_expect_eq(strong.charge.epsilon, bought.charge.epsilon);
        cr_expect(strong.charge.pure);
    }
    cr_expect_not(dp_plan_quantiles_strong(0, 1, 1, 1000000000, &strong));
    cr_expect_not(dp_plan_quantiles_strong(1, 1, 1, 1, &strong), "too weak");
    cr_expect_not(dp_plan_quantiles_strong(1, 1, 0, 1000000000, &strong));
}

/* What quantiles cost and how sharp they are: public numbers only. */
#include <assert.h>

#include "mechanisms/normal.h"
#include "mechanisms/quantile.h"
#include "mechanisms/wide.h"

/* The least R / 2, nano: keeps the divisor of every rank above zero. */
static const dp_nano half_range_min = 1000000;

static unsigned levels_of(size_t n)
{
    if (n <= DP_QUANTILE_SEPARATE_MAX) {
        return (unsigned)n;
    }
    unsigned levels = 0; /* ceil(log2(n + 1)) */
    while ((size_t)1 << levels < n + 1) {
        levels++;
    }
    return levels;
}

static bool valid(size_t n, uint64_t unit_weight, uint64_t groups)
{
    return n > 0 && n <= DP_QUANTILES_MAX && unit_weight > 0 && unit_weight <= DP_UNIT_WEIGHT_MAX &&
           groups > 0 && groups < (uint64_t)1 << 40;
}

/* The charges of R / 2: a mechanism of range R is R-DP, and costs as much mu^2 as an (R/2)-DP one.
 */
bool dp_quantile_charge(size_t n, uint64_t groups, dp_nano half_range, struct dp_charge *charge)
{
    uint64_t each;
    *charge = (struct dp_charge){.pure = true};
    if (!valid(n, 1, groups) || half_range < half_range_min || !dp_mu2_of_pure(half_range, &each)) {
        return false;
    }
    struct dp_wide draws =
        dp_wide_multiply(dp_wide_from(groups), dp_wide_from((unsigned __int128)levels_of(n)));
    struct dp_wide epsilon =
        dp_wide_multiply(draws, dp_wide_from((unsigned __int128)half_range * 2));
    struct dp_wide mu2 = dp_wide_multiply(draws, dp_wide_from(each));
    return dp_wide_to_u64(&mu2, &charge->mu2_pico) && dp_wide_to_u64(&epsilon, &charge->epsilon);
}

bool dp_plan_quantiles_strong(size_t n, uint64_t unit_weight, uint64_t groups, dp_nano half_range,
                              struct dp_quantile_plan *out)
{
    struct dp_quantile_plan plan = {.unit_weight = unit_weight, .n = n, .half_range = half_range};
    if (!valid(n, unit_weight, groups) ||
        !dp_quantile_charge(n, groups, half_range, &plan.charge)) {
        return false;
    }
    plan.levels = levels_of(n);
    *out = plan;
    return true;
}

bool dp_plan_quantiles(size_t n, uint64_t unit_weight, uint64_t groups, uint64_t mu2_pico,
                       struct dp_quantile_plan *out)
{
    dp_nano half_range;
    if (!valid(n, unit_weight, groups) ||
        !dp_pure_of_mu2(mu2_pico / (levels_of(n) * groups), &half_range) ||
        !dp_plan_quantiles_strong(n, unit_weight, groups, half_range, out)) {
        return false;
    }
    assert(out->charge.mu2_pico <= mu2_pico);
    return true;
}

bool dp_plan_quantiles_pure(size_t n, uint64_t unit_weight, uint64_t groups, dp_nano epsilon,
                            struct dp_quantile_plan *out)
{
    if (!valid(n, unit_weight, groups) ||
        !dp_plan_quantiles_strong(n, unit_weight, groups,
                                  epsilon / ((uint64_t)2 * levels_of(n) * groups), out)) {
        return false;
    }
    assert(out->charge.epsilon <= epsilon);
    return true;
}

/* Probability falls by e^-rate for each unit of rank: R / (2 max(q, 1 - q)). */
static long double rank_rate(const struct dp_quantile_plan *plan, const struct dp_rank *rank)
{
    uint32_t other = rank->denominator - rank->numerator;
    uint32_t side = rank->numerator > other ? rank->numerator : other;
    return (long double)plan->half_range * 1e-9L * (long double)rank->denominator /
           (long double)side;
}

int64_t dp_extreme_offset(const struct dp_quantile_plan *plan, size_t n_bins)
{
    const struct dp_rank last = {.numerator = 1, .denominator = 1};
    long double offset = dp_log((long double)n_bins / 0.02L) / rank_rate(plan, &last);
    return (int64_t)offset + 1;
}

/* The draws that lead to a rank of the recursion: the middle rank of each stretch lies the fraction
 * of it from its lower end. The ends are earlier draws, or -1 for those of the histogram. */
enum { LEVELS_MAX = 11 };
struct trail {
    long double fraction[LEVELS_MAX];
    int lower[LEVELS_MAX], upper[LEVELS_MAX];
};

/* The variance of the last of n draws, that of a draw in the middle being one: each draw adds an
 * error of its own to what it takes over from both ends. */
static long double variance_along(const struct trail *trail, int n)
{
    long double weight[LEVELS_MAX] = {0};
    long double sum = 0.0L;
    weight[n - 1] = 1.0L;
    for (int i = n - 1; i >= 0; i--) {
        long double f = trail->fraction[i];
        long double own = 2.0L * (f > 0.5L ? f : 1.0L - f) * weight[i];
        sum += own * own;
        if (trail->lower[i] >= 0) {
            weight[trail->lower[i]] += (1.0L - f) * weight[i];
        }
        if (trail->upper[i] >= 0) {
            weight[trail->upper[i]] += f * weight[i];
        }
    }
    return sum;
}

/* The largest variance among n ranks at equal distances; n_trail draws came before. */
static long double worst_variance(struct trail *trail, int n_trail, size_t n, int lower, int upper)
{
    if (n == 0) {
        return 0.0L;
    }
    assert(n_trail < LEVELS_MAX);
    size_t middle = n / 2;
    trail->fraction[n_trail] = (long double)(middle + 1) / (long double)(n + 1);
    trail->lower[n_trail] = lower;
    trail->upper[n_trail] = upper;
    long double worst = variance_along(trail, n_trail + 1);
    long double left = worst_variance(trail, n_trail + 1, middle, lower, n_trail);
    long double right = worst_variance(trail, n_trail + 1, n - middle - 1, n_trail, upper);
    worst = left > worst ? left : worst;
    return right > worst ? right : worst;
}

/* By how much the errors of earlier draws widen that of the worst rank; 1: there are none. */
static long double widening(const struct dp_quantile_plan *plan)
{
    struct trail trail;
    return plan->n <= DP_QUANTILE_SEPARATE_MAX
               ? 1.0L
               : dp_sqrt(worst_variance(&trail, 0, plan->n, -1, -1));
}

/* Of the draws of a plan: by recursion the figure is that of a rank in the middle. */
static long double drawn_rate(const struct dp_quantile_plan *plan, const struct dp_rank *rank)
{
    const struct dp_rank middle = {.numerator = 1, .denominator = 2};
    return rank_rate(plan, plan->n <= DP_QUANTILE_SEPARATE_MAX ? rank : &middle);
}

double dp_quantile_error(const struct dp_quantile_plan *plan, const struct dp_rank *rank,
                         double beta)
{
    assert(beta > 0.0 && beta < 1.0);
    return (double)(-dp_log((long double)beta) * widening(plan) / drawn_rate(plan, rank));
}

void dp_quantile_strengths(const struct dp_quantile_plan *plan, const struct dp_rank *ranks,
                           size_t n, dp_nano *strengths)
{
    const struct dp_quantile_plan alone = {.half_range = 1000000000};
    long double wider = widening(plan);
    for (size_t i = 0; i < n; i++) {
        long double strength =
            1e9L * drawn_rate(plan, &ranks[i]) / (wider * rank_rate(&alone, &ranks[i]));
        /* A hair more, so that what is an integer stays it. */
        strengths[i] = (dp_nano)(strength * (1.0L + 0x1p-60L));
    }
}

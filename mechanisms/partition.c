/* Both recursions run with parameters shrunk by 2^-30, which pays for every rounding of theirs and
 * of the table (mechanisms/proofs/partition.md); the charge is that of the parameters as given. */
#include "mechanisms/partition.h"

#include <stdlib.h>

#include "mechanisms/normal.h"

static const long double shrink = 1.0L - 0x1p-30L;
static const dp_atto delta_max = 500000000000000000;   /* one half */
static const long double delta_each_min = 0x1p-56L;    /* the table's steps are 2^-64 */
static const uint64_t mu2_pico_max = 1000000000000000; /* mu below 32 */

/* The probability of keeping n units, and its complement with its own relative precision. */
struct probability {
    long double keep, drop;
};

struct rule {
    struct probability (*next)(const struct rule *rule, struct probability now);
    long double step;  /* e^epsilon' or mu', per group */
    long double delta; /* per group */
    size_t entries_max;
};

/* min(e^eps p + d, 1 - e^-eps (1 - p - d), 1) */
static struct probability next_pure(const struct rule *rule, struct probability now)
{
    long double rising = rule->step * now.keep + rule->delta;
    long double falling = (now.drop - rule->delta) / rule->step;
    struct probability next;
    if (falling <= 0.0L) {
        return (struct probability){.keep = 1.0L, .drop = 0.0L};
    }
    if (rising < 1.0L - falling) {
        next.keep = rising;
        next.drop = 1.0L - rising;
    } else {
        next.drop = falling;
        next.keep = 1.0L - falling;
    }
    return next;
}

/* d + (1 - d) Phi(Phi^-1(p / (1 - d)) + mu') */
static struct probability next_gaussian(const struct rule *rule, struct probability now)
{
    long double d = rule->delta;
    if (now.drop <= d) {
        return (struct probability){.keep = 1.0L, .drop = 0.0L};
    }
    struct probability next;
    if (now.keep == 0.0L) {
        next.keep = d;
        next.drop = 1.0L - d;
    } else if (now.keep < 0.5L) {
        long double z = rule->step - dp_normal_tail_inverse(now.keep / (1.0L - d));
        next.keep = d + (1.0L - d) * dp_normal_tail(-z);
        next.drop = 1.0L - next.keep;
    } else {
        long double below = (now.drop - d) / (1.0L - d);
        if (below < 1e-40L) {
            return (struct probability){.keep = 1.0L - d, .drop = d};
        }
        next.drop = (1.0L - d) * dp_normal_tail(dp_normal_tail_inverse(below) + rule->step);
        next.keep = 1.0L - next.drop;
    }
    return next;
}

/* A probability below one as a threshold for words, rounded down. */
static uint64_t as_word(struct probability probability)
{
    if (probability.keep < 0.5L) {
        return (uint64_t)(probability.keep * 0x1p64L);
    }
    return UINT64_MAX - (uint64_t)(probability.drop * 0x1p64L);
}

/* The probability that a threshold stands for, exactly. */
static struct probability of_word(uint64_t word)
{
    return (struct probability){.keep = (long double)word * 0x1p-64L,
                                .drop = ((long double)(UINT64_MAX - word) + 1.0L) * 0x1p-64L};
}

/* Entries for 0, 1, .. units until the probability is one. */
static bool tabulate(const struct rule *rule, uint64_t minimum_units, struct dp_keep_table *out)
{
    if (rule->delta < delta_each_min) {
        return false;
    }
    size_t capacity = 0;
    struct probability now = {.keep = 0.0L, .drop = 1.0L};
    out->offset = minimum_units - 1;
    while (now.drop > 0.0L) {
        if (out->n_entries == rule->entries_max) {
            return false;
        }
        if (out->n_entries == capacity) {
            capacity = capacity == 0 ? 64 : 2 * capacity;
            uint64_t *larger = realloc(out->keep, capacity * sizeof(*larger));
            if (larger == NULL) {
                return false;
            }
            out->keep = larger;
        }
        uint64_t word = as_word(now);
        out->keep[out->n_entries++] = word;
        /* The next step starts from what is in use, so that rounding never adds up. */
        now = rule->next(rule, of_word(word));
    }
    return true;
}

static bool valid(dp_atto delta, uint64_t groups, uint64_t minimum_units)
{
    return delta > 0 && delta < delta_max && groups > 0 && minimum_units > 0;
}

bool dp_keep_table_pure(dp_nano epsilon, dp_atto delta, uint64_t groups, uint64_t minimum_units,
                        struct dp_keep_table *out)
{
    *out = (struct dp_keep_table){.keep = NULL};
    struct dp_charge charge = {.epsilon = epsilon, .delta_atto = delta, .pure = true};
    if (!valid(delta, groups, minimum_units) || epsilon == 0 ||
        !dp_mu2_of_pure(epsilon, &charge.mu2_pico)) {
        return false;
    }
    long double each = (long double)epsilon * 1e-9L / (long double)groups * shrink;
    struct rule rule = {.next = next_pure,
                        .step = dp_exp(each),
                        .delta = dp_key_delta(delta, groups) * shrink,
                        .entries_max = DP_KEEP_ENTRIES_MAX};
    if (!tabulate(&rule, minimum_units, out)) {
        dp_keep_table_clear(out);
        return false;
    }
    out->charge = charge;
    return true;
}

bool dp_keep_table_gaussian(uint64_t mu2_pico, dp_atto delta, uint64_t groups,
                            uint64_t minimum_units, struct dp_keep_table *out)
{
    *out = (struct dp_keep_table){.keep = NULL};
    if (!valid(delta, groups, minimum_units) || mu2_pico == 0 || mu2_pico > mu2_pico_max) {
        return false;
    }
    long double each = dp_sqrt((long double)mu2_pico / (long double)groups) * 1e-6L * shrink;
    struct rule rule = {.next = next_gaussian,
                        .step = each,
                        .delta = dp_key_delta(delta, groups) * shrink,
                        .entries_max = DP_KEEP_ENTRIES_GAUSSIAN_MAX};
    if (!tabulate(&rule, minimum_units, out)) {
        dp_keep_table_clear(out);
        return false;
    }
    out->charge = (struct dp_charge){.mu2_pico = mu2_pico, .delta_atto = delta, .pure = false};
    return true;
}

void dp_keep_table_clear(struct dp_keep_table *table)
{
    free(table->keep);
    *table = (struct dp_keep_table){.keep = NULL};
}

bool dp_keep(const struct dp_rng *rng, const struct dp_keep_table *table, uint64_t units,
             bool *kept)
{
    uint64_t word;
    if (!rng->next64(rng->state, &word)) {
        return false;
    }
    if (units <= table->offset) {
        *kept = false;
    } else if (units - table->offset >= table->n_entries) {
        *kept = true;
    } else {
        *kept = word < table->keep[units - table->offset];
    }
    return true;
}

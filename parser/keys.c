/*
 * Private keys without a count beside them (SELECT DISTINCT): nothing is released but which groups
 * there are, so that a group is kept by one coin whose probability is the best that the same price
 * allows (ALGORITHMS 3.1, 3.4), and not by a threshold on a noisy number. The number of units keeps
 * its calibration: its integers fix what the coins cost.
 */
#include <string.h>

#include "parser/price.h"

/* Above this the threshold is as good to a part in a thousand, and the table takes long. */
enum { THRESHOLD_MAX = 500, ENTRIES_MAX = 4096 };

static bool within(const struct dp_charge *charge, const struct dp_charge *paid)
{
    return charge->mu2_pico <= paid->mu2_pico && charge->delta_atto <= paid->delta_atto &&
           (!paid->pure || (charge->pure && charge->epsilon <= paid->epsilon));
}

void keys_choose_rule(struct level *level)
{
    struct compile *c = level->compile;
    struct release *release = level->release;
    const struct dp_charge *paid = &release->charge;
    if (!reuse_draws_keys(level) || level->aggregates.n > 0 || level->n_measures != 1 ||
        release->key_threshold > THRESHOLD_MAX)
        return;
    uint64_t groups = level->measures[0].calibration.groups;
    uint64_t minimum = c->catalog->policy->minimum_units;
    /* Before the table is made: the arena may give up. */
    uint64_t *entries = arena_alloc(c->arena, ENTRIES_MAX * sizeof *entries);
    struct dp_keep_table *keep = arena_alloc(c->arena, sizeof *keep), table;
    if (!(paid->pure
              ? dp_keep_table_pure(paid->epsilon, paid->delta_atto, groups, minimum, &table)
              : dp_keep_table_gaussian(paid->mu2_pico, paid->delta_atto, groups, minimum, &table)))
        return;
    if (table.n_entries <= ENTRIES_MAX && within(&table.charge, paid)) {
        memcpy(entries, table.keep, table.n_entries * sizeof *entries);
        *keep = table;
        keep->keep = entries;
        release->keep = keep;
        release->key_threshold = 0;
        release->n_hidden = 1;
    }
    dp_keep_table_clear(&table);
}

uint64_t keys_even_chance(const struct dp_keep_table *table)
{
    size_t n = 0;
    while (n < table->n_entries && table->keep[n] < (uint64_t)1 << 63)
        n++;
    return table->offset + n;
}

#ifndef PARSER_PRICE_H
#define PARSER_PRICE_H

/*
 * Between the measures of a level and their noise. Everything here follows from the statement, the
 * policy, the settings and what the account has spent: from public facts.
 */
#include "parser/compile_internal.h"

/* What one unit moves of a measure, and the grid on which its values lie. */
struct price_sensitivity {
    struct dp_decimal delta;
    uint64_t groups;
    struct dp_grid natural;
    bool floating; /* the calibration chooses the grid */
};
bool price_sensitivity(const struct level *level, const struct level_measure *measure,
                       struct price_sensitivity *out);

/* The integers from which the price of a measure that is drawn can be computed again. */
const struct dp_calibration *price_fixed_by(const struct level_measure *measure);

/* Refuses: no noise fits what is described so. */
bool price_refuse_noise(struct level *level, const char *described);

/* Adds what a part costs; false: too much to count. Pure only while every part is. */
bool price_add(struct dp_charge *charge, const struct dp_charge *part);

/* mechanism.c: the mechanism of a release that is to cost epsilon in all. */
enum dp_mechanism mechanism_choose(const struct level *level, dp_nano epsilon);

/* accuracy.c: does dp.max_error, and not dp.epsilon, fix the noise of this release? */
bool accuracy_decides(const struct level *level);
/* The cheapest noise that keeps every count and sum within dp.max_error; sets the level's mechanism
 * and the epsilon that it stands for. */
bool accuracy_release(struct level *level);

/* keys.c: the rule by which private keys appear where nothing else is wanted; a threshold
 * otherwise.
 */
void keys_choose_rule(struct level *level);
/* The smallest number of units that is kept at least every second time. */
uint64_t keys_even_chance(const struct dp_keep_table *table);

#endif

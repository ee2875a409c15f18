#ifndef PARSER_AUTO_BOUNDS_H
#define PARSER_AUTO_BOUNDS_H

/*
 * Bounds of columns for which the policy declares none but asks that they be found (ALGORITHMS 7).
 *
 * Every unit adds one to the bin of its largest value and one to the bin of its largest negative
 * size, over all rows of the column's table that have an owner: a release of its own, with a public
 * domain of bins, of which a unit moves at most two by one. What its noisy numbers say (Rule C) is
 * post-processing. It depends on the column and on nothing of the statement, so that the numbers
 * serve every statement that has them (plan_request.histograms).
 *
 * Where a statement has them not, they are found first, for a fifth of the budget of the first
 * release that needs them; the rest buys the answer. The price of both is fixed before anything is
 * known: it is that of the shares, whatever comes out, and the plan holds as many measures. Until
 * then the outer range of the column stands in the place of its bounds, so that a plan that is made
 * without them shows that there is one; it holds as well where the numbers say nothing.
 */
#include "parser/plan.h"

struct compile;
struct expr;
struct level;
struct PgQuery__Node;

/* A column of the statement whose bounds are found. */
struct auto_column {
    const struct catalog_table *table;
    const struct catalog_column *column;
    struct release *release;
    /* Whose budget pays for the release; NULL: its numbers were there before the statement. */
    const struct level *payer;
    bool open;                /* no numbers yet: low and high are the outer range */
    struct dp_decimal low[2]; /* for sums; for averages and what is like them */
    struct dp_decimal high[2];
};

/* An aggregate's argument. Columns are only asked for their bounds where the expression has none
 * without them. *bought: its range is not known when the statement is charged. NULL: as of
 * level_compile. */
const struct expr *auto_bounds_compile(struct level *level, struct PgQuery__Node *node,
                                       bool *bought);

/* The range in which the level clamps the column's values. False, refused: there is no way to its
 * units. For expr_names.c, while auto_bounds_compile asks. */
bool auto_bounds_range(struct level *level, const struct catalog_table *table,
                       const struct catalog_column *column, struct dp_decimal *low,
                       struct dp_decimal *high);

/* How many releases of bounds the level pays for; their noise, by equal shares of the budget, in
 * pico mu^2 or nano epsilon as the level has it. False: no noise is small enough. */
size_t auto_bounds_bought(const struct level *level);
bool auto_bounds_price(struct level *level, uint64_t budget);

/* The part of the budget that kept answers must have had: one that was bought together with its
 * bounds had four fifths, and asked again it is the same. */
double auto_bounds_rest(const struct level *level);

/* Is there a column whose numbers are not there yet? */
bool auto_bounds_are_open(const struct compile *c);
/* Do bounds that the statement buys decide about what the level measures? */
bool auto_bounds_decide(const struct level *level);

/* The relations of the plan: the releases of bounds that the statement pays for, and those of the
 * final statement. */
void auto_bounds_finish(const struct compile *c, struct plan *plan);

#endif

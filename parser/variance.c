#include "parser/variance.h"

#include <string.h>

#include "parser/price.h"

enum { SQUARES_SCALE_MAX = 15 };

static const struct {
    const char *name;
    bool sample, root;
} names[] = {
    {"variance", true, false}, {"var_samp", true, false},   {"var_pop", false, false},
    {"stddev", true, true},    {"stddev_samp", true, true}, {"stddev_pop", false, true},
};

bool variance_named(const char *name, struct level_aggregate *aggregate)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) != 0)
            continue;
        aggregate->kind = AGGREGATE_VARIANCE;
        aggregate->sample = names[i].sample;
        aggregate->root = names[i].root;
        return true;
    }
    return false;
}

/* The square of the largest distance from the middle, and half of it on the grid of the squares. */
static bool find_range(const struct level_aggregate *aggregate, struct level_measure *measure)
{
    struct dp_decimal below, above, two = dp_decimal_from_int(2);
    if (!dp_decimal_subtract(&aggregate->middle, &aggregate->low, &below) ||
        !dp_decimal_subtract(&aggregate->high, &aggregate->middle, &above))
        return false;
    const struct dp_decimal *most = dp_decimal_compare(&below, &above) > 0 ? &below : &above;
    if (!dp_decimal_multiply(most, most, &measure->high))
        return false;
    measure->floating = aggregate->scale < 0;
    measure->scale = measure->floating                          ? -1
                     : 2 * aggregate->scale > SQUARES_SCALE_MAX ? SQUARES_SCALE_MAX
                                                                : 2 * aggregate->scale;
    int scale =
        measure->high.scale < DP_DECIMAL_SCALE_MAX ? measure->high.scale + 1 : DP_DECIMAL_SCALE_MAX;
    return dp_decimal_divide(&measure->high, &two, measure->floating ? scale : measure->scale,
                             false, &measure->middle);
}

static bool same(const struct expr *a, const struct expr *b)
{
    return a == NULL || b == NULL ? a == b : expr_equal(a, b);
}

bool variance_squares(struct level *level, struct level_aggregate *aggregate)
{
    struct compile *c = level->compile;
    for (size_t i = 0; i < level->n_measures; i++) {
        const struct level_measure *measure = &level->measures[i];
        if (!measure->squared)
            continue;
        const struct row_value *value = &level->values.items[measure->value];
        if (same(value->expr, aggregate->expr) && same(value->condition, aggregate->condition)) {
            aggregate->squares = (int)i;
            return true;
        }
    }
    struct level_measure measure = {
        .kind = MEASURE_SUM,
        .squared = true,
        .bought = aggregate->bought,
        .described = arena_printf(c->arena, "squares for %s", aggregate->described),
        .value = (int)level->values.n,
        .argument_low = aggregate->low,
        .argument_high = aggregate->high,
        .argument_middle = aggregate->middle};
    if (level->n_measures == MEASURES_MAX || !find_range(aggregate, &measure))
        return price_refuse_noise(level, measure.described);
    struct row_value value = {.expr = aggregate->expr,
                              .condition = aggregate->condition,
                              .summed = true,
                              .measure = level->n_measures};
    VECTOR_PUSH(c->arena, &level->values, value);
    aggregate->squares = (int)level->n_measures;
    level->measures[level->n_measures++] = measure;
    return true;
}

static const char *decimal(struct arena *arena, const struct dp_decimal *value, bool floating)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, digits);
    return arena_printf(arena, "'%s'::pg_catalog.%s", digits, floating ? "float8" : "numeric");
}

/* Bracketed: qualified operators all have one precedence. */
static const char *op(struct arena *arena, const char *left, const char *name, const char *right)
{
    return arena_printf(arena, "(%s OPERATOR(pg_catalog.%s) %s)", left, name, right);
}

/* Q / C + middle - (S / C)^2 within its range, at a count of at least one. */
const char *variance_sql(const struct level *level, const struct level_aggregate *aggregate)
{
    struct arena *arena = level->compile->arena;
    bool floating = aggregate->type == TYPE_FLOAT4 || aggregate->type == TYPE_FLOAT8;
    const char *type = floating ? "pg_catalog.float8" : "pg_catalog.numeric";
    if (aggregate->squares < 0) /* all values are the same */
        return arena_printf(arena, "'0'::%s", type);
    const struct level_measure *squares = &level->measures[aggregate->squares];
    const char *count = arena_printf(arena, "u.m%d::%s", aggregate->count + 1, type);
    const char *one = arena_printf(arena, "'1'::%s", type);
    const char *least = arena_printf(arena, "GREATEST(%s, %s)", count, one);
    const char *mean =
        op(arena, arena_printf(arena, "u.m%d::%s", aggregate->sum + 1, type), "/", least);
    const char *moment =
        op(arena,
           op(arena, arena_printf(arena, "u.m%d::%s", aggregate->squares + 1, type), "/", least),
           "+", decimal(arena, &squares->middle, floating));
    const char *value = arena_printf(arena, "LEAST(GREATEST(%s, '0'::%s), %s)",
                                     op(arena, moment, "-", op(arena, mean, "*", mean)), type,
                                     decimal(arena, &squares->high, floating));
    if (aggregate->sample)
        value = arena_printf(
            arena, "CASE WHEN %s THEN %s ELSE %s END",
            op(arena, count, ">=", arena_printf(arena, "'2'::%s", type)),
            op(arena, op(arena, value, "*", count), "/", op(arena, count, "-", one)), value);
    return aggregate->root ? arena_printf(arena, "pg_catalog.sqrt(%s)", value) : value;
}

/* ((clamped x - middle)^2 - middle of the squares) / grid, rounded. A tiny distance counts as a
 * little more, because its square could underflow; a long one is cut to what the sum keeps. */
void variance_write_steps(const struct level_measure *measure, const char *x, struct text *out)
{
    struct arena *arena = out->arena;
    bool floating = measure->floating;
    const char *distance =
        arena_printf(arena, "(LEAST(GREATEST(%s, %s), %s) OPERATOR(pg_catalog.-) %s)", x,
                     decimal(arena, &measure->argument_low, floating),
                     decimal(arena, &measure->argument_high, floating),
                     decimal(arena, &measure->argument_middle, floating));
    distance =
        floating
            ? arena_printf(arena, "GREATEST(pg_catalog.abs%s, '1e-100'::pg_catalog.float8)",
                           distance)
            : arena_printf(arena, "pg_catalog.round(%s, %d)", distance, (int)SQUARES_SCALE_MAX);
    text_printf(out, "pg_catalog.round(%s",
                op(arena, op(arena, distance, "*", distance), "-",
                   decimal(arena, &measure->middle, floating)));
    const struct dp_grid *grid = &measure->calibration.grid;
    if (grid->scale10 > 0)
        text_printf(out, " OPERATOR(pg_catalog.*) '1%0*d'::pg_catalog.numeric", grid->scale10, 0);
    /* A power of two has an exact decimal text, as numeric and as floating point. */
    if (grid->exp2 != 0)
        text_printf(out, " OPERATOR(pg_catalog./) '%.17g'::pg_catalog.%s",
                    __builtin_ldexp(1.0, grid->exp2), floating ? "float8" : "numeric");
    text_add(out, ")");
}

/*
 * What a measure is, whatever its noise: two measures with the same identity are the same function
 * of the database, so that a noisy value of the one is a noisy value of the other. It is made of
 * the SQL that the measure would have if it stood alone on a plain grid, with every parameter in
 * its place; of the declared groups; of the dataset and its policy; and of the session's time zone
 * where that is read. What is not in it: noise, epsilon, delta and threshold, the other measures of
 * the release, and whatever the twin does with the answer.
 *
 * Two things that SQL leaves open are left open here as well. The grid of a measure decides how a
 * value is rounded, and what stands beside it in a release decides which rows of a unit are kept
 * where it has more than the policy's bound. Neither changes what is asked, and no draw is charged
 * less for it.
 *
 * A kind of measure that identity_of does not know has none, and is never kept.
 */
#include <stdlib.h>
#include <string.h>

#include "mechanisms/cdf.h"
#include "parser/digest.h"
#include "parser/fold.h"

/* Integers of a noisy distribution, of all groups together: what the ledger keeps of one, and reads
 * again for every statement that could use it. */
enum { DISTRIBUTION_KEPT_MAX = 16384 };

/* A whole number is the same one in every width; what its width decides is written beside it. */
static bool is_integer(uint32_t type)
{
    return type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8;
}

static const char *skip_width(const char *sql)
{
    static const char *const casts[] = {"::pg_catalog.int2", "::pg_catalog.int4",
                                        "::pg_catalog.int8"};
    for (size_t i = 0; i < sizeof casts / sizeof *casts; i++) {
        size_t length = strlen(casts[i]);
        if (strncmp(sql, casts[i], length) == 0 && sql[length] != '[')
            return sql + length;
    }
    return sql;
}

/* Writes parameter $n in its type and value; what stands behind it in the SQL. */
static const char *write_param(const struct level *level, const char *sql, struct text *out)
{
    char *end;
    size_t number = strtoul(sql + 1, &end, 10);
    if (number == 0 || number > level->scope.n_params) {
        text_add(out, "{seed}"); /* the dataset's secret, the same for all its statements */
        return end;
    }
    const struct sql_value *param = &level->scope.params[number - 1];
    bool integer = is_integer(param->type);
    text_printf(out, "{%u ", integer ? TYPE_INT8 : param->type);
    digest_add(out, param->text);
    text_add(out, "}");
    return integer ? skip_width(end) : end;
}

/* The SQL with each $n, but for those inside of quotes, replaced by its type and value: numbers
 * depend on what else is in the release. A doubled quote ends a quotation and begins the next. */
static const char *with_params(const struct level *level, const char *sql)
{
    struct text out = text_new(level->compile->arena);
    const char *from = sql;
    char quote = '\0';
    for (const char *at = sql; *at != '\0'; at++) {
        if (quote == '\0' && *at == '$') {
            text_printf(&out, "%.*s", (int)(at - from), from);
            from = write_param(level, at, &out);
            at = from - 1;
        } else if (quote == *at) {
            quote = '\0';
        } else if (quote == '\0' && (*at == '\'' || *at == '"')) {
            quote = *at;
        }
    }
    text_add(&out, from);
    return out.data;
}

struct condition {
    const char *text;
    const struct expr *expr;
};

static int compare_conditions(const void *a, const void *b)
{
    return strcmp(((const struct condition *)a)->text, ((const struct condition *)b)->text);
}

/* The conditions of WHERE in an order of their own. */
static void sort_where(struct level *level)
{
    struct source *source = &level->source;
    struct arena *arena = level->compile->arena;
    size_t n = source->where.n;
    struct condition *all = arena_alloc(arena, (n + 1) * sizeof *all);
    const struct expr **sorted = arena_alloc(arena, (n + 1) * sizeof *sorted);
    for (size_t i = 0; i < n; i++) {
        struct text text = text_new(arena);
        expr_write(source->where.items[i], &text);
        all[i] = (struct condition){with_params(level, text.data), source->where.items[i]};
    }
    qsort(all, n, sizeof *all, compare_conditions);
    for (size_t i = 0; i < n; i++)
        sorted[i] = all[i].expr;
    source->where.items = sorted;
}

/* A copy of the level in which the measure stands alone, on a plain grid. */
static struct level *alone(const struct level *level, size_t index)
{
    bool chosen[MEASURES_MAX] = {false};
    chosen[index] = true;
    struct level *part = level_part(level, chosen);
    struct level_measure *measure = &part->measures[0];
    memset(measure->most, 0, sizeof measure->most);
    measure->calibration =
        (struct dp_calibration){.grid = {.scale10 = measure->scale > 0 ? measure->scale : 0}};
    return part;
}

static void add_decimal(struct text *out, const struct dp_decimal *value)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    struct dp_decimal shortest = dp_decimal_normalize(value);
    dp_decimal_print(&shortest, digits);
    digest_add(out, digits);
}

/* What the dataset, its policy, the session and the keys have to do with it. */
static void add_frame(struct text *out, const struct level *level)
{
    const struct compile *c = level->compile;
    const struct release *release = level->release;
    digest_add(out, "measure 1");
    digest_add(out, c->catalog->dataset);
    digest_add(out, c->catalog->database);
    digest_add(out, c->catalog->policy->version);
    digest_add(out, level->scope.uses_time_zone ? c->request->settings->time_zone : "");
    digest_add_number(out, level->source.n_relations);
    for (size_t i = 0; i < level->source.n_relations; i++)
        digest_add_number(out, level->source.relations[i].table->oid);
    digest_add_number(out, level->n_keys);
    digest_add_number(out, level->public_keys);
    digest_add_number(out, release->n_domain);
    for (size_t i = 0; i < release->n_domain * level->n_keys; i++)
        digest_add(out, release->domain[i]);
}

static void add_range(struct text *out, const struct level_measure *measure,
                      const struct expr *expr)
{
    digest_add(out, expr_type(expr)->declared);
    add_decimal(out, &measure->low);
    add_decimal(out, &measure->high);
    add_decimal(out, &measure->middle);
    text_printf(out, "%d;%d;%s", measure->scale, measure->floating,
                measure->rotated ? "rotated;" : "");
}

static const char *identity_of(const struct level *level, size_t index);

/* A rotated pair is known by its sum, whose identity is no lone sum's: one charge is for both, so
 * that a value of the one is never without its other. */
static const char *complement_of(const struct level *level, size_t sum)
{
    struct text all = text_new(level->compile->arena);
    const char *identity = identity_of(level, sum);
    if (identity == NULL)
        return NULL;
    digest_add(&all, "complement 1");
    digest_add(&all, identity);
    return digest_finish(&all);
}

static const char *identity_of(const struct level *level, size_t index)
{
    struct level *copy;
    struct text all = text_new(level->compile->arena);
    switch (level->measures[index].kind) {
    case MEASURE_UNITS:
    case MEASURE_COUNT:
    case MEASURE_SUM:
    case MEASURE_DISTINCT:
        copy = alone(level, index);
        break;
    case MEASURE_COMPLEMENT:
        return complement_of(level, level->measures[index].partner);
    default:
        return NULL;
    }
    const struct level_measure *measure = &copy->measures[0];
    sort_where(copy);
    add_frame(&all, copy);
    digest_add_number(&all, measure->kind);
    if (measure->kind == MEASURE_SUM)
        add_range(&all, measure, copy->values.items[measure->value].expr);
    digest_add(&all, with_params(copy, measurement_text(copy)));
    return digest_finish(&all);
}

/* The identity that the measure has without any key. */
static const char *family_of(const struct level *level, size_t index)
{
    struct arena *arena = level->compile->arena;
    if (level->measures[index].identity == NULL ||
        !fold_is_additive(level, &level->measures[index]))
        return NULL;
    if (level->n_keys == 0)
        return level->measures[index].identity;
    struct level *whole = arena_alloc(arena, sizeof *whole);
    *whole = *level;
    whole->n_keys = 0;
    whole->public_keys = false;
    whole->release = arena_alloc(arena, sizeof *whole->release);
    return bounding_choose(whole) ? identity_of(whole, index) : NULL;
}

/* Is its range yet to be found? What will be measured then is another range. */
static bool is_open(const struct level *level, size_t index)
{
    const struct level_measure *measure = &level->measures[index];
    if (measure->kind == MEASURE_COMPLEMENT)
        measure = &level->measures[measure->partner];
    return measure->bought && auto_bounds_are_open(level->compile);
}

/* The distribution and its bins, whatever is read from it. How finely a unit's weight is spread
 * over the bins is left open as the grid of a measure is. */
static const char *identity_of_histogram(const struct level *level,
                                         const struct level_histogram *histogram)
{
    const bool none[MEASURES_MAX] = {false};
    struct level *copy = level_part(level, none);
    struct level_histogram plain = *histogram;
    struct text all = text_new(level->compile->arena);
    const struct bins *bins = &histogram->bins;
    struct dp_decimal first = {bins->first, 0}, width = {bins->width, 0};
    plain.unit_weight = DISTRIBUTION_UNIT_WEIGHT;
    sort_where(copy);
    add_frame(&all, copy);
    digest_add(&all, "histogram 1");
    digest_add(&all, expr_type(histogram->expr)->declared);
    digest_add_number(&all, bins->n);
    add_decimal(&all, &first);
    add_decimal(&all, &width);
    text_printf(&all, "%d;%d;%d;", bins->grid.scale10, bins->grid.exp2, bins->floating);
    digest_add(&all, with_params(copy, measurement_histogram_text(copy, &plain)));
    return digest_finish(&all);
}

/* Is the noisy distribution small enough to be kept? */
static bool keeps_distribution(const struct level *level, const struct level_histogram *histogram)
{
    uint64_t groups = level->n_keys == 0 ? 1 : level->release->n_domain;
    return (level->n_keys == 0 || level->public_keys) && histogram->bins.n <= DP_CDF_BINS_MAX &&
           groups <= DISTRIBUTION_KEPT_MAX / histogram->bins.n;
}

static const char *identity_of_rank(struct arena *arena, const char *base,
                                    const struct dp_rank *rank)
{
    struct text all = text_new(arena);
    digest_add(&all, "quantile 1");
    digest_add(&all, base);
    digest_add_number(&all, rank->numerator);
    digest_add_number(&all, rank->denominator);
    return digest_finish(&all);
}

/* Each rank is known alone, in its lowest terms, whatever it is drawn together with. */
static void find_of_histogram(struct level *level, struct level_histogram *histogram)
{
    struct arena *arena = level->compile->arena;
    size_t n = histogram->ranks.n, size = (n + 1) * sizeof *histogram->identities;
    const char *base = histogram->bought && auto_bounds_are_open(level->compile)
                           ? NULL
                           : identity_of_histogram(level, histogram);
    histogram->identities = arena_alloc(arena, size);
    for (size_t i = 0; i < n; i++)
        histogram->identities[i] =
            base == NULL ? NULL : identity_of_rank(arena, base, &histogram->ranks.items[i]);
    histogram->distribution = NULL;
    if (base == NULL || !keeps_distribution(level, histogram))
        return;
    struct text all = text_new(arena);
    digest_add(&all, "distribution 1");
    digest_add(&all, base);
    histogram->distribution = digest_finish(&all);
}

void identity_find(struct level *level)
{
    for (size_t i = 0; i < level->histograms.n; i++)
        find_of_histogram(level, &level->histograms.items[i]);
    for (size_t i = 0; i < level->n_measures; i++)
        level->measures[i].identity = is_open(level, i) ? NULL : identity_of(level, i);
    for (size_t i = 0; i < level->n_measures; i++)
        level->measures[i].family = family_of(level, i);
    fold_find_keys(level);
}

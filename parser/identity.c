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

#include "parser/compile_internal.h"
#include "parser/digest.h"

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

/* Is its range yet to be found? What will be measured then is another range. */
static bool is_open(const struct level *level, size_t index)
{
    const struct level_measure *measure = &level->measures[index];
    if (measure->kind == MEASURE_COMPLEMENT)
        measure = &level->measures[measure->partner];
    return measure->bought && auto_bounds_are_open(level->compile);
}

/* Of the quantiles that are drawn together: the distribution, its bins, and the ranks as they were
 * asked for. */
static const char *identity_of_draw(const struct level *level,
                                    const struct level_histogram *histogram,
                                    const struct release_draw *draw)
{
    const bool none[MEASURES_MAX] = {false};
    struct level *copy = level_part(level, none);
    struct text all = text_new(level->compile->arena);
    const struct bins *bins = &histogram->bins;
    struct dp_decimal first = {bins->first, 0}, width = {bins->width, 0};
    sort_where(copy);
    add_frame(&all, copy);
    digest_add(&all, draw->whole.m != 0 ? "quantiles of the whole 1" : "quantiles 1");
    digest_add(&all, expr_type(histogram->expr)->declared);
    digest_add_number(&all, bins->n);
    add_decimal(&all, &first);
    add_decimal(&all, &width);
    text_printf(&all, "%d;%d;%d;", bins->grid.scale10, bins->grid.exp2, bins->floating);
    for (size_t i = 0; i < draw->plan.n; i++)
        text_printf(&all, "%u/%u;", draw->ranks[i].numerator, draw->ranks[i].denominator);
    digest_add(&all, with_params(copy, measurement_histogram_text(copy, histogram)));
    return digest_finish(&all);
}

void identity_find(struct level *level)
{
    for (size_t i = 0; i < level->histograms.n; i++) {
        struct level_histogram *histogram = &level->histograms.items[i];
        for (size_t n = 0; n < histogram->n_draws; n++)
            histogram->draws[n].identity =
                histogram->bought && auto_bounds_are_open(level->compile)
                    ? NULL
                    : identity_of_draw(level, histogram, &histogram->draws[n]);
    }
    for (size_t i = 0; i < level->n_measures; i++)
        level->measures[i].identity = is_open(level, i) ? NULL : identity_of(level, i);
}

/*
 * The SQL of a release. From the inside out:
 *
 *   read     unit, keys and arguments of the rows, filtered: "u", "k1".., "x1"..
 *   rows     arguments as integers: "v1"..; keys outside their domain are gone
 *   cut      at most C rows of a unit, chosen by a keyed hash of all columns, then by the columns
 *   distinct of different values as many of a unit and group as count (distinct.h)
 *   groups   one row a unit and group: "n" rows, "c1".. counts, "s1".. sums
 *   window   at most L groups of a unit, chosen by a keyed hash of unit and keys, then by the keys
 *   answer   exact integers by group
 *
 * What a unit adds is a function of the multiset of its own rows: wherever rows are chosen, the
 * order is total over everything that later steps read. Without groups or weights to bound, the
 * answer aggregates the rows themselves. Nothing in it can fail: arguments are total by
 * parser/expr.h, and integers are clamped before they are cast.
 */
#include <stdio.h>
#include <string.h>

#include "parser/distinct.h"
#include "parser/measurement.h"
#include "parser/ownership.h"
#include "parser/span.h"
#include "parser/variance.h"

static void write_decimal(struct text *out, const struct dp_decimal *value)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, digits);
    text_printf(out, "'%s'::pg_catalog.numeric", digits);
}

static void write_big(struct text *out, __int128 value)
{
    struct dp_decimal decimal = {value, 0};
    char digits[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(&decimal, digits);
    text_printf(out, "'%s'::pg_catalog.int8", digits);
}

void measurement_list_keys(const struct form *form, struct text *out, const char *before)
{
    for (size_t i = 0; i < form->level->n_keys; i++)
        text_printf(out, "%s\"k%zu\"", before, i + 1);
}

static void list_values(const struct form *form, struct text *out, const char *before)
{
    for (size_t i = 0; i < form->level->values.n; i++)
        text_printf(out, "%s\"v%zu\"", before, i + 1);
}

static void write_argument(const struct row_value *value, struct text *out)
{
    if (value->condition != NULL) {
        text_add(out, "CASE WHEN ");
        expr_write(value->condition, out);
        text_add(out, " THEN ");
    }
    if (value->distinct != NULL)
        text_add(out, value->distinct);
    else if (value->expr == NULL)
        text_add(out, "1");
    else
        expr_write(value->expr, out);
    if (value->condition != NULL)
        text_add(out, " END");
}

void measurement_write_from(const struct level *level, bool root, struct text *out)
{
    const struct source *source = &level->source;
    text_add(out, " FROM ");
    from_write(level, source->root, out);
    text_printf(out, " WHERE %s IS NOT NULL", source->unit_sql);
    for (size_t i = 0; i < source->where.n; i++) {
        text_add(out, " AND (");
        expr_write(source->where.items[i], out);
        text_add(out, ")");
    }
    if (root)
        ownership_write_root(level, out);
    ownership_write_single(level, NULL, out);
}

static void write_read(const struct form *form, struct text *out)
{
    const struct level *level = form->level;
    const struct source *source = &level->source;
    text_printf(out, "SELECT %s AS \"u\"", source->unit_sql);
    for (size_t i = 0; i < level->n_keys; i++)
        text_printf(out, ", %s AS \"k%zu\"", level->keys[i].sql, i + 1);
    for (size_t i = 0; i < level->values.n; i++) {
        text_add(out, ", ");
        write_argument(&level->values.items[i], out);
        text_printf(out, " AS \"x%zu\"", i + 1);
    }
    measurement_write_from(level, form->root, out);
}

/* Integers whose clamps fit an int8 on the grid of ones need no numeric arithmetic. */
static bool plain_integer(const struct level_measure *measure, uint32_t type)
{
    const __int128 limit = (__int128)1 << 62;
    struct dp_decimal middle = dp_decimal_normalize(&measure->middle);
    return (type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8) &&
           measure->calibration.grid.exp2 == 0 && measure->calibration.grid.scale10 == 0 &&
           middle.scale == 0 && middle.digits < limit && middle.digits > -limit;
}

static void write_plain_sum(const struct level_measure *measure, const char *x, struct text *out)
{
    struct dp_decimal middle = dp_decimal_normalize(&measure->middle);
    text_printf(out, "LEAST(GREATEST(%s::pg_catalog.int8, ", x);
    write_big(out, middle.digits + measure->most[0]);
    text_add(out, "), ");
    write_big(out, middle.digits + measure->most[1]);
    text_add(out, ")");
    if (middle.digits == 0)
        return;
    text_add(out, " OPERATOR(pg_catalog.-) ");
    write_big(out, middle.digits);
}

/* (clamped value - middle) / grid, rounded. Clamped first: nothing overflows then. */
static void write_grid_steps(const struct level_measure *measure, const char *x, struct text *out)
{
    const char *type = measure->floating ? "::pg_catalog.float8" : "";
    text_printf(out, "pg_catalog.round((LEAST(GREATEST(%s, ", x);
    write_decimal(out, &measure->low);
    text_printf(out, "%s), ", type);
    write_decimal(out, &measure->high);
    text_printf(out, "%s) OPERATOR(pg_catalog.-) ", type);
    write_decimal(out, &measure->middle);
    text_printf(out, "%s)", type);
    const struct dp_grid *grid = &measure->calibration.grid;
    if (grid->scale10 > 0)
        text_printf(out, " OPERATOR(pg_catalog.*) '1%0*d'::pg_catalog.numeric", grid->scale10, 0);
    /* A power of two has an exact decimal text, as numeric and as floating point. */
    if (grid->exp2 != 0)
        text_printf(out, " OPERATOR(pg_catalog./) '%.17g'%s", __builtin_ldexp(1.0, grid->exp2),
                    measure->floating ? "::pg_catalog.float8" : "::pg_catalog.numeric");
    text_add(out, ")");
}

static const char *type_with_nan(uint32_t type)
{
    switch (type) {
    case TYPE_FLOAT4:
        return "pg_catalog.float4";
    case TYPE_FLOAT8:
        return "pg_catalog.float8";
    case TYPE_NUMERIC:
        return "pg_catalog.numeric";
    default:
        return NULL;
    }
}

static void write_sum_value(const struct level_measure *measure, uint32_t type, const char *x,
                            struct text *out)
{
    const char *nan = type_with_nan(type);
    text_printf(out, "CASE WHEN %s IS NOT NULL", x);
    if (nan != NULL)
        text_printf(out, " AND %s OPERATOR(pg_catalog.<>) 'NaN'::%s", x, nan);
    text_add(out, " THEN ");
    if (type == TYPE_INTERVAL)
        x = span_clamped_sql(out->arena, x, &measure->low, &measure->high);
    if (!measure->squared && plain_integer(measure, type)) {
        write_plain_sum(measure, x, out);
    } else {
        const char *wide = measure->floating ? "pg_catalog.float8" : "pg_catalog.numeric";
        text_add(out, "LEAST(GREATEST(");
        (measure->squared ? variance_write_steps : write_grid_steps)(
            measure, arena_printf(out->arena, "%s::%s", x, wide), out);
        text_add(out, "::pg_catalog.int8, ");
        write_big(out, measure->most[0]);
        text_add(out, "), ");
        write_big(out, measure->most[1]);
        text_add(out, ")");
    }
    text_add(out, " END");
}

static void write_value(const struct level *level, size_t index, struct text *out)
{
    const struct row_value *value = &level->values.items[index];
    char x[32];
    snprintf(x, sizeof x, "\"x%zu\"", index + 1);
    if (value->bins != NULL) {
        bins_write(value->bins, x, out);
        return;
    }
    if (value->summed) {
        write_sum_value(&level->measures[value->measure], expr_type(value->expr)->oid, x, out);
        return;
    }
    const char *nan = value->expr == NULL ? NULL : type_with_nan(expr_type(value->expr)->oid);
    if (value->distinct != NULL && nan == NULL) {
        text_add(out, x);
        return;
    }
    if (value->distinct != NULL) {
        text_printf(out, "CASE WHEN %s OPERATOR(pg_catalog.<>) 'NaN' THEN %s END", x, x);
        return;
    }
    text_printf(out, "CASE WHEN %s IS NOT NULL", x);
    if (nan != NULL)
        text_printf(out, " AND %s OPERATOR(pg_catalog.<>) 'NaN'::%s", x, nan);
    text_add(out, " THEN 1 END");
}

/* Only values have a bin: other rows are not measured, and do not count against a unit's bounds. */
static void write_present(const struct level *level, const char **separator, struct text *out)
{
    for (size_t i = 0; i < level->values.n; i++) {
        const struct row_value *value = &level->values.items[i];
        if (value->bins == NULL)
            continue;
        const char *nan = type_with_nan(value->bins->type);
        text_printf(out, "%s \"x%zu\" IS NOT NULL", *separator, i + 1);
        *separator = " AND";
        if (nan != NULL)
            text_printf(out, " AND \"x%zu\" OPERATOR(pg_catalog.<>) 'NaN'::%s", i + 1, nan);
    }
}

/* Keys of a domain; other rows are not measured, and do not count against a unit's bounds. */
static void write_domain(const struct level *level, const char **separator, struct text *out)
{
    for (size_t i = 0; i < level->n_keys; i++) {
        const struct catalog_column *column = level->keys[i].domain;
        bool null = false, first = true;
        text_printf(out, "%s (\"k%zu\" " EQUAL " ANY (ARRAY[", *separator, i + 1);
        *separator = " AND";
        for (size_t n = 0; n < column->n_domain; n++) {
            null |= column->domain[n] == NULL;
            if (column->domain[n] == NULL)
                continue;
            text_add(out, first ? "" : ", ");
            text_literal(out, column->domain[n]);
            first = false;
        }
        text_add(out, "]::pg_catalog.text[])");
        if (null)
            text_printf(out, " OR \"k%zu\" IS NULL", i + 1);
        text_add(out, ")");
    }
}

static void write_rows(const struct form *form, struct text *out)
{
    const struct level *level = form->level;
    text_add(out, "SELECT \"u\"");
    measurement_list_keys(form, out, ", ");
    for (size_t i = 0; i < level->values.n; i++) {
        text_add(out, ", ");
        write_value(level, i, out);
        text_printf(out, " AS \"v%zu\"", i + 1);
    }
    text_add(out, " FROM (");
    write_read(form, out);
    text_add(out, ") AS \"read\"");
    const char *separator = " WHERE";
    write_present(level, &separator, out);
    if (level->public_keys)
        write_domain(level, &separator, out);
}

/* A row as text: NULL-safe and injective, so that equal texts are equal rows. */
void measurement_write_order(const struct form *form, bool with_unit, bool with_values,
                             struct text *out)
{
    struct text row = text_new(out->arena);
    text_add(&row, "ROW(");
    struct text columns = text_new(out->arena);
    if (with_unit)
        text_add(&columns, ", \"u\"");
    measurement_list_keys(form, &columns, ", ");
    if (with_values)
        list_values(form, &columns, ", ");
    text_add(&row, columns.length > 2 ? columns.data + 2 : "");
    text_add(&row, ")::pg_catalog.text COLLATE pg_catalog.\"C\"");
    text_printf(out, "pg_catalog.hashtextextended(%s, $%zu::pg_catalog.int8), %s", row.data,
                form->seed, row.data);
    *form->uses_seed = true;
}

void measurement_write_cut(const struct form *form, struct text *out)
{
    if (form->cut == 0) {
        write_rows(form, out);
        return;
    }
    text_add(out, "SELECT \"u\"");
    measurement_list_keys(form, out, ", ");
    list_values(form, out, ", ");
    text_add(out, " FROM (SELECT \"u\"");
    measurement_list_keys(form, out, ", ");
    list_values(form, out, ", ");
    text_add(out, ", pg_catalog.row_number() OVER (PARTITION BY \"u\" ORDER BY ");
    measurement_write_order(form, true, true, out);
    text_add(out, ") AS \"row\" FROM (");
    write_rows(form, out);
    text_printf(out, ") AS \"rows\") AS \"ranked\" WHERE \"row\" " LESS_EQUAL " %llu",
                (unsigned long long)form->cut);
}

/* Cut rows, of which each is an integer for every value. Where a unit has one row nothing need be
 * chosen among its values. */
static void write_integers(const struct form *form, struct text *out)
{
    if (!distinct_any(form->level) || form->unique) {
        measurement_write_cut(form, out);
        return;
    }
    struct text cut = text_new(out->arena), order = text_new(out->arena);
    measurement_write_cut(form, &cut);
    if (form->window != 0)
        measurement_write_order(form, true, false, &order);
    *form->uses_seed = true;
    const struct distinct_rows rows = {form->level,  cut.data,   form->per_group,
                                       form->window, order.data, form->seed};
    distinct_write(&rows, out);
}

static void write_groups(const struct form *form, struct text *out)
{
    const struct level *level = form->level;
    text_add(out, "SELECT \"u\"");
    measurement_list_keys(form, out, ", ");
    text_add(out, ", pg_catalog.count(*) AS \"n\"");
    for (size_t i = 0; i < level->values.n; i++) {
        text_printf(out, ", pg_catalog.count(\"v%zu\") AS \"c%zu\"", i + 1, i + 1);
        if (level->values.items[i].summed)
            text_printf(out, ", pg_catalog.sum(\"v%zu\") AS \"s%zu\"", i + 1, i + 1);
    }
    text_add(out, " FROM (");
    write_integers(form, out);
    text_add(out, ") AS \"cut\" GROUP BY \"u\"");
    measurement_list_keys(form, out, ", ");
}

static void write_window(const struct form *form, struct text *out)
{
    if (form->window == 0 || distinct_any(form->level)) { /* then there is none left */
        write_groups(form, out);
        return;
    }
    text_add(out,
             "SELECT * FROM (SELECT *, pg_catalog.row_number() OVER (PARTITION BY \"u\" ORDER BY ");
    measurement_write_order(form, true, false, out);
    text_add(out, ") AS \"group\" FROM (");
    write_groups(form, out);
    text_printf(out, ") AS \"groups\") AS \"numbered\" WHERE \"group\" " LESS_EQUAL " %llu",
                (unsigned long long)form->window);
}

/* The most that a row adds to the sum that the measure completes. */
static void write_width(const struct level *level, const struct level_measure *measure,
                        struct text *out)
{
    struct dp_decimal width = {level->measures[measure->partner].most[1], 0};
    write_decimal(out, &width);
}

/* A measure over rows. */
static void write_direct(const struct form *form, const struct level_measure *measure,
                         struct text *out)
{
    int value = measure->value + 1;
    switch (measure->kind) {
    case MEASURE_UNITS:
        /* Rows are units where a unit keeps one. */
        if (form->level->source.rows == 1)
            text_add(out, value == 0 ? "pg_catalog.count(*)" : "");
        else if (value == 0)
            text_add(out, "pg_catalog.count(DISTINCT \"u\")");
        if (value > 0)
            text_printf(out,
                        "pg_catalog.count(DISTINCT CASE WHEN \"v%d\" IS NOT NULL THEN \"u\" END)",
                        value);
        return;
    case MEASURE_COUNT:
        if (value == 0)
            text_add(out, "pg_catalog.count(*)");
        else
            text_printf(out, "pg_catalog.count(\"v%d\")", value);
        return;
    case MEASURE_SUM:
        text_printf(out, "COALESCE(pg_catalog.sum(\"v%d\"), 0)", value);
        return;
    case MEASURE_DISTINCT:
        text_printf(out, "pg_catalog.count(%s\"v%d\")", form->unique ? "DISTINCT " : "", value);
        return;
    case MEASURE_COMPLEMENT:
        text_printf(out, "pg_catalog.count(\"v%d\") OPERATOR(pg_catalog.*) ", value);
        write_width(form->level, measure, out);
        text_printf(out, " OPERATOR(pg_catalog.-) COALESCE(pg_catalog.sum(\"v%d\"), 0)", value);
        return;
    }
}

static void write_count(struct text *out, int value)
{
    if (value == 0)
        text_add(out, "\"n\"");
    else
        text_printf(out, "\"c%d\"", value);
}

static void write_capped_count(struct text *out, int value, uint64_t most)
{
    text_add(out, most == 0 ? "" : "LEAST(");
    write_count(out, value);
    if (most != 0)
        text_printf(out, ", %llu)", (unsigned long long)most);
}

/* Rows above the bound weigh less, whichever they are: their sum is scaled down and clamped. */
static void write_weighted_sum(const struct form *form, const struct level_measure *measure,
                               int value, struct text *out)
{
    if (form->per_group == 0) {
        text_printf(out, "\"s%d\"", value);
        return;
    }
    __int128 most = -measure->most[0] > measure->most[1] ? -measure->most[0] : measure->most[1];
    struct dp_decimal limit = {most * (__int128)form->per_group, 0};
    unsigned long long rows = form->per_group;
    text_printf(out,
                "CASE WHEN \"c%d\" " LESS_EQUAL " %llu THEN \"s%d\" ELSE LEAST(GREATEST("
                "pg_catalog.round(\"s%d\" OPERATOR(pg_catalog.*) %llu OPERATOR(pg_catalog./) "
                "\"c%d\"), OPERATOR(pg_catalog.-) ",
                value, rows, value, value, rows, value);
    write_decimal(out, &limit);
    text_add(out, "), ");
    write_decimal(out, &limit);
    text_add(out, ") END");
}

/* A measure over units and groups. */
static void write_grouped(const struct form *form, const struct level_measure *measure,
                          struct text *out)
{
    int value = measure->value + 1;
    uint64_t most = measure->kind == MEASURE_UNITS ? 1 : form->per_group;
    if (measure->kind == MEASURE_UNITS && value == 0) {
        text_add(out, "pg_catalog.count(*)");
        return;
    }
    text_add(out, "COALESCE(pg_catalog.sum(");
    if (measure->kind == MEASURE_SUM) {
        write_weighted_sum(form, measure, value, out);
    } else if (measure->kind == MEASURE_COMPLEMENT) {
        write_capped_count(out, value, most);
        text_add(out, " OPERATOR(pg_catalog.*) ");
        write_width(form->level, measure, out);
        text_add(out, " OPERATOR(pg_catalog.-) (");
        write_weighted_sum(form, &form->level->measures[measure->partner], value, out);
        text_add(out, ")");
    } else if (measure->kind == MEASURE_DISTINCT) {
        write_count(out, value);
    } else {
        write_capped_count(out, value, most);
    }
    text_add(out, "), 0)");
}

static void write_answer(const struct form *form, struct text *out)
{
    const struct level *level = form->level;
    bool grouped = form->window != 0 || form->per_group != 0;
    const char *separator = "SELECT ";
    for (size_t i = 0; i < level->n_keys; i++, separator = ", ")
        text_printf(out, "%s\"k%zu\"", separator, i + 1);
    for (size_t i = 0; i < level->n_measures; i++, separator = ", ") {
        text_printf(out, "%s(", separator);
        if (grouped)
            write_grouped(form, &level->measures[i], out);
        else
            write_direct(form, &level->measures[i], out);
        text_printf(out, ")::pg_catalog.text AS \"m%zu\"", i + 1);
    }
    text_add(out, " FROM (");
    if (grouped)
        write_window(form, out);
    else
        write_integers(form, out);
    text_add(out, ") AS \"answer\"");
    if (level->n_keys == 0)
        return;
    text_add(out, " GROUP BY ");
    for (size_t i = 0; i < level->n_keys; i++)
        text_printf(out, "%s\"k%zu\"", i == 0 ? "" : ", ", i + 1);
    text_add(out, " ORDER BY ");
    for (size_t i = 0; i < level->n_keys; i++)
        text_printf(out, "%s\"k%zu\" COLLATE pg_catalog.\"C\" NULLS LAST", i == 0 ? "" : ", ",
                    i + 1);
}

static const char *write_measures(const struct form *form)
{
    struct text out = text_new(form->level->compile->arena);
    write_answer(form, &out);
    return out.data;
}

/* The shorter form, for snapshots in which the catalogue proves what it leaves out; false: there is
 * none. */
static bool shorten(struct form *form, struct release *release)
{
    const struct level *level = form->level;
    const struct source *source = &level->source;
    bool window = form->window != 0 && level->bounding.window_proved;
    bool unique = source->unit_unique || window;
    if (!unique && !source->root_proved)
        return false;
    form->unique = source->unit_unique;
    if (source->unit_unique)
        form->cut = form->window = form->per_group = 0;
    if (window)
        form->window = 0;
    form->root = source->missing_root != NULL && !source->root_proved;
    release->proof_sql = proof_write(level, unique);
    return true;
}

static struct form full_form(const struct level *level, bool *uses_seed)
{
    return (struct form){
        .level = level,
        .cut = level->bounding.cut,
        .window = level->bounding.window,
        .per_group = level->bounding.per_group,
        .root = level->source.missing_root != NULL,
        .seed = level->scope.n_params + 1,
        .uses_seed = uses_seed,
    };
}

const char *measurement_histogram_text(const struct level *level,
                                       const struct level_histogram *histogram)
{
    bool uses_seed = false;
    return histogram_write(full_form(level, &uses_seed), histogram);
}

const char *measurement_text(struct level *level)
{
    bool uses_seed = false;
    struct form form = full_form(level, &uses_seed);
    return write_measures(&form);
}

/* The level with what is drawn alone; NULL: nothing is. */
static const struct level *drawn_part(const struct level *level)
{
    bool drawn[MEASURES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < level->n_measures; i++)
        n += drawn[i] = level->measures[i].draw.m != 0;
    return n == 0 ? NULL : n == level->n_measures ? level : level_part(level, drawn);
}

/* Measures that are drawn, and histograms, alike in both forms. */
static void write_all(struct level *level, bool *uses_seed)
{
    struct release *release = level->release;
    const struct level *part = drawn_part(level);
    struct form form = full_form(level, uses_seed), proved = form;
    bool measured = part != NULL;
    for (size_t i = 0; i < level->histograms.n; i++)
        measured = measured || level->histograms.items[i].n_draws > 0;
    bool shorter = measured && shorten(&proved, release);
    for (size_t i = 0; i < level->histograms.n; i++) {
        struct level_histogram *histogram = &level->histograms.items[i];
        if (histogram->n_draws == 0)
            continue;
        histogram->sql = histogram_write(form, histogram);
        histogram->sql_proved = shorter ? histogram_write(proved, histogram) : NULL;
    }
    if (part == NULL)
        return;
    form.level = proved.level = part;
    release->sql = write_measures(&form);
    release->sql_proved = shorter ? write_measures(&proved) : NULL;
}

bool measurement_write(struct level *level)
{
    struct compile *c = level->compile;
    struct release *release = level->release;
    size_t seed = level->scope.n_params + 1;
    bool uses_seed = false;
    write_all(level, &uses_seed);
    release->n_params = level->scope.n_params;
    release->params = level->scope.params;
    if (!uses_seed)
        return true;
    struct sql_value *params = arena_alloc(c->arena, seed * sizeof *params);
    if (seed > 1)
        memcpy(params, level->scope.params, (seed - 1) * sizeof *params);
    params[seed - 1] = (struct sql_value){
        TYPE_INT8, arena_printf(c->arena, "%lld", (long long)c->catalog->hash_seed)};
    release->n_params = seed;
    release->params = params;
    return true;
}

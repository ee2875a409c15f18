#include "parser/auto_bounds.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/bounds.h"
#include "parser/digest.h"
#include "parser/node.h"
#include "parser/ownership.h"
#include "parser/price.h"
#include "parser/walk.h"

enum { SIDE_POSITIVE, SIDE_NEGATIVE, SIDES };
enum { FOR_SUMS, FOR_AVERAGES };

static const char *const side_names[SIDES] = {"+", "-"};

static bool is_float(const struct catalog_column *column)
{
    return column->type.oid == TYPE_FLOAT4 || column->type.oid == TYPE_FLOAT8;
}

/* Values of this sign can be within the outer range. */
static bool has_side(const struct catalog_column *column, int side)
{
    return side == SIDE_POSITIVE ? column->automatic.high.digits > 0
                                 : column->automatic.low.digits < 0;
}

static size_t count_sides(const struct catalog_column *column)
{
    return (size_t)has_side(column, SIDE_POSITIVE) + has_side(column, SIDE_NEGATIVE);
}

/* --- the release --------------------------------------------------------------------------------
 */

/* A level that holds the table alone, for the ways to its units. */
static struct level *new_source(struct compile *c, const struct catalog_table *table)
{
    struct level *level = arena_alloc(c->arena, sizeof *level);
    PgQuery__RangeVar *nowhere = arena_alloc(c->arena, sizeof *nowhere);
    struct source *source = &level->source;
    pg_query__range_var__init(nowhere);
    nowhere->location = -1;
    level->compile = c;
    level->scope = (struct scope){.arena = c->arena,
                                  .catalog = c->catalog,
                                  .request = c->request,
                                  .refusal = &c->refusal,
                                  .source = c->source,
                                  .n_relations = 1,
                                  .relations = source->relations};
    source->relations[0] =
        (struct scope_relation){.alias = table->name, .sql_alias = "r1", .table = table};
    source->ranges[0] = nowhere;
    source->n_relations = 1;
    source->root = source->written = from_new_join(level, JOIN_NONE, -1);
    return parents_join(level) && ownership_find(level) ? level : NULL;
}

/* The bin of the size "v", by comparison with powers of two. */
static void write_bin(const struct catalog_column *column, const char *type, struct text *out)
{
    text_add(out, "CASE");
    for (int bin = 0; bin < DP_BOUND_BINS - 1; bin++) {
        const struct dp_grid grid = {0, column->automatic.exponent + bin};
        struct dp_decimal end;
        char digits[DP_DECIMAL_TEXT_MAX];
        bool exact = dp_grid_value(&grid, 1, &end);
        assert(exact); /* by the range of exponents in parser/catalog.c */
        (void)exact;
        dp_decimal_print(&end, digits);
        text_printf(out, " WHEN \"v\" OPERATOR(pg_catalog.<=) '%s'::%s THEN '%d'", digits, type,
                    bin);
    }
    text_printf(out, " ELSE '%d' END", DP_BOUND_BINS - 1);
}

/* Unit and value of the rows that have an owner. */
static void write_read(const struct level *level, const struct catalog_column *column,
                       const char *type, bool root, struct text *out)
{
    const struct source *source = &level->source;
    text_printf(out, "SELECT %s AS \"u\", \"r1\".", source->unit_sql);
    text_identifier(out, column->name);
    text_printf(out, "::%s AS \"x\" FROM ", type);
    from_write(level, source->root, out);
    text_printf(out, " WHERE %s IS NOT NULL", source->unit_sql);
    if (root)
        ownership_write_root(level, out);
    ownership_write_single(level, NULL, out);
}

/* Units by sign and bin of their largest sizes. NaN counts as NULL; infinities are in the last bin.
 * A row a unit, then one a unit and sign: no rows are cut, because none of a unit's rows but the
 * two largest has any effect. */
static const char *write_sql(const struct level *level, const struct catalog_column *column,
                             bool root)
{
    const char *type = is_float(column) ? "pg_catalog.float8" : "pg_catalog.numeric";
    struct text out = text_new(level->compile->arena);
    text_add(&out, "SELECT \"k1\", \"k2\", (pg_catalog.count(*))::pg_catalog.text AS \"m1\" FROM "
                   "(SELECT \"k1\", ");
    write_bin(column, type, &out);
    text_add(&out, " AS \"k2\" FROM (SELECT \"side\".\"k1\", CASE \"side\".\"k1\" WHEN '+' THEN "
                   "\"p\" ELSE \"n\" END AS \"v\" FROM (SELECT ");
    text_printf(&out,
                "pg_catalog.max(CASE WHEN \"x\" OPERATOR(pg_catalog.>=) '0'::%s AND \"x\" "
                "OPERATOR(pg_catalog.<>) 'NaN'::%s THEN \"x\" END) AS \"p\", "
                "pg_catalog.max(CASE WHEN \"x\" OPERATOR(pg_catalog.<) '0'::%s THEN "
                "OPERATOR(pg_catalog.-) \"x\" END) AS \"n\" FROM (",
                type, type, type);
    write_read(level, column, type, root, &out);
    text_add(&out, ") AS \"read\" GROUP BY \"u\") AS \"units\" CROSS JOIN (VALUES ");
    for (int side = 0, n = 0; side < SIDES; side++)
        if (has_side(column, side))
            text_printf(&out, "%s('%s'::pg_catalog.text)", n++ == 0 ? "" : ", ", side_names[side]);
    text_add(&out, ") AS \"side\"(\"k1\")) AS \"sizes\" WHERE \"v\" IS NOT NULL) AS \"bins\" "
                   "GROUP BY \"k1\", \"k2\" ORDER BY \"k1\" COLLATE pg_catalog.\"C\", \"k2\" "
                   "COLLATE pg_catalog.\"C\"");
    return out.data;
}

static void fill_domain(struct compile *c, const struct catalog_column *column,
                        struct release *release)
{
    static const struct release_key keys[] = {{"pg_catalog.text"}, {"pg_catalog.text"}};
    size_t rows = count_sides(column) * DP_BOUND_BINS, row = 0;
    const char **domain = arena_alloc(c->arena, rows * 2 * sizeof *domain);
    for (int side = 0; side < SIDES; side++)
        for (int bin = 0; has_side(column, side) && bin < DP_BOUND_BINS; bin++, row++) {
            domain[2 * row] = side_names[side];
            domain[2 * row + 1] = arena_printf(c->arena, "%d", bin);
        }
    release->n_keys = sizeof keys / sizeof *keys;
    release->keys = keys;
    release->n_domain = rows;
    release->domain = domain;
}

/* The SQL has all that the histogram depends on but the dataset and its policy; names in it may
 * come to mean another table. */
static const char *identify(const struct level *level, const struct release *release)
{
    const struct compile *c = level->compile;
    struct text all = text_new(c->arena);
    digest_add(&all, "bounds 1");
    digest_add(&all, c->catalog->dataset);
    digest_add(&all, c->catalog->database);
    digest_add(&all, c->catalog->policy->version);
    for (size_t i = 0; i < level->source.n_relations; i++)
        digest_add_number(&all, level->source.relations[i].table->oid);
    digest_add(&all, release->sql);
    return digest_finish(&all);
}

static struct release *new_release(struct compile *c, const struct auto_column *entry)
{
    struct release *release = arena_alloc(c->arena, sizeof *release);
    struct measure *measure = arena_alloc(c->arena, sizeof *measure);
    const struct level *level = new_source(c, entry->table);
    if (level == NULL)
        return NULL;
    bool proved = level->source.missing_root != NULL && level->source.root_proved;
    release->sql = write_sql(level, entry->column, level->source.missing_root != NULL);
    if (proved) {
        release->sql_proved = write_sql(level, entry->column, false);
        release->proof_sql = proof_write(level, false);
    }
    fill_domain(c, entry->column, release);
    measure->kind = MEASURE_UNITS;
    measure->described = arena_printf(c->arena, "bounds of %s.%s.%s", entry->table->schema,
                                      entry->table->name, entry->column->name);
    measure->identity = identify(level, release);
    release->n_measures = release->n_drawn = 1;
    release->measures = measure;
    return measure->identity == NULL ? NULL : release;
}

/* --- what the noisy numbers say ------------------------------------------------------------------
 */

/* Rounded away from zero to the column's places. */
static struct dp_decimal rounded(const struct catalog_column *column, struct dp_decimal size)
{
    const struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_decimal result;
    if (column->automatic.scale < 0 || size.scale <= column->automatic.scale ||
        !dp_decimal_divide(&size, &one, column->automatic.scale, true, &result))
        return size;
    return dp_decimal_normalize(&result);
}

/* Zero where no bin stands out: there is nobody of this sign to be seen. */
static void choose_side(const struct auto_column *entry, const struct plan_histogram *histogram,
                        const __int128 *noisy, struct dp_decimal size[2], bool *found)
{
    const struct dp_found_bound bound = dp_find_bound(&histogram->calibration, noisy);
    const int exponent = entry->column->automatic.exponent;
    const struct dp_grid grid = {0, exponent + bound.bin};
    size[FOR_SUMS] = size[FOR_AVERAGES] = dp_decimal_from_int(0);
    if (bound.bin < 0)
        return;
    bool exact = dp_bound_clamp(bound.clamp, exponent, &size[FOR_SUMS]) &&
                 dp_grid_value(&grid, 1, &size[FOR_AVERAGES]);
    assert(exact); /* by the range of exponents in parser/catalog.c */
    (void)exact;
    for (int use = FOR_SUMS; use <= FOR_AVERAGES; use++)
        size[use] = rounded(entry->column, size[use]);
    *found = true;
}

/* Within the outer range; that range itself where nothing stands out (false), or where nothing of
 * it is left. */
static bool choose_range(struct auto_column *entry, const struct plan_histogram *histogram)
{
    const struct catalog_automatic *outer = &entry->column->automatic;
    struct dp_decimal size[SIDES][2] = {{{0, 0}}};
    const __int128 *noisy = histogram->noisy;
    bool found = false;
    for (int side = 0; side < SIDES; side++)
        if (has_side(entry->column, side)) {
            choose_side(entry, histogram, noisy, size[side], &found);
            noisy += DP_BOUND_BINS;
        }
    for (int use = FOR_SUMS; use <= FOR_AVERAGES; use++) {
        struct dp_decimal low = dp_decimal_negate(&size[SIDE_NEGATIVE][use]);
        struct dp_decimal high = size[SIDE_POSITIVE][use];
        low = dp_decimal_compare(&low, &outer->low) < 0 ? outer->low : low;
        high = dp_decimal_compare(&high, &outer->high) > 0 ? outer->high : high;
        bool empty = !found || dp_decimal_compare(&low, &high) >= 0;
        entry->low[use] = empty ? outer->low : low;
        entry->high[use] = empty ? outer->high : high;
    }
    return found;
}

/* Columns of the level's tables whose bounds are found: at most so many share what it pays for
 * them. */
static size_t count_automatic(const struct level *level)
{
    size_t n = 0;
    for (size_t i = 0; i < level->source.n_relations; i++)
        for (size_t k = 0; k < level->source.relations[i].table->n_columns; k++)
            n += level->source.relations[i].table->columns[k].is_automatic;
    return n;
}

/* The most noise that the level would buy for the column's numbers, as a standard deviation. */
static double bought_deviation(const struct level *level, const struct catalog_column *column)
{
    const struct plan_settings *settings = level->compile->request->settings;
    double sides = (double)count_sides(column), columns = (double)count_automatic(level);
    double laplace = sqrt(2) * sides * 5 * columns / ((double)settings->epsilon / 1e9);
    uint64_t mu2 = 0;
    if (settings->max_error.digits > 0) /* it buys none */
        return HUGE_VAL;
    if (settings->laplace && !settings->automatic)
        return laplace;
    if (!dp_mu2_cap(settings->epsilon, settings->delta_conv, &mu2) || mu2 == 0)
        return 0; /* the price is refused */
    double gaussian = sqrt(sides * 5 * columns / ((double)mu2 / 1e12) + 1.0 / 12); /* rounded */
    return settings->automatic ? fmax(laplace, gaussian) : gaussian;
}

/*
 * Numbers that were bought before serve while they are not much worse than those that this level
 * would buy: with four times the noise, bounds are still near the best ones. Numbers that say
 * nothing have to be as good. So a statement that is asked again buys nothing, and one of a much
 * larger budget is not held to bounds that were found with a small one.
 */
static bool serves(const struct level *level, const struct auto_column *entry,
                   const struct plan_histogram *histogram, bool found)
{
    double deviation = dp_calibration_stddev(&histogram->calibration);
    return histogram->paid_here ||
           deviation <= bought_deviation(level, entry->column) * (found ? 4 : 1.001);
}

/* The best of those for the column that serve, and the range that follows; NULL: none. */
static const struct plan_histogram *find_histogram(const struct level *level,
                                                   struct auto_column *entry)
{
    const struct plan_request *request = level->compile->request;
    const struct plan_histogram *best = NULL;
    for (size_t i = 0; i < request->n_histograms; i++) {
        const struct plan_histogram *histogram = &request->histograms[i];
        struct auto_column candidate = *entry;
        if (strcmp(histogram->identity, entry->release->measures[0].identity) != 0 ||
            histogram->n != entry->release->n_domain ||
            (best != NULL && dp_calibration_stddev(&best->calibration) <=
                                 dp_calibration_stddev(&histogram->calibration)))
            continue;
        bool found = histogram->noisy != NULL && choose_range(&candidate, histogram);
        if (!serves(level, entry, histogram, found))
            continue;
        *entry = candidate;
        best = histogram;
    }
    return best;
}

/* --- columns of a statement ----------------------------------------------------------------------
 */

/* Numbers may be known yet: nothing is refused for the outer range until it is clear that there are
 * none, and any small range will do to find out what to look for. */
static void choose_any(struct auto_column *entry)
{
    for (int use = FOR_SUMS; use <= FOR_AVERAGES; use++) {
        entry->low[use] = dp_decimal_from_int(0);
        entry->high[use] = dp_decimal_from_int(1);
    }
}

/* The entry of the column, made when it is first asked for: the level that asks pays. */
static const struct auto_column *find_entry(struct level *level, const struct catalog_table *table,
                                            const struct catalog_column *column)
{
    struct compile *c = level->compile;
    for (size_t i = 0; i < c->automatic.n; i++)
        if (c->automatic.items[i].column == column)
            return &c->automatic.items[i];
    struct auto_column entry = {.table = table, .column = column};
    entry.release = new_release(c, &entry);
    if (entry.release == NULL) {
        compile_refuse(c, -1, "53200", "the statement cannot be identified",
                       "SHA-256 is not to be had.", "Try again later.");
        return NULL;
    }
    for (int use = FOR_SUMS; use <= FOR_AVERAGES; use++) {
        entry.low[use] = column->automatic.low;
        entry.high[use] = column->automatic.high;
    }
    const struct plan_histogram *histogram = find_histogram(level, &entry);
    if (histogram == NULL || histogram->paid_here)
        entry.payer = level;
    entry.open = histogram == NULL;
    if (entry.open && c->request->may_know_more)
        choose_any(&entry);
    VECTOR_PUSH(c->arena, &c->automatic, entry);
    return &c->automatic.items[c->automatic.n - 1];
}

/* Is there an aggregate that is no count and no sum? */
static bool find_average(void *context, const ProtobufCFieldDescriptor *field,
                         ProtobufCMessage **child)
{
    bool *found = context, builtin = false;
    (void)field;
    if ((*child)->descriptor == &pg_query__select_stmt__descriptor)
        return true; /* a level of its own */
    if ((*child)->descriptor == &pg_query__node__descriptor &&
        aggregate_is((const PgQuery__Node *)*child)) {
        const PgQuery__Node *node = (const PgQuery__Node *)*child;
        const char *name = node_function_name(node->func_call, &builtin);
        *found |= name == NULL || (strcmp(name, "count") != 0 && strcmp(name, "sum") != 0);
    }
    return walk_children(*child, find_average, context);
}

/* A sum is best clamped where bias and noise are even; an average, a variance or a quantile of what
 * is clamped there would be off by the bias, whatever the noise: for these the bins' ends hold. One
 * choice for a level, since its aggregates share what is measured. */
static int use_of(struct level *level)
{
    if (level->averages_known)
        return level->averages ? FOR_AVERAGES : FOR_SUMS;
    /* Aggregates are taken out of the tree as they are compiled. */
    for (size_t i = 0; i < level->aggregates.n; i++)
        level->averages |= level->aggregates.items[i].kind > AGGREGATE_SUM;
    walk_children(&level->select->base, find_average, &level->averages);
    level->averages_known = true;
    return level->averages ? FOR_AVERAGES : FOR_SUMS;
}

bool auto_bounds_range(struct level *level, const struct catalog_table *table,
                       const struct catalog_column *column, struct dp_decimal *low,
                       struct dp_decimal *high)
{
    int use = use_of(level);
    const struct auto_column *entry = find_entry(level, table, column);
    if (entry == NULL)
        return false;
    level->bought |= entry->payer != NULL;
    level->found |= entry->payer == NULL;
    *low = entry->low[use];
    *high = entry->high[use];
    return true;
}

const struct expr *auto_bounds_compile(struct level *level, PgQuery__Node *node, bool *bought)
{
    struct dp_decimal low, high;
    const struct scope before = level->scope;
    const struct expr *expr = level_compile(level, node, false);
    *bought = false;
    if (expr == NULL || level->compile->pending || expr_bounds(expr, &low, &high))
        return expr;
    /* Once more: parameters of the first time are not used. */
    level->scope.n_params = before.n_params;
    level->scope.finder = level;
    level->bought = false;
    expr = level_compile(level, node, false);
    level->scope.finder = NULL;
    *bought = level->bought;
    return expr;
}

/* --- the price -----------------------------------------------------------------------------------
 */

size_t auto_bounds_bought(const struct level *level)
{
    size_t bought = 0;
    for (size_t i = 0; i < level->compile->automatic.n; i++)
        bought += level->compile->automatic.items[i].payer == level;
    return bought;
}

bool auto_bounds_price(struct level *level, uint64_t budget)
{
    struct compile *c = level->compile;
    const struct dp_decimal one = dp_decimal_from_int(1);
    const struct dp_grid ones = {0, 0};
    size_t bought = auto_bounds_bought(level);
    for (size_t i = 0; i < c->automatic.n; i++) {
        struct auto_column *entry = &c->automatic.items[i];
        if (entry->payer != level)
            continue;
        struct measure *measure = arena_alloc(c->arena, sizeof *measure);
        *measure = entry->release->measures[0];
        if (!(level->laplace ? dp_calibrate_laplace : dp_calibrate_gaussian)(
                &one, &ones, count_sides(entry->column), budget / bought, &measure->calibration))
            return false;
        measure->draw = measure->calibration;
        entry->release->measures = measure;
        entry->release->charge = measure->calibration.charge;
        entry->release->fingerprint = fingerprint_bounds(c, measure);
        entry->release->mechanism_json = fingerprint_bounds_mechanism(c, measure);
    }
    return true;
}

double auto_bounds_rest(const struct level *level)
{
    /* Less what calibrations round away: on the grid of floating point two millionths. */
    return !level->found ? 1 : 0.8 / 1.0002;
}

bool auto_bounds_decide(const struct level *level)
{
    bool bought = false;
    for (size_t i = 0; i < level->n_measures; i++)
        bought |= level->measures[i].bought;
    for (size_t i = 0; i < level->histograms.n; i++)
        bought |= level->histograms.items[i].bought;
    return bought;
}

bool auto_bounds_are_open(const struct compile *c)
{
    bool open = false;
    for (size_t i = 0; i < c->automatic.n; i++)
        open |= c->automatic.items[i].open;
    return open;
}

void auto_bounds_finish(const struct compile *c, struct plan *plan)
{
    struct plan_relation *relations =
        arena_alloc(c->arena, (c->automatic.n + c->relations.n + 1) * sizeof *relations);
    for (size_t i = 0; i < c->automatic.n; i++)
        if (c->automatic.items[i].payer != NULL)
            relations[plan->n_bounds++] = (struct plan_relation){
                .kind = RELATION_RELEASE, .release = c->automatic.items[i].release};
    if (c->relations.n > 0)
        memcpy(relations + plan->n_bounds, c->relations.items, c->relations.n * sizeof *relations);
    plan->n_relations = plan->n_bounds + c->relations.n;
    plan->relations = relations;
}

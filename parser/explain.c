/*
 * The plan in words: per column of a release its mechanism, bounds, sensitivity, share of epsilon
 * and expected error; how the keys are published; which contribution bounds are enforced; the
 * price; the measurement SQL. Nothing in it depends on a protected row, and no secret is in it: the
 * key of the hash is a parameter.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/fold.h"
#include "parser/interval.h"
#include "parser/quantile.h"
#include "parser/rotated.h"

struct lines {
    struct arena *arena;
    VECTOR(const char *) list;
};

__attribute__((format(printf, 2, 3))) static void add_line(struct lines *lines, const char *format,
                                                           ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    VECTOR_PUSH(lines->arena, &lines->list, arena_strdup(lines->arena, line));
}

static double grid_size(const struct dp_grid *grid)
{
    double size = ldexp(1, grid->exp2);
    for (int i = 0; i < grid->scale10; i++)
        size /= 10;
    return size;
}

static const char *print_decimal(struct arena *arena, const struct dp_decimal *value)
{
    char text[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, text);
    return arena_strdup(arena, text);
}

static double as_double(const struct dp_decimal *value)
{
    char text[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, text);
    return strtod(text, NULL);
}

static double wanted_amount(const struct level *level, size_t measure)
{
    const struct dp_charge *charge = &level->measures[measure].wanted.charge;
    return level->laplace ? (double)charge->epsilon : (double)charge->mu2_pico;
}

static double histogram_amount(const struct level *level, size_t histogram)
{
    const struct dp_charge *charge = &level->histograms.items[histogram].charge;
    return level->laplace ? (double)charge->epsilon : (double)charge->mu2_pico;
}

/* An amount as a share of all that the request would buy, whether or not it was paid for before: of
 * its mu^2, or of epsilon itself with Laplace noise. */
static double share_of(const struct level *level, double amount)
{
    double all = 0;
    for (size_t i = 0; i < level->n_measures; i++)
        all += wanted_amount(level, i);
    for (size_t i = 0; i < level->histograms.n; i++)
        all += histogram_amount(level, i);
    return all == 0 ? 0 : amount / all;
}

static double share(const struct level *level, int measure)
{
    if (measure < 0)
        return 0;
    const struct level_measure *own = &level->measures[measure];
    return share_of(level, wanted_amount(level, own->kind == MEASURE_COMPLEMENT ? own->partner
                                                                                : (size_t)measure));
}

/* The same of all quantiles of an argument. */
static double histogram_share(const struct level *level, const struct level_aggregate *aggregate)
{
    return aggregate->kind != AGGREGATE_QUANTILE
               ? 0
               : share_of(level, histogram_amount(level, (size_t)aggregate->quantile.histogram));
}

/* One of two measures that are paid for together? */
static bool is_rotated(const struct level *level, int measure)
{
    return measure >= 0 && level->measures[measure].rotated;
}

static double column_epsilon(const struct level *level, const struct level_aggregate *aggregate)
{
    /* Four fifths where the rest finds bounds. */
    double answers = auto_bounds_bought(level) > 0 ? 0.8 : 1;
    double epsilon = (double)level->epsilon / 1e9;
    epsilon *= level->laplace ? answers : sqrt(answers);
    bool pair = is_rotated(level, aggregate->sum);
    double part = histogram_share(level, aggregate) + share(level, aggregate->sum) +
                  (pair ? 0 : share(level, aggregate->count)) + share(level, aggregate->squares);
    return epsilon * (level->laplace ? part : sqrt(part));
}

static double confidence(const struct level *level)
{
    return 1 - level->compile->request->settings->beta;
}

static const char *mechanism_name(const struct level *level,
                                  const struct level_aggregate *aggregate)
{
    int measure = aggregate->sum >= 0 ? aggregate->sum : aggregate->count;
    bool laplace =
        measure < 0 ? level->laplace : level->measures[measure].calibration.mechanism == DP_LAPLACE;
    return laplace ? "discrete Laplace" : "discrete Gaussian";
}

static const char *sensitivity(const struct level *level, int measure)
{
    const struct dp_calibration *calibration = &level->measures[measure].calibration;
    struct dp_decimal value;
    struct arena *arena = level->compile->arena;
    const char *size =
        dp_grid_value(&calibration->grid, (__int128)calibration->delta_grid, &value)
            ? print_decimal(arena, &value)
            : arena_printf(arena, "%.6g",
                           (double)calibration->delta_grid * grid_size(&calibration->grid));
    return calibration->groups == 1 ? size
                                    : arena_printf(arena, "%s in %llu groups", size,
                                                   (unsigned long long)calibration->groups);
}

/* Is the range of the aggregate yet to be found? */
static bool is_open(const struct level *level, const struct level_aggregate *aggregate)
{
    return aggregate->bought && auto_bounds_are_open(level->compile);
}

/* Of what an error is a multiple while bounds are not known; NULL: it is none. *size: what that is
 * in the plan as it stands. */
static const char *error_measure(const struct level_aggregate *aggregate, double *size)
{
    double low = as_double(&aggregate->low), high = as_double(&aggregate->high);
    double half = (high - low) / 2;
    *size = half;
    if (aggregate->kind == AGGREGATE_SUM) {
        *size = fmax(fabs(low), fabs(high));
        return aggregate->count < 0 ? "the larger bound" : NULL;
    }
    if (aggregate->kind != AGGREGATE_VARIANCE || aggregate->root)
        return "half the bounds' width";
    *size = half * half;
    return "the square of half the bounds' width";
}

static const char *expected_error(const struct level *level,
                                  const struct level_aggregate *aggregate)
{
    struct arena *arena = level->compile->arena;
    double size, error = interval_halfwidth(level, aggregate);
    if (!is_open(level, aggregate))
        return arena_printf(arena, "expected error %.4g", error);
    const char *of = error_measure(aggregate, &size);
    return of == NULL ? "expected error not known before the bounds are"
                      : arena_printf(arena, "expected error %.4g times %s", error / size, of);
}

static const struct release_value *value_of(const struct level *level,
                                            const struct level_quantile *quantile, size_t rank)
{
    const struct level_histogram *histogram = &level->histograms.items[quantile->histogram];
    return &histogram->values[quantile_find(histogram, &quantile->ranks[rank])];
}

/* Of the aggregate's extremes the farther one. */
static int64_t extreme_offset(const struct level *level, const struct level_aggregate *aggregate)
{
    int64_t most = 0;
    for (size_t i = 0; i < aggregate->quantile.n_ranks; i++) {
        int64_t offset = llabs(value_of(level, &aggregate->quantile, i)->rank.units_offset);
        most = offset > most ? offset : most;
    }
    return most;
}

static bool asks_for_extreme(const struct level_quantile *quantile)
{
    for (size_t i = 0; i < quantile->n_ranks; i++)
        if (quantile->ranks[i].numerator % quantile->ranks[i].denominator == 0)
            return true;
    return false;
}

/* How the aggregate's quantiles are had. */
static const char *drawn_by(const struct level *level, const struct level_aggregate *aggregate)
{
    bool chosen = false, noised = false;
    for (size_t i = 0; i < aggregate->quantile.n_ranks; i++) {
        bool laplace = value_of(level, &aggregate->quantile, i)->sharpness.mechanism == DP_LAPLACE;
        chosen |= laplace;
        noised |= !laplace;
    }
    return !noised  ? "exponential mechanism"
           : chosen ? "exponential mechanism, and discrete Gaussian noise on the whole distribution"
                    : "discrete Gaussian noise on the whole distribution";
}

static void explain_reuse(struct lines *lines, const struct level *level,
                          const struct level_aggregate *aggregate)
{
    const char *since, *sources = fold_sources(level, aggregate);
    enum reuse_extent extent = reuse_of(level, aggregate, &since);
    const char *from =
        sources == NULL
            ? ""
            : arena_printf(lines->arena, ", from the kept answer grouped by %s", sources);
    if (extent == REUSE_ALL)
        add_line(lines, "    Reuse: paid for before (%s)%s, nothing is drawn", since, from);
    if (extent == REUSE_PART)
        add_line(lines, "    Reuse: a part was paid for before (%s)%s, only the rest is drawn",
                 since, from);
}

static void explain_quantile(struct lines *lines, const struct level *level,
                             const struct level_aggregate *aggregate)
{
    const struct level_histogram *histogram =
        &level->histograms.items[aggregate->quantile.histogram];
    double kept = reuse_kept_error(level, aggregate);
    add_line(lines, "  Column %s: %s, epsilon %.4g, expected error %.4g ranks (%.9g %%)",
             aggregate->described, drawn_by(level, aggregate), column_epsilon(level, aggregate),
             interval_halfwidth(level, aggregate), confidence(level) * 100);
    if (is_open(level, aggregate))
        add_line(lines, "    Bins: at most %d, within bounds that are found first", (int)BINS_MAX);
    else
        add_line(lines, "    Bins: %u of %s", histogram->bins.n,
                 bins_width_text(&histogram->bins, lines->arena));
    add_line(lines, "    Every person weighs 1 in a group%s",
             level->bounding.unit_groups == 1
                 ? ""
                 : arena_printf(lines->arena, ", in at most %llu groups",
                                (unsigned long long)level->bounding.unit_groups));
    if (asks_for_extreme(&aggregate->quantile))
        add_line(lines, "    The extreme is taken %lld people from the end",
                 (long long)extreme_offset(level, aggregate));
    explain_reuse(lines, level, aggregate);
    if (kept >= 0)
        add_line(
            lines,
            "    Kept: draws with an expected error of %.4g ranks, free where no less is asked for",
            kept);
}

static void explain_aggregate(struct lines *lines, const struct level *level,
                              const struct level_aggregate *aggregate)
{
    if (aggregate->kind == AGGREGATE_QUANTILE) {
        explain_quantile(lines, level, aggregate);
        return;
    }
    bool ratio = aggregate->kind == AGGREGATE_AVG || aggregate->kind == AGGREGATE_VARIANCE;
    const char *about = ratio ? " at a count of 1000" : "";
    add_line(lines, "  Column %s: %s noise, epsilon %.4g, %s (%.9g %%%s)", aggregate->described,
             mechanism_name(level, aggregate), column_epsilon(level, aggregate),
             expected_error(level, aggregate), confidence(level) * 100, about);
    if (is_open(level, aggregate)) {
        add_line(lines, "    Bounds: found first, within %s to %s",
                 print_decimal(lines->arena, &aggregate->low),
                 print_decimal(lines->arena, &aggregate->high));
        return;
    }
    if (ratio || aggregate->kind == AGGREGATE_SUM)
        add_line(lines, "    Bounds%s: %s to %s%s%s",
                 aggregate->type == TYPE_INTERVAL ? " (seconds)" : "",
                 print_decimal(lines->arena, &aggregate->low),
                 print_decimal(lines->arena, &aggregate->high),
                 aggregate->count >= 0 ? ", measured from " : "",
                 aggregate->count >= 0 ? print_decimal(lines->arena, &aggregate->middle) : "");
    bool pair = is_rotated(level, aggregate->count);
    if (pair)
        add_line(lines,
                 "    Sensitivity of the sums of value - low and of high - value together: %s",
                 sensitivity(level, aggregate->count));
    else if (aggregate->count >= 0)
        add_line(lines, "    Sensitivity of the count: %s", sensitivity(level, aggregate->count));
    if (aggregate->sum >= 0 && !is_rotated(level, aggregate->sum))
        add_line(lines, "    Sensitivity of the sum: %s", sensitivity(level, aggregate->sum));
    if (aggregate->squares >= 0)
        add_line(lines, "    Sensitivity of the squares: %s",
                 sensitivity(level, aggregate->squares));
    explain_reuse(lines, level, aggregate);
}

static void explain_keys(struct lines *lines, const struct level *level)
{
    const struct release *release = level->release;
    if (level->n_keys == 0)
        add_line(lines, "  Keys: none, one row");
    else if (level->public_keys)
        add_line(lines, "  Keys: declared domain, %zu groups, every one appears",
                 release->n_domain);
    else if (level->list != NULL)
        add_line(lines, "  Keys: private, the %zu groups that you were told before (%s)",
                 release->n_domain, level->list->since);
    else if (release->keep != NULL)
        add_line(
            lines,
            "  Keys: private, a group of %llu people appears every second time, of %llu always",
            (unsigned long long)keys_even_chance(release->keep),
            (unsigned long long)(release->keep->offset + release->keep->n_entries));
    else
        add_line(lines,
                 "  Keys: private, a group appears if its noisy number of people is at least %lld",
                 (long long)release->key_threshold);
}

static void explain_bounds(struct lines *lines, const struct level *level)
{
    const struct bounding *bounding = &level->bounding;
    if (bounding->cut != 0)
        add_line(lines, "  Contribution: at most %llu rows of one person are kept, after WHERE",
                 (unsigned long long)bounding->cut);
    if (bounding->window != 0)
        add_line(lines, "  Contribution: at most %llu groups of one person are kept",
                 (unsigned long long)bounding->window);
    for (size_t i = 0; i < level->n_measures; i++)
        if (level->measures[i].kind == MEASURE_DISTINCT)
            add_line(lines, "  Contribution: at most %llu values of one person in a group for %s",
                     (unsigned long long)level->measures[i].calibration.delta_grid,
                     level->measures[i].described);
    if (bounding->per_group != 0)
        add_line(lines,
                 "  Contribution: one person weighs at most %llu rows in a group, after WHERE",
                 (unsigned long long)bounding->per_group);
}

static void add_measurement(struct lines *lines, const char *sql)
{
    const char *line = arena_printf(lines->arena, "  Measurement: %s", sql);
    VECTOR_PUSH(lines->arena, &lines->list, line);
}

/* A column whose bounds are found: before, what that costs; after, what they are. */
static void explain_automatic(struct lines *lines, const struct compile *c,
                              const struct auto_column *entry)
{
    struct arena *arena = lines->arena;
    const char *name = arena_printf(arena, "%s.%s.%s", entry->table->schema, entry->table->name,
                                    entry->column->name);
    size_t number = 1;
    if (!entry->open) {
        add_line(lines, "Bounds of %s: found, %s to %s for sums, %s to %s for averages", name,
                 print_decimal(arena, &entry->low[0]), print_decimal(arena, &entry->high[0]),
                 print_decimal(arena, &entry->low[1]), print_decimal(arena, &entry->high[1]));
        return;
    }
    while (c->levels.items[number - 1] != entry->payer)
        number++;
    const struct dp_charge *price = &entry->release->charge;
    add_line(lines, "Bounds of %s: found first, within %s to %s, and kept for later statements",
             name, print_decimal(arena, &entry->low[0]), print_decimal(arena, &entry->high[0]));
    add_line(lines, "  Price: %llu pico mu^2, of the epsilon of release %zu",
             (unsigned long long)price->mu2_pico, number);
    add_measurement(lines, entry->release->sql);
}

static void explain_level(struct lines *lines, const struct level *level, size_t number)
{
    const struct release *release = level->release;
    if (release->n_measures == 0 && release->n_histograms == 0) {
        add_line(lines, "Release %zu: the declared keys, nothing is measured", number);
        explain_keys(lines, level);
        return;
    }
    add_line(lines, "Release %zu: epsilon %.4g", number, (double)level->epsilon / 1e9);
    for (size_t i = 0; i < level->aggregates.n; i++)
        explain_aggregate(lines, level, &level->aggregates.items[i]);
    explain_keys(lines, level);
    explain_bounds(lines, level);
    add_line(lines, "  Price: %llu pico mu^2, delta %.4g",
             (unsigned long long)release->charge.mu2_pico,
             (double)release->charge.delta_atto / 1e18);
    if (!release_is_measured(release))
        add_line(lines, "  Measurement: none, all of it was paid for before");
    if (release->sql != NULL)
        add_measurement(lines, release->sql);
    for (size_t i = 0; i < release->n_histograms; i++)
        if (release->histograms[i].sql != NULL)
            add_measurement(lines, release->histograms[i].sql);
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

static void json_string(struct text *out, const char *value)
{
    text_add(out, "\"");
    for (const char *p = value; *p != '\0'; p++) {
        char one[2] = {*p, '\0'};
        if (*p == '"' || *p == '\\')
            text_printf(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            text_printf(out, "\\u%04x", (unsigned)(unsigned char)*p);
        else
            text_add(out, one);
    }
    text_add(out, "\"");
}

static void json_member(struct text *out, const char *name, const char *value)
{
    text_printf(out, ", \"%s\": ", name);
    if (value == NULL)
        text_add(out, "null");
    else
        json_string(out, value);
}

static void json_number(struct text *out, const char *name, uint64_t value)
{
    text_printf(out, ", \"%s\": ", name);
    if (value == 0)
        text_add(out, "null");
    else
        text_printf(out, "%llu", (unsigned long long)value);
}

static void json_open_error(struct text *out, const struct level *level,
                            const struct level_aggregate *aggregate)
{
    double size;
    const char *of = error_measure(aggregate, &size);
    text_add(out, ", \"Expected Error\": null");
    if (of == NULL)
        return;
    text_printf(out, ", \"Expected Error Factor\": %.9g",
                interval_halfwidth(level, aggregate) / size);
    json_member(out, "Expected Error Times", of);
}

static void json_automatic(struct text *out, const struct auto_column *entry)
{
    struct arena *arena = out->arena;
    text_add(out, "{\"Column\": ");
    json_string(out, arena_printf(arena, "%s.%s.%s", entry->table->schema, entry->table->name,
                                  entry->column->name));
    json_member(out, "Low", print_decimal(arena, &entry->low[0]));
    json_member(out, "High", print_decimal(arena, &entry->high[0]));
    json_member(out, "Low of Averages", print_decimal(arena, &entry->low[1]));
    json_member(out, "High of Averages", print_decimal(arena, &entry->high[1]));
    text_printf(out, ", \"Found\": %s, \"Price mu2_pico\": %llu", entry->open ? "false" : "true",
                (unsigned long long)entry->release->charge.mu2_pico);
    json_member(out, "Measurement", entry->open ? entry->release->sql : NULL);
    text_add(out, "}");
}

static void json_reuse(struct text *out, const struct level *level,
                       const struct level_aggregate *aggregate)
{
    static const char *const extents[] = {
        [REUSE_NONE] = "none", [REUSE_PART] = "part", [REUSE_ALL] = "all"};
    const char *since;
    json_member(out, "Reuse", extents[reuse_of(level, aggregate, &since)]);
    json_member(out, "Reused Since", since);
    json_member(out, "Reused Groups", fold_sources(level, aggregate));
}

static void json_quantile(struct text *out, const struct level *level,
                          const struct level_aggregate *aggregate)
{
    const struct level_histogram *histogram =
        &level->histograms.items[aggregate->quantile.histogram];
    text_add(out, "{\"Column\": ");
    json_string(out, aggregate->described);
    json_member(out, "Mechanism", drawn_by(level, aggregate));
    text_printf(out, ", \"Epsilon\": %.9g, \"Expected Error Ranks\": %.9g, \"Confidence\": %.9g",
                column_epsilon(level, aggregate), interval_halfwidth(level, aggregate),
                confidence(level));
    json_number(out, "Bins", histogram->bins.n);
    json_member(out, "Bin Width", bins_width_text(&histogram->bins, out->arena));
    json_number(out, "Groups of a Person", level->bounding.unit_groups);
    if (asks_for_extreme(&aggregate->quantile))
        json_number(out, "People from the End", (uint64_t)extreme_offset(level, aggregate));
    json_reuse(out, level, aggregate);
    double kept = reuse_kept_error(level, aggregate);
    if (kept >= 0)
        text_printf(out, ", \"Kept Error Ranks\": %.9g", kept);
    json_member(out, "Measurement", level->release->histograms[aggregate->quantile.histogram].sql);
    text_add(out, "}");
}

static void json_aggregate(struct text *out, const struct level *level,
                           const struct level_aggregate *aggregate)
{
    if (aggregate->kind == AGGREGATE_QUANTILE) {
        json_quantile(out, level, aggregate);
        return;
    }
    bool ratio = aggregate->kind == AGGREGATE_AVG || aggregate->kind == AGGREGATE_VARIANCE;
    bool range = ratio || aggregate->kind == AGGREGATE_SUM;
    text_add(out, "{\"Column\": ");
    json_string(out, aggregate->described);
    json_member(out, "Mechanism", mechanism_name(level, aggregate));
    text_printf(out, ", \"Epsilon\": %.9g", column_epsilon(level, aggregate));
    if (is_open(level, aggregate))
        json_open_error(out, level, aggregate);
    else
        text_printf(out, ", \"Expected Error\": %.9g", interval_halfwidth(level, aggregate));
    text_printf(out, ", \"Confidence\": %.9g", confidence(level));
    if (ratio)
        text_printf(out, ", \"Assumed Count\": %d", (int)INTERVAL_ASSUMED_COUNT);
    if (range) {
        json_member(out, "Low", print_decimal(out->arena, &aggregate->low));
        json_member(out, "High", print_decimal(out->arena, &aggregate->high));
    }
    if (aggregate->count >= 0)
        json_member(out,
                    is_rotated(level, aggregate->count) ? "Pair Sensitivity" : "Count Sensitivity",
                    sensitivity(level, aggregate->count));
    if (aggregate->sum >= 0 && !is_rotated(level, aggregate->sum))
        json_member(out, "Sum Sensitivity", sensitivity(level, aggregate->sum));
    if (aggregate->squares >= 0)
        json_member(out, "Squares Sensitivity", sensitivity(level, aggregate->squares));
    json_reuse(out, level, aggregate);
    text_add(out, "}");
}

static void json_level(struct text *out, const struct level *level)
{
    const struct release *release = level->release;
    const char *keys = level->n_keys == 0 ? "none" : level->public_keys ? "domain" : "private";
    text_add(out, "{\"Columns\": [");
    for (size_t i = 0; i < level->aggregates.n; i++) {
        text_add(out, i == 0 ? "" : ", ");
        json_aggregate(out, level, &level->aggregates.items[i]);
    }
    text_add(out, "]");
    json_member(out, "Keys", keys);
    if (level->public_keys || level->list != NULL)
        json_number(out, "Groups", release->n_domain);
    if (level->list != NULL)
        json_member(out, "Keys Since", level->list->since);
    if (release->keep != NULL)
        text_printf(out, ", \"Key Even Chance\": %llu",
                    (unsigned long long)keys_even_chance(release->keep));
    else if (reuse_draws_keys(level))
        text_printf(out, ", \"Key Threshold\": %lld", (long long)release->key_threshold);
    json_number(out, "Rows Kept", level->bounding.cut);
    json_number(out, "Groups Kept", level->bounding.window);
    json_number(out, "Rows per Group", level->bounding.per_group);
    text_printf(out, ", \"Price mu2_pico\": %llu, \"Delta atto\": %llu",
                (unsigned long long)release->charge.mu2_pico,
                (unsigned long long)release->charge.delta_atto);
    json_member(out, "Measurement", release->sql);
    text_add(out, "}");
}

void explain_plan(const struct compile *c, struct plan *plan, bool json)
{
    struct lines lines = {.arena = c->arena};
    for (size_t i = 0; i < c->automatic.n; i++)
        explain_automatic(&lines, c, &c->automatic.items[i]);
    for (size_t i = 0; i < c->levels.n; i++)
        explain_level(&lines, c->levels.items[i], i + 1);
    if (c->levels.n == 0)
        add_line(&lines, "Nothing is measured.");
    if (c->levels.n > 0)
        add_line(&lines, "Price of the statement: %llu pico mu^2, delta %.4g",
                 (unsigned long long)plan->charge.mu2_pico, (double)plan->charge.delta_atto / 1e18);
    plan->explain = lines.list.items;
    plan->n_explain = lines.list.n;
    if (!json)
        return;
    struct text out = text_new(c->arena);
    text_add(&out, "{\"Releases\": [");
    for (size_t i = 0; i < c->levels.n; i++) {
        text_add(&out, i == 0 ? "" : ", ");
        json_level(&out, c->levels.items[i]);
    }
    text_add(&out, "], \"Automatic Bounds\": [");
    for (size_t i = 0; i < c->automatic.n; i++) {
        text_add(&out, i == 0 ? "" : ", ");
        json_automatic(&out, &c->automatic.items[i]);
    }
    text_printf(&out, "], \"Price mu2_pico\": %llu, \"Delta atto\": %llu}",
                (unsigned long long)plan->charge.mu2_pico,
                (unsigned long long)plan->charge.delta_atto);
    plan->explain_json = out.data;
}

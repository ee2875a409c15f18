/*
 * The identity of what a statement measures: two statements with the same fingerprint release the
 * same random variables, whatever they do with them afterwards. And the public integers of every
 * measure, from which a charge can be computed again.
 */
#include <stdio.h>
#include <string.h>

#include "parser/digest.h"
#include "parser/price.h"

/* What is drawn of it; a measure that is kept is not measured. */
static void add_measure(struct text *out, const struct measure *measure)
{
    if (measure->draw.m == 0)
        return;
    digest_add_number(out, measure->kind);
    digest_add_number(out, measure->draw.mechanism);
    text_printf(out, "%d;%d;", measure->draw.grid.scale10, measure->draw.grid.exp2);
    digest_add_number(out, measure->draw.delta_grid);
    digest_add_number(out, measure->draw.groups);
    digest_add_number(out, measure->draw.m);
}

/* Does the SQL use parameter number? A constant of an aggregate that counts every row is not used.
 */
static bool text_uses_param(const char *sql, size_t number)
{
    char name[24];
    int length = snprintf(name, sizeof name, "$%zu", number);
    for (const char *at = sql == NULL ? NULL : strstr(sql, name); at != NULL;
         at = strstr(at + 1, name))
        if (at[length] < '0' || at[length] > '9')
            return true;
    return false;
}

static bool uses_param(const struct release *release, size_t number)
{
    bool uses = text_uses_param(release->sql, number);
    for (size_t i = 0; i < release->n_histograms; i++)
        uses = uses || text_uses_param(release->histograms[i].sql, number);
    return uses;
}

static void add_wide(struct text *out, __int128 value)
{
    const struct dp_decimal decimal = {value, 0};
    char digits[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(&decimal, digits);
    digest_add(out, digits);
}

static void add_histogram(struct text *out, const struct release_histogram *histogram)
{
    digest_add(out, histogram->sql);
    text_printf(out, "%d;%d;%d;", histogram->grid.scale10, histogram->grid.exp2,
                histogram->floating);
    add_wide(out, histogram->first);
    add_wide(out, histogram->width);
    digest_add_number(out, histogram->n_bins);
    digest_add_number(out, histogram->unit_weight);
    digest_add_number(out, histogram->groups);
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *draw = &histogram->draws[i];
        digest_add_number(out, draw->plan.n);
        digest_add_number(out, draw->plan.half_range);
        digest_add_number(out, draw->whole.m);
        digest_add_number(out, draw->whole.delta_grid);
        for (size_t n = 0; n < draw->plan.n; n++)
            text_printf(out, "%u/%u%+lld;", draw->ranks[n].numerator, draw->ranks[n].denominator,
                        (long long)draw->ranks[n].units_offset);
    }
}

static void add_release(struct text *out, const struct level *level)
{
    const struct release *release = level->release;
    digest_add(out, release->sql);
    /* The last parameter may be the dataset's secret; it is the same for all its statements. */
    for (size_t i = 0; release_is_measured(release) && i < level->scope.n_params; i++) {
        if (!uses_param(release, i + 1))
            continue;
        digest_add_number(out, i);
        digest_add_number(out, release->params[i].type);
        digest_add(out, release->params[i].text);
    }
    for (size_t i = 0; i < level->source.n_relations; i++)
        digest_add_number(out, level->source.relations[i].table->oid);
    if (release->uses_time_zone)
        digest_add(out, level->compile->request->settings->time_zone);
    digest_add_number(out, release->n_domain);
    for (size_t i = 0; i < release->n_domain * release->n_keys; i++)
        digest_add(out, release->domain[i]);
    text_printf(out, "%lld;", (long long)release->key_threshold);
    if (release->keep != NULL) /* by the measure's integers, delta and this */
        text_printf(out, "keep %llu;", (unsigned long long)release->keep->offset);
    for (size_t i = 0; i < release->n_measures; i++)
        add_measure(out, &release->measures[i]);
    for (size_t i = 0; i < release->n_histograms; i++)
        add_histogram(out, &release->histograms[i]);
}

static void add_dataset(struct text *out, const struct compile *c)
{
    digest_add(out, c->catalog->dataset);
    digest_add(out, c->catalog->database);
    digest_add(out, c->catalog->policy->version);
}

const char *fingerprint_releases(const struct compile *c)
{
    struct text all = text_new(c->arena);
    add_dataset(&all, c);
    digest_add_number(&all, c->levels.n);
    for (size_t i = 0; i < c->levels.n; i++)
        add_release(&all, c->levels.items[i]);
    for (size_t i = 0; i < c->automatic.n; i++)
        if (c->automatic.items[i].payer != NULL) {
            digest_add(&all, c->automatic.items[i].release->measures[0].identity);
            add_measure(&all, &c->automatic.items[i].release->measures[0]);
        }
    return digest_finish(&all);
}

const char *fingerprint_release(const struct level *level)
{
    struct text all = text_new(level->compile->arena);
    digest_add(&all, "release 1");
    add_dataset(&all, level->compile);
    add_release(&all, level);
    return digest_finish(&all);
}

static const char *kind_name(enum measure_kind kind)
{
    switch (kind) {
    case MEASURE_UNITS:
        return "units";
    case MEASURE_COUNT:
        return "count";
    case MEASURE_SUM:
        return "sum";
    case MEASURE_DISTINCT:
        return "distinct";
    case MEASURE_COMPLEMENT:
        return "complement";
    }
    return "";
}

/* The measure's place among those that are drawn. */
static size_t place(const struct release *release, size_t index)
{
    size_t n = 0;
    for (size_t i = 0; i < index; i++)
        n += release->measures[i].draw.m != 0;
    return n;
}

static void write_mechanism(const char *kind, const struct dp_calibration *calibration,
                            struct text *out)
{
    text_printf(out,
                "{\"measure\":\"%s\",\"mechanism\":\"%s\",\"scale10\":%d,\"exp2\":%d,"
                "\"delta\":%llu,\"groups\":%llu,\"m\":%llu}",
                kind, calibration->mechanism == DP_LAPLACE ? "laplace" : "gaussian",
                calibration->grid.scale10, calibration->grid.exp2,
                (unsigned long long)calibration->delta_grid,
                (unsigned long long)calibration->groups, (unsigned long long)calibration->m);
}

/* Each bin of a distribution: Gaussian noise; one unit changes all of them by no more than delta
 * together. */
static void describe_whole(struct text *out, const struct release_histogram *histogram,
                           const struct release_draw *draw, const char *separator)
{
    text_printf(out,
                "%s{\"measure\":\"distribution\",\"mechanism\":\"gaussian\",\"bins\":%u,"
                "\"delta\":%llu,\"groups\":%llu,\"m\":%llu,\"n\":%zu}",
                separator, histogram->n_bins, (unsigned long long)draw->whole.delta_grid,
                (unsigned long long)draw->whole.groups, (unsigned long long)draw->whole.m,
                draw->plan.n);
}

/* For the journal of a histogram whose bins are not known when it is charged: the most there can
 * be.
 */
static unsigned most_bins(const struct level_histogram *histogram)
{
    return histogram->bought ? BINS_MAX : histogram->bins.n;
}

/* Each draw: `levels` exponential mechanisms whose scores change within twice half_range, in each
 * group. */
static void describe_histogram(struct text *out, const struct release_histogram *histogram,
                               unsigned n_bins, const char **separator)
{
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *draw = &histogram->draws[i];
        const char *before = *separator;
        *separator = ",";
        if (draw->whole.m != 0) {
            describe_whole(out, histogram, draw, before);
            continue;
        }
        text_printf(out,
                    "%s{\"measure\":\"quantiles\",\"mechanism\":\"exponential\",\"bins\":%u,"
                    "\"weight\":%llu,\"groups\":%llu,\"levels\":%u,\"half_range\":%llu,\"n\":%zu}",
                    before, n_bins, (unsigned long long)histogram->unit_weight,
                    (unsigned long long)histogram->groups, draw->plan.levels,
                    (unsigned long long)draw->plan.half_range, draw->plan.n);
    }
}

const char *fingerprint_mechanisms(const struct level *level)
{
    const struct release *release = level->release;
    struct text out = text_new(level->compile->arena);
    text_add(&out, "[");
    const char *separator = "";
    for (size_t n = 0; n < release->n_measures; n++) {
        const struct measure *measure = &release->measures[n];
        if (measure->draw.m == 0)
            continue;
        text_add(&out, separator);
        /* A complement's integers and charge are those of the other. */
        if (measure->kind == MEASURE_COMPLEMENT)
            text_printf(&out, "{\"measure\":\"complement\",\"of\":%zu}",
                        place(release, measure->completes));
        else
            write_mechanism(release->keep != NULL ? "keys" : kind_name(measure->kind),
                            price_fixed_by(&level->measures[n]), &out);
        separator = ",";
    }
    for (size_t n = 0; n < release->n_histograms; n++)
        describe_histogram(&out, &release->histograms[n], most_bins(&level->histograms.items[n]),
                           &separator);
    text_add(&out, "]");
    return out.data;
}

const char *fingerprint_bounds(const struct compile *c, const struct measure *measure)
{
    struct text all = text_new(c->arena);
    digest_add(&all, "bounds 1");
    digest_add(&all, measure->identity);
    add_measure(&all, measure);
    return digest_finish(&all);
}

const char *fingerprint_bounds_mechanism(const struct compile *c, const struct measure *measure)
{
    struct text out = text_new(c->arena);
    text_add(&out, "[");
    write_mechanism("bounds", &measure->draw, &out);
    text_add(&out, "]");
    return out.data;
}

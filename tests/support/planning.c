/* One statement, from text to plan; and a plan as text for the golden files. */
#include "tests/support/planning.h"

#include <assert.h>
#include <string.h>

#include "tests/support/catalogs.h"

enum { NAMES_MAX = 64, CONSTANTS_MAX = 256, LITERAL_MAX = 256 };

struct plan_settings planning_settings(void)
{
    return (struct plan_settings){.epsilon = 1000000000,
                                  .delta = 1000000,
                                  .delta_conv = 1000000000000,
                                  .epsilon_max = 20000000000,
                                  .beta = 0.05,
                                  .groups_max = 10000,
                                  .work_max = 100000};
}

struct constants {
    size_t n;
    struct sql_constant items[CONSTANTS_MAX];
    char texts[CONSTANTS_MAX][LITERAL_MAX];
};

static void remember(struct constants *constants, const struct sql_constant *wanted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert(constants->n < CONSTANTS_MAX);
        char *text = constants->texts[constants->n];
        snprintf(text, LITERAL_MAX, "%s", wanted[i].literal);
        constants->items[constants->n++] = (struct sql_constant){wanted[i].type, text, text};
    }
}

static void plan_candidate(struct planning *planning, const struct plan_request *base)
{
    const struct statement *statement = parsed_statement(planning->parsed, 0);
    struct plan_request request = *base;
    struct constants constants = {.n = 0};
    uint32_t oids[NAMES_MAX] = {0};
    assert(statement->n_names <= NAMES_MAX);
    for (size_t i = 0; i < statement->n_names; i++)
        oids[i] =
            catalogs_resolve(request.catalog, statement->names[i].schema, statement->names[i].name);
    request.resolved_oids = oids;
    enum plan_result result = PLAN_WANTS_CONSTANTS;
    for (int round = 0; round < 4 && result == PLAN_WANTS_CONSTANTS; round++) {
        const struct sql_constant *wanted;
        size_t n_wanted;
        request.n_constants = constants.n;
        request.constants = constants.items;
        result = parser_plan(planning->parsed, 0, &request, &planning->plan, &planning->refusal,
                             &wanted, &n_wanted);
        remember(&constants, wanted, n_wanted);
        planning->rounds++;
    }
    assert(result != PLAN_WANTS_CONSTANTS);
    planning->result = result == PLAN_READY     ? PLANNED
                       : result == PLAN_REFUSED ? PLANNING_REFUSED
                                                : PLANNING_RELAYED;
}

struct planning plan_requested(const char *sql, const struct plan_request *request)
{
    const struct parser_limits limits = {1 << 20, 20000, 1000};
    struct planning planning = {.parsed = parser_parse(sql, request->catalog, &limits)};
    if (parsed_is_unparsable(planning.parsed)) {
        planning.result = PLANNING_UNPARSABLE;
        return planning;
    }
    if (parsed_count(planning.parsed) == 0) {
        planning.result = PLANNING_RELAYED;
        return planning;
    }
    const struct statement *statement = parsed_statement(planning.parsed, 0);
    planning.refusal = statement->refusal;
    planning.result = statement->class == STATEMENT_REFUSED ? PLANNING_REFUSED : PLANNING_RELAYED;
    if (statement->class == STATEMENT_CANDIDATE)
        plan_candidate(&planning, request);
    return planning;
}

struct planning plan_with(const struct catalog *catalog, const char *sql,
                          const struct plan_settings *settings, const struct sql_value *params,
                          size_t n_params)
{
    const struct plan_settings defaults = planning_settings();
    return plan_requested(
        sql, &(struct plan_request){.catalog = catalog,
                                    .settings = settings != NULL ? settings : &defaults,
                                    .params = params,
                                    .n_params = n_params});
}

struct planning plan_with_histograms(const struct catalog *catalog, const char *sql,
                                     const struct plan_settings *settings,
                                     const struct plan_histogram *histograms, size_t n)
{
    const struct plan_settings defaults = planning_settings();
    const struct plan_request found = {.catalog = catalog,
                                       .settings = settings != NULL ? settings : &defaults,
                                       .histograms = histograms,
                                       .n_histograms = n};
    return plan_requested(sql, &found);
}

struct planning plan_before_lookup(const struct catalog *catalog, const char *sql,
                                   const struct plan_settings *settings)
{
    const struct plan_request unasked = {
        .catalog = catalog, .settings = settings, .may_know_more = true};
    return plan_requested(sql, &unasked);
}

struct planning plan_statement(const struct catalog *catalog, const char *sql,
                               const struct plan_settings *settings)
{
    return plan_with(catalog, sql, settings, NULL, 0);
}

struct planning plan_kept(const struct catalog *catalog, const char *sql,
                          const struct plan_settings *settings, const struct kept_answer *kept,
                          size_t n_kept, bool asks)
{
    const struct plan_settings defaults = planning_settings();
    return plan_requested(
        sql, &(struct plan_request){.catalog = catalog,
                                    .settings = settings != NULL ? settings : &defaults,
                                    .asks_for_kept = asks,
                                    .n_kept = n_kept,
                                    .kept = kept});
}

void planning_clear(struct planning *planning)
{
    parsed_free(planning->parsed);
    memset(planning, 0, sizeof *planning);
}

static void print_histogram(const struct release_histogram *histogram, FILE *out)
{
    fprintf(
        out,
        "    histogram of %s: %u bins, weight %llu, groups %llu, grid 10^-%d 2^%d, first %lld, width %lld%s\n",
        histogram->described, histogram->n_bins, (unsigned long long)histogram->unit_weight,
        (unsigned long long)histogram->groups, histogram->grid.scale10, histogram->grid.exp2,
        (long long)histogram->first, (long long)histogram->width,
        histogram->floating ? ", floating" : "");
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *draw = &histogram->draws[i];
        if (draw->whole.m != 0)
            fprintf(out, "      the whole, delta %llu, m %llu:",
                    (unsigned long long)draw->whole.delta_grid, (unsigned long long)draw->whole.m);
        else
            fprintf(out, "      %u levels, half range %llu:", draw->plan.levels,
                    (unsigned long long)draw->plan.half_range);
        for (size_t n = 0; n < draw->plan.n; n++)
            fprintf(out, " %u/%u%+lld", draw->ranks[n].numerator, draw->ranks[n].denominator,
                    (long long)draw->ranks[n].units_offset);
        fprintf(out, "\n");
    }
    fprintf(out, "      sql: %s\n", histogram->sql);
    if (histogram->sql_proved != NULL)
        fprintf(out, "      proved: %s\n", histogram->sql_proved);
}

static void print_release(const struct release *release, FILE *out)
{
    static const char *const kinds[] = {[MEASURE_UNITS] = "units",
                                        [MEASURE_COUNT] = "count",
                                        [MEASURE_SUM] = "sum",
                                        [MEASURE_DISTINCT] = "distinct",
                                        [MEASURE_COMPLEMENT] = "complement"};
    fprintf(out, "  release: mu2 %llu, delta %llu, epsilon %llu\n",
            (unsigned long long)release->charge.mu2_pico,
            (unsigned long long)release->charge.delta_atto,
            (unsigned long long)release->charge.epsilon);
    for (size_t i = 0; i < release->n_keys; i++)
        fprintf(out, "    key %s\n", release->keys[i].type);
    if (release->keep != NULL)
        fprintf(out, "    coins, certain at %llu\n",
                (unsigned long long)(release->keep->offset + release->keep->n_entries));
    else if (release->n_keys > 0 && release->domain == NULL)
        fprintf(out, "    threshold %lld\n", (long long)release->key_threshold);
    else if (release->n_keys > 0)
        fprintf(out, "    domain of %zu groups\n", release->n_domain);
    for (size_t i = 0; i < release->n_measures; i++) {
        const struct measure *measure = &release->measures[i];
        const struct dp_calibration *c = &measure->calibration;
        fprintf(out, "    %s of %s: delta %llu, groups %llu, grid 10^-%d 2^%d, m %llu%s\n",
                kinds[measure->kind], measure->described, (unsigned long long)c->delta_grid,
                (unsigned long long)c->groups, c->grid.scale10, c->grid.exp2,
                (unsigned long long)c->m, measure->floating ? ", floating" : "");
    }
    for (size_t i = 0; i < release->n_params; i++)
        fprintf(out, "    $%zu: %u %s\n", i + 1, release->params[i].type,
                release->params[i].text == NULL ? "NULL" : release->params[i].text);
    if (release->n_measures > 0)
        fprintf(out, "    sql: %s\n", release->sql);
    if (release->n_measures > 0 && release->sql_proved != NULL)
        fprintf(out, "    proved: %s\n", release->sql_proved);
    for (size_t i = 0; i < release->n_histograms; i++)
        print_histogram(&release->histograms[i], out);
}

void planning_print(const struct planning *planning, FILE *out)
{
    const struct plan *plan = planning->plan;
    switch (planning->result) {
    case PLANNING_REFUSED:
        fprintf(out, "  refused: %s %s\n", planning->refusal.sqlstate, planning->refusal.message);
        return;
    case PLANNING_RELAYED:
        fprintf(out, "  relay\n");
        return;
    case PLANNING_UNPARSABLE:
        fprintf(out, "  unparsable\n");
        return;
    case PLANNED:
        break;
    }
    if (plan->probe)
        fprintf(out, "  probe\n");
    for (size_t i = 0; i < plan->n_relations; i++)
        if (plan->relations[i].kind == RELATION_RELEASE)
            print_release(plan->relations[i].release, out);
        else
            fprintf(out, "  relation of the ledger, %zu columns\n", plan->relations[i].n_columns);
    fprintf(out, "  final: %s\n", plan->final_sql);
}

/*
 * Prints what the compiler makes of statements, as JSON, one line each: for the golden plans and
 * for oracles that run measurement SQL on a server of their own.
 *
 *   plan_tool DATASET [--laplace] [--epsilon NANO] [--max-error ERROR] [--limits GROUPS:ROWS]
 *       < statements separated by lines of "--;"
 *
 * --limits declares max_groups and max_rows_per_group for every table with more than one row.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/parser.h"
#include "tests/support/catalogs.h"

static void json(const char *name, const char *value)
{
    printf("\"%s\": ", name);
    if (value == NULL) {
        printf("null");
        return;
    }
    putchar('"');
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            printf("\\u%04x", (unsigned)(unsigned char)*p);
        else
            putchar(*p);
    }
    putchar('"');
}

static void print_refusal(const struct refusal *refusal)
{
    printf("{\"result\": \"refused\", \"position\": %d, ", refusal->position);
    json("sqlstate", refusal->sqlstate);
    printf(", ");
    json("message", refusal->message);
    printf(", ");
    json("detail", refusal->detail);
    printf(", ");
    json("hint", refusal->hint);
    printf("}\n");
}

static void print_measure(const struct measure *measure)
{
    const struct dp_calibration *c = &measure->calibration;
    printf("{\"mechanism\": \"%s\", ", c->mechanism == DP_LAPLACE ? "laplace" : "gaussian");
    printf("\"kind\": \"%s\", \"floating\": %s, \"scale10\": %d, \"exp2\": %d, \"delta\": %llu, "
           "\"groups\": %llu, \"m\": %llu, \"mu2\": %llu, ",
           measure->kind == MEASURE_UNITS      ? "units"
           : measure->kind == MEASURE_COUNT    ? "count"
           : measure->kind == MEASURE_SUM      ? "sum"
           : measure->kind == MEASURE_DISTINCT ? "distinct"
                                               : "complement",
           measure->floating ? "true" : "false", c->grid.scale10, c->grid.exp2,
           (unsigned long long)c->delta_grid, (unsigned long long)c->groups,
           (unsigned long long)c->m, (unsigned long long)c->charge.mu2_pico);
    if (measure->kind == MEASURE_COMPLEMENT)
        printf("\"completes\": %zu, ", measure->completes);
    json("described", measure->described);
    printf("}");
}

static void print_histogram(const struct release_histogram *histogram)
{
    printf("{");
    json("sql", histogram->sql);
    printf(", ");
    json("sql_proved", histogram->sql_proved);
    printf(", \"n_bins\": %u, \"weight\": %llu, \"groups\": %llu, \"scale10\": %d, \"exp2\": %d, "
           "\"first\": %lld, \"width\": %lld, \"draws\": [",
           histogram->n_bins, (unsigned long long)histogram->unit_weight,
           (unsigned long long)histogram->groups, histogram->grid.scale10, histogram->grid.exp2,
           (long long)histogram->first, (long long)histogram->width);
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *draw = &histogram->draws[i];
        printf("%s{\"levels\": %u, \"half_range\": %llu, \"ranks\": [", i == 0 ? "" : ", ",
               draw->plan.levels, (unsigned long long)draw->plan.half_range);
        for (size_t n = 0; n < draw->plan.n; n++)
            printf("%s[%u, %u, %lld]", n == 0 ? "" : ", ", draw->ranks[n].numerator,
                   draw->ranks[n].denominator, (long long)draw->ranks[n].units_offset);
        printf("]}");
    }
    printf("]}");
}

static void print_release(const struct release *release)
{
    printf("{");
    json("sql", release->sql);
    printf(", ");
    json("sql_proved", release->sql_proved);
    printf(", ");
    json("proof_sql", release->proof_sql);
    printf(
        ", \"n_keys\": %zu, \"n_domain\": %zu, \"coins\": %s, \"key_threshold\": %lld, \"mu2\": %llu, "
        "\"delta\": %llu, \"params\": [",
        release->n_keys, release->n_domain, release->keep != NULL ? "true" : "false",
        (long long)release->key_threshold, (unsigned long long)release->charge.mu2_pico,
        (unsigned long long)release->charge.delta_atto);
    for (size_t i = 0; i < release->n_params; i++) {
        printf("%s{\"type\": %u, ", i == 0 ? "" : ", ", release->params[i].type);
        json("text", release->params[i].text);
        printf("}");
    }
    printf("], \"measures\": [");
    for (size_t i = 0; i < release->n_measures; i++) {
        printf("%s", i == 0 ? "" : ", ");
        print_measure(&release->measures[i]);
    }
    printf("], \"histograms\": [");
    for (size_t i = 0; i < release->n_histograms; i++) {
        printf("%s", i == 0 ? "" : ", ");
        print_histogram(&release->histograms[i]);
    }
    printf("]}");
}

static void print_plan(const struct plan *plan)
{
    printf("{\"result\": \"ready\", \"shape\": %d, \"probe\": %s, ", plan->shape,
           plan->probe ? "true" : "false");
    json("final_sql", plan->final_sql);
    printf(", \"mu2\": %llu, ", (unsigned long long)plan->charge.mu2_pico);
    json("fingerprint", plan->fingerprint);
    printf(", \"releases\": [");
    bool first = true;
    for (size_t i = 0; i < plan->n_relations; i++) {
        if (plan->relations[i].kind != RELATION_RELEASE)
            continue;
        printf("%s", first ? "" : ", ");
        print_release(plan->relations[i].release);
        first = false;
    }
    printf("], \"explain\": [");
    for (size_t i = 0; i < plan->n_explain; i++) {
        printf("%s", i == 0 ? "" : ", ");
        printf("{");
        json("line", plan->explain[i]);
        printf("}");
    }
    printf("], ");
    json("explain_json", plan->explain_json);
    printf("}\n");
}

static void plan_one(const struct catalog *catalog, const struct plan_settings *settings,
                     struct parsed *parsed, size_t index)
{
    const struct statement *statement = parsed_statement(parsed, index);
    uint32_t oids[64] = {0};
    struct sql_constant constants[64];
    size_t n_constants = 0;
    static char texts[64][256];
    if (statement->class == STATEMENT_RELAY) {
        printf("{\"result\": \"relay\"}\n");
        return;
    }
    if (statement->class == STATEMENT_REFUSED) {
        print_refusal(&statement->refusal);
        return;
    }
    for (size_t i = 0; i < statement->n_names && i < 64; i++)
        oids[i] = catalogs_resolve(catalog, statement->names[i].schema, statement->names[i].name);
    for (int round = 0; round < 8; round++) {
        const struct plan_request request = {.catalog = catalog,
                                             .resolved_oids = oids,
                                             .settings = settings,
                                             .n_constants = n_constants,
                                             .constants = constants};
        const struct plan *plan;
        struct refusal refusal;
        const struct sql_constant *wanted;
        size_t n_wanted;
        enum plan_result result =
            parser_plan(parsed, index, &request, &plan, &refusal, &wanted, &n_wanted);
        if (result == PLAN_READY)
            print_plan(plan);
        else if (result == PLAN_REFUSED)
            print_refusal(&refusal);
        else if (result == PLAN_NOT_PRIVATE)
            printf("{\"result\": \"relay\"}\n");
        if (result != PLAN_WANTS_CONSTANTS)
            return;
        /* Good enough for constants that are written in ISO form already. */
        for (size_t i = 0; i < n_wanted && n_constants < 64; i++) {
            constants[n_constants] = wanted[i];
            snprintf(texts[n_constants], sizeof texts[0], "%s", wanted[i].literal);
            constants[n_constants].literal = texts[n_constants];
            constants[n_constants].canonical = constants[n_constants].literal;
            n_constants++;
        }
    }
    printf("{\"result\": \"endless\"}\n");
}

static void plan_text(const struct catalog *catalog, const struct plan_settings *settings,
                      const char *text)
{
    const struct parser_limits limits = {1 << 20, 20000, 1000};
    struct parsed *parsed = parser_parse(text, catalog, &limits);
    if (parsed_is_unparsable(parsed))
        printf("{\"result\": \"unparsable\"}\n");
    else
        for (size_t i = 0; i < parsed_count(parsed); i++)
            plan_one(catalog, settings, parsed, i);
    parsed_free(parsed);
}

static void declare_limits(struct catalog *catalog, const char *limits)
{
    char *rest;
    uint64_t groups = strtoull(limits, &rest, 10);
    for (size_t i = 0; i < catalog->n_tables; i++) {
        if (catalog->tables[i].max_rows <= 1)
            continue;
        catalog->tables[i].max_groups = groups;
        if (*rest == ':')
            catalog->tables[i].max_rows_per_group = strtoull(rest + 1, NULL, 10);
    }
}

int main(int argc, char **argv)
{
    struct plan_settings settings = {.epsilon = 1000000000,
                                     .delta = 1000000,
                                     .delta_conv = 1000000000000,
                                     .epsilon_max = 20000000000,
                                     .beta = 0.05,
                                     .groups_max = 10000,
                                     .work_max = 100000};
    struct catalog *catalog = argc > 1 ? catalogs_copy(argv[1]) : NULL;
    if (catalog == NULL) {
        fprintf(stderr, "usage: plan_tool DATASET [--laplace] [--epsilon NANO] [--max-error E] "
                        "[--limits GROUPS:ROWS] < statements\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--laplace") == 0)
            settings.laplace = true;
        else if (strcmp(argv[i], "--epsilon") == 0 && i + 1 < argc)
            settings.epsilon = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--limits") == 0 && i + 1 < argc)
            declare_limits(catalog, argv[++i]);
        else if (strcmp(argv[i], "--max-error") == 0 && i + 1 < argc && ++i &&
                 !dp_decimal_parse(argv[i], strlen(argv[i]), &settings.max_error))
            return 2;
    }
    static char text[1 << 22];
    size_t length = 0;
    char line[1 << 16];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "--;\n") == 0) {
            plan_text(catalog, &settings, text);
            length = 0;
            text[0] = '\0';
            continue;
        }
        size_t more = strlen(line);
        if (length + more >= sizeof text)
            return 1;
        memcpy(text + length, line, more + 1);
        length += more;
    }
    if (length > 0)
        plan_text(catalog, &settings, text);
    return 0;
}

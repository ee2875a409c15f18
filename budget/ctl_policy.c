/* pgveilctl policy ... */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "budget/ctl.h"
#include "config/config.h"
#include "config/policy.h"

static struct policy *read_or_tell(const char *path)
{
    struct config_error error;
    struct policy *policy = policy_read(path, &error);
    if (!policy) {
        ctl_error("%s: %s%s%s", error.file, error.key, error.key[0] ? ": " : "", error.text);
    }
    return policy;
}

/* Adds a line about the file to the report; false without memory. */
static bool check_file(const struct ctl *ctl, const char *path, const char *dataset,
                       PGresult *report, bool *all_good)
{
    struct policy *policy = read_or_tell(path);
    size_t n_public = 0, n_private = 0;
    char n_private_text[24] = "";
    char n_public_text[24] = "";
    char version[sizeof(policy->version)] = "";
    int row = PQntuples(report);
    if (policy) {
        /* Programs get all of it. */
        snprintf(version, sizeof(version), "%.*s", ctl->format == CTL_TABLE ? 12 : 64,
                 policy->version);
    }
    for (size_t i = 0; policy && i < policy->n_tables; i++) {
        n_public += policy->tables[i].is_public ? 1 : 0;
        n_private += policy->tables[i].unit ? 1 : 0;
    }
    if (policy) {
        snprintf(n_private_text, sizeof(n_private_text), "%zu", n_private);
        snprintf(n_public_text, sizeof(n_public_text), "%zu", n_public);
    }
    *all_good = *all_good && policy;
    bool ok = ctl_set_value(report, row, 0, dataset) && ctl_set_value(report, row, 1, path) &&
              ctl_set_value(report, row, 2, policy ? "good" : "bad") &&
              ctl_set_value(report, row, 3, n_private_text) &&
              ctl_set_value(report, row, 4, n_public_text) &&
              ctl_set_value(report, row, 5, version);
    policy_free(policy);
    return ok;
}

static bool check_datasets(struct ctl *ctl, PGresult *report, bool *all_good)
{
    struct config *config = ctl_read_config(ctl);
    if (!config) {
        return false;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < config->n_datasets; i++) {
        ok =
            check_file(ctl, config->datasets[i].policy, config->datasets[i].name, report, all_good);
    }
    config_free(config);
    return ok;
}

enum ctl_exit ctl_policy_check(struct ctl *ctl)
{
    static const char *const columns[] = {
        "dataset", "file", "verdict", "n_private_tables", "n_public_tables", "version"};
    PGresult *report = ctl_new_result(6, columns);
    bool all_good = true;
    bool ok =
        report && (ctl->n_arguments == 1 ? check_file(ctl, ctl->arguments[0], "", report, &all_good)
                                         : check_datasets(ctl, report, &all_good));
    ok = ok && ctl_print_result(ctl, report, false);
    PQclear(report);
    return ok && all_good ? CTL_OK : CTL_REFUSED;
}

/* A policy as a list of facts: object, property, value. Two policies differ where these do. */
enum fact_column { FACT_OBJECT, FACT_PROPERTY, FACT_VALUE, FACT_COLUMNS };

static bool add_fact(PGresult *facts, const char *object, const char *property, const char *value)
{
    int row = PQntuples(facts);
    return ctl_set_value(facts, row, FACT_OBJECT, object) &&
           ctl_set_value(facts, row, FACT_PROPERTY, property) &&
           ctl_set_value(facts, row, FACT_VALUE, value);
}

static bool add_count(PGresult *facts, const char *object, const char *property, uint64_t count)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, count);
    return count == 0 || add_fact(facts, object, property, text);
}

/* Seconds from 1970 to 2000. */
static const int64_t epoch_seconds = 946684800;

static void put_bound(FILE *out, enum policy_bound_kind kind, const struct dp_decimal *value)
{
    char text[DP_DECIMAL_TEXT_MAX];
    struct tm broken;
    int64_t whole = (int64_t)value->digits;
    int64_t per_second = kind == POLICY_BOUND_TIMESTAMP ? 1000000 : 1;
    int64_t second = kind == POLICY_BOUND_DATE ? whole * 86400 : whole / per_second;
    int64_t fraction = whole - whole / per_second * per_second;
    if (fraction < 0) {
        fraction += per_second;
        second--;
    }
    time_t at = (time_t)(second + epoch_seconds);
    if (kind == POLICY_BOUND_NUMBER || value->scale != 0 || !gmtime_r(&at, &broken)) {
        dp_decimal_print(value, text);
        fputs(text, out);
        return;
    }
    strftime(text, sizeof(text), kind == POLICY_BOUND_DATE ? "%Y-%m-%d" : "%Y-%m-%d %H:%M:%S",
             &broken);
    fputs(text, out);
    if (fraction != 0) {
        fprintf(out, ".%06" PRId64, fraction);
    }
}

static void put_automatic(FILE *out, const struct policy_automatic *automatic)
{
    fputs("auto", out);
    if (automatic->has_unit) {
        fputs(", unit ", out);
        put_bound(out, POLICY_BOUND_NUMBER, &automatic->unit);
    }
    if (automatic->has_range) {
        fputs(", within ", out);
        put_bound(out, POLICY_BOUND_NUMBER, &automatic->low);
        fputs(" .. ", out);
        put_bound(out, POLICY_BOUND_NUMBER, &automatic->high);
    }
}

static void put_column(FILE *out, const struct policy_column *column)
{
    if (column->automatic) {
        put_automatic(out, column->automatic);
    }
    if (column->bounds) {
        put_bound(out, column->bounds->kind, &column->bounds->low);
        fputs(" .. ", out);
        put_bound(out, column->bounds->kind, &column->bounds->high);
    }
    for (size_t i = 0; i < column->n_domain; i++) {
        fputs(i > 0 ? ", " : column->bounds || column->automatic ? "; one of " : "one of ", out);
        fprintf(out, column->domain[i] ? "'%s'" : "%s",
                column->domain[i] ? column->domain[i] : "NULL");
    }
}

/* "schema.table" or "schema.table.column", and the text of a column; both to be freed. */
static bool column_texts(const struct policy_table *table, const struct policy_column *column,
                         char **object, char **value)
{
    size_t size;
    FILE *out = open_memstream(value, &size);
    if (!out) {
        return false;
    }
    put_column(out, column);
    return fclose(out) == 0 &&
           asprintf(object, "%s.%s.%s", table->schema, table->name, column->name) >= 0;
}

static bool add_column(PGresult *facts, const struct policy_table *table,
                       const struct policy_column *column)
{
    char *object = NULL;
    char *value = NULL;
    bool ok =
        column_texts(table, column, &object, &value) && add_fact(facts, object, "column", value);
    free(object);
    free(value);
    return ok;
}

static bool add_table(PGresult *facts, const struct policy_table *table)
{
    char *object = NULL;
    char *unit = NULL;
    bool ok = asprintf(&object, "%s.%s", table->schema, table->name) >= 0;
    if (!ok) {
        return false;
    }
    ok = add_fact(facts, object, "rows",
                  table->is_view     ? "view"
                  : table->is_public ? "public"
                  : table->hidden    ? "private, hidden"
                                     : "private");
    if (ok && table->unit) {
        ok = asprintf(&unit, "%s%s%s%s%s", table->unit, table->ref_name ? " -> " : "",
                      table->ref_name ? table->ref_schema : "", table->ref_name ? "." : "",
                      table->ref_name ? table->ref_name : "") >= 0 &&
             add_fact(facts, object, "unit", unit);
        free(unit);
    }
    ok = ok && add_count(facts, object, "max_rows", table->max_rows) &&
         add_count(facts, object, "max_groups", table->max_groups) &&
         add_count(facts, object, "max_rows_per_group", table->max_rows_per_group);
    free(object);
    for (size_t i = 0; ok && i < table->n_columns; i++) {
        ok = add_column(facts, table, &table->columns[i]);
    }
    return ok;
}

/* NULL with the reason printed. */
static PGresult *read_facts(const char *path)
{
    static const char *const columns[] = {"object", "property", "value"};
    struct policy *policy = read_or_tell(path);
    if (!policy) {
        return NULL;
    }
    PGresult *facts = ctl_new_result(FACT_COLUMNS, columns);
    bool ok = facts && add_count(facts, "", "minimum_units", policy->minimum_units) &&
              add_fact(facts, "", "reuse", policy->reuse ? "true" : "false") &&
              add_fact(facts, "", "epoch", policy_epoch_name(policy->epoch));
    for (size_t i = 0; ok && i < policy->n_tables; i++) {
        ok = add_table(facts, &policy->tables[i]);
    }
    policy_free(policy);
    if (!ok) {
        ctl_error("out of memory");
        PQclear(facts);
        return NULL;
    }
    return facts;
}

enum ctl_exit ctl_policy_show(struct ctl *ctl)
{
    PGresult *facts = read_facts(ctl->arguments[0]);
    bool ok = facts && ctl_print_result(ctl, facts, false);
    PQclear(facts);
    return ok ? CTL_OK : CTL_REFUSED;
}

/* The value of the same object and property; NULL: none. */
static const char *find_fact(const PGresult *facts, const PGresult *like, int row)
{
    for (int i = 0; i < PQntuples(facts); i++) {
        if (strcmp(PQgetvalue(facts, i, FACT_OBJECT), PQgetvalue(like, row, FACT_OBJECT)) == 0 &&
            strcmp(PQgetvalue(facts, i, FACT_PROPERTY), PQgetvalue(like, row, FACT_PROPERTY)) ==
                0) {
            return PQgetvalue(facts, i, FACT_VALUE);
        }
    }
    return NULL;
}

static bool add_difference(PGresult *differences, const PGresult *like, int row, const char *before,
                           const char *after)
{
    const char *change = !before ? "added" : !after ? "removed" : "changed";
    int at = PQntuples(differences);
    return ctl_set_value(differences, at, 0, change) &&
           ctl_set_value(differences, at, 1, PQgetvalue(like, row, FACT_OBJECT)) &&
           ctl_set_value(differences, at, 2, PQgetvalue(like, row, FACT_PROPERTY)) &&
           ctl_set_value(differences, at, 3, before ? before : "") &&
           ctl_set_value(differences, at, 4, after ? after : "");
}

static bool compare_facts(const PGresult *before, const PGresult *after, PGresult *differences)
{
    bool ok = true;
    for (int row = 0; ok && row < PQntuples(before); row++) {
        const char *old = PQgetvalue(before, row, FACT_VALUE);
        const char *new = find_fact(after, before, row);
        if (!new || strcmp(old, new) != 0) {
            ok = add_difference(differences, before, row, old, new);
        }
    }
    for (int row = 0; ok && row < PQntuples(after); row++) {
        if (!find_fact(before, after, row)) {
            ok = add_difference(differences, after, row, NULL, PQgetvalue(after, row, FACT_VALUE));
        }
    }
    return ok;
}

enum ctl_exit ctl_policy_diff(struct ctl *ctl)
{
    static const char *const columns[] = {"change", "object", "property", "before", "after"};
    PGresult *before = read_facts(ctl->arguments[0]);
    PGresult *after = before ? read_facts(ctl->arguments[1]) : NULL;
    PGresult *differences = after ? ctl_new_result(5, columns) : NULL;
    bool ok = differences && compare_facts(before, after, differences) &&
              ctl_print_result(ctl, differences, false);
    bool same = ok && PQntuples(differences) == 0;
    PQclear(before);
    PQclear(after);
    PQclear(differences);
    return same ? CTL_OK : CTL_REFUSED;
}

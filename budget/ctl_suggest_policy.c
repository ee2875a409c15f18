/* The suggested policy: every object says in its comment what a DBA has to decide about it. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ctl_suggest.h"

/* Appends to a comment; without memory the comment ends early. */
static void add(char **comment, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char **comment, const char *format, ...)
{
    char *part = NULL;
    char *longer = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&part, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return;
    }
    if (asprintf(&longer, "%s%s%s", *comment ? *comment : "", *comment ? " " : "", part) >= 0) {
        free(*comment);
        *comment = longer;
    }
    free(part);
}

/* Puts the comment into the object, in front of what is there, and frees it. */
static json_t *with_comment(json_t *object, char *comment)
{
    json_t *whole = comment ? json_pack("{s:s}", "comment", comment) : NULL;
    free(comment);
    if (!whole || !object) {
        return object;
    }
    json_object_update(whole, object);
    json_decref(object);
    return whole;
}

static bool is_key(const struct catalogue *catalogue, const struct table *table, int row)
{
    return row == table->unit || row == table->key ||
           suggest_cell(catalogue, row, CATALOGUE_REFERENCES)[0] != '\0';
}

/* Why a column is left out of the policy; NULL: it is in it. */
static const char *left_out(const struct catalogue *catalogue, const struct table *table, int row)
{
    char category = suggest_cell(catalogue, row, CATALOGUE_CATEGORY)[0];
    if (is_key(catalogue, table, row)) {
        return NULL;
    }
    if (category == 'S' && suggest_names_people(suggest_cell(catalogue, row, CATALOGUE_NAME))) {
        return "may name people";
    }
    return strchr("NDTBSE", category) ? NULL : "a type that analysts can do little with";
}

/* What a number needs to be summed: automatic bounds want the smallest size that matters where the
 * type has none. */
static const char *bounds_of_number(const char *type)
{
    if (strcmp(type, "smallint") == 0 || strcmp(type, "integer") == 0 ||
        strcmp(type, "bigint") == 0) {
        return "For sums and averages: \"bounds\": [low, high], from what the subject allows, or "
               "\"auto\".";
    }
    if (strcmp(type, "numeric") == 0 || strcmp(type, "double precision") == 0 ||
        strcmp(type, "real") == 0) {
        return "For sums and averages: \"bounds\": [low, high], from what the subject allows, or "
               "{\"auto\": true, \"unit\": the smallest size that matters}.";
    }
    return "Such values can be counted, and not summed.";
}

static const char *bounds_of_time(const char *type)
{
    if (strcmp(type, "date") == 0 || strncmp(type, "timestamp", 9) == 0) {
        return "For averages: \"bounds\": [first, last], from what the subject allows.";
    }
    return "Such values can be counted, and not averaged.";
}

/* A key of a table whose rows are nobody's, as of a list of codes: one may group by it. */
static bool is_code_key(const struct catalogue *catalogue, const struct table *table, int row)
{
    const struct table *target =
        suggest_find(catalogue, suggest_cell(catalogue, row, CATALOGUE_REFERENCES));
    return row != table->unit && row != table->key && target && target->unit < 0;
}

static json_t *suggest_column(const struct catalogue *catalogue, const struct table *table, int row)
{
    const char *checks = suggest_cell(catalogue, row, CATALOGUE_CHECKS);
    const char *labels = suggest_cell(catalogue, row, CATALOGUE_LABELS);
    json_t *column = json_object();
    char *comment = NULL;
    if (is_code_key(catalogue, table, row)) {
        add(&comment, "%s, a key of %s. \"domain\": [...] if its values are public.",
            suggest_cell(catalogue, row, CATALOGUE_TYPE),
            suggest_cell(catalogue, row, CATALOGUE_REFERENCES));
        return with_comment(column, comment);
    }
    if (is_key(catalogue, table, row)) {
        return column;
    }
    add(&comment, "%s.", suggest_cell(catalogue, row, CATALOGUE_TYPE));
    switch (suggest_cell(catalogue, row, CATALOGUE_CATEGORY)[0]) {
    case 'N':
        add(&comment, "%s", bounds_of_number(suggest_cell(catalogue, row, CATALOGUE_TYPE)));
        break;
    case 'D':
        add(&comment, "%s", bounds_of_time(suggest_cell(catalogue, row, CATALOGUE_TYPE)));
        break;
    case 'T':
        add(&comment, "For sums and averages: \"bounds\": [low, high], in seconds.");
        break;
    case 'B':
        json_object_set_new(column, "domain", json_pack("[b,b]", 0, 1));
        break;
    case 'E':
        json_object_set_new(column, "domain", json_loads(labels, 0, NULL));
        add(&comment, "The domain is the labels of the type: analysts will see them.");
        break;
    default:
        add(&comment, "\"domain\": [...] if its values are public.");
        break;
    }
    if (checks[0]) {
        add(&comment, "It has %s.", checks);
    }
    if (catalogue->looked && catalogue->looked[row]) {
        add(&comment, "Looked at: %s.", catalogue->looked[row]);
    }
    return with_comment(column, comment);
}

/* "lines.visit -> visits, visits.patient -> patients": from the table to the unit. */
static void add_path(char **comment, const struct catalogue *catalogue, const struct table *table,
                     const struct table *root)
{
    add(comment, "Whose row it is:");
    for (int steps = 0; table && table != root && steps < catalogue->n_tables; steps++) {
        const struct table *parent =
            suggest_find(catalogue, suggest_cell(catalogue, table->unit, CATALOGUE_REFERENCES));
        add(comment, "%s.%s -> %s%s", table->name,
            suggest_cell(catalogue, table->unit, CATALOGUE_NAME), parent ? parent->name : "?",
            parent == root ? "." : ",");
        table = parent;
    }
}

/* Other columns by which a row might belong to somebody. */
static void add_other_paths(char **comment, const struct catalogue *catalogue,
                            const struct table *table)
{
    for (int row = table->first; row < table->end; row++) {
        const struct table *parent =
            suggest_find(catalogue, suggest_cell(catalogue, row, CATALOGUE_REFERENCES));
        if (row != table->unit && parent && parent->unit >= 0) {
            add(comment, "Also %s leads to a unit (%s): decide whose row it is.",
                suggest_cell(catalogue, row, CATALOGUE_NAME), parent->name);
        }
    }
}

static void add_left_out(char **comment, const struct catalogue *catalogue,
                         const struct table *table)
{
    for (int row = table->first; row < table->end; row++) {
        const char *why = left_out(catalogue, table, row);
        if (why) {
            add(comment, "Left out: %s (%s; %s).", suggest_cell(catalogue, row, CATALOGUE_NAME),
                suggest_cell(catalogue, row, CATALOGUE_TYPE), why);
        }
    }
}

static json_t *suggest_table(const struct catalogue *catalogue, const struct table *table,
                             const struct table *root)
{
    json_t *columns = json_object();
    json_t *entry = json_object();
    const char *unit = suggest_cell(catalogue, table->unit, CATALOGUE_NAME);
    bool one = table == root || suggest_is(catalogue, table->unit, CATALOGUE_UNIQUE);
    char *comment = NULL;
    if (table == root) {
        add(&comment, "The privacy units: each row is one.");
        json_object_set_new(entry, "unit", json_string(unit));
    } else {
        add_path(&comment, catalogue, table, root);
        json_object_set_new(entry, "unit",
                            json_pack("{s:s,s:s}", "column", unit, "references",
                                      suggest_cell(catalogue, table->unit, CATALOGUE_REFERENCES)));
    }
    if (!one) {
        add(&comment, "max_rows 10 is a guess: how many rows may one unit contribute? Rows beyond "
                      "it are dropped, and the noise grows with it.");
    }
    if (table != root && catalogue->looked && catalogue->looked[table->unit]) {
        add(&comment, "Looked at: %s.", catalogue->looked[table->unit]);
    }
    add_other_paths(&comment, catalogue, table);
    add_left_out(&comment, catalogue, table);
    json_object_set_new(entry, "max_rows", json_integer(one ? 1 : 10));
    for (int row = table->first; row < table->end; row++) {
        if (!left_out(catalogue, table, row)) {
            json_object_set_new(columns, suggest_cell(catalogue, row, CATALOGUE_NAME),
                                suggest_column(catalogue, table, row));
        }
    }
    json_object_set_new(entry, "columns", columns);
    return with_comment(entry, comment);
}

/* A foreign key of the table that leads to private rows and that a policy cannot follow; -1: none.
 */
static int find_link(const struct catalogue *catalogue, const struct table *table)
{
    for (int link = 0; link < PQntuples(catalogue->links); link++) {
        const struct table *target = suggest_find(catalogue, PQgetvalue(catalogue->links, link, 1));
        if (strcmp(PQgetvalue(catalogue->links, link, 0), table->name) == 0 && target &&
            target->unit >= 0) {
            return link;
        }
    }
    return -1;
}

/* Whether a private table has a column of this name and type that leads to the unit. */
static bool is_like_unit(const struct catalogue *catalogue, int row)
{
    for (int i = 0; i < catalogue->n_tables; i++) {
        int unit = catalogue->tables[i].unit;
        if (unit >= 0 &&
            strcmp(suggest_cell(catalogue, unit, CATALOGUE_NAME),
                   suggest_cell(catalogue, row, CATALOGUE_NAME)) == 0 &&
            strcmp(suggest_cell(catalogue, unit, CATALOGUE_TYPE),
                   suggest_cell(catalogue, row, CATALOGUE_TYPE)) == 0 &&
            strcmp(suggest_cell(catalogue, unit, CATALOGUE_NAME), "id") != 0) {
            return true;
        }
    }
    return false;
}

/* What speaks against making a table public: columns that look like the unit or may name people. */
static void add_doubts(char **comment, const struct catalogue *catalogue, const struct table *table)
{
    for (int row = table->first; row < table->end; row++) {
        const char *name = suggest_cell(catalogue, row, CATALOGUE_NAME);
        if (is_like_unit(catalogue, row)) {
            add(comment,
                "%s.%s looks like the unit, and no foreign key says so: its rows may be people's.",
                table->name, name);
        } else if (suggest_cell(catalogue, row, CATALOGUE_CATEGORY)[0] == 'S' &&
                   row != table->key && suggest_names_people(name)) {
            add(comment, "%s.%s may name people.", table->name, name);
        }
    }
}

static void add_table_left_out(char **comment, const struct catalogue *catalogue,
                               const struct table *table)
{
    const char *parent = suggest_cell(catalogue, table->first, CATALOGUE_PARENT);
    int link = find_link(catalogue, table);
    if (parent[0]) {
        add(comment, "Left out: %s (its rows are also rows of %s, from which it inherits).",
            table->name, parent);
    } else if (link >= 0) {
        add(comment,
            "Left out: %s (its rows belong to people, by %s, which leads to %s and not by the "
            "primary key of one column that a policy needs: do not make it public).",
            table->name, PQgetvalue(catalogue->links, link, 2),
            PQgetvalue(catalogue->links, link, 1));
    } else {
        add(comment,
            "Left out: %s (no key leads to the unit; add it with \"public\": true if every analyst "
            "may read its rows).",
            table->name);
        add_doubts(comment, catalogue, table);
    }
}

static void add_views(char **comment, const struct catalogue *catalogue)
{
    for (int row = 0; row < PQntuples(catalogue->views); row++) {
        const char *name = PQgetvalue(catalogue->views, row, 0);
        char kind = PQgetvalue(catalogue->views, row, 1)[0];
        if (kind == 'v') {
            add(comment,
                "Left out: %s (a view; add it with \"view\": true, and the tables and columns that "
                "it reads, if analysts should ask it).",
                name);
        } else {
            add(comment, "Left out: %s (a %s: a policy has tables and views).", name,
                kind == 'm' ? "materialized view" : "foreign table");
        }
    }
}

json_t *suggest_policy(const struct catalogue *catalogue, const struct table *root, const char *why)
{
    json_t *tables = json_object();
    char *comment = NULL;
    add(&comment,
        "A first policy, to be read and changed before it is used. %s Privacy unit: a row "
        "of %s (%s).",
        catalogue->looked ? "From the catalogue and, as asked for, the rows: what the comments say "
                            "of values depends on the data; bounds and domains should not."
                          : "From the catalogue alone: no rows and no statistics were read.",
        root->name, why);
    add(&comment,
        "Columns without a \"domain\" can be grouped by too: their keys are then published "
        "by partition selection.");
    for (int i = 0; i < catalogue->n_tables; i++) {
        const struct table *table = &catalogue->tables[i];
        if (table->unit >= 0) {
            json_object_set_new(tables, table->name, suggest_table(catalogue, table, root));
        } else {
            add_table_left_out(&comment, catalogue, table);
        }
    }
    add_views(&comment, catalogue);
    return with_comment(json_pack("{s:o}", "tables", tables), comment);
}

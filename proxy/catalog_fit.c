/* Whether the policy fits the tables: bounds, domains, the privacy unit. */
#include <stdlib.h>
#include <string.h>

#include "proxy/catalog_internal.h"

/* Bounds and domains */

static const char *bound_kind_name(enum policy_bound_kind kind)
{
    switch (kind) {
    case POLICY_BOUND_NUMBER:
        return "numbers";
    case POLICY_BOUND_DATE:
        return "dates (\"2020-01-31\")";
    case POLICY_BOUND_TIMESTAMP:
        return "timestamps (\"2020-01-31 00:00:00\")";
    }
    return "nothing";
}

/* What bounds of a column of this type are; false: it can have none. */
static bool bound_kind_of(uint32_t type, enum policy_bound_kind *kind)
{
    switch (type) {
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
    case TYPE_NUMERIC:
    case TYPE_INTERVAL: /* seconds */
        *kind = POLICY_BOUND_NUMBER;
        return true;
    case TYPE_DATE:
        *kind = POLICY_BOUND_DATE;
        return true;
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
        *kind = POLICY_BOUND_TIMESTAMP;
        return true;
    default:
        return false;
    }
}

static bool fit_bounds(const struct catalog_reader *reader, const struct catalog_table *table,
                       const struct catalog_column *column, const struct policy_bounds *bounds)
{
    enum policy_bound_kind kind = POLICY_BOUND_NUMBER;
    if (!bound_kind_of(column->type.oid, &kind))
        return catalog_fail(reader,
                            "table %s.%s, column %s of type %s cannot have bounds; accepted: "
                            "bounds of numbers, dates, timestamps and intervals (as seconds)",
                            table->schema, table->name, column->name, column->type.declared);
    if (kind != bounds->kind)
        return catalog_fail(reader,
                            "table %s.%s, column %s of type %s: its bounds are %s; accepted: %s",
                            table->schema, table->name, column->name, column->type.declared,
                            bound_kind_name(bounds->kind), bound_kind_name(kind));
    return true;
}

/* The key's canonical text and whether the type holds exactly what was written: a cast to
 * varchar(3) or numeric(5,2) would change it silently. No table is read. */
static char *canonical_sql(const struct catalog_type *type)
{
    const char *declared = type->declared;
    switch (type->oid) {
    case TYPE_NUMERIC:
        if (type->typmod == -1)
            return must_strdup("SELECT pg_catalog.trim_scale($1::pg_catalog.numeric)::"
                               "pg_catalog.text, true");
        return must_printf("SELECT ($1::%s)::pg_catalog.text, $1::pg_catalog.numeric = $1::%s",
                           declared, declared);
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
        return must_printf("SELECT ($1::%s)::pg_catalog.text, "
                           "pg_catalog.rtrim($1::pg_catalog.text) = "
                           "pg_catalog.rtrim($1::%s::pg_catalog.text)",
                           declared, declared);
    case TYPE_TIMESTAMPTZ: /* as keys are written: parser/expr_key.c */
        return must_printf("SELECT pg_catalog.replace(pg_catalog.timezone('0'::pg_catalog.interval,"
                           " $1::%s)::pg_catalog.text OPERATOR(pg_catalog.||) '+00', "
                           "'infinity+00', 'infinity'), true",
                           declared);
    default:
        return must_printf("SELECT ($1::%s)::pg_catalog.text, true", declared);
    }
}

static bool canonical_key(const struct catalog_reader *reader, const struct catalog_table *table,
                          const struct catalog_column *column, const char *text, char **canonical)
{
    const char *values[] = {text};
    const Oid types[] = {TYPE_TEXT};
    char *sql = canonical_sql(&column->type);
    PGresult *rows = PQexecParams(reader->conn, "SAVEPOINT key", 0, NULL, NULL, NULL, NULL, 0);
    PQclear(rows);
    rows = PQexecParams(reader->conn, sql, 1, types, values, NULL, NULL, 0);
    free(sql);
    bool valid = PQresultStatus(rows) == PGRES_TUPLES_OK && PQntuples(rows) == 1 &&
                 !PQgetisnull(rows, 0, 0) && strcmp(PQgetvalue(rows, 0, 1), "t") == 0;
    if (valid)
        *canonical = must_strdup(PQgetvalue(rows, 0, 0));
    PQclear(rows);
    PQclear(PQexec(reader->conn, "ROLLBACK TO SAVEPOINT key"));
    if (valid)
        return true;
    return catalog_fail(reader,
                        "table %s.%s, column %s: the key \"%s\" of its domain is not a value of "
                        "type %s",
                        table->schema, table->name, column->name, text, column->type.declared);
}

static bool same_key(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool fit_domain(const struct catalog_reader *reader, const struct catalog_table *table,
                       struct catalog_column *column, const struct policy_column *policy)
{
    column->domain = must_calloc(policy->n_domain, sizeof *column->domain);
    for (size_t i = 0; i < policy->n_domain; i++) {
        column->n_domain = i + 1;
        if (policy->domain[i] != NULL &&
            !canonical_key(reader, table, column, policy->domain[i], &column->domain[i]))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (same_key(column->domain[i], column->domain[k]))
                return catalog_fail(reader,
                                    "table %s.%s, column %s: two keys of its domain are the same "
                                    "value, \"%s\"",
                                    table->schema, table->name, column->name,
                                    column->domain[i] != NULL ? column->domain[i] : "NULL");
        }
    }
    return true;
}

bool catalog_fit_column(const struct catalog_reader *reader, const struct catalog_table *table,
                        struct catalog_column *column, const struct policy_column *policy)
{
    if (policy->bounds != NULL && !fit_bounds(reader, table, column, policy->bounds))
        return false;
    column->bounds = policy->bounds;
    const char *wrong = NULL;
    column->is_automatic = policy->automatic != NULL;
    if (column->is_automatic &&
        !catalog_automatic_find(&column->type, policy->automatic, &column->automatic, &wrong))
        return catalog_fail(reader, "table %s.%s, column %s of type %s %s", table->schema,
                            table->name, column->name, column->type.declared, wrong);
    return policy->n_domain == 0 || (fit_domain(reader, table, column, policy) &&
                                     catalog_domain_complete(reader, table, column));
}

/* Units */

/* Types in which equal means identical. numeric only without a fraction: 1 and 1.0 are equal and
 * print differently. */
static bool is_identity_like(const struct catalog_column *column)
{
    switch (column->type.oid) {
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_UUID:
    case TYPE_DATE:
        return true;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
        return column->deterministic;
    case TYPE_NUMERIC: /* typmod: precision above, eleven bits of scale below */
        return column->type.typmod >= 4 && ((column->type.typmod - 4) & 0x7ff) == 0;
    default:
        return false;
    }
}

static bool is_unique(const struct catalog_table *table, int column)
{
    for (size_t i = 0; i < table->n_unique; i++) {
        if (table->unique[i].n_columns == 1 && table->unique[i].columns[0] == column)
            return true;
    }
    return false;
}

static bool unclear_key(const struct catalog_reader *reader, const struct catalog_table *table,
                        const struct catalog_table *parent, const char *accepted)
{
    return catalog_fail(reader,
                        "table %s.%s: it is not clear which column of %s.%s its unit column %s "
                        "refers to; accepted: %s",
                        table->schema, table->name, parent->schema, parent->name,
                        table->columns[table->unit_column].name, accepted);
}

/* Which column of the parent the unit column refers to: the root's unit; else what a foreign key
 * says, else a primary key of one column. A foreign key that contradicts is an error. */
static bool find_parent_key(const struct catalog_reader *reader, struct catalog_table *table,
                            const struct catalog_table *parent)
{
    static const char sql[] =
        "SELECT confkey[1] FROM pg_catalog.pg_constraint"
        " WHERE contype = 'f' AND conrelid = $1::pg_catalog.oid"
        " AND confrelid = $2::pg_catalog.oid AND conkey = ARRAY[$3::pg_catalog.int2] "
        "UNION "
        "SELECT conkey[1] FROM pg_catalog.pg_constraint"
        " WHERE contype = 'p' AND conrelid = $2::pg_catalog.oid"
        " AND pg_catalog.cardinality(conkey) = 1 AND $4::pg_catalog.bool"
        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint"
        "  WHERE contype = 'f' AND conrelid = $1::pg_catalog.oid"
        "  AND confrelid = $2::pg_catalog.oid AND conkey = ARRAY[$3::pg_catalog.int2])";
    char child_oid[16], parent_oid[16], attnum[16];
    snprintf(child_oid, sizeof child_oid, "%u", table->oid);
    snprintf(parent_oid, sizeof parent_oid, "%u", parent->oid);
    snprintf(attnum, sizeof attnum, "%d", table->columns[table->unit_column].attnum);
    bool root = parent->parent < 0;
    const char *values[] = {child_oid, parent_oid, attnum, root ? "f" : "t"};
    PGresult *rows = catalog_ask(reader, sql, 4, values);
    if (rows == NULL)
        return false;
    int n = PQntuples(rows);
    int named =
        n == 1 ? catalog_column_by_attnum(parent, catalog_number(PQgetvalue(rows, 0, 0))) : -1;
    PQclear(rows);
    if (root) {
        table->parent_key = parent->unit_column;
        return n == 0 || named == parent->unit_column ||
               unclear_key(reader, table, parent,
                           "a foreign key, if there is one, to the unit column there");
    }
    table->parent_key = named;
    return named >= 0 || unclear_key(reader, table, parent,
                                     "a foreign key, or a primary key of one column there, and "
                                     "that column listed in the policy");
}

static bool fit_parent(const struct catalog_reader *reader, struct catalog_table *table)
{
    const struct catalog_table *parent = &reader->catalog->tables[table->parent];
    const struct catalog_column *unit = &table->columns[table->unit_column];
    if (!find_parent_key(reader, table, parent))
        return false;
    const struct catalog_column *key = &parent->columns[table->parent_key];
    if (unit->type.oid != key->type.oid || !is_identity_like(unit))
        return catalog_fail(reader,
                            "table %s.%s, unit column %s of type %s refers to %s.%s.%s of type %s; "
                            "accepted: exactly the same type",
                            table->schema, table->name, unit->name, unit->type.declared,
                            parent->schema, parent->name, key->name, key->type.declared);
    /* A value of the root's unit is the unit itself; any other key must lead to one row. */
    if (parent->parent < 0)
        return true;
    if (!is_unique(parent, table->parent_key) || parent->has_children)
        return catalog_fail(reader,
                            "table %s.%s: its unit leads through %s.%s.%s, which is not unique; "
                            "accepted: a column with a valid unique index on a table without "
                            "inheritance children or partitions",
                            table->schema, table->name, parent->schema, parent->name, key->name);
    return true;
}

bool catalog_fit_units(const struct catalog_reader *reader)
{
    struct catalog *catalog = reader->catalog;
    for (size_t i = 0; i < catalog->n_tables; i++) {
        struct catalog_table *table = &catalog->tables[i];
        if (table->is_public || table->view != NULL)
            continue;
        const struct catalog_column *unit = &table->columns[table->unit_column];
        if (!is_identity_like(unit))
            return catalog_fail(
                reader,
                "table %s.%s: its column %s of type %s cannot be the privacy unit; "
                "accepted: integers, text and varchar with a deterministic collation, uuid, date, "
                "numeric without fraction",
                table->schema, table->name, unit->name, unit->type.declared);
        if (table->parent >= 0 && !fit_parent(reader, table))
            return false;
    }
    return true;
}

/*
 * A subquery beside a release runs on the twin, where the private rows of the release's level are
 * not. Names that it qualifies with a relation of that level, and names that only that level has,
 * cannot be found there: refused now, before anything is charged.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/walk.h"

struct subquery {
    struct level *level;
    VECTOR(const char *) names; /* of relations inside */
    VECTOR(const struct catalog_table *) tables;
    bool unknown_columns; /* a relation whose columns are not in the catalogue */
};

static void add_name(struct subquery *subquery, const char *name)
{
    if (name != NULL)
        VECTOR_PUSH(subquery->level->compile->arena, &subquery->names, name);
}

static bool gather(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    struct subquery *subquery = context;
    const ProtobufCMessageDescriptor *type = (*child)->descriptor;
    (void)field;
    if (type == &pg_query__alias__descriptor)
        add_name(subquery, ((const PgQuery__Alias *)*child)->aliasname);
    if (type == &pg_query__common_table_expr__descriptor ||
        type == &pg_query__range_subselect__descriptor ||
        type == &pg_query__range_function__descriptor)
        subquery->unknown_columns = true;
    if (type == &pg_query__range_var__descriptor) {
        const PgQuery__RangeVar *range = (const PgQuery__RangeVar *)*child;
        const struct resolved_name *name = compile_resolve(subquery->level->compile, range);
        if (range->alias == NULL)
            add_name(subquery, range->relname);
        if (name->table != NULL)
            VECTOR_PUSH(subquery->level->compile->arena, &subquery->tables, name->table);
        else
            subquery->unknown_columns = true;
    }
    return walk_children(*child, gather, context);
}

static bool is_inside(const struct subquery *subquery, const char *name)
{
    for (size_t i = 0; i < subquery->names.n; i++)
        if (strcmp(subquery->names.items[i], name) == 0)
            return true;
    return false;
}

static bool has_column(const struct subquery *subquery, const char *name)
{
    for (size_t i = 0; i < subquery->tables.n; i++)
        for (size_t k = 0; k < subquery->tables.items[i]->n_columns; k++)
            if (strcmp(subquery->tables.items[i]->columns[k].name, name) == 0)
                return true;
    return subquery->unknown_columns;
}

static bool refers_outside(const struct subquery *subquery, const PgQuery__ColumnRef *ref)
{
    const struct level *level = subquery->level;
    const char *name = node_string(ref->fields[ref->n_fields - 1]);
    if (ref->n_fields == 1)
        return name != NULL && from_has_column(level, name) && !has_column(subquery, name);
    const char *table = node_string(ref->fields[ref->n_fields - 2]);
    if (table == NULL || is_inside(subquery, table))
        return false;
    for (size_t i = 0; i < level->source.n_relations; i++)
        if (strcmp(level->source.relations[i].alias, table) == 0)
            return true;
    return false;
}

static bool check(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    const struct subquery *subquery = context;
    (void)field;
    if ((*child)->descriptor != &pg_query__column_ref__descriptor)
        return walk_children(*child, check, context);
    const PgQuery__ColumnRef *ref = (const PgQuery__ColumnRef *)*child;
    if (!refers_outside(subquery, ref))
        return true;
    return compile_refuse(
        subquery->level->compile, ref->location, "0A000",
        "a subquery that refers to private rows is not supported",
        "It uses a column of the query over private rows that it stands in.",
        "Put the private aggregate into WITH and join it with the subquery's table.");
}

bool correlation_check(struct level *level, PgQuery__Node *subquery)
{
    struct subquery found = {.level = level};
    ProtobufCMessage *message = &subquery->base;
    gather(&found, NULL, &message);
    return check(&found, NULL, &message);
}

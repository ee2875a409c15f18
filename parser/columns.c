/*
 * Names of columns in a level over private rows. A name is looked up in the joins as they were
 * built: a merged column of USING is its preserved side's, a column of a flattened subquery is the
 * expression that the subquery had in its place.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/walk.h"

int from_column_index(const struct catalog_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int lookup_named(const named_node_list *columns, const char *name, PgQuery__Node **node)
{
    int found = 0;
    for (size_t i = 0; i < columns->n; i++) {
        if (strcmp(columns->items[i].name, name) != 0)
            continue;
        *node = columns->items[i].node;
        found++;
    }
    return found;
}

int from_lookup(const struct level *level, const struct join *join, const char *name,
                PgQuery__Node **node)
{
    PgQuery__Node *other = NULL;
    switch (join->kind) {
    case JOIN_NONE: {
        const struct scope_relation *relation = &level->source.relations[join->relation];
        if (from_column_index(relation->table, name) < 0)
            return 0;
        *node = node_new_column(level->compile->arena, relation->alias, name, -1);
        return 1;
    }
    case JOIN_DERIVED:
        return lookup_named(&join->columns, name, node);
    case JOIN_INNER:
    case JOIN_LEFT:
        break;
    }
    if (lookup_named(&join->columns, name, node) > 0) /* merged by USING */
        return 1;
    int left = from_lookup(level, join->left, name, node);
    int right = from_lookup(level, join->right, name, left == 0 ? node : &other);
    return left + right;
}

bool from_has_column(const struct level *level, const char *name)
{
    PgQuery__Node *node;
    return from_lookup(level, level->source.written, name, &node) > 0;
}

bool from_column(const struct level *level, const PgQuery__Node *node, size_t *relation,
                 int *column)
{
    if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 2)
        return false;
    const char *alias = node_string(node->column_ref->fields[0]);
    const char *name = node_string(node->column_ref->fields[1]);
    for (size_t i = 0; alias != NULL && name != NULL && i < level->source.n_relations; i++) {
        if (strcmp(level->source.relations[i].alias, alias) != 0)
            continue;
        *relation = i;
        *column = from_column_index(level->source.relations[i].table, name);
        return *column >= 0;
    }
    return false;
}

/* The relation or subquery of the analyst's name, in the joins and not inside their subqueries. */
static const struct join *find_named(const struct level *level, const struct join *join,
                                     const char *table, const char *schema)
{
    if (join->kind == JOIN_DERIVED)
        return schema == NULL && strcmp(join->alias, table) == 0 ? join : NULL;
    if (join->kind != JOIN_NONE) {
        const struct join *left = find_named(level, join->left, table, schema);
        return left != NULL ? left : find_named(level, join->right, table, schema);
    }
    const PgQuery__RangeVar *range = level->source.ranges[join->relation];
    const char *alias = range->alias != NULL ? range->alias->aliasname : range->relname;
    if (strcmp(alias, table) != 0)
        return NULL;
    if (schema != NULL &&
        (range->alias != NULL ||
         strcmp(level->source.relations[join->relation].table->schema, schema) != 0))
        return NULL;
    return join;
}

const struct join *from_named(const struct level *level, const struct join *scope,
                              const PgQuery__ColumnRef *ref)
{
    const char *table = node_string(ref->fields[ref->n_fields - 2]);
    const char *schema = ref->n_fields >= 3 ? node_string(ref->fields[ref->n_fields - 3]) : NULL;
    return table == NULL ? NULL : find_named(level, scope, table, schema);
}

static void add_column(const struct level *level, named_node_list *out, const char *name,
                       PgQuery__Node *node)
{
    struct named_node column = {name, node};
    VECTOR_PUSH(level->compile->arena, out, column);
}

static bool is_merged(const named_node_list *merged, const char *name)
{
    PgQuery__Node *node;
    return merged != NULL && lookup_named(merged, name, &node) > 0;
}

void from_all_columns(const struct level *level, const struct join *join,
                      const named_node_list *except, named_node_list *out)
{
    struct arena *arena = level->compile->arena;
    if (join->kind == JOIN_NONE) {
        const struct scope_relation *relation = &level->source.relations[join->relation];
        for (size_t i = 0; i < relation->table->n_columns; i++) {
            const char *name = relation->table->columns[i].name;
            if (!is_merged(except, name))
                add_column(level, out, name, node_new_column(arena, relation->alias, name, -1));
        }
        return;
    }
    for (size_t i = 0; i < join->columns.n; i++)
        if (!is_merged(except, join->columns.items[i].name))
            add_column(level, out, join->columns.items[i].name, join->columns.items[i].node);
    if (join->kind == JOIN_DERIVED)
        return;
    named_node_list hidden = join->columns;
    for (size_t i = 0; except != NULL && i < except->n; i++)
        VECTOR_PUSH(arena, &hidden, except->items[i]);
    from_all_columns(level, join->left, &hidden, out);
    from_all_columns(level, join->right, &hidden, out);
}

static bool refuse_column(struct level *level, const PgQuery__ColumnRef *ref, const char *name)
{
    struct compile *c = level->compile;
    if (name == NULL)
        return compile_refuse(c, ref->location, "42501", "this returns rows of individual people",
                              "The select list holds * over a private table.",
                              "Ask for aggregates, for example SELECT count(*) ... or SELECT "
                              "column, count(*) ... GROUP BY column.");
    return compile_refuse(
        c, ref->location, "0A000",
        arena_printf(c->arena, "column \"%s\" is not one of the private rows here", name),
        "A query over private rows can use the columns of the tables in its own FROM: no outer "
        "query's columns, no whole rows, no system columns.",
        "Aggregate the private table in a subquery of its own and join its result.");
}

static bool count_messages(void *context, const ProtobufCFieldDescriptor *field,
                           ProtobufCMessage **child)
{
    size_t *count = context;
    (void)field;
    ++*count;
    return walk_children(*child, count_messages, context);
}

/* Each column of a flattened subquery is its expression again, so that nested ones grow by powers.
 */
static bool may_copy(struct level *level, const PgQuery__ColumnRef *ref, PgQuery__Node *node)
{
    struct compile *c = level->compile;
    ProtobufCMessage *message = &node->base;
    count_messages(&c->copied, NULL, &message);
    if (c->copied <= COPIED_MAX)
        return true;
    return compile_refuse(c, ref->location, "54001", "statement is too complex",
                          "Columns of nested subqueries make its expressions too long.",
                          "Aggregate in an inner subquery, or use fewer columns twice.");
}

/* Where the refused expression stands is where the analyst wrote the name. */
static bool set_location(void *context, const ProtobufCFieldDescriptor *field,
                         ProtobufCMessage **child)
{
    const ProtobufCMessageDescriptor *type = (*child)->descriptor;
    (void)field;
    bool is_node =
        type == &pg_query__node__descriptor; /* has hundreds of fields, and no location */
    for (unsigned i = 0; i < type->n_fields && !is_node; i++)
        if (strcmp(type->fields[i].name, "location") == 0)
            memcpy((char *)*child + type->fields[i].offset, context, sizeof(int32_t));
    return walk_children(*child, set_location, context);
}

static bool qualify_column(struct level *level, const struct join *scope, PgQuery__Node **slot)
{
    PgQuery__ColumnRef *ref = (*slot)->column_ref;
    const char *name = node_string(ref->fields[ref->n_fields - 1]);
    PgQuery__Node *found = NULL;
    const struct join *within = ref->n_fields == 1 ? scope : from_named(level, scope, ref);
    if (name == NULL || within == NULL || from_lookup(level, within, name, &found) != 1)
        return refuse_column(level, ref, name);
    if (!may_copy(level, ref, found))
        return false;
    ProtobufCMessage *copy = walk_copy(level->compile->arena, &found->base);
    int32_t location = ref->location;
    set_location(&location, NULL, &copy);
    *slot = (PgQuery__Node *)copy;
    return true;
}

struct qualifier {
    struct level *level;
    const struct join *scope;
    bool subqueries; /* may stand here: the expression is the twin's */
};

static bool qualify_below(void *context, const ProtobufCFieldDescriptor *field,
                          ProtobufCMessage **child);

static bool qualify_subquery(struct qualifier *q, PgQuery__SubLink *link)
{
    struct compile *c = q->level->compile;
    if (!q->subqueries)
        return compile_refuse(
            c, link->location, "0A000",
            "a subquery in an expression over private rows is not supported",
            "The expression is evaluated on rows of individual people.",
            "Join the other table, or compare in the outer query: WITH q AS (SELECT column, count(*) "
            "... GROUP BY column) SELECT ... FROM q WHERE ...");
    if (!correlation_check(q->level, link->subselect))
        return false;
    if (link->testexpr == NULL)
        return true;
    ProtobufCMessage *test = &link->testexpr->base;
    bool done = qualify_below(q, NULL, &test);
    link->testexpr = (PgQuery__Node *)test;
    return done;
}

static bool qualify_below(void *context, const ProtobufCFieldDescriptor *field,
                          ProtobufCMessage **child)
{
    struct qualifier *q = context;
    (void)field;
    if ((*child)->descriptor == &pg_query__sub_link__descriptor)
        return qualify_subquery(q, (PgQuery__SubLink *)*child);
    if ((*child)->descriptor == &pg_query__node__descriptor) {
        PgQuery__Node *node = (PgQuery__Node *)*child;
        if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
            if (!qualify_column(q->level, q->scope, &node))
                return false;
            *child = &node->base;
            return true;
        }
    }
    return walk_children(*child, qualify_below, context);
}

static bool qualify(struct level *level, const struct join *scope, PgQuery__Node **slot,
                    bool subqueries)
{
    struct qualifier q = {level, scope, subqueries};
    ProtobufCMessage *message = &(*slot)->base;
    bool done = qualify_below(&q, NULL, &message);
    *slot = (PgQuery__Node *)message;
    return done;
}

bool from_qualify(struct level *level, const struct join *scope, PgQuery__Node **slot)
{
    return qualify(level, scope, slot, false);
}

bool from_qualify_output(struct level *level, PgQuery__Node **slot)
{
    return qualify(level, level->source.written, slot, true);
}

/*
 * The FROM clause of a level over private rows: which relations it joins, how, and on what. Every
 * column reference of the level is rewritten to relation.column, so that nothing later resolves a
 * name again: merged columns of USING, schema-qualified names and aliases are gone then.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/walk.h"

static int column_index(const struct catalog_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool alias_taken(const struct source *source, const char *alias)
{
    for (size_t i = 0; i < source->n_relations; i++)
        if (strcmp(source->relations[i].alias, alias) == 0)
            return true;
    return false;
}

static bool refuse_item(struct level *level, int location, const char *what, const char *hint)
{
    struct compile *c = level->compile;
    return compile_refuse(c, location, "0A000",
                          arena_printf(c->arena, "%s is not supported with private tables", what),
                          arena_printf(c->arena, "FROM holds %s beside a private table.", what),
                          hint);
}

static struct join *new_join(struct level *level, enum join_kind kind, int location)
{
    struct join *join = arena_alloc(level->compile->arena, sizeof *join);
    join->kind = kind;
    join->location = location;
    return join;
}

static struct join *build_table(struct level *level, const PgQuery__RangeVar *range)
{
    struct compile *c = level->compile;
    struct source *source = &level->source;
    const struct resolved_name *name =
        cte_scope_has(level->ctes, range) ? NULL : compile_resolve(c, range);
    if (name == NULL || (name->kind != NAME_PRIVATE && name->kind != NAME_PUBLIC)) {
        refuse_item(level, range->location, "a relation of the twin or a WITH query",
                    "Aggregate the private table in a subquery of its own and join its result.");
        return NULL;
    }
    const struct catalog_table *table = name->table;
    if (source->n_relations == RELATIONS_MAX) {
        refuse_item(level, range->location, "a join of more than 16 tables", NULL);
        return NULL;
    }
    if (!range->inh && table->has_children) {
        refuse_item(level, range->location, "ONLY", "Leave ONLY out.");
        return NULL;
    }
    if (range->alias != NULL && range->alias->n_colnames > 0) {
        refuse_item(level, range->location, "an alias with column names",
                    "Name the columns in a subquery of the final result.");
        return NULL;
    }
    const char *alias = range->alias != NULL ? range->alias->aliasname : range->relname;
    while (alias_taken(source, alias))
        alias = arena_printf(c->arena, "%s_", alias);
    size_t index = source->n_relations++;
    source->relations[index] = (struct scope_relation){
        .alias = alias,
        .sql_alias = arena_printf(c->arena, "r%zu", index + 1),
        .table = table,
    };
    source->ranges[index] = range;
    struct join *join = new_join(level, JOIN_NONE, range->location);
    join->relation = index;
    return join;
}

static void mark_nullable(struct source *source, const struct join *join)
{
    if (join->kind == JOIN_NONE) {
        source->relations[join->relation].nullable = true;
        return;
    }
    mark_nullable(source, join->left);
    mark_nullable(source, join->right);
}

/* How many columns of the join have the name, and whose the first one is. */
static int lookup(const struct source *source, const struct join *join, const char *name,
                  size_t *relation)
{
    if (join->kind == JOIN_NONE) {
        *relation = join->relation;
        return column_index(source->relations[join->relation].table, name) >= 0 ? 1 : 0;
    }
    for (size_t i = 0; i < join->using.n; i++) {
        if (strcmp(join->using.items[i].name, name) != 0)
            continue;
        *relation = join->using.items[i].relation;
        return 1;
    }
    size_t other = 0;
    int left = lookup(source, join->left, name, relation);
    int right = lookup(source, join->right, name, &other);
    if (left == 0)
        *relation = other;
    return left + right;
}

/* USING (a, b) as equalities; the merged name is the preserved side's column. */
static bool build_using(struct level *level, struct join *join, const PgQuery__JoinExpr *expr,
                        const struct join *kept, const struct join *other)
{
    struct compile *c = level->compile;
    for (size_t i = 0; i < expr->n_using_clause; i++) {
        const char *name = node_string(expr->using_clause[i]);
        size_t left = 0, right = 0;
        if (name == NULL || lookup(&level->source, kept, name, &left) != 1 ||
            lookup(&level->source, other, name, &right) != 1)
            return compile_refuse(c, join->location, "42703", "a column of USING does not exist",
                                  NULL, NULL);
        PgQuery__Node *equality = node_new_equality(
            c->arena,
            node_new_column(c->arena, level->source.relations[left].alias, name, join->location),
            node_new_column(c->arena, level->source.relations[right].alias, name, join->location),
            join->location);
        VECTOR_PUSH(c->arena, &join->on, equality);
        struct using_column using = {name, left};
        VECTOR_PUSH(c->arena, &join->using, using);
    }
    return true;
}

/* a AND b AND c as a list. */
static void split_and(struct level *level, PgQuery__Node *node, node_list *out)
{
    if (node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
        node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
        for (size_t i = 0; i < node->bool_expr->n_args; i++)
            split_and(level, node->bool_expr->args[i], out);
        return;
    }
    VECTOR_PUSH(level->compile->arena, out, node);
}

static struct join *build_item(struct level *level, PgQuery__Node *node);

static const char *const join_fields[] = {"jointype",     "larg",  "rarg",
                                          "using_clause", "quals", NULL};

static struct join *build_join(struct level *level, PgQuery__JoinExpr *expr)
{
    int location = node_location(expr->rarg);
    const char *unexpected = walk_unexpected_field(&expr->base, join_fields);
    if (unexpected != NULL) {
        refuse_item(level, location,
                    strcmp(unexpected, "is_natural") == 0 ? "NATURAL JOIN" : "an alias of a join",
                    "Write JOIN ... USING (...) or JOIN ... ON ...");
        return NULL;
    }
    bool right = expr->jointype == PG_QUERY__JOIN_TYPE__JOIN_RIGHT;
    bool outer = right || expr->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
    if (!outer && expr->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER) {
        refuse_item(level, location, "FULL JOIN", "Write a LEFT JOIN or an inner JOIN.");
        return NULL;
    }
    struct join *left_side = build_item(level, expr->larg);
    struct join *right_side = left_side == NULL ? NULL : build_item(level, expr->rarg);
    if (right_side == NULL)
        return NULL;
    struct join *join = new_join(level, outer ? JOIN_LEFT : JOIN_INNER, location);
    join->left = right ? right_side : left_side;
    join->right = right ? left_side : right_side;
    if (outer)
        mark_nullable(&level->source, join->right);
    if (!build_using(level, join, expr, join->left, join->right))
        return NULL;
    if (expr->quals != NULL) {
        if (!from_qualify(level, join, &expr->quals))
            return NULL;
        split_and(level, expr->quals, &join->on);
    }
    return join;
}

static struct join *build_item(struct level *level, PgQuery__Node *node)
{
    int kind = (int)node->node_case;
    const char *what;
    switch (kind) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
        return build_table(level, node->range_var);
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return build_join(level, node->join_expr);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT:
        what = "a subquery";
        break;
    case PG_QUERY__NODE__NODE_RANGE_FUNCTION:
        what = "a function";
        break;
    case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE:
        what = "TABLESAMPLE";
        break;
    default:
        what = "such an item";
        break;
    }
    refuse_item(level, node_location(node), what,
                "Join private tables with each other and with public tables only.");
    return NULL;
}

static bool compile_conditions(struct level *level, struct join *join)
{
    if (join->kind == JOIN_NONE)
        return true;
    bool done = compile_conditions(level, join->left) && compile_conditions(level, join->right);
    for (size_t i = 0; done && i < join->on.n; i++) {
        const struct expr *condition = level_compile(level, join->on.items[i], true);
        if (condition == NULL && !level->compile->pending)
            return false;
        VECTOR_PUSH(level->compile->arena, &join->conditions, condition);
    }
    return done;
}

static bool compile_where(struct level *level)
{
    if (level->select->where_clause == NULL)
        return true;
    struct source *source = &level->source;
    if (!from_qualify(level, source->root, &level->select->where_clause))
        return false;
    split_and(level, level->select->where_clause, &source->where_nodes);
    for (size_t i = 0; i < source->where_nodes.n; i++) {
        const struct expr *condition = level_compile(level, source->where_nodes.items[i], true);
        if (condition == NULL && !level->compile->pending)
            return false;
        VECTOR_PUSH(level->compile->arena, &source->where, condition);
    }
    return true;
}

bool from_build(struct level *level)
{
    struct source *source = &level->source;
    for (size_t i = 0; i < level->select->n_from_clause; i++) {
        struct join *item = build_item(level, level->select->from_clause[i]);
        if (item == NULL)
            return false;
        if (source->root == NULL) {
            source->root = item;
            continue;
        }
        struct join *both = new_join(level, JOIN_INNER, item->location);
        both->left = source->root;
        both->right = item;
        source->root = both;
    }
    level->scope.n_relations = source->n_relations;
    level->scope.relations = source->relations;
    return compile_conditions(level, source->root) && compile_where(level);
}

bool from_has_column(const struct level *level, const char *name)
{
    size_t relation;
    return lookup(&level->source, level->source.root, name, &relation) > 0;
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
        *column = column_index(level->source.relations[i].table, name);
        return *column >= 0;
    }
    return false;
}

/* alias.column, schema.table.column or database.schema.table.column. */
static bool find_qualified(const struct level *level, const PgQuery__ColumnRef *ref,
                           size_t *relation)
{
    const char *table = node_string(ref->fields[ref->n_fields - 2]);
    const char *schema = ref->n_fields >= 3 ? node_string(ref->fields[ref->n_fields - 3]) : NULL;
    for (size_t i = 0; table != NULL && i < level->source.n_relations; i++) {
        const PgQuery__RangeVar *range = level->source.ranges[i];
        const char *alias = range->alias != NULL ? range->alias->aliasname : range->relname;
        if (strcmp(alias, table) != 0)
            continue;
        if (schema != NULL &&
            (range->alias != NULL || strcmp(level->source.relations[i].table->schema, schema) != 0))
            continue;
        *relation = i;
        return true;
    }
    return false;
}

static bool qualify_column(struct level *level, const struct join *scope, PgQuery__Node **slot)
{
    struct compile *c = level->compile;
    PgQuery__ColumnRef *ref = (*slot)->column_ref;
    const char *name = node_string(ref->fields[ref->n_fields - 1]);
    size_t relation = 0;
    if (name == NULL)
        return compile_refuse(c, ref->location, "42501", "this returns rows of individual people",
                              "The select list holds * over a private table.",
                              "Ask for aggregates, for example SELECT count(*) ... or SELECT "
                              "column, count(*) ... GROUP BY column.");
    bool found = ref->n_fields == 1 ? lookup(&level->source, scope, name, &relation) == 1
                                    : find_qualified(level, ref, &relation);
    if (!found || column_index(level->source.relations[relation].table, name) < 0)
        return compile_refuse(
            c, ref->location, "0A000",
            arena_printf(c->arena, "column \"%s\" is not one of the private rows here", name),
            "A query over private rows can use the columns of the tables in its own FROM: no outer "
            "query's columns, no whole rows, no system columns.",
            "Aggregate the private table in a subquery of its own and join its result.");
    *slot = node_new_column(c->arena, level->source.relations[relation].alias, name, ref->location);
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
    return qualify(level, level->source.root, slot, true);
}

void from_write_table(const struct catalog_table *table, struct text *out)
{
    text_identifier(out, table->schema);
    text_add(out, ".");
    text_identifier(out, table->name);
}

void from_write(const struct level *level, const struct join *join, struct text *out)
{
    if (join->kind == JOIN_NONE) {
        const struct scope_relation *relation = &level->source.relations[join->relation];
        from_write_table(relation->table, out);
        text_add(out, " AS ");
        text_identifier(out, relation->sql_alias);
        return;
    }
    bool nested = join->right->kind != JOIN_NONE;
    from_write(level, join->left, out);
    if (join->conditions.n == 0 && join->kind == JOIN_INNER)
        text_add(out, " CROSS JOIN ");
    else
        text_add(out, join->kind == JOIN_LEFT ? " LEFT JOIN " : " JOIN ");
    if (nested)
        text_add(out, "(");
    from_write(level, join->right, out);
    if (nested)
        text_add(out, ")");
    if (join->conditions.n == 0 && join->kind == JOIN_INNER)
        return;
    text_add(out, " ON ");
    for (size_t i = 0; i < join->conditions.n; i++) {
        text_add(out, i == 0 ? "(" : " AND (");
        expr_write(join->conditions.items[i], out);
        text_add(out, ")");
    }
    if (join->conditions.n == 0)
        text_add(out, "true");
}

/*
 * The FROM clause of a level over private rows: which relations it joins, how, and on what. Every
 * column reference of the level is rewritten to relation.column (columns.c), so that nothing later
 * resolves a name again; subqueries that only choose and compute are flattened (derived.c).
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/ownership.h"
#include "parser/walk.h"

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

struct join *from_new_join(struct level *level, enum join_kind kind, int location)
{
    struct join *join = arena_alloc(level->compile->arena, sizeof *join);
    join->kind = kind;
    join->location = location;
    return join;
}

struct join *from_add_table(struct level *level, const struct catalog_table *table,
                            const char *alias, const PgQuery__RangeVar *range)
{
    struct source *source = &level->source;
    if (source->n_relations == RELATIONS_MAX) {
        refuse_item(level, range->location, "a join of more than 16 tables", NULL);
        return NULL;
    }
    while (alias_taken(source, alias))
        alias = arena_printf(level->compile->arena, "%s_", alias);
    size_t index = source->n_relations++;
    source->relations[index] = (struct scope_relation){
        .alias = alias,
        .sql_alias = arena_printf(level->compile->arena, "r%zu", index + 1),
        .table = table,
    };
    source->ranges[index] = range;
    struct join *join = from_new_join(level, JOIN_NONE, range->location);
    join->relation = index;
    return join;
}

static struct join *build_table(struct level *level, const PgQuery__RangeVar *range)
{
    struct compile *c = level->compile;
    const struct cte_scope *cte = cte_scope_find(level->ctes, range);
    if (cte != NULL && cte->rows != NULL)
        return derived_build_cte(level, range, cte);
    const struct resolved_name *name = cte != NULL ? NULL : compile_resolve(c, range);
    if (name == NULL || (name->kind != NAME_PRIVATE && name->kind != NAME_PUBLIC)) {
        refuse_item(level, range->location, "a relation of the twin or a WITH query",
                    "Aggregate the private table in a subquery of its own and join its result.");
        return NULL;
    }
    const struct catalog_table *table = name->table;
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
    return from_add_table(level, table, alias, range);
}

static void mark_nullable(struct source *source, const struct join *join)
{
    if (join->kind == JOIN_NONE) {
        source->relations[join->relation].nullable = true;
        return;
    }
    mark_nullable(source, join->left);
    if (join->right != NULL)
        mark_nullable(source, join->right);
}

/* USING (a, b) as equalities; the merged name is the preserved side's column. */
static bool build_using(struct level *level, struct join *join, const PgQuery__JoinExpr *expr)
{
    struct compile *c = level->compile;
    for (size_t i = 0; i < expr->n_using_clause; i++) {
        const char *name = node_string(expr->using_clause[i]);
        PgQuery__Node *kept = NULL, *other = NULL;
        if (name == NULL || from_lookup(level, join->left, name, &kept) != 1 ||
            from_lookup(level, join->right, name, &other) != 1)
            return compile_refuse(c, join->location, "42703", "a column of USING does not exist",
                                  "It is not exactly one column of either side.",
                                  "Write the condition with ON.");
        PgQuery__Node *equality = node_new_equality(c->arena, kept, other, join->location);
        VECTOR_PUSH(c->arena, &join->on, equality);
        struct named_node merged = {name, kept};
        VECTOR_PUSH(c->arena, &join->columns, merged);
    }
    return true;
}

/* a AND b AND c as a list. */
void from_split_and(struct level *level, PgQuery__Node *node, node_list *out)
{
    if (node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
        node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
        for (size_t i = 0; i < node->bool_expr->n_args; i++)
            from_split_and(level, node->bool_expr->args[i], out);
        return;
    }
    VECTOR_PUSH(level->compile->arena, out, node);
}

static void add_all(struct level *level, node_list *out, const node_list *more)
{
    for (size_t i = 0; i < more->n; i++)
        VECTOR_PUSH(level->compile->arena, out, more->items[i]);
}

/* Conditions of flattened subqueries: on the side that may be null-extended they decide about the
 * match, on the others about the row. */
static void pass_filters(struct level *level, struct join *join)
{
    add_all(level, &join->filters, &join->left->filters);
    add_all(level, join->kind == JOIN_LEFT ? &join->on : &join->filters, &join->right->filters);
}

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
    struct join *left_side = from_build_item(level, expr->larg);
    struct join *right_side = left_side == NULL ? NULL : from_build_item(level, expr->rarg);
    if (right_side == NULL)
        return NULL;
    struct join *join = from_new_join(level, outer ? JOIN_LEFT : JOIN_INNER, location);
    join->left = right ? right_side : left_side;
    join->right = right ? left_side : right_side;
    if (outer && !derived_is_plain(join->right)) {
        refuse_item(level, location, "an outer join of a subquery that computes columns",
                    "Compute them outside of the subquery.");
        return NULL;
    }
    if (outer)
        mark_nullable(&level->source, join->right);
    pass_filters(level, join);
    if (!build_using(level, join, expr))
        return NULL;
    if (expr->quals != NULL) {
        if (!from_qualify(level, join, &expr->quals))
            return NULL;
        from_split_and(level, expr->quals, &join->on);
    }
    return join;
}

struct join *from_build_item(struct level *level, PgQuery__Node *node)
{
    int kind = (int)node->node_case;
    const char *what;
    switch (kind) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
        return build_table(level, node->range_var);
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return build_join(level, node->join_expr);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT:
        return derived_build(level, node->range_subselect);
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
    bool done = compile_conditions(level, join->left) &&
                (join->right == NULL || compile_conditions(level, join->right));
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
    struct source *source = &level->source;
    add_all(level, &source->where_nodes, &source->root->filters);
    if (level->select->where_clause != NULL) {
        if (!from_qualify(level, source->root, &level->select->where_clause))
            return false;
        from_split_and(level, level->select->where_clause, &source->where_nodes);
    }
    for (size_t i = 0; i < source->where_nodes.n; i++) {
        const struct expr *condition = level_compile(level, source->where_nodes.items[i], true);
        if (condition == NULL && !level->compile->pending)
            return false;
        VECTOR_PUSH(level->compile->arena, &source->where, condition);
    }
    return true;
}

struct join *from_build_list(struct level *level, PgQuery__Node **items, size_t n)
{
    struct join *all = NULL;
    for (size_t i = 0; i < n; i++) {
        struct join *item = from_build_item(level, items[i]);
        if (item == NULL)
            return NULL;
        if (all == NULL) {
            all = item;
            continue;
        }
        struct join *both = from_new_join(level, JOIN_INNER, item->location);
        both->left = all;
        both->right = item;
        pass_filters(level, both);
        all = both;
    }
    return all;
}

bool from_build(struct level *level)
{
    struct source *source = &level->source;
    source->root = from_build_list(level, level->select->from_clause, level->select->n_from_clause);
    if (source->root == NULL)
        return false;
    source->written = source->root;
    level->scope.n_relations = source->n_relations;
    level->scope.relations = source->relations;
    return compile_conditions(level, source->root) && compile_where(level) && parents_join(level);
}

void from_write_table(const struct catalog_table *table, struct text *out)
{
    if (table->derived != NULL) {
        text_printf(out, "(%s)", table->derived);
        return;
    }
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
    if (join->kind == JOIN_DERIVED) {
        from_write(level, join->left, out);
        return;
    }
    const struct join *right = join->right;
    while (right->kind == JOIN_DERIVED)
        right = right->left;
    bool nested = right->kind != JOIN_NONE;
    from_write(level, join->left, out);
    if (join->conditions.n == 0 && join->kind == JOIN_INNER)
        text_add(out, " CROSS JOIN ");
    else
        text_add(out, join->kind == JOIN_LEFT ? " LEFT JOIN " : " JOIN ");
    if (nested)
        text_add(out, "(");
    from_write(level, right, out);
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
    if (join->kind == JOIN_LEFT)
        ownership_write_single(level, join, out);
}

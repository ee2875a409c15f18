/*
 * EXISTS, NOT EXISTS and IN over private rows decide about a person's row by that person's other
 * rows, where both are tied by their units. They become joins with the persons that the subquery
 * finds, each once (per_unit.c). EXISTS (SELECT .. FROM v WHERE v.unit = p.id AND c) and
 * p.id IN (SELECT v.unit FROM v WHERE c) become
 *
 *   JOIN (SELECT DISTINCT v.unit FROM v WHERE c) AS q ON q.unit = p.id
 *
 * and NOT EXISTS a LEFT JOIN with the same, of which those rows are kept that find nobody. After IN
 * the subquery may group by the person: the persons are then those of the groups that it keeps.
 *
 * Only conditions that WHERE joins by AND are looked at; whatever has another form stays what it
 * is, to be refused later. NOT IN is not: a NULL in its list would decide about everybody.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/walk.h"

static const char unit_name[] = "unit of persons";

/* A level's conditions and what they become. */
struct rewrite {
    struct compile *c;
    const struct cte_scope *ctes;
    PgQuery__SelectStmt *select;
    node_list kept; /* conditions that stay in WHERE */
    size_t n;       /* joins added */
};

/* --- whose column a name is ---------------------------------------------------------------------
 */

static bool renames_columns(const PgQuery__Alias *alias)
{
    return alias != NULL && alias->n_colnames > 0;
}

/* May the item have the column? Those of WITH queries, of subqueries and of the twin's tables are
 * not known here. */
static bool table_may_have(const struct rewrite *r, const PgQuery__RangeVar *range,
                           const char *qualifier, const char *column)
{
    const char *alias = range->alias != NULL ? range->alias->aliasname : range->relname;
    const struct cte_scope *cte = cte_scope_find(r->ctes, range);
    const struct resolved_name *name = cte != NULL ? NULL : compile_resolve(r->c, range);
    if (qualifier != NULL && strcmp(qualifier, alias) != 0)
        return false;
    return name == NULL || name->table == NULL || renames_columns(range->alias) ||
           from_column_index(name->table, column) >= 0;
}

static bool item_may_have(const struct rewrite *r, const PgQuery__Node *item, const char *qualifier,
                          const char *column)
{
    const PgQuery__Alias *alias;
    int kind = (int)item->node_case;
    switch (kind) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
        return table_may_have(r, item->range_var, qualifier, column);
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return item->join_expr->alias != NULL ||
               item_may_have(r, item->join_expr->larg, qualifier, column) ||
               item_may_have(r, item->join_expr->rarg, qualifier, column);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT:
        alias = item->range_subselect->alias;
        return qualifier == NULL || alias == NULL || strcmp(qualifier, alias->aliasname) == 0;
    default:
        return true;
    }
}

static bool may_have(const struct rewrite *r, const PgQuery__SelectStmt *select,
                     const PgQuery__Node *node)
{
    const PgQuery__ColumnRef *ref = node->column_ref;
    const char *column = node_string(ref->fields[ref->n_fields - 1]);
    const char *qualifier = ref->n_fields > 1 ? node_string(ref->fields[ref->n_fields - 2]) : NULL;
    for (size_t i = 0; i < select->n_from_clause; i++)
        if (item_may_have(r, select->from_clause[i], qualifier, column))
            return true;
    return false;
}

static bool is_column(const PgQuery__Node *node)
{
    return node != NULL && node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF &&
           node_string(node->column_ref->fields[node->column_ref->n_fields - 1]) != NULL;
}

static bool finds_call(void *context, const ProtobufCFieldDescriptor *field,
                       ProtobufCMessage **child)
{
    bool *found = context;
    (void)field;
    if ((*child)->descriptor == &pg_query__func_call__descriptor)
        *found = true;
    return !*found && walk_children(*child, finds_call, context);
}

/* What EXISTS selects does not matter, unless a function returns an empty set. */
static bool selects_call(const PgQuery__SelectStmt *query)
{
    bool found = false;
    for (size_t i = 0; i < query->n_target_list && !found; i++)
        walk_children(&query->target_list[i]->base, finds_call, &found);
    return found;
}

/* --- the persons that a subquery finds
 * ------------------------------------------------------------
 */

static const char *const query_fields[] = {
    "target_list", "from_clause", "where_clause", "limit_option", "op", "distinct_clause", NULL};

static PgQuery__SelectStmt *query_of(const PgQuery__SubLink *link)
{
    return link->subselect != NULL &&
                   link->subselect->node_case == PG_QUERY__NODE__NODE_SELECT_STMT &&
                   link->subselect->select_stmt->n_from_clause > 0
               ? link->subselect->select_stmt
               : NULL;
}

/* May its rows be looked for, and is there nothing else? */
static bool is_plain(const PgQuery__SelectStmt *query)
{
    return walk_unexpected_field(&query->base, query_fields) == NULL &&
           query->op == PG_QUERY__SET_OPERATION__SETOP_NONE && !level_is_aggregated(query) &&
           !selects_call(query) &&
           (query->n_distinct_clause == 0 ||
            query->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET);
}

static void split(struct arena *arena, PgQuery__Node *node, node_list *out)
{
    if (node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
        node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
        for (size_t i = 0; i < node->bool_expr->n_args; i++)
            split(arena, node->bool_expr->args[i], out);
        return;
    }
    VECTOR_PUSH(arena, out, node);
}

static PgQuery__Node *join_by_and(struct arena *arena, const node_list *list)
{
    if (list->n < 2)
        return list->n == 0 ? NULL : list->items[0];
    PgQuery__BoolExpr *all = arena_alloc(arena, sizeof *all);
    pg_query__bool_expr__init(all);
    all->boolop = PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
    all->args = list->items;
    all->n_args = list->n;
    all->location = -1;
    return node_new(arena, PG_QUERY__NODE__NODE_BOOL_EXPR, all);
}

/* The one equality of a column outside with a column inside is taken out of the subquery's WHERE. A
 * name that the subquery may know is the subquery's. */
static bool take_tie(const struct rewrite *r, PgQuery__SelectStmt *query, PgQuery__Node **inside,
                     PgQuery__Node **outside)
{
    struct arena *arena = r->c->arena;
    node_list all = {0}, rest = {0};
    *inside = NULL;
    if (query->where_clause != NULL)
        split(arena, query->where_clause, &all);
    for (size_t i = 0; i < all.n; i++) {
        PgQuery__Node *node = all.items[i];
        PgQuery__AExpr *expr = node->node_case == PG_QUERY__NODE__NODE_A_EXPR ? node->a_expr : NULL;
        const char *name = expr != NULL && expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP
                               ? node_operator(expr)
                               : NULL;
        bool equal = *inside == NULL && name != NULL && strcmp(name, "=") == 0 &&
                     is_column(expr->lexpr) && is_column(expr->rexpr);
        bool left = equal && may_have(r, query, expr->lexpr);
        bool right = equal && may_have(r, query, expr->rexpr);
        PgQuery__Node *other = !equal ? NULL : left ? expr->rexpr : expr->lexpr;
        if (left != right && may_have(r, r->select, other)) {
            *inside = left ? expr->lexpr : expr->rexpr;
            *outside = other;
        } else {
            VECTOR_PUSH(arena, &rest, node);
        }
    }
    query->where_clause = join_by_and(arena, &rest);
    return *inside != NULL;
}

/* The query of FROM (query) AS groups: a person may have several groups. */
static PgQuery__SelectStmt *over_groups(struct arena *arena, PgQuery__SelectStmt *query,
                                        PgQuery__Node **inside)
{
    PgQuery__SelectStmt *select = arena_alloc(arena, sizeof *select);
    PgQuery__ResTarget *target = query->target_list[0]->res_target;
    pg_query__select_stmt__init(select);
    select->limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
    select->op = PG_QUERY__SET_OPERATION__SETOP_NONE;
    select->from_clause = arena_alloc(arena, sizeof *select->from_clause);
    select->from_clause[0] = node_new_subselect(arena, query, "groups");
    select->n_from_clause = 1;
    if (target->name == NULL || target->name[0] == '\0')
        target->name = arena_strdup(arena, node_column_name(target->val));
    *inside = node_new_column(arena, "groups", target->name, node_location(*inside));
    return select;
}

/* SELECT DISTINCT inside AS unit FROM ... WHERE ... */
static void select_persons(struct arena *arena, PgQuery__SelectStmt *query, PgQuery__Node *inside)
{
    PgQuery__ResTarget *target = arena_alloc(arena, sizeof *target);
    pg_query__res_target__init(target);
    target->name = arena_strdup(arena, unit_name);
    target->val = inside;
    target->location = -1;
    query->target_list = arena_alloc(arena, sizeof *query->target_list);
    query->target_list[0] = node_new(arena, PG_QUERY__NODE__NODE_RES_TARGET, target);
    query->n_target_list = 1;
    query->distinct_clause = arena_alloc(arena, sizeof *query->distinct_clause);
    PgQuery__Node *nothing = arena_alloc(arena, sizeof *nothing);
    pg_query__node__init(nothing);
    query->distinct_clause[0] = nothing;
    query->n_distinct_clause = 1;
}

/* --- joins --------------------------------------------------------------------------------------
 */

static PgQuery__Node *new_join(struct arena *arena, PgQuery__JoinType type, PgQuery__Node *left,
                               PgQuery__Node *right, PgQuery__Node *on)
{
    PgQuery__JoinExpr *join = arena_alloc(arena, sizeof *join);
    pg_query__join_expr__init(join);
    join->jointype = type;
    join->larg = left;
    join->rarg = right;
    join->quals = on;
    return node_new(arena, PG_QUERY__NODE__NODE_JOIN_EXPR, join);
}

/* FROM as one item. */
static PgQuery__Node *all_items(struct arena *arena, const PgQuery__SelectStmt *select)
{
    PgQuery__Node *all = select->from_clause[0];
    for (size_t i = 1; i < select->n_from_clause; i++)
        all = new_join(arena, PG_QUERY__JOIN_TYPE__JOIN_INNER, all, select->from_clause[i], NULL);
    return all;
}

static PgQuery__Node *is_null(struct arena *arena, PgQuery__Node *node)
{
    PgQuery__NullTest *test = arena_alloc(arena, sizeof *test);
    pg_query__null_test__init(test);
    test->arg = node;
    test->nulltesttype = PG_QUERY__NULL_TEST_TYPE__IS_NULL;
    test->location = -1;
    return node_new(arena, PG_QUERY__NODE__NODE_NULL_TEST, test);
}

static void add_join(struct rewrite *r, PgQuery__SelectStmt *query, PgQuery__Node *outside,
                     bool absent)
{
    struct arena *arena = r->c->arena;
    const char *alias = arena_printf(arena, "persons %zu", ++r->n);
    int location = node_location(query->target_list[0]);
    PgQuery__Node *item = node_new_subselect(arena, query, alias);
    PgQuery__Node *on = node_new_equality(arena, node_new_column(arena, alias, unit_name, location),
                                          outside, location);
    PgQuery__Node *from = all_items(arena, r->select);
    r->select->from_clause = arena_alloc(arena, sizeof *r->select->from_clause);
    r->select->n_from_clause = 1;
    r->select->from_clause[0] =
        new_join(arena, absent ? PG_QUERY__JOIN_TYPE__JOIN_LEFT : PG_QUERY__JOIN_TYPE__JOIN_INNER,
                 from, item, on);
    if (absent) {
        PgQuery__Node *none = is_null(arena, node_new_column(arena, alias, unit_name, -1));
        VECTOR_PUSH(arena, &r->kept, none);
    }
}

/* The subquery and how it is asked; NULL: another form. */
static const PgQuery__SubLink *asked(const PgQuery__Node *node, bool *absent)
{
    *absent = node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
              node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR &&
              node->bool_expr->n_args == 1;
    if (*absent)
        node = node->bool_expr->args[0];
    if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK)
        return NULL;
    const PgQuery__SubLink *link = node->sub_link;
    bool exists = link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK;
    bool in = link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK && !*absent &&
              link->n_oper_name == 0 && link->testexpr != NULL;
    return exists || in ? link : NULL;
}

/* True: the condition has become a join. */
static bool rewrite_condition(struct rewrite *r, const PgQuery__Node *node)
{
    bool absent;
    const PgQuery__SubLink *link = asked(node, &absent);
    PgQuery__SelectStmt *query = link == NULL ? NULL : query_of(link);
    if (query == NULL)
        return false;
    query = (PgQuery__SelectStmt *)walk_copy(r->c->arena, &query->base);
    if (!views_expand(r->c, r->ctes, query) || !compile_reads_private(r->c, r->ctes, query))
        return false;
    PgQuery__Node *inside, *outside = link->testexpr;
    bool in = link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK;
    bool grouped = query->n_group_clause > 0;
    if (grouped ? !in || !per_unit_is(r->c, r->ctes, query) : !is_plain(query))
        return false;
    if (in && (query->n_target_list != 1 || !is_column(outside)))
        return false;
    if (in)
        inside = query->target_list[0]->res_target->val;
    else if (!take_tie(r, query, &inside, &outside))
        return false;
    if (!is_column(inside))
        return false;
    if (grouped)
        query = over_groups(r->c->arena, query, &inside);
    select_persons(r->c->arena, query, inside);
    if (!per_unit_is(r->c, r->ctes, query))
        return false;
    add_join(r, query, outside, absent);
    return true;
}

void semi_joins_rewrite(struct compile *c, const struct cte_scope *ctes,
                        PgQuery__SelectStmt *select)
{
    struct rewrite r = {.c = c, .ctes = ctes, .select = select};
    node_list all = {0};
    if (select->where_clause == NULL || select->n_from_clause == 0)
        return;
    split(c->arena, select->where_clause, &all);
    for (size_t i = 0; i < all.n; i++)
        if (!rewrite_condition(&r, all.items[i]))
            VECTOR_PUSH(c->arena, &r.kept, all.items[i]);
    if (r.n > 0)
        select->where_clause = join_by_and(c->arena, &r.kept);
}

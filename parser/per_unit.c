/*
 * A subquery in FROM that groups private rows by their unit keeps every group within one person, so
 * it stays private: it becomes a table of the compiler's own, whose columns are the keys and the
 * aggregates and whose SQL stands where a table's name would. Nothing of it is released; what is
 * released is what the query round it aggregates, with the bounds that hold for a group.
 *
 * A group's values must be a function of the multiset of its rows, and total: numbers are clamped
 * to their range row by row, floating point is summed as numeric, and NaN counts as NULL.
 */
#include <string.h>

#include "parser/expr_internal.h"
#include "parser/node.h"
#include "parser/ownership.h"
#include "parser/per_unit.h"
#include "parser/walk.h"

static const char *const group_fields[] = {
    "distinct_clause", "target_list", "from_clause",  "where_clause", "group_clause",
    "having_clause",   "sort_clause", "limit_option", "op",           NULL};

/* --- is it one, by names? ----------------------------------------------------------------------
 */

static bool names_unit(const struct compile *c, const struct cte_scope *ctes,
                       const PgQuery__SelectStmt *select, const PgQuery__Node *node);

/* The column of the item's row: is it the unit? */
static bool item_has_unit(const struct compile *c, const struct cte_scope *ctes,
                          const PgQuery__Node *item, const char *qualifier, const char *column);

static bool items_have_unit(const struct compile *c, const struct cte_scope *ctes,
                            const PgQuery__SelectStmt *select, const char *qualifier,
                            const char *column)
{
    for (size_t i = 0; i < select->n_from_clause; i++)
        if (item_has_unit(c, ctes, select->from_clause[i], qualifier, column))
            return true;
    return false;
}

/* Each part of the query is looked at once, however often it is named. */
static bool output_is_unit(const struct compile *c, const struct cte_scope *ctes,
                           const PgQuery__SelectStmt *select, const char *column)
{
    bool star = false;
    for (size_t i = 0; i < select->n_target_list; i++) {
        const PgQuery__ResTarget *target = select->target_list[i]->res_target;
        const PgQuery__ColumnRef *ref = target->val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF
                                            ? target->val->column_ref
                                            : NULL;
        if (ref == NULL)
            continue;
        bool named = target->name != NULL && target->name[0] != '\0';
        if (ref->fields[ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR)
            star = true;
        else if (strcmp(named ? target->name : node_column_name(target->val), column) == 0)
            return names_unit(c, ctes, select, target->val);
    }
    return star && items_have_unit(c, ctes, select, NULL, column);
}

static bool subquery_has_unit(const struct compile *c, const struct cte_scope *ctes,
                              const PgQuery__SelectStmt *select, const char *alias,
                              const char *qualifier, const char *column)
{
    return (qualifier == NULL || strcmp(qualifier, alias) == 0) &&
           output_is_unit(c, ctes, select, column);
}

static bool table_has_unit(const struct compile *c, const struct cte_scope *ctes,
                           const PgQuery__RangeVar *range, const char *qualifier,
                           const char *column)
{
    const char *alias = range->alias != NULL ? range->alias->aliasname : range->relname;
    const struct cte_scope *cte = cte_scope_find(ctes, range);
    if (cte != NULL)
        return cte->rows != NULL && cte->n_columns == 0 &&
               subquery_has_unit(c, cte->outer, cte->rows, alias, qualifier, column);
    const struct resolved_name *name = compile_resolve(c, range);
    return name->kind == NAME_PRIVATE && (qualifier == NULL || strcmp(qualifier, alias) == 0) &&
           ownership_is_direct(c->catalog, name->table) &&
           strcmp(name->table->columns[name->table->unit_column].name, column) == 0;
}

static bool item_has_unit(const struct compile *c, const struct cte_scope *ctes,
                          const PgQuery__Node *item, const char *qualifier, const char *column)
{
    int kind = (int)item->node_case;
    const PgQuery__Node *query;
    if (++*c->looked > LOOKED_MAX) /* names of WITH queries double what is below them */
        return false;
    switch (kind) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
        return table_has_unit(c, ctes, item->range_var, qualifier, column);
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return item_has_unit(c, ctes, item->join_expr->larg, qualifier, column) ||
               item_has_unit(c, ctes, item->join_expr->rarg, qualifier, column);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT:
        query = item->range_subselect->subquery;
        return query != NULL && query->node_case == PG_QUERY__NODE__NODE_SELECT_STMT &&
               item->range_subselect->alias != NULL &&
               subquery_has_unit(c, ctes, query->select_stmt,
                                 item->range_subselect->alias->aliasname, qualifier, column);
    default:
        return false;
    }
}

static bool names_unit(const struct compile *c, const struct cte_scope *ctes,
                       const PgQuery__SelectStmt *select, const PgQuery__Node *node)
{
    int number = 0;
    if (node_integer(node, &number))
        return number >= 1 && (size_t)number <= select->n_target_list &&
               !node_integer(select->target_list[number - 1]->res_target->val, &number) &&
               names_unit(c, ctes, select, select->target_list[number - 1]->res_target->val);
    if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
        return false;
    const PgQuery__ColumnRef *ref = node->column_ref;
    const char *column = node_string(ref->fields[ref->n_fields - 1]);
    const char *qualifier = ref->n_fields > 1 ? node_string(ref->fields[ref->n_fields - 2]) : NULL;
    return column != NULL && items_have_unit(c, ctes, select, qualifier, column);
}

/* GROUP BY the name of an output column. */
static bool output_names_unit(const struct compile *c, const struct cte_scope *ctes,
                              const PgQuery__SelectStmt *select, const PgQuery__Node *node)
{
    if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1)
        return false;
    const char *name = node_string(node->column_ref->fields[0]);
    for (size_t i = 0; name != NULL && i < select->n_target_list; i++) {
        const PgQuery__ResTarget *target = select->target_list[i]->res_target;
        if (target->name != NULL && strcmp(target->name, name) == 0)
            return names_unit(c, ctes, select, target->val);
    }
    return false;
}

static bool is_plain_distinct(const PgQuery__SelectStmt *select)
{
    return select->n_distinct_clause > 0 &&
           select->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET &&
           !level_is_aggregated(select);
}

bool per_unit_is(const struct compile *c, const struct cte_scope *ctes,
                 const PgQuery__SelectStmt *select)
{
    if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->with_clause != NULL)
        return false;
    for (size_t i = 0; i < select->n_group_clause; i++)
        if (names_unit(c, ctes, select, select->group_clause[i]) ||
            output_names_unit(c, ctes, select, select->group_clause[i]))
            return true;
    for (size_t i = 0; is_plain_distinct(select) && i < select->n_target_list; i++)
        if (names_unit(c, ctes, select, select->target_list[i]->res_target->val))
            return true;
    return false;
}

/* --- its columns --------------------------------------------------------------------------------
 */

bool unit_group_refuse(struct unit_group *group, int location, const char *what, const char *hint)
{
    struct compile *c = group->level->compile;
    return compile_refuse(
        c, location, "0A000",
        arena_printf(c->arena, "%s is not supported in groups of one person", what),
        "The subquery groups by the person, so that its rows stay private.", hint);
}

void unit_group_bound(struct catalog_column *column, struct arena *arena, bool known,
                      const struct dp_decimal *low, const struct dp_decimal *high)
{
    uint32_t type = column->type.oid;
    bool stamp = type == TYPE_TIMESTAMP || type == TYPE_TIMESTAMPTZ;
    if (!known || (!expr_type_is_number(type) && type != TYPE_DATE && !stamp))
        return;
    struct policy_bounds *bounds = arena_alloc(arena, sizeof *bounds);
    *bounds = (struct policy_bounds){.kind = stamp               ? POLICY_BOUND_TIMESTAMP
                                             : type == TYPE_DATE ? POLICY_BOUND_DATE
                                                                 : POLICY_BOUND_NUMBER,
                                     .low = *low,
                                     .high = *high};
    column->bounds = bounds;
}

void unit_group_add(struct unit_group *group, struct catalog_column column, const char *sql)
{
    struct arena *arena = group->level->compile->arena;
    VECTOR_PUSH(arena, &group->columns, column);
    text_printf(&group->select, "%s%s AS ", group->columns.n > 1 ? ", " : "", sql);
    text_identifier(&group->select, column.name);
}

const char *unit_group_written(const struct unit_group *group, const struct expr *expr)
{
    struct text out = text_new(group->level->compile->arena);
    expr_write(expr, &out);
    return out.data;
}

/* Equal values that print differently: which one a group shows would be left to chance. */
static bool has_one_form(struct unit_group *group, const struct level_key *key,
                         const struct catalog_column *column)
{
    int location = node_location(key->node);
    bool free_size = column->type.typmod < 0;
    if (column->type.oid == TYPE_NUMERIC && free_size)
        return unit_group_refuse(group, location, "a key of type numeric without a scale",
                                 "Cast it to numeric(p, s).");
    if (column->type.oid == TYPE_BPCHAR && free_size)
        return unit_group_refuse(group, location, "a key of type bpchar without a length",
                                 "Cast it to text.");
    if (!column->deterministic)
        return unit_group_refuse(group, location, "a key with a nondeterministic collation",
                                 "Group by another column.");
    return true;
}

/* Zero has two forms in floating point; adding zero leaves the positive one. */
static const char *key_sql(const struct unit_group *group, const struct expr *expr)
{
    const char *sql = unit_group_written(group, expr);
    uint32_t type = expr_type(expr)->oid;
    if (type != TYPE_FLOAT4 && type != TYPE_FLOAT8)
        return sql;
    return arena_printf(group->level->compile->arena,
                        "%s OPERATOR(pg_catalog.+) '0'::pg_catalog.%s", sql,
                        type == TYPE_FLOAT8 ? "float8" : "float4");
}

static bool add_key(struct unit_group *group, size_t index)
{
    struct arena *arena = group->level->compile->arena;
    const struct level_key *key = &group->level->keys[index];
    size_t relation;
    struct dp_decimal low, high;
    const struct catalog_column *from = expr_column(key->expr, &relation);
    struct catalog_column column = {.name = arena_printf(arena, "k%zu", index + 1),
                                    .type = *expr_type(key->expr),
                                    .not_null = expr_not_null(key->expr),
                                    .deterministic = from == NULL || from->deterministic,
                                    .collation = from == NULL ? 0 : from->collation};
    if (!has_one_form(group, key, &column))
        return false;
    if (key->domain != NULL) {
        column.domain = key->domain->domain;
        column.n_domain = key->domain->n_domain;
    }
    unit_group_bound(&column, arena, expr_bounds(key->expr, &low, &high), &low, &high);
    unit_group_add(group, column, key_sql(group, key->expr));
    return true;
}

static bool find_unit(struct unit_group *group)
{
    struct level *level = group->level;
    for (size_t i = 0; i < level->n_keys; i++) {
        size_t relation;
        const struct catalog_column *column = expr_column(level->keys[i].expr, &relation);
        const struct scope_relation *source =
            column == NULL ? NULL : &level->source.relations[relation];
        if (source == NULL || source->nullable ||
            !ownership_is_direct(level->compile->catalog, source->table) ||
            column != &source->table->columns[source->table->unit_column])
            continue;
        group->table->unit_column = (int)i;
        return true;
    }
    return unit_group_refuse(group, level->source.root->location, "this GROUP BY",
                             "Group by the column that names the person.");
}

static bool replace(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child);

/* Keys and aggregates become columns of the table. */
static bool replace_node(struct unit_group *group, PgQuery__Node **slot)
{
    struct level *level = group->level;
    struct compile *c = level->compile;
    PgQuery__Node *node = *slot;
    int column = -1;
    for (size_t i = 0; i < level->n_keys && column < 0; i++)
        if (walk_equal(&level->keys[i].node->base, &node->base))
            column = (int)i;
    if (column < 0 && aggregate_is(node)) {
        column = unit_group_aggregate(group, node);
        if (column < 0)
            return false;
    }
    if (column >= 0) {
        *slot = node_new_column(c->arena, group->alias, group->columns.items[column].name,
                                node_location(node));
        return true;
    }
    if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
        return compile_refuse(
            c, node->column_ref->location, "42803",
            arena_printf(c->arena,
                         "column \"%s\" must appear in the GROUP BY clause or be used in "
                         "an aggregate function",
                         node_string(node->column_ref->fields[1])),
            "It would show one of a group's rows.", "Add the column to GROUP BY, or aggregate it.");
    return walk_children(&node->base, replace, group);
}

static bool replace(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    (void)field;
    if ((*child)->descriptor != &pg_query__node__descriptor)
        return walk_children(*child, replace, context);
    PgQuery__Node *node = (PgQuery__Node *)*child;
    bool done = replace_node(context, &node);
    *child = &node->base;
    return done;
}

/* --- the table ----------------------------------------------------------------------------------
 */

static void finish_table(struct unit_group *group)
{
    const struct level *level = group->level;
    struct catalog_table *table = group->table;
    struct catalog *catalog = (struct catalog *)(uintptr_t)level->compile->catalog;
    const struct catalog_table *owner = level->source.relations[level->source.unit_relation].table;
    struct text sql = text_new(level->compile->arena);
    text_printf(&sql, "SELECT %s", group->select.data);
    measurement_write_from(level, false, &sql); /* the level round it looks for the owner */
    text_add(&sql, " GROUP BY ");
    for (size_t i = 0; i < level->n_keys; i++)
        text_printf(&sql, "%s%zu", i == 0 ? "" : ", ", i + 1);
    table->derived = sql.data;
    table->oid = owner->oid;
    table->parent = owner->parent >= 0 ? owner->parent : (int)(owner - catalog->tables);
    table->parent_key = catalog->tables[table->parent].unit_column;
    table->columns = group->columns.items;
    table->n_columns = group->columns.n;
    table->max_rows = level->n_keys == 1 ? 1 : level->source.rows;
    table->max_groups = level->source.groups;
    table->max_rows_per_group = level->n_keys == 1 ? 0 : level->source.rows_per_group;
}

/* The subquery's level sees the parameters and constants of the one round it, and adds its own. */
static struct level *new_level(struct level *outer, PgQuery__SelectStmt *select)
{
    struct level *level = arena_alloc(outer->compile->arena, sizeof *level);
    level->compile = outer->compile;
    level->select = select;
    level->ctes = outer->ctes;
    level->per_unit = true;
    level->release = arena_alloc(outer->compile->arena, sizeof *level->release);
    level->scope = outer->scope;
    level->scope.relations = NULL;
    level->scope.n_relations = 0;
    level->scope.finder = NULL;
    return level;
}

static void give_back_scope(struct level *outer, const struct level *level)
{
    struct scope *scope = &outer->scope;
    const struct scope *from = &level->scope;
    scope->wanted = from->wanted;
    scope->n_wanted = from->n_wanted;
    scope->capacity_wanted = from->capacity_wanted;
    scope->params = from->params;
    scope->n_params = from->n_params;
    scope->capacity_params = from->capacity_params;
    scope->uses_time_zone |= from->uses_time_zone;
}

/* DISTINCT over groups puts none of them together where all their keys are shown. */
static bool shows_every_key(const struct level *level)
{
    const PgQuery__SelectStmt *select = level->select;
    for (size_t k = 0; k < level->n_keys; k++) {
        bool shown = false;
        for (size_t i = 0; i < select->n_target_list && !shown; i++)
            shown = walk_equal(&level->keys[k].node->base,
                               &select->target_list[i]->res_target->val->base);
        if (!shown)
            return false;
    }
    return true;
}

static bool check_targets(struct unit_group *group)
{
    const PgQuery__SelectStmt *select = group->level->select;
    if (select->n_distinct_clause > 0 && !shows_every_key(group->level))
        return unit_group_refuse(group, node_location(select->target_list[0]),
                                 "DISTINCT without all columns of GROUP BY",
                                 "Leave DISTINCT out, or select all columns of GROUP BY.");
    for (size_t i = 0; i < select->n_target_list; i++)
        if (!derived_check_calls(group->level, select->target_list[i]->res_target->val))
            return false;
    return true;
}

static bool read_group(struct unit_group *group)
{
    struct level *level = group->level;
    PgQuery__SelectStmt *select = level->select;
    const char *unexpected = walk_unexpected_field(&select->base, group_fields);
    if (unexpected != NULL)
        return unit_group_refuse(group, node_location(select->target_list[0]),
                                 strncmp(unexpected, "limit", 5) == 0 ? "LIMIT or OFFSET"
                                                                      : unexpected,
                                 "Leave it out of the subquery.");
    if (!level_read(level) || level->compile->pending || !ownership_find(level) ||
        !find_unit(group) || !check_targets(group))
        return false;
    for (size_t i = 0; i < level->n_keys; i++)
        if (!add_key(group, i))
            return false;
    for (size_t i = 0; i < select->n_target_list; i++)
        if (!replace_node(group, &select->target_list[i]->res_target->val))
            return false;
    return select->having_clause == NULL || replace_node(group, &select->having_clause);
}

static struct join *join_table(struct level *outer, struct unit_group *group, const char *alias,
                               int location)
{
    struct arena *arena = outer->compile->arena;
    PgQuery__SelectStmt *select = group->level->select;
    PgQuery__RangeVar *range = arena_alloc(arena, sizeof *range);
    pg_query__range_var__init(range);
    range->relname = arena_strdup(arena, alias);
    range->location = location;
    struct join *leaf = from_add_table(outer, group->table, group->alias, range);
    if (leaf == NULL)
        return NULL;
    struct join *derived = from_new_join(outer, JOIN_DERIVED, location);
    derived->alias = alias;
    derived->left = leaf;
    for (size_t i = 0; i < select->n_target_list; i++) {
        const PgQuery__ResTarget *target = select->target_list[i]->res_target;
        struct named_node column = {target->name, derived_typed_constant(arena, target->val)};
        VECTOR_PUSH(arena, &derived->columns, column);
    }
    if (select->having_clause != NULL)
        from_split_and(outer, select->having_clause, &derived->filters);
    return derived;
}

/* A name for the table that no relation of the level has so far; those to come make way. */
static const char *unused_alias(const struct level *outer)
{
    const char *alias = "group";
    for (size_t i = 0; i < outer->source.n_relations; i++)
        if (strcmp(outer->source.relations[i].alias, alias) == 0) {
            alias = arena_printf(outer->compile->arena, "%s_", alias);
            i = (size_t)-1; /* from the first again */
        }
    return alias;
}

struct join *per_unit_build(struct level *outer, PgQuery__SelectStmt *select, const char *alias,
                            int location)
{
    struct arena *arena = outer->compile->arena;
    if (++outer->compile->n_groups > UNIT_GROUPS_MAX) {
        compile_refuse(outer->compile, location, "54001", "statement is too complex",
                       "It groups private rows by the person more than 64 times, each WITH query "
                       "counted as often as it is named.",
                       "Split the query.");
        return NULL;
    }
    struct unit_group group = {.level = new_level(outer, select),
                               .alias = unused_alias(outer),
                               .select = text_new(arena),
                               .table = arena_alloc(arena, sizeof *group.table)};
    *group.table = (struct catalog_table){.schema = arena_strdup(arena, ""),
                                          .name = arena_strdup(arena, alias),
                                          .unit_column = -1,
                                          .parent = -1,
                                          .parent_key = -1};
    bool read = read_group(&group);
    give_back_scope(outer, group.level);
    if (!read)
        return NULL;
    finish_table(&group);
    return join_table(outer, &group, alias, location);
}

/*
 * One SELECT over private rows becomes a release: its FROM, WHERE, GROUP BY and the arguments of
 * its aggregates are measured; its HAVING becomes the WHERE of what is left, and everything else
 * (expressions over keys and aggregates, windows, ORDER BY, LIMIT, DISTINCT) stays for the twin.
 */
#include <assert.h>
#include <string.h>

#include "parser/interval.h"
#include "parser/node.h"
#include "parser/ownership.h"
#include "parser/walk.h"

static const char *const select_fields[] = {
    "distinct_clause", "into_clause",   "target_list",   "from_clause", "where_clause",
    "group_clause",    "having_clause", "window_clause", "sort_clause", "limit_offset",
    "limit_count",     "limit_option",  "with_clause",   "op",          NULL};

const struct expr *level_compile(struct level *level, PgQuery__Node *node, bool condition)
{
    struct scope *scope = &level->scope;
    size_t wanted = scope->n_wanted;
    const struct expr *expr =
        condition ? expr_compile_condition(scope, node) : expr_compile(scope, node);
    if (scope->n_wanted > wanted || (expr == NULL && level->compile->refusal.sqlstate[0] == '\0'))
        level->compile->pending = true;
    return expr;
}

static bool refuse_rows(struct level *level)
{
    return compile_refuse(
        level->compile, node_location(level->select->target_list[0]), "42501",
        "this returns rows of individual people",
        "The query reads a private table and has neither an aggregate nor GROUP BY.",
        "Ask for aggregates, for example SELECT count(*) ... or SELECT column, "
        "count(*) ... GROUP BY column.");
}

/* What of a subquery belongs to its own level: not the query itself, but what it is compared with.
 */
static bool is_query(const ProtobufCMessage *message)
{
    return message->descriptor == &pg_query__select_stmt__descriptor;
}

static bool has_aggregate(void *context, const ProtobufCFieldDescriptor *field,
                          ProtobufCMessage **child)
{
    bool *found = context;
    (void)field;
    if (is_query(*child))
        return true;
    if ((*child)->descriptor == &pg_query__node__descriptor &&
        aggregate_is((const PgQuery__Node *)*child))
        *found = true;
    return !*found && walk_children(*child, has_aggregate, context);
}

static bool find_aggregate(PgQuery__Node *node)
{
    bool found = false;
    ProtobufCMessage *message = node == NULL ? NULL : &node->base;
    if (message != NULL)
        has_aggregate(&found, NULL, &message);
    return found;
}

static bool has_column(void *context, const ProtobufCFieldDescriptor *field,
                       ProtobufCMessage **child)
{
    bool *found = context;
    (void)field;
    if ((*child)->descriptor == &pg_query__column_ref__descriptor)
        *found = true;
    return !*found && walk_children(*child, has_column, context);
}

/* Unnamed columns get the names that PostgreSQL gives them, before anything is replaced. */
static void name_targets(struct level *level)
{
    const PgQuery__SelectStmt *select = level->select;
    for (size_t i = 0; i < select->n_target_list; i++) {
        PgQuery__ResTarget *target = select->target_list[i]->res_target;
        if (target->name == NULL || target->name[0] == '\0')
            target->name = arena_strdup(level->compile->arena, node_column_name(target->val));
    }
}

static PgQuery__ResTarget *named_target(const struct level *level, const char *name)
{
    for (size_t i = 0; i < level->select->n_target_list; i++)
        if (strcmp(level->select->target_list[i]->res_target->name, name) == 0)
            return level->select->target_list[i]->res_target;
    return NULL;
}

static const char *bare_name(const PgQuery__Node *node)
{
    if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1)
        return NULL;
    return node_string(node->column_ref->fields[0]);
}

static bool is_unit_column(const struct level *level, size_t relation,
                           const struct catalog_column *column)
{
    const struct catalog_table *table = level->source.relations[relation].table;
    return ownership_is_direct(level->compile->catalog, table) &&
           &table->columns[table->unit_column] == column;
}

/* Every group would be one person: none could ever appear. */
static bool refuse_unit_key(struct level *level, PgQuery__Node *node)
{
    return compile_refuse(level->compile, node_location(node), "42501",
                          "this returns rows of individual people",
                          "GROUP BY holds the column that names the person, so that every group is "
                          "one person.",
                          "Group by other columns, or ask for count(DISTINCT) of this one.");
}

static bool add_key(struct level *level, PgQuery__Node *node)
{
    struct compile *c = level->compile;
    bool found = false;
    ProtobufCMessage *message = &node->base;
    has_column(&found, NULL, &message);
    if (!found) /* the same in every group: left to the twin */
        return true;
    if (find_aggregate(node))
        return compile_refuse(c, node_location(node), "42803",
                              "aggregate functions are not allowed in GROUP BY", NULL, NULL);
    for (size_t i = 0; i < level->n_keys; i++)
        if (walk_equal(&level->keys[i].node->base, &node->base))
            return true;
    if (level->n_keys == KEYS_MAX)
        return compile_refuse(c, node_location(node), "0A000", "too many columns in GROUP BY",
                              "More than 32 keys.", "Group by fewer columns.");
    struct level_key *key = &level->keys[level->n_keys];
    *key = (struct level_key){.node = (PgQuery__Node *)walk_copy(c->arena, &node->base)};
    key->expr = level_compile(level, key->node, false);
    if (key->expr == NULL) {
        level->n_keys++; /* known for what it is, should it only wait for constants */
        return c->pending && c->refusal.sqlstate[0] == '\0';
    }
    struct text sql = text_new(c->arena);
    if (!expr_write_key(&level->scope, key->expr, node_location(node), &sql))
        return false;
    key->sql = sql.data;
    size_t relation;
    const struct catalog_column *column = expr_column(key->expr, &relation);
    if (!level->per_unit && column != NULL && is_unit_column(level, relation, column))
        return refuse_unit_key(level, node);
    key->domain = column != NULL && column->n_domain > 0 ? column : NULL;
    level->n_keys++;
    return true;
}

/* GROUP BY: an input column first, then the name of an output column, or its number. */
static bool add_group_item(struct level *level, PgQuery__Node *node)
{
    struct compile *c = level->compile;
    int number = 0;
    const char *name = bare_name(node);
    if (node_integer(node, &number)) {
        if (number < 1 || (size_t)number > level->select->n_target_list)
            return compile_refuse(c, node_location(node), "42P10",
                                  "GROUP BY position is not in select list", NULL, NULL);
        return add_key(level, level->select->target_list[number - 1]->res_target->val);
    }
    if (name != NULL && !from_has_column(level, name)) {
        const PgQuery__ResTarget *target = named_target(level, name);
        if (target != NULL)
            return add_key(level, target->val);
    }
    if (node->node_case == PG_QUERY__NODE__NODE_GROUPING_SET &&
        node->grouping_set->kind != PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_EMPTY)
        return compile_refuse(c, node->grouping_set->location, "0A000",
                              "GROUPING SETS, ROLLUP and CUBE are not supported",
                              "The query groups private rows in several ways at once.",
                              "Ask for each grouping in a query of its own, or join them by UNION "
                              "ALL.");
    if (node->node_case == PG_QUERY__NODE__NODE_GROUPING_SET)
        return true;
    if (node->node_case == PG_QUERY__NODE__NODE_ROW_EXPR &&
        node->row_expr->row_format == PG_QUERY__COERCION_FORM__COERCE_IMPLICIT_CAST) {
        for (size_t i = 0; i < node->row_expr->n_args; i++)
            if (!add_group_item(level, node->row_expr->args[i]))
                return false;
        return true;
    }
    return from_qualify(level, level->source.written, &node) && add_key(level, node);
}

/* In ORDER BY the name of an output column, or its number, comes first. */
static bool is_output_reference(const struct level *level, const PgQuery__Node *node)
{
    int number;
    const char *name = bare_name(node);
    return node_integer(node, &number) || (name != NULL && named_target(level, name) != NULL);
}

/* Makes every column of what stays for the twin one of this level's FROM. */
static bool qualify_all(struct level *level)
{
    PgQuery__SelectStmt *select = level->select;
    for (size_t i = 0; i < select->n_target_list; i++)
        if (!from_qualify_output(level, &select->target_list[i]->res_target->val))
            return false;
    if (select->having_clause != NULL && !from_qualify_output(level, &select->having_clause))
        return false;
    for (size_t i = 0; i < select->n_window_clause; i++)
        if (!from_qualify_output(level, &select->window_clause[i]))
            return false;
    for (size_t i = 0; i < select->n_sort_clause; i++) {
        PgQuery__SortBy *sort = select->sort_clause[i]->sort_by;
        if (!is_output_reference(level, sort->node) && !from_qualify_output(level, &sort->node))
            return false;
    }
    return true;
}

bool level_is_aggregated(const PgQuery__SelectStmt *select)
{
    bool found = select->n_group_clause > 0 || select->having_clause != NULL;
    for (size_t i = 0; i < select->n_target_list && !found; i++)
        found = find_aggregate(select->target_list[i]->res_target->val);
    for (size_t i = 0; i < select->n_sort_clause && !found; i++)
        found = find_aggregate(select->sort_clause[i]);
    return found;
}

static bool find_keys(struct level *level)
{
    PgQuery__SelectStmt *select = level->select;
    if (select->n_distinct_clause > 0 &&
        select->distinct_clause[0]->node_case != PG_QUERY__NODE__NODE__NOT_SET)
        return compile_refuse(level->compile, node_location(select->distinct_clause[0]), "0A000",
                              "DISTINCT ON is not supported over private rows",
                              "It would pick one person's row of each group.",
                              "Use GROUP BY with aggregates.");
    if (!level_is_aggregated(select)) {
        if (select->n_distinct_clause == 0)
            return refuse_rows(level);
        for (size_t i = 0; i < select->n_target_list; i++)
            if (!add_key(level, select->target_list[i]->res_target->val))
                return false;
        return level->n_keys > 0 || level->compile->pending || refuse_rows(level);
    }
    for (size_t i = 0; i < select->n_group_clause; i++)
        if (!add_group_item(level, select->group_clause[i]))
            return false;
    return true;
}

static bool replace(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child);

static bool replace_node(struct level *level, PgQuery__Node **slot)
{
    struct compile *c = level->compile;
    PgQuery__Node *node = *slot;
    for (size_t i = 0; i < level->n_keys; i++) {
        if (!walk_equal(&level->keys[i].node->base, &node->base))
            continue;
        *slot = node_new_column(c->arena, level->alias, arena_printf(c->arena, "k%zu", i + 1), -1);
        return true;
    }
    enum interval_kind what;
    if (interval_is(node, &what)) {
        int index = interval_add(level, node, what);
        if (index < 0)
            return c->pending && c->refusal.sqlstate[0] == '\0';
        *slot =
            node_new_column(c->arena, level->alias, arena_printf(c->arena, "i%d", index + 1), -1);
        return true;
    }
    if (aggregate_is(node)) {
        int index = aggregate_add(level, node);
        if (index < 0)
            return c->pending && c->refusal.sqlstate[0] == '\0';
        *slot =
            node_new_column(c->arena, level->alias, arena_printf(c->arena, "a%d", index + 1), -1);
        return true;
    }
    if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
        return compile_refuse(
            c, node->column_ref->location, "42803",
            arena_printf(c->arena,
                         "column \"%s\" must appear in the GROUP BY clause or be used in "
                         "an aggregate function",
                         node_string(node->column_ref->fields[1])),
            "It would show a value of individual people's rows.",
            "Add the column to GROUP BY, or aggregate it.");
    if (node->node_case == PG_QUERY__NODE__NODE_GROUPING_FUNC)
        return compile_refuse(c, node->grouping_func->location, "0A000",
                              "GROUPING is not supported", NULL,
                              "Leave it out: there is one grouping.");
    return walk_children(&node->base, replace, level);
}

static bool replace(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    (void)field;
    if (is_query(*child))
        return true;
    if ((*child)->descriptor != &pg_query__node__descriptor)
        return walk_children(*child, replace, context);
    PgQuery__Node *node = (PgQuery__Node *)*child;
    bool done = replace_node(context, &node);
    *child = &node->base;
    return done;
}

/* Keys and aggregates become columns of the release; the rest of the level is kept. */
static bool rewrite(struct level *level)
{
    PgQuery__SelectStmt *select = level->select;
    for (size_t i = 0; i < select->n_target_list; i++)
        if (!replace_node(level, &select->target_list[i]->res_target->val))
            return false;
    if (select->having_clause != NULL && !replace_node(level, &select->having_clause))
        return false;
    for (size_t i = 0; i < select->n_window_clause; i++)
        if (!replace_node(level, &select->window_clause[i]))
            return false;
    for (size_t i = 0; i < select->n_sort_clause; i++) {
        PgQuery__SortBy *sort = select->sort_clause[i]->sort_by;
        if (!is_output_reference(level, sort->node) && !replace_node(level, &sort->node))
            return false;
    }
    return true;
}

static bool find_domain(struct level *level)
{
    struct compile *c = level->compile;
    uint64_t rows = 1;
    level->public_keys = level->n_keys > 0;
    for (size_t i = 0; i < level->n_keys; i++)
        level->public_keys = level->public_keys && level->keys[i].domain != NULL;
    if (!level->public_keys)
        return true;
    for (size_t i = 0; i < level->n_keys; i++)
        if (__builtin_mul_overflow(rows, level->keys[i].domain->n_domain, &rows) ||
            rows > c->request->settings->groups_max)
            return compile_refuse(
                c, node_location(level->keys[i].node), "0A000", "the keys have too many groups",
                "Every combination of the declared keys would appear.", "Group by fewer columns.");
    const char **domain = arena_alloc(c->arena, rows * level->n_keys * sizeof *domain);
    for (uint64_t row = 0; row < rows; row++) {
        uint64_t rest = row;
        for (size_t i = level->n_keys; i-- > 0;) {
            const struct catalog_column *column = level->keys[i].domain;
            domain[row * level->n_keys + i] = column->domain[rest % column->n_domain];
            rest /= column->n_domain;
        }
    }
    level->release->domain = domain;
    level->release->n_domain = rows;
    return true;
}

static void finish_histograms(struct level *level)
{
    size_t n = level->histograms.n;
    struct release_histogram *out = arena_alloc(level->compile->arena, (n + 1) * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const struct level_histogram *from = &level->histograms.items[i];
        out[i] = (struct release_histogram){.sql = from->sql,
                                            .sql_proved = from->sql_proved,
                                            .n_bins = from->bins.n,
                                            .unit_weight = from->unit_weight,
                                            .groups = level->bounding.unit_groups,
                                            .grid = from->bins.grid,
                                            .first = from->bins.first,
                                            .width = from->bins.width,
                                            .floating = from->bins.floating,
                                            .n_draws = from->n_draws,
                                            .n_values = from->ranks.n,
                                            .values = from->values,
                                            .distribution = from->distribution,
                                            .kept = from->kept,
                                            .described = from->described};
        memcpy(out[i].draws, from->draws, sizeof out[i].draws);
    }
    level->release->histograms = out;
    level->release->n_histograms = n;
}

/* The plain data of the release, once everything about it is known. */
static void finish(struct level *level)
{
    struct compile *c = level->compile;
    struct release *release = level->release;
    struct measure *measures = arena_alloc(c->arena, (level->n_measures + 1) * sizeof *measures);
    for (size_t i = 0; i < level->n_measures; i++) {
        measures[i] = (struct measure){.kind = level->measures[i].kind,
                                       .calibration = level->measures[i].calibration,
                                       .completes = level->measures[i].partner,
                                       .draw = level->measures[i].draw,
                                       .n_kept = level->measures[i].n_kept,
                                       .kept = level->measures[i].kept,
                                       .floating = level->measures[i].floating,
                                       .described = level->measures[i].described,
                                       .identity = level->measures[i].identity,
                                       .family = level->measures[i].family};
        release->n_drawn += measures[i].draw.m != 0;
    }
    release->measures = measures;
    release->n_measures = level->n_measures;
    release->fold_keys = level->fold_keys;
    finish_histograms(level);
    release->uses_time_zone = level->scope.uses_time_zone;
    reuse_note_finer(level);
}

static void find_key_types(struct level *level)
{
    struct release_key *keys =
        arena_alloc(level->compile->arena, (level->n_keys + 1) * sizeof *keys);
    for (size_t i = 0; i < level->n_keys; i++)
        keys[i].type = expr_type(level->keys[i].expr)->declared;
    level->release->keys = keys;
    level->release->n_keys = level->n_keys;
}

/* The fingerprint is of what is drawn; what is kept is not in it. */
static bool is_all_drawn(const struct release *release)
{
    for (size_t i = 0; i < release->n_measures; i++)
        if (release->measures[i].n_kept > 0 || release->measures[i].draw.m == 0)
            return false;
    for (size_t i = 0; i < release->n_histograms; i++)
        for (size_t k = 0; k < release->histograms[i].n_values; k++) {
            const struct release_value *value = &release->histograms[i].values[k];
            if (value->source != VALUE_DRAWN ||
                release->histograms[i].draws[value->from].n_kept > 0)
                return false;
        }
    return release_is_measured(release);
}

/* Two ranks may be rounded to one, and the same draws be read by others. */
static bool reads_the_same(const struct release_histogram *a, const struct release_histogram *b)
{
    if (a->n_values != b->n_values)
        return false;
    for (size_t i = 0; i < a->n_values; i++)
        if (a->values[i].from != b->values[i].from || a->values[i].place != b->values[i].place)
            return false;
    return true;
}

static bool hands_over_the_same(const struct level *a, const struct level *b)
{
    const struct release *first = a->release, *second = b->release;
    /* Bounds that are bought now are found later: other ones for sums than for averages. */
    if (!is_all_drawn(first) || !is_all_drawn(second) || a->averages != b->averages ||
        first->n_keys != second->n_keys || first->n_measures != second->n_measures ||
        first->n_histograms != second->n_histograms || first->n_hidden != second->n_hidden ||
        first->charge.delta_atto != second->charge.delta_atto ||
        (first->keep == NULL) != (second->keep == NULL))
        return false;
    for (size_t i = 0; i < first->n_measures; i++)
        if (first->measures[i].floating != second->measures[i].floating)
            return false;
    for (size_t i = 0; i < first->n_histograms; i++)
        if (!reads_the_same(&first->histograms[i], &second->histograms[i]))
            return false;
    return strcmp(fingerprint_release(a), fingerprint_release(b)) == 0;
}

/* A release that the statement has already, asked a second time: its answer is the first one's. */
static const struct level *find_same(const struct level *level)
{
    const struct compile *c = level->compile;
    /* The arrays of a COPY stand in its text, where each has one place. */
    for (size_t i = 0; c->shape != PLAN_COPY && i + 1 < c->levels.n; i++)
        if (c->levels.items[i]->release->measures != NULL &&
            hands_over_the_same(c->levels.items[i], level))
            return c->levels.items[i];
    return NULL;
}

static void replace_from(struct level *level)
{
    struct compile *c = level->compile;
    const struct level *same = find_same(level);
    PgQuery__SelectStmt *select = level->select;
    select->from_clause[0] = node_new_subselect(c->arena, NULL, level->alias);
    select->n_from_clause = 1;
    select->where_clause = select->having_clause;
    select->having_clause = NULL;
    select->n_group_clause = 0;
    final_release(level, same, select->from_clause[0]->range_subselect);
    if (same != NULL) {
        assert(c->levels.items[c->levels.n - 1] == level);
        c->levels.n--;
    }
}

static bool check_fields(struct level *level)
{
    struct compile *c = level->compile;
    const char *unexpected = walk_unexpected_field(&level->select->base, select_fields);
    if (unexpected == NULL && level->select->n_target_list > 0)
        return true;
    const char *what = unexpected == NULL                          ? "an empty select list"
                       : strcmp(unexpected, "locking_clause") == 0 ? "FOR UPDATE or FOR SHARE"
                       : strcmp(unexpected, "group_distinct") == 0 ? "GROUP BY DISTINCT"
                                                                   : unexpected;
    return compile_refuse(c, -1, "0A000",
                          arena_printf(c->arena, "%s is not supported over private rows", what),
                          arena_printf(c->arena, "The query has %s.", what), "Leave it out.");
}

static bool measure_level(struct level *level)
{
    return ownership_find(level) && find_domain(level) && bounding_choose(level) &&
           reuse_choose(level) && measurement_write(level);
}

bool level_read(struct level *level)
{
    name_targets(level);
    semi_joins_rewrite(level->compile, level->ctes, level->select);
    return from_build(level) && qualify_all(level) && find_keys(level);
}

bool level_compile_release(struct compile *c, PgQuery__SelectStmt *select,
                           const struct cte_scope *ctes)
{
    struct level *level = arena_alloc(c->arena, sizeof *level);
    level->compile = c;
    level->select = select;
    level->ctes = ctes;
    level->release = arena_alloc(c->arena, sizeof *level->release);
    level->scope = (struct scope){.arena = c->arena,
                                  .catalog = c->catalog,
                                  .request = c->request,
                                  .refusal = &c->refusal,
                                  .source = c->source};
    VECTOR_PUSH(c->arena, &c->levels, level);
    level->alias =
        c->n_aliases++ == 0 ? "release" : arena_printf(c->arena, "release_%zu", c->n_aliases);
    if (!check_fields(level) || !level_read(level) || !rewrite(level))
        return false;
    if (c->pending)
        return true;
    find_key_types(level);
    if (!measure_level(level))
        return false;
    finish(level);
    replace_from(level);
    return true;
}

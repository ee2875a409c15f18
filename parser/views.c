#include "parser/views.h"

#include <stdio.h>
#include <string.h>

#include "parser/ast.h"
#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/walk.h"

enum { VIEWS_DEPTH_MAX = 32, VIEWS_MAX = 64 };

/* Stands in the place of a database's name in every relation of a definition. The analyst's own
 * statement holds no such place by then (views_clear_databases). */
static char of_definition[] = "definition of a view", no_database[] = "";

static bool has_schema(const PgQuery__RangeVar *range)
{
    return range->schemaname != NULL && range->schemaname[0] != '\0';
}

bool views_is_of_definition(const PgQuery__RangeVar *range)
{
    return range->catalogname != NULL && strcmp(range->catalogname, of_definition) == 0;
}

void views_leave_definition(PgQuery__RangeVar *range)
{
    range->catalogname = no_database;
}

/* --- definitions --------------------------------------------------------------------------------
 */

static bool mark(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    (void)field;
    if ((*child)->descriptor == &pg_query__range_var__descriptor) {
        PgQuery__RangeVar *range = (PgQuery__RangeVar *)*child;
        if (has_schema(range))
            range->catalogname = of_definition;
    }
    return walk_children(*child, mark, context);
}

/* The query of a view, its relations marked; NULL where it is none. */
static PgQuery__SelectStmt *definition(struct arena *arena, const struct catalog_table *view)
{
    const PgQuery__ParseResult *tree = ast_parse_own(arena, view->view);
    if (tree == NULL || tree->n_stmts != 1 ||
        tree->stmts[0]->stmt->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
        return NULL;
    PgQuery__SelectStmt *select = tree->stmts[0]->stmt->select_stmt;
    walk_children(&select->base, mark, NULL);
    return select;
}

struct fit {
    struct arena *arena;
    const struct catalog *catalog;
    char *why;
};

static bool fits(const struct fit *fit, const struct catalog_table *view, unsigned depth)
{
    PgQuery__SelectStmt *select = definition(fit->arena, view);
    struct name_list names = {.arena = fit->arena};
    if (select == NULL || depth > VIEWS_DEPTH_MAX) {
        snprintf(fit->why, 200, "%s",
                 select == NULL ? "its definition cannot be read; accepted: a SELECT"
                                : "views are nested too deeply; accepted: 32 levels");
        return false;
    }
    names_collect(&names, &select->base);
    for (size_t i = 0; i < names.n; i++) {
        const struct statement_name *name = &names.names[i];
        const struct catalog_table *table =
            name->schema == NULL ? NULL : catalog_find(fit->catalog, name->schema, name->name);
        if (table == NULL) {
            snprintf(fit->why, 200,
                     "it reads %.60s%s%.60s, which is not in the policy; accepted: what it reads, "
                     "\"hidden\": true where analysts shall not see it",
                     name->schema == NULL ? "" : name->schema, name->schema == NULL ? "" : ".",
                     name->name);
            return false;
        }
        if (table->view != NULL && !fits(fit, table, depth + 1))
            return false;
    }
    return true;
}

struct fit_work {
    struct fit fit;
    const struct catalog_table *view;
    bool fits;
};

static void fit_on_stack(void *context)
{
    struct fit_work *work = context;
    work->fits = fits(&work->fit, work->view, 1);
}

bool views_fit(const struct catalog *catalog, const struct catalog_table *view, char why[200])
{
    struct fit_work work = {{arena_new(), catalog, why}, view, false};
    snprintf(why, 200, "out of memory");
    bool run = ast_run(fit_on_stack, &work);
    arena_free(work.fit.arena);
    return run && work.fits;
}

/* --- in a statement ----------------------------------------------------------------------------
 */

struct resolved_name *views_resolve(const struct compile *c, const PgQuery__RangeVar *range)
{
    struct resolved_name *name = arena_alloc(c->arena, sizeof *name);
    name->table = catalog_find(c->catalog, range->schemaname, range->relname);
    name->kind = name->table == NULL      ? NAME_HIDDEN
                 : name->table->view      ? NAME_VIEW
                 : name->table->is_public ? NAME_PUBLIC
                                          : NAME_PRIVATE;
    return name;
}

/* "database"."schema"."table" is the table where the database is this one. */
static bool clear_database(void *context, const ProtobufCFieldDescriptor *field,
                           ProtobufCMessage **child)
{
    struct compile *c = context;
    (void)field;
    if ((*child)->descriptor == &pg_query__range_var__descriptor) {
        PgQuery__RangeVar *range = (PgQuery__RangeVar *)*child;
        if (range->catalogname != NULL && range->catalogname[0] != '\0' &&
            strcmp(range->catalogname, c->catalog->dataset) != 0)
            return compile_refuse(
                c, range->location, "0A000", "cross-database references are not implemented",
                "The relation's name begins with another database's.", "Leave the database out.");
        range->catalogname = no_database;
    }
    return walk_children(*child, clear_database, c);
}

bool views_clear_databases(struct compile *c, ProtobufCMessage *statement)
{
    return walk_children(statement, clear_database, c);
}

/* schema.view.column, where the view has become a subquery of the view's name. */
static bool shorten(void *context, const ProtobufCFieldDescriptor *field, ProtobufCMessage **child)
{
    const struct catalog_table *view = context;
    (void)field;
    if ((*child)->descriptor == &pg_query__column_ref__descriptor) {
        PgQuery__ColumnRef *ref = (PgQuery__ColumnRef *)*child;
        const char *schema = ref->n_fields == 3 ? node_string(ref->fields[0]) : NULL;
        const char *name = ref->n_fields == 3 ? node_string(ref->fields[1]) : NULL;
        if (schema != NULL && name != NULL && strcmp(schema, view->schema) == 0 &&
            strcmp(name, view->name) == 0) {
            ref->fields++;
            ref->n_fields = 2;
        }
    }
    return walk_children(*child, shorten, context);
}

static bool expand_item(struct compile *c, const struct cte_scope *ctes,
                        PgQuery__SelectStmt *select, PgQuery__Node **slot);

static bool expand_view(struct compile *c, PgQuery__SelectStmt *select,
                        const struct catalog_table *view, PgQuery__Node **slot)
{
    PgQuery__RangeVar *range = (*slot)->range_var;
    PgQuery__SelectStmt *query = definition(c->arena, view);
    if (query == NULL || ++c->n_views > VIEWS_MAX)
        return compile_refuse(c, range->location, "54001", "too many views in one query",
                              "With their definitions they name more than 64 views.",
                              "Split the query.");
    PgQuery__Node *item = node_new_subselect(c->arena, query, range->relname);
    if (range->alias != NULL)
        item->range_subselect->alias = range->alias;
    else
        walk_children(&select->base, shorten, (void *)(uintptr_t)view);
    *slot = item;
    return views_expand(c, NULL, query);
}

static bool expand_item(struct compile *c, const struct cte_scope *ctes,
                        PgQuery__SelectStmt *select, PgQuery__Node **slot)
{
    PgQuery__Node *node = *slot;
    const struct resolved_name *name;
    int kind = (int)node->node_case;
    switch (kind) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
        name = cte_scope_find(ctes, node->range_var) != NULL ? NULL
                                                             : compile_resolve(c, node->range_var);
        return name == NULL || name->kind != NAME_VIEW || expand_view(c, select, name->table, slot);
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return expand_item(c, ctes, select, &node->join_expr->larg) &&
               expand_item(c, ctes, select, &node->join_expr->rarg);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT:
        return node->range_subselect->subquery == NULL ||
               node->range_subselect->subquery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT ||
               node->range_subselect->subquery->select_stmt->with_clause != NULL ||
               views_expand(c, ctes, node->range_subselect->subquery->select_stmt);
    default:
        return true;
    }
}

bool views_expand(struct compile *c, const struct cte_scope *ctes, PgQuery__SelectStmt *select)
{
    for (size_t i = 0; i < select->n_from_clause && !c->probe; i++)
        if (!expand_item(c, ctes, select, &select->from_clause[i]))
            return false;
    return true;
}

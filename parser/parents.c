/*
 * The way from a row to its unit, where it leads over several tables: each table on it that the
 * statement does not join itself is joined by the column that refers to it. Such a column leads to
 * one row at most (the catalogue was checked), so no row is repeated; rows that lead nowhere belong
 * to nobody and drop out.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/ownership.h"

static bool alias_taken(const struct source *source, const char *alias)
{
    for (size_t i = 0; i < source->n_relations; i++)
        if (strcmp(source->relations[i].alias, alias) == 0)
            return true;
    return false;
}

static bool join_parent(struct level *level, size_t child)
{
    struct compile *c = level->compile;
    struct source *source = &level->source;
    const struct catalog_table *table = source->relations[child].table;
    const struct catalog_table *parent = &c->catalog->tables[table->parent];
    int location = source->ranges[child]->location;
    if (source->n_relations == RELATIONS_MAX)
        return compile_refuse(c, location, "0A000",
                              "a join of more than 16 tables is not supported",
                              "The tables that lead to the unit are counted too.", NULL);
    const char *alias = parent->name;
    while (alias_taken(source, alias))
        alias = arena_printf(c->arena, "%s_", alias);
    size_t index = source->n_relations++;
    source->relations[index] = (struct scope_relation){
        .alias = alias,
        .sql_alias = arena_printf(c->arena, "r%zu", index + 1),
        .table = parent,
    };
    source->ranges[index] = source->ranges[child];
    level->scope.n_relations = source->n_relations;
    struct join *leaf = from_new_join(level, JOIN_NONE, location);
    leaf->relation = index;
    struct join *both = from_new_join(level, JOIN_INNER, location);
    both->left = source->root;
    both->right = leaf;
    PgQuery__Node *on = node_new_equality(
        c->arena,
        node_new_column(c->arena, source->relations[child].alias,
                        table->columns[table->unit_column].name, -1),
        node_new_column(c->arena, alias, parent->columns[table->parent_key].name, -1), -1);
    VECTOR_PUSH(c->arena, &both->on, on);
    const struct expr *condition = level_compile(level, on, true);
    if (condition == NULL && !c->pending)
        return false;
    VECTOR_PUSH(c->arena, &both->conditions, condition);
    source->root = both;
    return true;
}

bool parents_join(struct level *level)
{
    struct source *source = &level->source;
    const struct catalog *catalog = level->compile->catalog;
    for (size_t i = 0; i < source->n_relations; i++) {
        const struct catalog_table *table = source->relations[i].table;
        if (table->is_public || source->relations[i].nullable ||
            ownership_is_direct(catalog, table) || table->parent_key < 0)
            continue;
        equality_list equalities = {0};
        ownership_equalities(level, &equalities);
        if (!ownership_has_parent(level, i, &equalities) && !join_parent(level, i))
            return false;
    }
    return true;
}

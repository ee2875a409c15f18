/*
 * Who owns a row of a join. Every private table's row belongs to the unit in its unit column, or to
 * the owner of the one row of another table that this column refers to; a joined row must hold rows
 * of one unit only, so all private tables must be tied together by equalities of these columns. In
 * an outer join the preserved side owns the row, and the condition itself must tie the other side
 * to it: whether a row is null-extended must not depend on other units' rows.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/ownership.h"

#define ALL_RELATIONS (~0u)

static unsigned relations_of(const struct join *join)
{
    if (join->kind == JOIN_NONE)
        return 1u << join->relation;
    return relations_of(join->left) | (join->right == NULL ? 0 : relations_of(join->right));
}

static const struct catalog_table *table_of(const struct level *level, size_t relation)
{
    return level->source.relations[relation].table;
}

static bool is_private(const struct level *level, size_t relation)
{
    return !table_of(level, relation)->is_public;
}

static void add_equalities(const struct level *level, const node_list *nodes, unsigned holds_for,
                           equality_list *out)
{
    for (size_t i = 0; i < nodes->n; i++) {
        const PgQuery__Node *node = nodes->items[i];
        if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR ||
            node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP)
            continue;
        const char *name = node_operator(node->a_expr);
        struct equality equality = {.holds_for = holds_for};
        if (name != NULL && strcmp(name, "=") == 0 && node->a_expr->lexpr != NULL &&
            node->a_expr->rexpr != NULL &&
            from_column(level, node->a_expr->lexpr, &equality.relation[0], &equality.column[0]) &&
            from_column(level, node->a_expr->rexpr, &equality.relation[1], &equality.column[1]))
            VECTOR_PUSH(level->compile->arena, out, equality);
    }
}

bool ownership_is_direct(const struct catalog *catalog, const struct catalog_table *table)
{
    return table->unit_column >= 0 &&
           (table->parent < 0 || catalog->tables[table->parent].parent < 0);
}

/* The column of which the table's unit column holds a value: two that hold one value of the same
 * column have one owner. */
static const struct catalog_column *referred(const struct catalog *catalog,
                                             const struct catalog_table *table)
{
    if (table->parent < 0)
        return &table->columns[table->unit_column];
    const struct catalog_table *parent = &catalog->tables[table->parent];
    int key = parent->parent < 0 ? parent->unit_column : table->parent_key;
    return key < 0 ? NULL : &parent->columns[key];
}

/* Side 0 refers to the row that side 1 is. */
static bool refers(const struct level *level, const struct equality *equality, int side)
{
    const struct catalog_table *table = table_of(level, equality->relation[side]);
    const struct catalog_table *other = table_of(level, equality->relation[1 - side]);
    if (table->is_public || other->is_public || table->unit_column != equality->column[side])
        return false;
    return referred(level->compile->catalog, table) == &other->columns[equality->column[1 - side]];
}

static bool ties_units(const struct level *level, const struct equality *equality)
{
    const struct catalog *catalog = level->compile->catalog;
    const struct catalog_table *table[2];
    for (int side = 0; side < 2; side++)
        table[side] = table_of(level, equality->relation[side]);
    if (table[0]->is_public || table[1]->is_public ||
        table[0]->columns[equality->column[0]].type.oid !=
            table[1]->columns[equality->column[1]].type.oid)
        return false;
    if (refers(level, equality, 0) || refers(level, equality, 1))
        return true;
    return table[0]->unit_column == equality->column[0] &&
           table[1]->unit_column == equality->column[1] && referred(catalog, table[0]) != NULL &&
           referred(catalog, table[0]) == referred(catalog, table[1]);
}

static unsigned private_of(const struct level *level, const struct join *join)
{
    if (join->kind == JOIN_NONE)
        return is_private(level, join->relation) ? 1u << join->relation : 0;
    if (join->kind == JOIN_DERIVED)
        return private_of(level, join->left);
    return private_of(level, join->left) | private_of(level, join->right);
}

/* The operands of a run of inner joins, and the equalities that hold in its rows. */
struct block {
    const struct join *leaves[RELATIONS_MAX];
    size_t n;
    equality_list equalities;
};

static void gather(const struct level *level, const struct join *join, struct block *block)
{
    if (join->kind == JOIN_DERIVED) {
        gather(level, join->left, block);
        return;
    }
    if (join->kind != JOIN_INNER) {
        block->leaves[block->n++] = join;
        return;
    }
    gather(level, join->left, block);
    gather(level, join->right, block);
    add_equalities(level, &join->on, ALL_RELATIONS, &block->equalities);
}

static bool refuse_untied(struct level *level, size_t a, size_t b, int location)
{
    struct compile *c = level->compile;
    const struct scope_relation *left = &level->source.relations[a];
    const struct scope_relation *right = &level->source.relations[b];
    return compile_refuse(
        c, location, "0A000", "a join would put rows of different people into one row",
        arena_printf(c->arena,
                     "Tables \"%s\" and \"%s\" are private and not joined on their units.",
                     left->alias, right->alias),
        arena_printf(c->arena, "Add the condition %s.%s = %s.%s to the join.", left->alias,
                     left->table->columns[left->table->unit_column].name, right->alias,
                     right->table->columns[right->table->unit_column].name));
}

static size_t first_of(unsigned set)
{
    return (size_t)__builtin_ctz(set);
}

static bool one_owner(struct level *level, const struct join *join, const equality_list *above);

static bool outer_owner(struct level *level, const struct join *join, const equality_list *above)
{
    unsigned left = private_of(level, join->left), right = private_of(level, join->right);
    equality_list on = {0};
    add_equalities(level, &join->on, relations_of(join->right), &on);
    if (right == 0)
        return one_owner(level, join->left, above);
    if (left == 0)
        return compile_refuse(level->compile, join->location, "0A000",
                              "an outer join that preserves a public table is not supported",
                              "The private side of the join would be null-extended.",
                              "Write an inner JOIN; with a declared domain every group appears.");
    bool tied = false;
    for (size_t i = 0; i < on.n && !tied; i++) {
        unsigned a = 1u << on.items[i].relation[0], b = 1u << on.items[i].relation[1];
        tied =
            ties_units(level, &on.items[i]) && ((a & left && b & right) || (b & left && a & right));
    }
    if (!tied)
        return refuse_untied(level, first_of(left), first_of(right), join->location);
    return one_owner(level, join->left, above) && one_owner(level, join->right, &on);
}

/* Do all private rows of a joined row belong to one unit? above: equalities of the levels round it
 * that hold in every row that is kept. */
static bool one_owner(struct level *level, const struct join *join, const equality_list *above)
{
    struct block block = {0};
    gather(level, join, &block);
    for (size_t i = 0; i < above->n; i++)
        VECTOR_PUSH(level->compile->arena, &block.equalities, above->items[i]);
    unsigned class[RELATIONS_MAX];
    for (size_t i = 0; i < block.n; i++) {
        class[i] = private_of(level, block.leaves[i]);
        if (block.leaves[i]->kind == JOIN_LEFT &&
            !outer_owner(level, block.leaves[i], &block.equalities))
            return false;
    }
    /* Merge until nothing changes: at most one merge for every leaf. */
    for (size_t round = 0; round < block.n; round++) {
        for (size_t e = 0; e < block.equalities.n; e++) {
            const struct equality *equality = &block.equalities.items[e];
            unsigned both = (1u << equality->relation[0]) | (1u << equality->relation[1]);
            unsigned merged = 0, inside = private_of(level, join);
            if (!ties_units(level, equality) || (both & inside) != both)
                continue;
            for (size_t i = 0; i < block.n; i++)
                merged |= class[i] & both ? class[i] : 0;
            for (size_t i = 0; i < block.n; i++)
                class[i] = class[i] & both ? merged : class[i];
        }
    }
    unsigned first = 0;
    for (size_t i = 0; i < block.n; i++) {
        if (class[i] == 0)
            continue;
        if (first == 0)
            first = class[i];
        if (class[i] != first)
            return refuse_untied(level, first_of(first),
                                 first_of(private_of(level, block.leaves[i])),
                                 block.leaves[i]->location);
    }
    return true;
}

static const struct catalog_unique *unique_on(const struct catalog_table *table, int column)
{
    for (size_t i = 0; i < table->n_unique; i++)
        if (table->unique[i].n_columns == 1 && table->unique[i].columns[0] == column)
            return &table->unique[i];
    return NULL;
}

static void all_equalities(const struct level *level, const struct join *join, equality_list *out)
{
    if (join->kind == JOIN_NONE)
        return;
    all_equalities(level, join->left, out);
    if (join->right != NULL)
        all_equalities(level, join->right, out);
    unsigned holds_for = join->kind == JOIN_LEFT ? relations_of(join->right) : ALL_RELATIONS;
    add_equalities(level, &join->on, holds_for, out);
}

void ownership_equalities(const struct level *level, equality_list *out)
{
    all_equalities(level, level->source.root, out);
    add_equalities(level, &level->source.where_nodes, ALL_RELATIONS, out);
}

bool ownership_has_parent(const struct level *level, size_t relation,
                          const equality_list *equalities)
{
    for (size_t e = 0; e < equalities->n; e++)
        for (int side = 0; side < 2; side++) {
            const struct equality *equality = &equalities->items[e];
            if (equality->relation[side] == relation &&
                (equality->holds_for & (1u << relation)) != 0 && refers(level, equality, side))
                return true;
        }
    return false;
}

/* Is every joined row the relation's one row that a row of a table below refers to? Then the rows
 * below are the ones to count. What is counted here is enforced by the measurement all the same. */
static bool is_counted_below(const struct level *level, size_t relation,
                             const equality_list *equalities)
{
    for (size_t e = 0; e < equalities->n; e++)
        for (int side = 0; side < 2; side++) {
            const struct equality *equality = &equalities->items[e];
            size_t below = equality->relation[side];
            if (equality->holds_for == ALL_RELATIONS && equality->relation[1 - side] == relation &&
                refers(level, equality, side) && !level->source.relations[below].nullable &&
                !ownership_is_direct(level->compile->catalog, table_of(level, below)))
                return true;
        }
    return false;
}

/* The rows of one unit in each private table, multiplied. */
static bool find_rows(struct level *level)
{
    struct source *source = &level->source;
    bool bounded = true;
    equality_list equalities = {0};
    ownership_equalities(level, &equalities);
    source->rows = 1;
    source->unit_unique = true;
    for (size_t i = 0; i < source->n_relations; i++) {
        const struct catalog_table *table = table_of(level, i);
        if (table->is_public)
            continue;
        bool direct = ownership_is_direct(level->compile->catalog, table);
        const struct catalog_unique *unique =
            table->has_children || !direct ? NULL : unique_on(table, table->unit_column);
        uint64_t rows = is_counted_below(level, i, &equalities) ? 1 : table->max_rows;
        if (unique != NULL) {
            struct proof proof = {table, unique, NULL};
            VECTOR_PUSH(level->compile->arena, &source->proofs, proof);
            rows = 1;
        } else {
            source->unit_unique = false;
        }
        if (rows == 0)
            bounded = false;
        else if (__builtin_mul_overflow(source->rows, rows, &source->rows))
            bounded = false;
        if (table->max_groups != 0 && (source->groups == 0 || table->max_groups < source->groups))
            source->groups = table->max_groups;
        if (table->max_rows_per_group != 0 &&
            (source->rows_per_group == 0 || table->max_rows_per_group < source->rows_per_group))
            source->rows_per_group = table->max_rows_per_group;
    }
    if (!bounded)
        source->rows = 0;
    return true;
}

/* Values that are unique among themselves may still equal one value of another type. */
static bool same_type(const struct level *level, const struct equality *equality)
{
    const struct catalog_column *a =
        &table_of(level, equality->relation[0])->columns[equality->column[0]];
    const struct catalog_column *b =
        &table_of(level, equality->relation[1])->columns[equality->column[1]];
    return a->type.oid == b->type.oid && a->deterministic && b->deterministic;
}

/* Columns of the relation that equal columns of relations in the set. */
static bool covered(const struct level *level, const struct catalog_unique *unique,
                    const equality_list *equalities, size_t relation, unsigned known)
{
    for (size_t k = 0; k < unique->n_columns; k++) {
        bool found = false;
        for (size_t e = 0; e < equalities->n && !found; e++)
            for (int side = 0; side < 2; side++)
                found |= (equalities->items[e].holds_for & (1u << relation)) != 0 &&
                         equalities->items[e].relation[side] == relation &&
                         equalities->items[e].column[side] == unique->columns[k] &&
                         same_type(level, &equalities->items[e]) &&
                         (known & (1u << equalities->items[e].relation[1 - side])) != 0;
        if (!found)
            return false;
    }
    return true;
}

static bool touches(const equality_list *equalities, size_t relation, unsigned known)
{
    for (size_t e = 0; e < equalities->n; e++)
        for (int side = 0; side < 2; side++)
            if ((equalities->items[e].holds_for & (1u << relation)) != 0 &&
                equalities->items[e].relation[side] == relation &&
                (known & (1u << equalities->items[e].relation[1 - side])) != 0)
                return true;
    return false;
}

/* A public relation whose fan-out is known to be one, given the relations in the set. */
static const struct catalog_unique *single_row(const struct level *level, size_t relation,
                                               const equality_list *equalities, unsigned known)
{
    const struct catalog_table *table = table_of(level, relation);
    for (size_t i = 0; i < table->n_unique && !table->has_children; i++)
        if (covered(level, &table->unique[i], equalities, relation, known))
            return &table->unique[i];
    return NULL;
}

static bool refuse_work(struct level *level, size_t relation)
{
    struct compile *c = level->compile;
    return compile_refuse(
        c, level->source.ranges[relation]->location, "0A000", "the join may repeat rows too often",
        arena_printf(c->arena,
                     "Joined with \"%s\", one person's rows can be more than the limit allows.",
                     level->source.relations[relation].alias),
        "Join public tables on all columns of a unique key, and private tables on more columns than "
        "the unit.");
}

/* How often public tables may repeat a row, and whether the conditions tie them to the rest. */
static bool find_fan_out(struct level *level)
{
    struct source *source = &level->source;
    struct compile *c = level->compile;
    equality_list equalities = {0};
    ownership_equalities(level, &equalities);
    unsigned known = private_of(level, source->root), all = (1u << source->n_relations) - 1;
    uint64_t work = source->rows == 0 ? 1 : source->rows;
    if (work > c->request->settings->work_max && (known & (known - 1)) != 0)
        return refuse_work(level, source->unit_relation);
    while (known != all) {
        size_t next = RELATIONS_MAX;
        const struct catalog_unique *unique = NULL;
        for (size_t i = 0; i < source->n_relations && unique == NULL; i++) {
            if (known & (1u << i))
                continue;
            unique = single_row(level, i, &equalities, known);
            if (unique != NULL || (next == RELATIONS_MAX && touches(&equalities, i, known)))
                next = i;
        }
        if (next == RELATIONS_MAX) {
            size_t untied = first_of(all & ~known);
            return compile_refuse(c, source->ranges[untied]->location, "0A000",
                                  "a join with a public table needs an equality of columns",
                                  arena_printf(c->arena, "Nothing ties \"%s\" to the private rows.",
                                               source->relations[untied].alias),
                                  "Add a condition column = column to the join.");
        }
        known |= 1u << next;
        if (unique != NULL) {
            struct proof proof = {table_of(level, next), unique, NULL};
            VECTOR_PUSH(c->arena, &source->proofs, proof);
            continue;
        }
        source->unit_unique = false;
        uint64_t rows = table_of(level, next)->public_rows;
        if (__builtin_mul_overflow(work, rows == 0 ? 1 : rows, &work) ||
            work > c->request->settings->work_max)
            return refuse_work(level, next);
    }
    return true;
}

/* The table to which the unit column must lead, where no join does it already. */
static bool find_root(struct level *level)
{
    struct source *source = &level->source;
    struct compile *c = level->compile;
    size_t found = RELATIONS_MAX;
    for (size_t i = 0; i < source->n_relations; i++) {
        const struct catalog_table *table = table_of(level, i);
        if (table->is_public)
            continue;
        if (!ownership_is_direct(c->catalog, table))
            continue;
        if (source->relations[i].nullable)
            continue;
        if (found == RELATIONS_MAX || (table->parent < 0 && table_of(level, found)->parent >= 0))
            found = i;
    }
    if (found == RELATIONS_MAX)
        return compile_refuse(c, source->root->location, "0A000",
                              "an outer join that preserves a public table is not supported",
                              "The private side of the join would be null-extended.",
                              "Write an inner JOIN; with a declared domain every group appears.");
    const struct catalog_table *table = table_of(level, found);
    source->unit_relation = found;
    struct text unit = text_new(c->arena);
    text_identifier(&unit, source->relations[found].sql_alias);
    text_add(&unit, ".");
    text_identifier(&unit, table->columns[table->unit_column].name);
    source->unit_sql = unit.data;
    if (table->parent < 0)
        return true;
    const struct catalog_table *root = &c->catalog->tables[table->parent];
    source->missing_root = root;
    for (size_t i = 0; i < table->n_foreign_keys && !table->has_children; i++) {
        if (table->foreign_keys[i].column != table->unit_column ||
            table->foreign_keys[i].ref_table_oid != root->oid || source->root_proved)
            continue;
        struct proof proof = {table, NULL, &table->foreign_keys[i]};
        VECTOR_PUSH(c->arena, &source->proofs, proof);
        source->root_proved = true;
    }
    return true;
}

bool ownership_find(struct level *level)
{
    equality_list where = {0};
    add_equalities(level, &level->source.where_nodes, ALL_RELATIONS, &where);
    return find_root(level) && one_owner(level, level->source.root, &where) && find_rows(level) &&
           find_fan_out(level);
}

void ownership_write_root(const struct level *level, struct text *out)
{
    const struct catalog_table *root = level->source.missing_root;
    text_add(out, " AND EXISTS (SELECT 1 FROM ");
    from_write_table(root, out);
    text_add(out, " AS \"root\" WHERE \"root\".");
    text_identifier(out, root->columns[root->unit_column].name);
    text_printf(out, " OPERATOR(pg_catalog.=) %s)", level->source.unit_sql);
}

/* The relation's row has one owner: no other row of the same key has another. */
static void write_one_owner(const struct level *level, size_t relation, int key, struct text *out)
{
    const struct catalog_table *table = table_of(level, relation);
    const char *alias = level->source.relations[relation].sql_alias;
    text_add(out, " AND NOT EXISTS (SELECT 1 FROM ");
    from_write_table(table, out);
    text_add(out, " AS \"other\" WHERE \"other\".");
    text_identifier(out, table->columns[key].name);
    text_printf(out, " OPERATOR(pg_catalog.=) \"%s\".", alias);
    text_identifier(out, table->columns[key].name);
    text_add(out, " AND \"other\".");
    text_identifier(out, table->columns[table->unit_column].name);
    text_printf(out, " IS DISTINCT FROM \"%s\".", alias);
    text_identifier(out, table->columns[table->unit_column].name);
    text_add(out, ")");
}

void ownership_write_single(const struct level *level, const struct join *outer, struct text *out)
{
    const struct source *source = &level->source;
    unsigned inside = outer == NULL ? ALL_RELATIONS : relations_of(outer);
    unsigned matched = outer == NULL ? ALL_RELATIONS : relations_of(outer->right);
    equality_list equalities = {0};
    ownership_equalities(level, &equalities);
    for (size_t e = 0; e < equalities.n; e++)
        for (int side = 0; side < 2; side++) {
            const struct equality *equality = &equalities.items[e];
            size_t below = equality->relation[side], above = equality->relation[1 - side];
            if ((matched & (1u << below)) != 0 && (inside & (1u << above)) != 0 &&
                source->relations[below].nullable == (outer != NULL) &&
                refers(level, equality, side) &&
                !ownership_is_direct(level->compile->catalog, table_of(level, below)))
                write_one_owner(level, above, equality->column[1 - side], out);
        }
}

#include "parser/fold.h"

#include <string.h>

#include "mechanisms/refine.h"
#include "parser/digest.h"

bool fold_is_additive(const struct level *level, const struct level_measure *measure)
{
    const struct source *source = &level->source;
    const struct bounding *bounding = &level->bounding;
    /* All rows of a unit may be in one group: then only their number in all is bounded. */
    if ((level->n_keys > 0 && !level->public_keys) || measure->bought || source->rows == 0 ||
        bounding->delta != source->rows || bounding->groups != 1)
        return false;
    switch (measure->kind) {
    case MEASURE_COUNT:
        return true;
    case MEASURE_SUM:
        return !measure->rotated;
    case MEASURE_UNITS:
        return source->rows == 1;
    case MEASURE_DISTINCT:
    case MEASURE_COMPLEMENT:
        return false;
    }
    return false;
}

/* Does every row of the relation have a group of the column's domain? */
static bool is_complete(const struct scope_relation *relation, const struct catalog_column *column)
{
    const struct catalog_table *table = relation->table;
    bool null_listed = false;
    for (size_t i = 0; i < column->n_domain; i++)
        null_listed = null_listed || column->domain[i] == NULL;
    return column->domain_complete && table->derived == NULL &&
           (null_listed || (column->not_null && !relation->nullable && !table->has_children));
}

/* Which column it is, of which relation of FROM, and which groups it makes. */
static const char *digest_of(const struct level *level, size_t relation,
                             const struct catalog_column *column)
{
    const struct scope_relation *source = &level->source.relations[relation];
    struct text all = text_new(level->compile->arena);
    digest_add(&all, "key 1");
    digest_add_number(&all, relation);
    digest_add_number(&all, source->table->oid);
    digest_add(&all, column->name);
    digest_add(&all, column->type.declared);
    digest_add_number(&all, is_complete(source, column));
    digest_add_number(&all, column->n_domain);
    for (size_t i = 0; i < column->n_domain; i++)
        digest_add(&all, column->domain[i]);
    return digest_finish(&all);
}

static bool has_family(const struct level *level)
{
    for (size_t i = 0; i < level->n_measures; i++)
        if (level->measures[i].family != NULL)
            return true;
    return false;
}

/* The same column twice, written in two ways, makes groups that no row is in, and no map of groups
 * is defined for it. */
static bool are_distinct(const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(keys[i], keys[k]) == 0)
                return false;
    return true;
}

void fold_find_keys(struct level *level)
{
    level->fold_keys = NULL;
    if (!has_family(level))
        return;
    const char **keys = arena_alloc(level->compile->arena, (level->n_keys + 1) * sizeof *keys);
    for (size_t i = 0; i < level->n_keys; i++) {
        size_t relation;
        const struct catalog_column *column = expr_column(level->keys[i].expr, &relation);
        keys[i] = digest_of(level, relation, column);
        if (keys[i] == NULL)
            return;
    }
    if (are_distinct(keys, level->n_keys))
        level->fold_keys = keys;
}

const char *fold_wish(const struct level *level, const struct level_measure *measure)
{
    if (measure->family == NULL || level->fold_keys == NULL)
        return NULL;
    struct text wish = text_new(level->compile->arena);
    text_add(&wish, measure->family);
    text_add(&wish, level->n_keys == 0 ? ":" : "");
    for (size_t i = 0; i < level->n_keys; i++)
        text_printf(&wish, ":%s", level->fold_keys[i]);
    return wish.data;
}

/* The columns that a finer answer may have beside the keys. */
static void find_columns(struct level *level)
{
    if (level->fold_columns.n > 0)
        return;
    for (size_t r = 0; r < level->source.n_relations; r++) {
        const struct scope_relation *relation = &level->source.relations[r];
        for (size_t i = 0; i < relation->table->n_columns; i++) {
            const struct catalog_column *column = &relation->table->columns[i];
            if (column->n_domain == 0 || !is_complete(relation, column))
                continue;
            struct fold_column found = {digest_of(level, r, column), column};
            if (found.digest != NULL)
                VECTOR_PUSH(level->compile->arena, &level->fold_columns, found);
        }
    }
}

/* One key of a kept answer: how many groups it makes, and by how much the number of the level's
 * group grows with it (0: the level is not grouped by it). */
struct axis {
    const struct catalog_column *column;
    uint64_t stride;
};

/* The level's key that the digest is of; n_keys: none. */
static size_t find_key(const struct level *level, const char *digest)
{
    size_t i = 0;
    while (i < level->n_keys && strcmp(level->fold_keys[i], digest) != 0)
        i++;
    return i;
}

static const struct catalog_column *find_column(struct level *level, const char *digest)
{
    find_columns(level);
    for (size_t i = 0; i < level->fold_columns.n; i++)
        if (strcmp(level->fold_columns.items[i].digest, digest) == 0)
            return level->fold_columns.items[i].column;
    return NULL;
}

/* The last key's groups are counted up first, as in find_domain of level.c. */
static uint64_t stride_of(const struct level *level, size_t key)
{
    uint64_t stride = 1;
    for (size_t i = key + 1; i < level->n_keys; i++)
        stride *= level->keys[i].domain->n_domain;
    return stride;
}

/* False where the keys are not at least the level's, or the groups not those of the keys. */
static bool find_axes(struct level *level, const struct kept_answer *kept,
                      struct axis axes[KEYS_MAX], uint64_t *cells)
{
    uint64_t groups = 1;
    size_t n_common = 0;
    *cells = 1;
    if (kept->n_fold_keys > KEYS_MAX || kept->n_fold_keys < level->n_keys ||
        !are_distinct(kept->fold_keys, kept->n_fold_keys))
        return false;
    for (size_t i = 0; i < kept->n_fold_keys; i++) {
        size_t key = find_key(level, kept->fold_keys[i]);
        bool common = key < level->n_keys;
        axes[i] = common ? (struct axis){level->keys[key].domain, stride_of(level, key)}
                         : (struct axis){.column = find_column(level, kept->fold_keys[i])};
        n_common += common;
        if (axes[i].column == NULL ||
            __builtin_mul_overflow(groups, axes[i].column->n_domain, &groups) ||
            groups > FOLD_GROUPS_MAX)
            return false;
        *cells *= common ? 1 : axes[i].column->n_domain;
    }
    return n_common == level->n_keys && groups == kept->n_groups;
}

/* One unit moves both by as much. On a grid 2^k times coarser the integer sensitivity is divided by
 * 2^k and rounded up, whatever was rounded up before. */
static bool is_as_sensitive(const struct dp_calibration *wanted, const struct dp_calibration *have)
{
    bool coarser = have->grid.exp2 >= wanted->grid.exp2;
    const struct dp_calibration *fine = coarser ? wanted : have, *coarse = coarser ? have : wanted;
    int shift = coarse->grid.exp2 - fine->grid.exp2;
    if (wanted->groups != have->groups || wanted->grid.scale10 != have->grid.scale10 || shift > 63)
        return false;
    uint64_t rest = fine->delta_grid & (((uint64_t)1 << shift) - 1);
    return coarse->delta_grid == (fine->delta_grid >> shift) + (rest != 0);
}

bool fold_fits(struct level *level, const struct level_measure *measure,
               const struct kept_answer *kept, struct dp_calibration *calibration)
{
    struct axis axes[KEYS_MAX];
    uint64_t cells;
    return measure->family != NULL && kept->family != NULL && level->fold_keys != NULL &&
           strcmp(kept->family, measure->family) == 0 && kept->keys_of == 0 && !kept->keys_only &&
           is_as_sensitive(&measure->wanted, &kept->calibration) &&
           find_axes(level, kept, axes, &cells) &&
           dp_draw_of_cells(&kept->calibration, cells, calibration);
}

static bool same_keys(const struct kept_answer *a, const struct kept_answer *b)
{
    bool same = a->n_fold_keys == b->n_fold_keys;
    for (size_t i = 0; same && i < a->n_fold_keys; i++)
        same = strcmp(a->fold_keys[i], b->fold_keys[i]) == 0;
    return same;
}

/* Of an answer that fits. */
static struct fold_map make_map(struct level *level, const struct kept_answer *kept)
{
    struct arena *arena = level->compile->arena;
    struct axis axes[KEYS_MAX];
    uint64_t cells;
    struct text columns = text_new(arena);
    uint32_t *groups = arena_alloc(arena, (kept->n_groups + 1) * sizeof *groups);
    bool fits = find_axes(level, kept, axes, &cells);
    for (size_t i = 0; fits && i < kept->n_fold_keys; i++)
        text_printf(&columns, "%s%s", i == 0 ? "" : ", ", axes[i].column->name);
    for (size_t group = 0; fits && group < kept->n_groups; group++) {
        size_t rest = group;
        for (size_t i = kept->n_fold_keys; i-- > 0;) {
            groups[group] += (uint32_t)(rest % axes[i].column->n_domain * axes[i].stride);
            rest /= axes[i].column->n_domain;
        }
    }
    return (struct fold_map){kept, groups, columns.data};
}

const uint32_t *fold_groups(struct level *level, const struct kept_answer *kept)
{
    for (size_t i = 0; i < level->fold_maps.n; i++)
        if (same_keys(level->fold_maps.items[i].kept, kept))
            return level->fold_maps.items[i].groups;
    struct fold_map map = make_map(level, kept);
    VECTOR_PUSH(level->compile->arena, &level->fold_maps, map);
    return map.groups;
}

static bool reads(const struct level *level, const struct level_aggregate *aggregate,
                  const struct fold_map *map)
{
    const int measures[] = {aggregate->count, aggregate->sum, aggregate->squares};
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++)
        for (size_t n = 0; measures[i] >= 0 && n < level->measures[measures[i]].n_kept; n++)
            if (level->measures[measures[i]].kept[n].fold == map->groups)
                return true;
    return false;
}

const char *fold_sources(const struct level *level, const struct level_aggregate *aggregate)
{
    struct text out = text_new(level->compile->arena);
    for (size_t i = 0; i < level->fold_maps.n; i++) {
        const struct fold_map *map = &level->fold_maps.items[i];
        if (reads(level, aggregate, map))
            text_printf(&out, "%s%s", out.length == 0 ? "" : "; ", map->columns);
    }
    return out.length == 0 ? NULL : out.data;
}

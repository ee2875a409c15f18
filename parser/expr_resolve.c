/* Which operator or function a name means for these arguments: PostgreSQL's own way of choosing
 * among candidates (its documentation, chapter "Type Conversion"), over the tables of the
 * allow-list. */
#include <string.h>

#include "parser/expr_internal.h"

enum { CANDIDATES_MAX = 64 };

struct choice {
    size_t n;
    const struct expr_operation *candidates[CANDIDATES_MAX];
    size_t n_args;
    const struct catalog_type *types[EXPR_ARGS_MAX];
};

static bool is_unknown(const struct choice *choice, size_t arg)
{
    return choice->types[arg]->oid == TYPE_UNKNOWN;
}

static bool accepts(const struct choice *choice, const struct expr_operation *candidate)
{
    for (size_t i = 0; i < choice->n_args; i++)
        if (!expr_implicitly_coercible(choice->types[i]->oid, choice->types[i]->is_enum,
                                       candidate->args[i]))
            return false;
    return true;
}

static bool is_exact(const struct choice *choice, const struct expr_operation *candidate,
                     size_t arg)
{
    return candidate->args[arg] == choice->types[arg]->oid ||
           (candidate->args[arg] == TYPE_ANYENUM && choice->types[arg]->is_enum);
}

static size_t score(const struct choice *choice, const struct expr_operation *candidate,
                    bool preferred)
{
    size_t points = 0;

    for (size_t i = 0; i < choice->n_args; i++) {
        if (is_unknown(choice, i))
            continue;
        char category = expr_type_category(choice->types[i]->oid, choice->types[i]->is_enum);
        if (is_exact(choice, candidate, i) ||
            (preferred && expr_type_preferred(candidate->args[i]) &&
             expr_type_category(candidate->args[i], false) == category))
            points++;
    }
    return points;
}

static void keep_best(struct choice *choice, bool preferred)
{
    size_t best = 0, kept = 0;

    for (size_t i = 0; i < choice->n; i++) {
        size_t points = score(choice, choice->candidates[i], preferred);
        if (points > best || kept == 0) {
            best = points;
            kept = 0;
        } else if (points < best) {
            continue;
        }
        choice->candidates[kept++] = choice->candidates[i];
    }
    choice->n = kept;
}

/* The category that an unknown argument takes: string if any candidate does, else the one that all
 * agree on; 0: they do not. */
static char unknown_category(const struct choice *choice, size_t arg, bool *preferred)
{
    char category = 0;
    bool conflict = false;

    *preferred = false;
    for (size_t i = 0; i < choice->n; i++) {
        uint32_t oid = choice->candidates[i]->args[arg];
        char next = expr_type_category(oid, false);
        if (category == 0) {
            category = next;
            *preferred = expr_type_preferred(oid);
        } else if (next == category) {
            *preferred = *preferred || expr_type_preferred(oid);
        } else if (next == 'S') {
            category = next;
            *preferred = expr_type_preferred(oid);
            conflict = false;
        } else if (category != 'S') {
            conflict = true;
        }
        if (category == 'S')
            conflict = false;
    }
    return conflict ? 0 : category;
}

static void keep_category(struct choice *choice, size_t arg, char category, bool preferred)
{
    size_t kept = 0;

    for (size_t i = 0; i < choice->n; i++) {
        uint32_t oid = choice->candidates[i]->args[arg];
        if (expr_type_category(oid, false) == category && (!preferred || expr_type_preferred(oid)))
            choice->candidates[kept++] = choice->candidates[i];
    }
    if (kept > 0)
        choice->n = kept;
}

static void settle_unknowns(struct choice *choice)
{
    char categories[EXPR_ARGS_MAX];
    bool preferred[EXPR_ARGS_MAX];

    for (size_t i = 0; i < choice->n_args; i++) {
        if (!is_unknown(choice, i))
            continue;
        categories[i] = unknown_category(choice, i, &preferred[i]);
        if (categories[i] == 0)
            return;
    }
    for (size_t i = 0; i < choice->n_args && choice->n > 1; i++)
        if (is_unknown(choice, i))
            keep_category(choice, i, categories[i], preferred[i]);
}

/* Last resort: if all known arguments have one type, the unknown ones are taken to have it too. */
static const struct expr_operation *assume_same(const struct choice *choice)
{
    const struct catalog_type *known = NULL;
    const struct expr_operation *found = NULL;

    for (size_t i = 0; i < choice->n_args; i++) {
        if (is_unknown(choice, i))
            continue;
        if (known && known->oid != choice->types[i]->oid)
            return NULL;
        known = choice->types[i];
    }
    for (size_t i = 0; known && i < choice->n; i++) {
        bool fits = true;
        for (size_t j = 0; j < choice->n_args; j++)
            fits = fits && expr_implicitly_coercible(known->oid, known->is_enum,
                                                     choice->candidates[i]->args[j]);
        if (fits && found)
            return NULL;
        if (fits)
            found = choice->candidates[i];
    }
    return found;
}

static const struct expr_operation *choose(struct choice *choice)
{
    size_t kept = 0, unknown = 0;

    for (size_t i = 0; i < choice->n; i++)
        if (accepts(choice, choice->candidates[i]))
            choice->candidates[kept++] = choice->candidates[i];
    choice->n = kept;
    if (kept <= 1)
        return kept ? choice->candidates[0] : NULL;
    for (size_t i = 0; i < choice->n_args; i++)
        unknown += is_unknown(choice, i);
    if (unknown < choice->n_args)
        keep_best(choice, false);
    if (choice->n > 1 && unknown < choice->n_args)
        keep_best(choice, true);
    if (choice->n > 1 && unknown > 0)
        settle_unknowns(choice);
    if (choice->n == 1)
        return choice->candidates[0];
    return unknown > 0 ? assume_same(choice) : NULL;
}

static void gather(struct choice *choice, const struct expr_operation *table, size_t n,
                   const char *name)
{
    for (size_t i = 0; i < n && choice->n < CANDIDATES_MAX; i++)
        if (table[i].n_args == choice->n_args && strcmp(table[i].name, name) == 0)
            choice->candidates[choice->n++] = &table[i];
}

static const struct expr_operation *exact(const struct choice *choice,
                                          const struct catalog_type *const *types)
{
    for (size_t i = 0; i < choice->n; i++) {
        bool same = true;
        for (size_t j = 0; j < choice->n_args; j++)
            same = same && (choice->candidates[i]->args[j] == types[j]->oid ||
                            (choice->candidates[i]->args[j] == TYPE_ANYENUM && types[j]->is_enum));
        if (same)
            return choice->candidates[i];
    }
    return NULL;
}

const struct expr_operation *expr_resolve_operator(const char *name, const struct expr *left,
                                                   const struct expr *right)
{
    struct choice choice = {.n_args = left ? 2 : 1};
    const struct catalog_type *same[EXPR_ARGS_MAX];

    if (left)
        choice.types[0] = &left->type;
    choice.types[choice.n_args - 1] = &right->type;
    gather(&choice, expr_operators, expr_n_operators, name);
    memcpy(same, choice.types, sizeof same);
    /* An unknown literal is first tried in the other side's type. */
    if (left && is_unknown(&choice, 0))
        same[0] = choice.types[1];
    else if (left && is_unknown(&choice, 1))
        same[1] = choice.types[0];
    const struct expr_operation *found = exact(&choice, same);
    return found ? found : choose(&choice);
}

const struct expr_operation *expr_resolve_function(const char *name, const struct expr *const *args,
                                                   size_t n_args)
{
    struct choice choice = {.n_args = n_args};

    if (n_args == 0 || n_args > EXPR_ARGS_MAX)
        return NULL;
    for (size_t i = 0; i < n_args; i++)
        choice.types[i] = &args[i]->type;
    gather(&choice, expr_functions, expr_n_functions, name);
    const struct expr_operation *found = exact(&choice, choice.types);
    return found ? found : choose(&choice);
}

bool expr_function_exists(const char *name)
{
    for (size_t i = 0; i < expr_n_functions; i++)
        if (strcmp(expr_functions[i].name, name) == 0)
            return true;
    return false;
}

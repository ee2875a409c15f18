/*
 * Fractions of quantiles. They are constants: PostgreSQL lets them depend on the group, which would
 * let the analyst's quantiles depend on it too.
 */
#include <string.h>

#include "parser/node.h"
#include "parser/quantile.h"

enum { FRACTION_SCALE = 18, FLOAT8_ARRAY = 1022, NUMERIC_ARRAY = 1231 };

static bool refuse_fraction(struct level *level, PgQuery__Node *node)
{
    return compile_refuse(level->compile, node_location(node), "0A000",
                          "the fraction of a quantile must be a constant",
                          "Which quantiles are drawn may not depend on the rows.",
                          "Write a number from 0 to 1, an array of them, or a parameter.");
}

static bool refuse_range(struct level *level, PgQuery__Node *node, const char *value)
{
    struct compile *c = level->compile;
    return compile_refuse(
        c, node_location(node), "22003",
        arena_printf(c->arena, "percentile value %s is not between 0 and 1", value),
        "The fraction of a quantile is out of range.", "Write a number from 0 to 1.");
}

/* The last convergent or semiconvergent with a denominator that is small enough. */
struct dp_rank fraction_rank(const struct dp_decimal *fraction)
{
    const struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_decimal value = *fraction;
    __int128 b = 1, p0 = 0, q0 = 1, p1 = 1, q1 = 0;
    if (value.scale > FRACTION_SCALE)
        dp_decimal_divide(&value, &one, FRACTION_SCALE, false, &value);
    for (int i = 0; i < value.scale; i++)
        b *= 10;
    for (__int128 a = value.digits; b != 0;) {
        __int128 t = a / b, rest = a % b, most = t;
        if (q1 > 0 && t * q1 + q0 > DP_RANK_DENOMINATOR_MAX)
            most = (DP_RANK_DENOMINATOR_MAX - q0) / q1;
        if (most < t && 2 * most <= t)
            break;
        __int128 p2 = most * p1 + p0, q2 = most * q1 + q0;
        p0 = p1, q0 = q1, p1 = p2, q1 = q2;
        if (most < t)
            break;
        a = b, b = rest;
    }
    return (struct dp_rank){.numerator = (uint32_t)p1, .denominator = (uint32_t)q1};
}

static bool push(struct level *level, struct level_aggregate *aggregate, PgQuery__Node *node,
                 const struct dp_decimal *fraction, const char *value)
{
    const struct dp_decimal zero = dp_decimal_from_int(0), one = dp_decimal_from_int(1);
    struct level_quantile *quantile = &aggregate->quantile;
    struct compile *c = level->compile;
    if (dp_decimal_compare(fraction, &zero) < 0 || dp_decimal_compare(fraction, &one) > 0)
        return refuse_range(level, node, value);
    if (quantile->n_ranks == LEVEL_QUANTILES_MAX)
        return compile_refuse(c, node_location(node), "54001", "too many quantiles",
                              "A query may ask for 1024 different ones.", "Split the array.");
    quantile->ranks[quantile->n_ranks++] = fraction_rank(fraction);
    return true;
}

/* A number as it is written. */
static bool plain_number(struct arena *arena, const PgQuery__Node *node, struct dp_decimal *value)
{
    if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull)
        return false;
    const PgQuery__AConst *constant = node->a_const;
    const char *text = constant->val_case == PG_QUERY__A__CONST__VAL_IVAL
                           ? arena_printf(arena, "%d", constant->ival->ival)
                       : constant->val_case == PG_QUERY__A__CONST__VAL_FVAL ? constant->fval->fval
                                                                            : "";
    return dp_decimal_parse(text, strlen(text), value);
}

/* A constant: its range is one point, but for the last digit of a quotient. */
static bool add_node(struct level *level, PgQuery__Node *node, struct level_aggregate *aggregate)
{
    struct dp_decimal low, high, width;
    const struct dp_decimal tiny = {1, 12};
    char text[DP_DECIMAL_TEXT_MAX];
    if (plain_number(level->compile->arena, node, &low)) {
        dp_decimal_print(&low, text);
        return push(level, aggregate, node, &low, text);
    }
    const struct expr *expr = level_compile(level, node, false);
    if (expr == NULL)
        return false;
    if (!expr_is_constant(expr) || !expr_bounds(expr, &low, &high) ||
        !dp_decimal_subtract(&high, &low, &width) || dp_decimal_compare(&width, &tiny) > 0)
        return refuse_fraction(level, node);
    dp_decimal_print(&low, text);
    return push(level, aggregate, node, &low, text);
}

/* '{0.1,0.5}': an array of numbers has no quotes. */
static bool add_text(struct level *level, PgQuery__Node *node, const char *text,
                     struct level_aggregate *aggregate)
{
    struct arena *arena = level->compile->arena;
    size_t length = strlen(text);
    if (length < 3 || text[0] != '{' || text[length - 1] != '}')
        return refuse_fraction(level, node);
    const char *end = text + length - 1;
    for (const char *at = text + 1; at <= end;) {
        struct dp_decimal value;
        size_t size = 0, skip = strspn(at, " ");
        at += skip;
        while (at + size < end && at[size] != ',')
            size++;
        size_t kept = size;
        while (kept > 0 && at[kept - 1] == ' ')
            kept--;
        if (!dp_decimal_parse(at, kept, &value))
            return refuse_fraction(level, node);
        if (!push(level, aggregate, node, &value, arena_strndup(arena, at, kept)))
            return false;
        at += size + 1;
    }
    return true;
}

static bool is_array_type(const PgQuery__TypeName *type)
{
    const char *name = type->n_names > 0 ? node_string(type->names[type->n_names - 1]) : NULL;
    return name != NULL && type->n_array_bounds == 1 &&
           (strcmp(name, "float8") == 0 || strcmp(name, "numeric") == 0);
}

/* The text of a parameter that is an array of numbers; NULL: it is something else. */
static const char *array_param(const struct level *level, const PgQuery__Node *node)
{
    const struct plan_request *request = level->compile->request;
    if (node->node_case != PG_QUERY__NODE__NODE_PARAM_REF || node->param_ref->number < 1 ||
        (size_t)node->param_ref->number > request->n_params)
        return NULL;
    const struct sql_value *param = &request->params[node->param_ref->number - 1];
    return param->type == FLOAT8_ARRAY || param->type == NUMERIC_ARRAY ? param->text : NULL;
}

/* Under the casts to an array. */
static PgQuery__Node *uncast(PgQuery__Node *node, bool *cast)
{
    while (node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST &&
           is_array_type(node->type_cast->type_name)) {
        node = node->type_cast->arg;
        *cast = true;
    }
    return node;
}

static const char *string_constant(const PgQuery__Node *node)
{
    if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull ||
        node->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL)
        return NULL;
    return node->a_const->sval->sval;
}

bool fraction_compile(struct level *level, PgQuery__FuncCall *call,
                      struct level_aggregate *aggregate)
{
    struct level_quantile *quantile = &aggregate->quantile;
    bool cast = false;
    PgQuery__Node *node = uncast(call->args[0], &cast);
    const char *text = array_param(level, node);
    if (text == NULL && cast)
        text = string_constant(node);
    quantile->ranks =
        arena_alloc(level->compile->arena, LEVEL_QUANTILES_MAX * sizeof *quantile->ranks);
    if (text != NULL) {
        quantile->array = true;
        return add_text(level, node, text, aggregate);
    }
    if (node->node_case != PG_QUERY__NODE__NODE_A_ARRAY_EXPR)
        return cast ? refuse_fraction(level, node) : add_node(level, node, aggregate);
    const PgQuery__AArrayExpr *array = node->a_array_expr;
    bool done = array->n_elements > 0 || refuse_fraction(level, node);
    quantile->array = true;
    for (size_t i = 0; i < array->n_elements && done; i++)
        done = add_node(level, array->elements[i], aggregate);
    return done;
}

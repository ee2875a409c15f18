#ifndef PARSER_EXPR_INTERNAL_H
#define PARSER_EXPR_INTERNAL_H

/*
 * The inside of an expression, shared by parser/expr*.c only.
 *
 * A tree is built bottom up: names and types are resolved as PostgreSQL does (expr_resolve.c), each
 * node is an operation of the allow-list (expr_operators.c, expr_functions.c, expr_casts.c) whose
 * SQL template is total, and its facts (bounds, digits, scale, size) are derived once, when it is
 * made. Nothing changes afterwards but the numbers of parameters, given when the root is done.
 */
#include "parser/expr.h"

enum {
    EXPR_DEPTH_MAX = 1000,     /* nesting of the analyst's nodes */
    EXPR_HEIGHT_MAX = 3000,    /* nesting of the written SQL: PostgreSQL's stack must carry it */
    EXPR_LETS_MAX = 60,        /* nested subselects of the written SQL */
    EXPR_SIZE_MAX = 20000,     /* pieces of the written SQL */
    EXPR_DIGITS_MAX = 1000,    /* decimal digits before, and after, the point of any number */
    EXPR_PARAMS_MAX = 4000,    /* parameters of one measurement */
    EXPR_LIST_MAX = 1000,      /* entries of an IN list */
    EXPR_WILDCARDS_MAX = 8,    /* % and _ of a LIKE pattern */
    EXPR_PATTERN_MAX = 256,    /* bytes of a LIKE pattern */
    EXPR_TAME_DIGITS = 100,    /* digits of unconstrained numeric that arithmetic accepts */
    EXPR_TAME_BYTES = 1000000, /* of an unconstrained text where more text is made of it */
    EXPR_BYTES_MAX = 64000000, /* of any text made */
    EXPR_ARGS_MAX = 4
};

/* Types that only take part in resolution: their operators are never allowed. */
enum {
    TYPE_NAME = 19,
    TYPE_OID = 26,
    TYPE_TIMETZ = 1266,
    TYPE_ANYENUM = 3500,
    TYPE_INT2_ARRAY = 1005,
    TYPE_INT4_ARRAY = 1007,
    TYPE_TEXT_ARRAY = 1009,
    TYPE_INT8_ARRAY = 1016,
    TYPE_FLOAT4_ARRAY = 1021,
    TYPE_FLOAT8_ARRAY = 1022,
    TYPE_DATE_ARRAY = 1182,
    TYPE_NUMERIC_ARRAY = 1231,
    TYPE_BOOL_ARRAY = 1000,
    TYPE_BPCHAR_ARRAY = 1014,
    TYPE_TIMESTAMP_ARRAY = 1115,
    TYPE_TIME_ARRAY = 1183,
    TYPE_TIMESTAMPTZ_ARRAY = 1185,
    TYPE_INTERVAL_ARRAY = 1187,
    TYPE_UUID_ARRAY = 2951
};

enum expr_kind {
    EXPR_COLUMN,
    EXPR_VALUE,     /* constant: a parameter of the measurement, or NULL */
    EXPR_OPERATION, /* of the allow-list, with its template */
    EXPR_AND,
    EXPR_OR,
    EXPR_COALESCE,
    EXPR_GREATEST,
    EXPR_LEAST,
    EXPR_NULLIF,
    EXPR_CASE,       /* when, then, when, then, ..., else */
    EXPR_CASE_VALUE, /* value, when, then, ..., else */
    EXPR_IN          /* value, then constants of its type */
};

/* How the facts of an operation follow from its arguments, and special ways of writing. */
enum expr_rule {
    RULE_NONE,
    RULE_ADD,
    RULE_SUBTRACT,
    RULE_MULTIPLY,
    RULE_DIVIDE,
    RULE_MODULO,
    RULE_DIV, /* quotient without its fraction */
    RULE_NEGATE,
    RULE_KEEP, /* same value, as another type */
    RULE_ABS,
    RULE_SIGN,
    RULE_ROUND, /* to the places of the second argument, if there is one */
    RULE_TRUNC,
    RULE_FLOOR,
    RULE_CEIL,
    RULE_ROUND_EVEN, /* rint of floating point */
    RULE_DATE_DIFFERENCE,
    RULE_DATE_SHIFT, /* date and integer */
    RULE_DATE_TO_TIMESTAMP,
    RULE_TIMESTAMP_TO_DATE,
    RULE_DATE_TRUNC,
    RULE_OF_DAY, /* an interval made of one time of day, or of the difference of two */
    RULE_EXTRACT,
    RULE_LENGTH,
    RULE_BOOL_TO_INT,
    RULE_COMPARE,
    RULE_COMPARE_EQUAL, /* = and <>: bytes decide, whatever the collation */
    RULE_LIKE,
    RULE_TYPMOD /* cast to the type modifier of the result */
};

enum expr_flag {
    OP_NULLABLE = 1,     /* may be NULL although no argument is */
    OP_NEVER_NULL = 2,   /* not NULL although an argument is */
    OP_TIME_ZONE = 4,    /* depends on the session's TimeZone */
    OP_COLLATES = 8,     /* needs one collation */
    OP_FIELD_FIRST = 16, /* the first argument names a field and must be constant */
    OP_CONSTANT_2 = 32,  /* this argument must be a constant */
    OP_CONSTANT_3 = 64,
    OP_IMPLICIT = 128,   /* a cast that PostgreSQL does of itself */
    OP_TAME = 256,       /* numeric arguments must have bounded digits */
    OP_PREFIX = 512,     /* unary operator */
    OP_TAME_TEXT = 2048, /* texts must have bounded length */
    OP_INTEGER = 1024    /* written by the width of its integers, not by the template */
};

/* One row of the allow-list. sql: %1.. are the arguments, %T the result type, %F the field, %% a
 * per cent sign; NULL: known so that resolution comes out as PostgreSQL's, and refused. */
struct expr_operation {
    const char *name;
    unsigned n_args;
    uint32_t args[EXPR_ARGS_MAX];
    uint32_t result;
    enum expr_rule rule;
    unsigned flags;
    const char *sql;
};

/* Most decimal digits of any value; before < 0: unconstrained numeric, which may have 131072. */
struct expr_digits {
    int before, after;
    bool special; /* NaN and infinities are possible */
};

/* Range of an integer expression as its type and arithmetic allow it, whatever the columns hold. */
struct expr_range {
    __int128 low, high;
    bool known; /* false: beyond what fits here */
};

enum expr_width { WIDTH_INT8, WIDTH_NUMERIC };

struct expr {
    enum expr_kind kind;
    struct catalog_type type;
    const struct expr_operation *operation;
    size_t n_args;
    const struct expr **args;

    const struct catalog_column *column;
    const char *sql_alias;
    size_t relation;

    const char *text; /* EXPR_VALUE: canonical text, NULL: the SQL NULL; operations: the field */
    unsigned param;   /* its number; 0: none yet */
    bool is_client_param;
    bool wanted; /* its canonical form is not known yet */
    int location;

    uint32_t collation; /* 0: none; COLLATION_CONFLICT */
    bool constant, not_null;
    bool has_low, has_high;
    struct dp_decimal low, high;
    int scale;
    struct expr_digits digits;
    long bytes; /* most bytes of a text; -1: whatever a column may hold */
    struct expr_range range;
    enum expr_width width; /* integer arithmetic: what it is computed in */
    int height, lets;
    size_t size;
};

enum { COLLATION_CONFLICT = 1, COLLATION_DEFAULT = 100 };

/* expr.c */
bool expr_refuse(struct scope *scope, const char *sqlstate, int location, const char *message,
                 const char *detail, const char *hint); /* returns false */
const struct expr *expr_refuse_null(struct scope *scope, const char *sqlstate, int location,
                                    const char *message, const char *detail, const char *hint);
const struct expr *expr_unsupported(struct scope *scope, int location, const char *construct,
                                    const char *hint);
const struct expr **expr_list(struct scope *scope, size_t n); /* room for so many */
struct expr *expr_new(struct scope *scope, enum expr_kind kind, size_t n_args,
                      const struct expr *const *args, int location);
/* Derives the facts; NULL with a refusal where the expression would grow too big. */
const struct expr *expr_finish(struct scope *scope, struct expr *expr);
bool expr_is_null_value(const struct expr *expr);
/* The arguments whose value a CASE or its like may have: expr->args[*first], [*first + *step]... */
void expr_results(const struct expr *expr, size_t *first, size_t *step);

/* expr_params.c: numbers for the constants of a finished tree. */
bool expr_assign_params(struct scope *scope, const struct expr *expr);
uint32_t expr_array_type(const struct catalog_type *element); /* 0: none */

/* expr_types.c */
struct catalog_type expr_builtin(struct scope *scope, uint32_t oid, int32_t typmod);
const char *expr_type_name(const struct catalog_type *type); /* as in messages */
bool expr_type_supported(const struct catalog_type *type);
bool expr_type_is_integer(uint32_t oid);
bool expr_type_is_number(uint32_t oid);
bool expr_type_is_text(uint32_t oid);
char expr_type_category(uint32_t oid, bool is_enum);
bool expr_type_preferred(uint32_t oid);
bool expr_type_same(const struct catalog_type *a, const struct catalog_type *b);
/* numeric's type modifier, taken apart; false: it has none. */
bool expr_numeric_typmod(int32_t typmod, int *precision, int *scale);
struct expr_range expr_integer_range(uint32_t oid);
bool expr_implicitly_coercible(uint32_t from, bool from_enum, uint32_t to);
/* PostgreSQL's common type of CASE, COALESCE, IN and the like; false: they cannot be matched. */
bool expr_common_type(struct scope *scope, const struct expr *const *exprs, size_t n,
                      struct catalog_type *common);

/* expr_resolve.c: candidate tables, chosen as PostgreSQL chooses. */
const struct expr_operation *expr_resolve_operator(const char *name, const struct expr *left,
                                                   const struct expr *right);
const struct expr_operation *expr_resolve_function(const char *name, const struct expr *const *args,
                                                   size_t n_args);
bool expr_function_exists(const char *name);

/* expr_operators.c, expr_functions.c, expr_casts.c */
extern const struct expr_operation expr_operators[];
extern const size_t expr_n_operators;
extern const struct expr_operation expr_functions[];
extern const size_t expr_n_functions;
extern const struct expr_operation expr_casts[];
extern const size_t expr_n_casts;
extern const struct expr_operation expr_op_tame, expr_op_tame_text, expr_op_not, expr_op_is_null,
    expr_op_is_not_null;
extern const struct expr_operation expr_op_distinct, expr_op_not_distinct;
const struct expr_operation *expr_find_cast(uint32_t from, uint32_t to);

/* expr_build.c */
const struct expr *expr_apply(struct scope *scope, const struct expr_operation *operation,
                              const struct expr *const *args, size_t n_args, int location);
const struct expr *expr_apply_operator(struct scope *scope, const char *name,
                                       const struct expr *left, const struct expr *right,
                                       int location);
/* Same, after the arguments are coerced to the operation's types. */
const struct expr *expr_apply_coerced(struct scope *scope, const struct expr_operation *operation,
                                      const struct expr *const *args, size_t n_args, int location);
/* The argument as the operation may have it: numbers and texts of bounded length. */
const struct expr *expr_tame(struct scope *scope, const struct expr_operation *operation,
                             const struct expr *arg);
/* False, refused: a type, or a collation, that may only be counted and tested for NULL. */
bool expr_usable(struct scope *scope, const struct expr *arg);

/* expr_coerce.c. Coerces as PostgreSQL would: implicit ones only, or whatever an explicit cast may
 * do. */
const struct expr *expr_coerce(struct scope *scope, const struct expr *expr,
                               const struct catalog_type *type, bool explicit_cast, int location);

/* expr_value.c */
const struct expr *expr_null(struct scope *scope, const struct catalog_type *type, int location);
const struct expr *expr_value(struct scope *scope, const struct catalog_type *type,
                              const char *text, int location);
/* A quoted literal read as the type: canonical, or wanted, or refused. */
const struct expr *expr_from_literal(struct scope *scope, const struct catalog_type *type,
                                     const char *literal, int location);
const struct expr *expr_from_number(struct scope *scope, const char *digits, int location);
const struct expr *expr_from_param(struct scope *scope, int number, int location);
bool expr_small_integer(const struct expr *expr, long *value); /* a constant integer */
void expr_value_facts(struct expr *expr);

/* expr_compile.c */
const struct expr *expr_node(struct scope *scope, const struct PgQuery__Node *node);

/* expr_bounds.c: bounds and scale; expr_digits.c: range, width and digits; from the arguments. */
void expr_derive_bounds(struct expr *expr);
void expr_derive_digits(struct expr *expr);
void expr_derive_bytes(struct expr *expr); /* expr_text.c */

/* expr_write.c */
bool expr_is_simple(const struct expr *expr); /* cheap to write more than once */
/* How often a template uses an argument, and how deep its parentheses are. */
size_t expr_template_uses(const char *sql, size_t arg);
int expr_template_height(const char *sql);

#endif

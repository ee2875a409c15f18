/* The operators of the allow-list. Every template is total: whatever its arguments hold, it has a
 * value or is NULL, and no part of it can raise in whatever order PostgreSQL evaluates it,
 * constants included, which are folded when the statement is planned. */
#include "parser/expr_internal.h"

#define OP(sign) " OPERATOR(pg_catalog." sign ") "
#define F8 "::pg_catalog.float8"
#define F8_MAX "'1.7976931348623157e308'" F8
#define F8_TINY "'4.9406564584124654e-324'" F8
#define F8_INF "'Infinity'" F8
#define ABS(x) "pg_catalog.abs(" x ")"
#define SIGN(x) "pg_catalog.sign(" x ")"
#define SPECIAL(a, b) "GREATEST(" ABS(a) ", " ABS(b) ")" OP(">=") F8_INF

/* a + b overflows only where both have one sign, the smaller is at least half of the largest
 * number's last place, and |a| >= max - |b|. */
#define FLOAT_ADD(op, other)                                                                       \
    "CASE WHEN LEAST(" ABS("%1") ", " ABS("%2") ")" OP("<") "9.9e291" F8 " OR " ABS("%1")          \
        OP("<") "(" F8_MAX OP("-") "LEAST(" ABS("%2") ", " F8_MAX ")) OR " SPECIAL(                \
            "%1", "%2") " OR " SIGN("%1") OP("<>") other " THEN %1" OP(op) "%2 END"
#define FLOAT_PLUS FLOAT_ADD("+", SIGN("%2"))
#define FLOAT_MINUS FLOAT_ADD("-", "(OPERATOR(pg_catalog.-) " SIGN("%2") ")")

/* Above the largest number and below the smallest, PostgreSQL raises; the divisions used to find
 * out stay within both themselves. */
#define FLOAT_TIMES                                                                                \
    "CASE WHEN ((LEAST(" ABS("%1") ", " ABS("%2") ")" OP("<=") "1 OR " ABS("%1") OP(               \
        "<") "(" F8_MAX OP("/") "GREATEST(LEAST(" ABS("%2") ", " F8_MAX "), 1))) AND (" ABS("%1")  \
        OP(">=") "(" F8_TINY OP("/") "LEAST(NULLIF(" ABS("%2") ", 0), 1)) OR %1" OP(               \
            "=") "0 OR %2" OP("=") "0)) OR " SPECIAL("%1", "%2") " THEN %1" OP("*") "%2 END"
#define FLOAT_BY                                                                                   \
    "CASE WHEN %2" OP("<>") "0 AND (((" ABS("%2") OP(">=") "1 OR " ABS("%1") OP(                   \
        "<") "(" F8_MAX OP("*") "LEAST(" ABS("%2") ", 1))) AND (" ABS("%1")                        \
        OP(">=") "(" F8_TINY OP("*") "GREATEST(LEAST(" ABS("%2") ", " F8_MAX "), 1)) OR %1" OP(    \
            "=") "0)) OR " SPECIAL("%1", "%2") ") OR %1" OP("=") "'NaN'" F8                        \
                                                                 " THEN %1" OP("/") "%2 END"

#define INTEGER(sign, left, right, out, rule)                                                      \
    {                                                                                              \
        sign, 2, {left, right}, out, rule, OP_INTEGER | OP_NULLABLE, ""                            \
    }
#define INTEGERS(sign, rule)                                                                       \
    INTEGER(sign, TYPE_INT2, TYPE_INT2, TYPE_INT2, rule),                                          \
        INTEGER(sign, TYPE_INT2, TYPE_INT4, TYPE_INT4, rule),                                      \
        INTEGER(sign, TYPE_INT2, TYPE_INT8, TYPE_INT8, rule),                                      \
        INTEGER(sign, TYPE_INT4, TYPE_INT2, TYPE_INT4, rule),                                      \
        INTEGER(sign, TYPE_INT4, TYPE_INT4, TYPE_INT4, rule),                                      \
        INTEGER(sign, TYPE_INT4, TYPE_INT8, TYPE_INT8, rule),                                      \
        INTEGER(sign, TYPE_INT8, TYPE_INT2, TYPE_INT8, rule),                                      \
        INTEGER(sign, TYPE_INT8, TYPE_INT4, TYPE_INT8, rule),                                      \
        INTEGER(sign, TYPE_INT8, TYPE_INT8, TYPE_INT8, rule)

#define FLOATS(sign, rule, guarded, plain)                                                         \
    {sign, 2, {TYPE_FLOAT8, TYPE_FLOAT8}, TYPE_FLOAT8, rule, OP_NULLABLE, guarded},                \
        {sign, 2, {TYPE_FLOAT4, TYPE_FLOAT8}, TYPE_FLOAT8, rule, OP_NULLABLE, guarded},            \
        {sign, 2, {TYPE_FLOAT8, TYPE_FLOAT4}, TYPE_FLOAT8, rule, OP_NULLABLE, guarded},            \
    {                                                                                              \
        sign, 2, {TYPE_FLOAT4, TYPE_FLOAT4}, TYPE_FLOAT4, rule, OP_NULLABLE, plain                 \
    }
/* What two float4 give fits in a float8 with room to spare; expr_apply then narrows it. */
#define WIDENED(op) "((%1)" F8 OP(op) "(%2)" F8 ")"

#define NUMERIC(sign, rule, flags, sql)                                                            \
    {                                                                                              \
        sign, 2, {TYPE_NUMERIC, TYPE_NUMERIC}, TYPE_NUMERIC, rule, OP_TAME | (flags), sql          \
    }

/* Comparisons: every pair of types for each of the six signs. */
#define COMPARE(sign, left, right, rule, flags)                                                    \
    {                                                                                              \
        sign, 2, {left, right}, TYPE_BOOL, rule, flags, "(%1" OP(sign) "%2)"                       \
    }
#define KNOWN(sign, left, right)                                                                   \
    {                                                                                              \
        sign, 2, {left, right}, TYPE_BOOL, RULE_NONE, 0, NULL                                      \
    }
#define COMPARISONS(sign, rule, text_flags)                                                        \
    COMPARE(sign, TYPE_INT2, TYPE_INT2, rule, 0), COMPARE(sign, TYPE_INT2, TYPE_INT4, rule, 0),    \
        COMPARE(sign, TYPE_INT2, TYPE_INT8, rule, 0),                                              \
        COMPARE(sign, TYPE_INT4, TYPE_INT2, rule, 0),                                              \
        COMPARE(sign, TYPE_INT4, TYPE_INT4, rule, 0),                                              \
        COMPARE(sign, TYPE_INT4, TYPE_INT8, rule, 0),                                              \
        COMPARE(sign, TYPE_INT8, TYPE_INT2, rule, 0),                                              \
        COMPARE(sign, TYPE_INT8, TYPE_INT4, rule, 0),                                              \
        COMPARE(sign, TYPE_INT8, TYPE_INT8, rule, 0),                                              \
        COMPARE(sign, TYPE_NUMERIC, TYPE_NUMERIC, rule, 0),                                        \
        COMPARE(sign, TYPE_FLOAT4, TYPE_FLOAT4, rule, 0),                                          \
        COMPARE(sign, TYPE_FLOAT4, TYPE_FLOAT8, rule, 0),                                          \
        COMPARE(sign, TYPE_FLOAT8, TYPE_FLOAT4, rule, 0),                                          \
        COMPARE(sign, TYPE_FLOAT8, TYPE_FLOAT8, rule, 0),                                          \
        COMPARE(sign, TYPE_BOOL, TYPE_BOOL, rule, 0),                                              \
        COMPARE(sign, TYPE_TEXT, TYPE_TEXT, rule, text_flags),                                     \
        COMPARE(sign, TYPE_BPCHAR, TYPE_BPCHAR, rule, text_flags),                                 \
        COMPARE(sign, TYPE_DATE, TYPE_DATE, rule, 0),                                              \
        COMPARE(sign, TYPE_DATE, TYPE_TIMESTAMP, rule, 0),                                         \
        COMPARE(sign, TYPE_DATE, TYPE_TIMESTAMPTZ, rule, OP_TIME_ZONE),                            \
        COMPARE(sign, TYPE_TIMESTAMP, TYPE_DATE, rule, 0),                                         \
        COMPARE(sign, TYPE_TIMESTAMP, TYPE_TIMESTAMP, rule, 0),                                    \
        COMPARE(sign, TYPE_TIMESTAMP, TYPE_TIMESTAMPTZ, rule, OP_TIME_ZONE),                       \
        COMPARE(sign, TYPE_TIMESTAMPTZ, TYPE_DATE, rule, OP_TIME_ZONE),                            \
        COMPARE(sign, TYPE_TIMESTAMPTZ, TYPE_TIMESTAMP, rule, OP_TIME_ZONE),                       \
        COMPARE(sign, TYPE_TIMESTAMPTZ, TYPE_TIMESTAMPTZ, rule, 0),                                \
        COMPARE(sign, TYPE_TIME, TYPE_TIME, rule, 0),                                              \
        COMPARE(sign, TYPE_INTERVAL, TYPE_INTERVAL, rule, 0),                                      \
        COMPARE(sign, TYPE_UUID, TYPE_UUID, rule, 0),                                              \
        COMPARE(sign, TYPE_ANYENUM, TYPE_ANYENUM, rule, 0), KNOWN(sign, TYPE_NAME, TYPE_NAME),     \
        KNOWN(sign, TYPE_NAME, TYPE_TEXT), KNOWN(sign, TYPE_TEXT, TYPE_NAME),                      \
        KNOWN(sign, TYPE_OID, TYPE_OID), KNOWN(sign, TYPE_TIMETZ, TYPE_TIMETZ)

#define FINITE(x) "pg_catalog.isfinite(" x ")"
#define DAYS(x) "(" x OP("-") "'2000-01-01'::pg_catalog.date)::pg_catalog.int8"
/* The days of 4714-11-24 BC and of 5874897-12-31, the ends of type date. */
#define DATE_SHIFT(op, d, n)                                                                       \
    "CASE WHEN NOT " FINITE(d) " THEN CASE WHEN " n " IS NOT NULL THEN " d " END WHEN (" DAYS(d)   \
        OP(op) n ")" OP(">=") "(-2451545) AND (" DAYS(d) OP(op) n                                  \
        ")" OP("<=") "2145031948 THEN " d                                                          \
        OP(op) n " END"

#define PART(field, x) "pg_catalog.date_part('" field "', " x ")"
#define MONTHS(x) "(" PART("year", x) OP("*") "12" OP("+") PART("month", x) ")"
#define SECONDS(x)                                                                                 \
    "((" PART("hour", x) OP("*") "60" OP("+") PART("minute", x) ")" OP("*") "60" OP("+")           \
        PART("second", x) ")"

/* Where a time stamp comes to when an interval's months, days and seconds are added one after the
 * other, in days by the mean month: every step must stay within the type, with a year to spare. */
#define STEP_1(op, t, i)                                                                           \
    "(" PART("epoch", t) OP("/") "86400" OP(op) "(" MONTHS(i) OP("*") "30.436875" F8 "))"
#define STEP_2(op, t, i) "(" STEP_1(op, t, i) OP(op) PART("day", i) ")"
#define STEP_3(op, t, i) "(" STEP_2(op, t, i) OP(op) "(" SECONDS(i) OP("/") "86400))"
#define STEPS(op, t, i) STEP_1(op, t, i) ", " STEP_2(op, t, i) ", " STEP_3(op, t, i)
/* From 4713 BC to the year 294275, in days since 1970. */
#define STAMP_SHIFT(op, t, i)                                                                      \
    "CASE WHEN NOT " FINITE(                                                                       \
        t) " THEN CASE WHEN " i " IS NOT NULL THEN " t                                             \
           " END WHEN LEAST(" STEPS(op, t, i) ")" OP(">=") "(-2440187) AND GREATEST(" STEPS(       \
               op, t, i) ")" OP("<=") "106761591 THEN " t                                          \
           OP(op) i " END"
/* Less than the 292,000 years that an interval's microseconds can count. */
#define STAMP_MINUS(type, zone)                                                                    \
    "CASE WHEN " FINITE("%1") " AND " FINITE("%2") " AND %1" OP(                                   \
        "<") "'285000-01-01 00:00:00" zone "'::pg_catalog." type                                   \
             " AND %2" OP("<") "'285000-01-01 00:00:00" zone "'::pg_catalog." type                 \
                               " THEN %1" OP("-") "%2 END"

#define INT_MOST "2147483647"
#define SECONDS_MOST "9223372036850" F8
#define INTERVAL_SUM(op)                                                                           \
    "CASE WHEN " ABS(MONTHS("%1") OP(op) MONTHS("%2")) OP("<=") INT_MOST                           \
        " AND " ABS(PART("day", "%1") OP(op) PART("day", "%2")) OP("<=") INT_MOST                  \
        " AND " ABS(SECONDS("%1") OP(op) SECONDS("%2")) OP("<=") SECONDS_MOST                      \
        " THEN %1" OP(op) "%2 END"
#define INTERVAL_NEGATE                                                                            \
    "CASE WHEN " MONTHS("%1") OP(">=") "(-" INT_MOST ") AND " PART("day", "%1")                    \
        OP(">=") "(-" INT_MOST ") AND " SECONDS("%1")                                              \
            OP(">=") "(-" SECONDS_MOST ") THEN (OPERATOR(pg_catalog.-) %1) END"
/* The factor, kept away from where the check itself would overflow. */
#define FACTOR(f) "LEAST(GREATEST(" ABS(f) ", 1e-30" F8 "), 1e30" F8 ")"
#define INTERVAL_PRODUCT(i, f)                                                                     \
    "CASE WHEN " ABS(f) OP("<") F8_INF " AND (" ABS(MONTHS(i)) OP("*")                             \
        FACTOR(f) ")" OP("<=") "2e9" F8 " AND (" ABS(PART("day", i)) OP("*")                       \
            FACTOR(f) ")" OP("<=") "2e9" F8 " AND (" ABS(SECONDS(i)) OP("*")                       \
                FACTOR(f) ")" OP("<=") "9e12" F8 " THEN %1" OP("*") "%2 END"
#define INTERVAL_QUOTIENT                                                                          \
    "CASE WHEN %2" OP("<>") "'NaN'" F8 " AND %2" OP("<>") "0 AND " ABS(MONTHS("%1"))               \
        OP("<=") "(2e9" F8 OP("*") FACTOR("%2") ") AND " ABS(PART("day", "%1"))                    \
            OP("<=") "(2e9" F8 OP("*") FACTOR("%2") ") AND " ABS(SECONDS("%1"))                    \
                OP("<=") "(9e12" F8 OP("*") FACTOR("%2") ") THEN %1" OP("/") "%2 END"

const struct expr_operation expr_operators[] = {
    INTEGERS("+", RULE_ADD),
    INTEGERS("-", RULE_SUBTRACT),
    INTEGERS("*", RULE_MULTIPLY),
    INTEGERS("/", RULE_DIVIDE),
    INTEGER("%", TYPE_INT2, TYPE_INT2, TYPE_INT2, RULE_MODULO),
    INTEGER("%", TYPE_INT4, TYPE_INT4, TYPE_INT4, RULE_MODULO),
    INTEGER("%", TYPE_INT8, TYPE_INT8, TYPE_INT8, RULE_MODULO),
    {"-", 1, {TYPE_INT2}, TYPE_INT2, RULE_NEGATE, OP_PREFIX | OP_INTEGER | OP_NULLABLE, ""},
    {"-", 1, {TYPE_INT4}, TYPE_INT4, RULE_NEGATE, OP_PREFIX | OP_INTEGER | OP_NULLABLE, ""},
    {"-", 1, {TYPE_INT8}, TYPE_INT8, RULE_NEGATE, OP_PREFIX | OP_INTEGER | OP_NULLABLE, ""},
    {"-",
     1,
     {TYPE_NUMERIC},
     TYPE_NUMERIC,
     RULE_NEGATE,
     OP_PREFIX | OP_TAME,
     "(OPERATOR(pg_catalog.-) %1)"},
    {"-", 1, {TYPE_FLOAT4}, TYPE_FLOAT4, RULE_NEGATE, OP_PREFIX, "(OPERATOR(pg_catalog.-) %1)"},
    {"-", 1, {TYPE_FLOAT8}, TYPE_FLOAT8, RULE_NEGATE, OP_PREFIX, "(OPERATOR(pg_catalog.-) %1)"},
    {"-", 1, {TYPE_INTERVAL}, TYPE_INTERVAL, RULE_NEGATE, OP_PREFIX | OP_NULLABLE, INTERVAL_NEGATE},
    {"+", 1, {TYPE_INT2}, TYPE_INT2, RULE_KEEP, OP_PREFIX, "%1"},
    {"+", 1, {TYPE_INT4}, TYPE_INT4, RULE_KEEP, OP_PREFIX, "%1"},
    {"+", 1, {TYPE_INT8}, TYPE_INT8, RULE_KEEP, OP_PREFIX, "%1"},
    {"+", 1, {TYPE_NUMERIC}, TYPE_NUMERIC, RULE_KEEP, OP_PREFIX, "%1"},
    {"+", 1, {TYPE_FLOAT4}, TYPE_FLOAT4, RULE_KEEP, OP_PREFIX, "%1"},
    {"+", 1, {TYPE_FLOAT8}, TYPE_FLOAT8, RULE_KEEP, OP_PREFIX, "%1"},

    NUMERIC("+", RULE_ADD, 0, "(%1" OP("+") "%2)"),
    NUMERIC("-", RULE_SUBTRACT, 0, "(%1" OP("-") "%2)"),
    NUMERIC("*", RULE_MULTIPLY, 0, "(%1" OP("*") "%2)"),
    NUMERIC("/", RULE_DIVIDE, OP_NULLABLE, "(%1" OP("/") "NULLIF(%2, 0))"),
    NUMERIC("%", RULE_MODULO, OP_NULLABLE, "(%1" OP("%%") "NULLIF(%2, 0))"),
    FLOATS("+", RULE_ADD, FLOAT_PLUS, WIDENED("+")),
    FLOATS("-", RULE_SUBTRACT, FLOAT_MINUS, WIDENED("-")),
    FLOATS("*", RULE_MULTIPLY, FLOAT_TIMES, WIDENED("*")),
    FLOATS("/", RULE_DIVIDE, FLOAT_BY, "((%1)" F8 OP("/") "NULLIF((%2)" F8 ", 0))"),

    {"+",
     2,
     {TYPE_DATE, TYPE_INT4},
     TYPE_DATE,
     RULE_DATE_SHIFT,
     OP_NULLABLE,
     DATE_SHIFT("+", "%1", "%2")},
    {"+",
     2,
     {TYPE_INT4, TYPE_DATE},
     TYPE_DATE,
     RULE_DATE_SHIFT,
     OP_NULLABLE,
     DATE_SHIFT("+", "%2", "%1")},
    {"-",
     2,
     {TYPE_DATE, TYPE_INT4},
     TYPE_DATE,
     RULE_DATE_SHIFT,
     OP_NULLABLE,
     DATE_SHIFT("-", "%1", "%2")},
    {"-",
     2,
     {TYPE_DATE, TYPE_DATE},
     TYPE_INT4,
     RULE_DATE_DIFFERENCE,
     OP_NULLABLE,
     "CASE WHEN " FINITE("%1") " AND " FINITE("%2") " THEN %1" OP("-") "%2 END"},
    {"+",
     2,
     {TYPE_DATE, TYPE_TIME},
     TYPE_TIMESTAMP,
     RULE_NONE,
     OP_NULLABLE,
     "CASE WHEN %1" OP("<") "'294276-01-01'::pg_catalog.date OR NOT " FINITE("%1") " THEN %1" OP(
         "+") "%2 END"},
    {"+",
     2,
     {TYPE_TIME, TYPE_DATE},
     TYPE_TIMESTAMP,
     RULE_NONE,
     OP_NULLABLE,
     "CASE WHEN %2" OP("<") "'294276-01-01'::pg_catalog.date OR NOT " FINITE("%2") " THEN %1" OP(
         "+") "%2 END"},
    /* These four are made of a cast and the operator on timestamps: expr_apply_operator. */
    {"+", 2, {TYPE_DATE, TYPE_INTERVAL}, TYPE_TIMESTAMP, RULE_NONE, OP_NULLABLE, ""},
    {"+", 2, {TYPE_INTERVAL, TYPE_DATE}, TYPE_TIMESTAMP, RULE_NONE, OP_NULLABLE, ""},
    {"-", 2, {TYPE_DATE, TYPE_INTERVAL}, TYPE_TIMESTAMP, RULE_NONE, OP_NULLABLE, ""},
    {"+",
     2,
     {TYPE_TIMESTAMP, TYPE_INTERVAL},
     TYPE_TIMESTAMP,
     RULE_NONE,
     OP_NULLABLE,
     STAMP_SHIFT("+", "%1", "%2")},
    {"+",
     2,
     {TYPE_INTERVAL, TYPE_TIMESTAMP},
     TYPE_TIMESTAMP,
     RULE_NONE,
     OP_NULLABLE,
     STAMP_SHIFT("+", "%2", "%1")},
    {"-",
     2,
     {TYPE_TIMESTAMP, TYPE_INTERVAL},
     TYPE_TIMESTAMP,
     RULE_NONE,
     OP_NULLABLE,
     STAMP_SHIFT("-", "%1", "%2")},
    {"+",
     2,
     {TYPE_TIMESTAMPTZ, TYPE_INTERVAL},
     TYPE_TIMESTAMPTZ,
     RULE_NONE,
     OP_NULLABLE | OP_TIME_ZONE,
     STAMP_SHIFT("+", "%1", "%2")},
    {"+",
     2,
     {TYPE_INTERVAL, TYPE_TIMESTAMPTZ},
     TYPE_TIMESTAMPTZ,
     RULE_NONE,
     OP_NULLABLE | OP_TIME_ZONE,
     STAMP_SHIFT("+", "%2", "%1")},
    {"-",
     2,
     {TYPE_TIMESTAMPTZ, TYPE_INTERVAL},
     TYPE_TIMESTAMPTZ,
     RULE_NONE,
     OP_NULLABLE | OP_TIME_ZONE,
     STAMP_SHIFT("-", "%1", "%2")},
    {"-",
     2,
     {TYPE_TIMESTAMP, TYPE_TIMESTAMP},
     TYPE_INTERVAL,
     RULE_SUBTRACT,
     OP_NULLABLE,
     STAMP_MINUS("timestamp", "")},
    {"-",
     2,
     {TYPE_TIMESTAMPTZ, TYPE_TIMESTAMPTZ},
     TYPE_INTERVAL,
     RULE_SUBTRACT,
     OP_NULLABLE,
     STAMP_MINUS("timestamptz", "+00")},
    {"+",
     2,
     {TYPE_INTERVAL, TYPE_INTERVAL},
     TYPE_INTERVAL,
     RULE_ADD,
     OP_NULLABLE,
     INTERVAL_SUM("+")},
    {"-",
     2,
     {TYPE_INTERVAL, TYPE_INTERVAL},
     TYPE_INTERVAL,
     RULE_SUBTRACT,
     OP_NULLABLE,
     INTERVAL_SUM("-")},
    {"*",
     2,
     {TYPE_INTERVAL, TYPE_FLOAT8},
     TYPE_INTERVAL,
     RULE_MULTIPLY,
     OP_NULLABLE,
     INTERVAL_PRODUCT("%1", "%2")},
    {"*",
     2,
     {TYPE_FLOAT8, TYPE_INTERVAL},
     TYPE_INTERVAL,
     RULE_MULTIPLY,
     OP_NULLABLE,
     INTERVAL_PRODUCT("%2", "%1")},
    {"/",
     2,
     {TYPE_INTERVAL, TYPE_FLOAT8},
     TYPE_INTERVAL,
     RULE_DIVIDE,
     OP_NULLABLE,
     INTERVAL_QUOTIENT},
    {"+", 2, {TYPE_TIME, TYPE_INTERVAL}, TYPE_TIME, RULE_NONE, 0, "(%1" OP("+") "%2)"},
    {"+", 2, {TYPE_INTERVAL, TYPE_TIME}, TYPE_TIME, RULE_NONE, 0, "(%1" OP("+") "%2)"},
    {"-", 2, {TYPE_TIME, TYPE_INTERVAL}, TYPE_TIME, RULE_NONE, 0, "(%1" OP("-") "%2)"},
    {"-", 2, {TYPE_TIME, TYPE_TIME}, TYPE_INTERVAL, RULE_OF_DAY, 0, "(%1" OP("-") "%2)"},
    {"+", 2, {TYPE_DATE, TYPE_TIMETZ}, TYPE_TIMESTAMPTZ, RULE_NONE, 0, NULL},
    {"+", 2, {TYPE_TIMETZ, TYPE_DATE}, TYPE_TIMESTAMPTZ, RULE_NONE, 0, NULL},
    {"+", 2, {TYPE_TIMETZ, TYPE_INTERVAL}, TYPE_TIMETZ, RULE_NONE, 0, NULL},
    {"+", 2, {TYPE_INTERVAL, TYPE_TIMETZ}, TYPE_TIMETZ, RULE_NONE, 0, NULL},
    {"-", 2, {TYPE_TIMETZ, TYPE_INTERVAL}, TYPE_TIMETZ, RULE_NONE, 0, NULL},

    {"||", 2, {TYPE_TEXT, TYPE_TEXT}, TYPE_TEXT, RULE_NONE, OP_TAME_TEXT, "(%1" OP("||") "%2)"},

    COMPARISONS("=", RULE_COMPARE_EQUAL, 0),
    COMPARISONS("<>", RULE_COMPARE_EQUAL, 0),
    COMPARISONS("<", RULE_COMPARE, OP_COLLATES),
    COMPARISONS("<=", RULE_COMPARE, OP_COLLATES),
    COMPARISONS(">", RULE_COMPARE, OP_COLLATES),
    COMPARISONS(">=", RULE_COMPARE, OP_COLLATES),

    {"~~", 2, {TYPE_TEXT, TYPE_TEXT}, TYPE_BOOL, RULE_LIKE, 0, "(%1" OP("~~") "%2)"},
    {"~~", 2, {TYPE_BPCHAR, TYPE_TEXT}, TYPE_BOOL, RULE_LIKE, 0, "(%1" OP("~~") "%2)"},
    {"!~~", 2, {TYPE_TEXT, TYPE_TEXT}, TYPE_BOOL, RULE_LIKE, 0, "(%1" OP("!~~") "%2)"},
    {"!~~", 2, {TYPE_BPCHAR, TYPE_TEXT}, TYPE_BOOL, RULE_LIKE, 0, "(%1" OP("!~~") "%2)"},
    {"~~*",
     2,
     {TYPE_TEXT, TYPE_TEXT},
     TYPE_BOOL,
     RULE_LIKE,
     OP_COLLATES | OP_TAME_TEXT,
     "(%1" OP("~~*") "%2)"},
    {"~~*",
     2,
     {TYPE_BPCHAR, TYPE_TEXT},
     TYPE_BOOL,
     RULE_LIKE,
     OP_COLLATES | OP_TAME_TEXT,
     "(%1" OP("~~*") "%2)"},
    {"!~~*",
     2,
     {TYPE_TEXT, TYPE_TEXT},
     TYPE_BOOL,
     RULE_LIKE,
     OP_COLLATES | OP_TAME_TEXT,
     "(%1" OP("!~~*") "%2)"},
    {"!~~*",
     2,
     {TYPE_BPCHAR, TYPE_TEXT},
     TYPE_BOOL,
     RULE_LIKE,
     OP_COLLATES,
     "(%1" OP("!~~*") "%2)"},
    {"~~", 2, {TYPE_NAME, TYPE_TEXT}, TYPE_BOOL, RULE_NONE, 0, NULL},
    {"!~~", 2, {TYPE_NAME, TYPE_TEXT}, TYPE_BOOL, RULE_NONE, 0, NULL},
    {"~~*", 2, {TYPE_NAME, TYPE_TEXT}, TYPE_BOOL, RULE_NONE, 0, NULL},
    {"!~~*", 2, {TYPE_NAME, TYPE_TEXT}, TYPE_BOOL, RULE_NONE, 0, NULL},
};
const size_t expr_n_operators = sizeof expr_operators / sizeof *expr_operators;

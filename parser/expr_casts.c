/* The casts of the allow-list; see expr_operators.c for what a template owes. Casts between
 * integers are written by expr_write.c, those to a type modifier by expr_build.c. */
#include "parser/expr_internal.h"

#define OP(sign) " OPERATOR(pg_catalog." sign ") "
#define PLAIN "(%1)::%T"
#define I2 TYPE_INT2
#define I4 TYPE_INT4
#define I8 TYPE_INT8
#define F4 TYPE_FLOAT4
#define F8 TYPE_FLOAT8
#define NUM TYPE_NUMERIC
#define TXT TYPE_TEXT

/* Saturates one beyond the range and turns that into NULL: each argument is evaluated once, and NaN
 * is above every number. */
#define NARROW(value, low, high)                                                                   \
    "NULLIF(NULLIF(LEAST(GREATEST(" value ", " low "), " high "), " low "), " high ")::%T"
#define N(digits) "'" digits "'::pg_catalog.numeric"
#define F(digits) "'" digits "'::pg_catalog.float8"
#define FROM_NUMERIC(to, low, high)                                                                \
    {                                                                                              \
        "", 1, {NUM}, to, RULE_ROUND, OP_TAME | OP_NULLABLE,                                       \
            NARROW("pg_catalog.round(%1)", N(low), N(high))                                        \
    }
#define FROM_FLOAT(from, to, low, high)                                                            \
    {                                                                                              \
        "", 1, {from}, to, RULE_ROUND_EVEN, OP_NULLABLE,                                           \
            NARROW("pg_catalog.round((%1)::pg_catalog.float8)", F(low), F(high))                   \
    }
#define FROM_FLOATS(to, low, high) FROM_FLOAT(F4, to, low, high), FROM_FLOAT(F8, to, low, high)

/* What rounds to a number of the type: neither infinity nor zero. */
#define REPRESENTABLE(above, below, zero, infinity)                                                \
    "CASE WHEN pg_catalog.abs(%1)" OP("<") below " AND pg_catalog.abs(%1)" OP(">") above           \
        " OR %1" OP("=") zero " OR pg_catalog.abs(%1)" OP(">=") infinity " THEN (%1)::%T END"
#define WIDEN(from, to)                                                                            \
    {                                                                                              \
        "", 1, {from}, to, RULE_KEEP, OP_IMPLICIT, PLAIN                                           \
    }
#define WIDEN_INT(from, to)                                                                        \
    {                                                                                              \
        "", 1, {from}, to, RULE_KEEP, OP_IMPLICIT | OP_INTEGER, ""                                 \
    }
#define NARROW_INT(from, to)                                                                       \
    {                                                                                              \
        "", 1, {from}, to, RULE_KEEP, OP_INTEGER | OP_NULLABLE, ""                                 \
    }
#define TO_TEXT(from, flags)                                                                       \
    {"", 1, {from}, TXT, RULE_NONE, flags, PLAIN},                                                 \
        {"", 1, {from}, TYPE_VARCHAR, RULE_NONE, flags, PLAIN},                                    \
    {                                                                                              \
        "", 1, {from}, TYPE_BPCHAR, RULE_NONE, flags, PLAIN                                        \
    }
#define DATE_TO_STAMP(to, low, flags)                                                                   \
    {                                                                                                   \
        "", 1, {TYPE_DATE}, to, RULE_DATE_TO_TIMESTAMP, OP_IMPLICIT | OP_NULLABLE | (flags),            \
            "CASE WHEN %1" OP(">=") "'" low "'::pg_catalog.date AND %1" OP(                             \
                "<") "'294276-12-31'::pg_catalog.date OR NOT pg_catalog.isfinite(%1) THEN (%1)::%T END" \
    }
#define STAMP_TO_STAMP(from, zone, to, rule, flags)                                                \
    {                                                                                              \
        "", 1, {from}, to, rule, OP_NULLABLE | OP_TIME_ZONE | (flags),                             \
            "CASE WHEN %1" OP(">=") "'4714-11-25 00:00:00" zone " BC' AND %1" OP(                  \
                "<") "'294276-12-31 00:00:00" zone                                                 \
                     "' OR NOT pg_catalog.isfinite(%1) THEN (%1)::%T END"                          \
    }

const struct expr_operation expr_casts[] = {
    WIDEN_INT(I2, I4),
    WIDEN_INT(I2, I8),
    WIDEN_INT(I4, I8),
    NARROW_INT(I4, I2),
    NARROW_INT(I8, I2),
    NARROW_INT(I8, I4),
    WIDEN(I2, NUM),
    WIDEN(I4, NUM),
    WIDEN(I8, NUM),
    WIDEN(I2, F4),
    WIDEN(I4, F4),
    WIDEN(I8, F4),
    WIDEN(I2, F8),
    WIDEN(I4, F8),
    WIDEN(I8, F8),
    WIDEN(F4, F8),
    FROM_NUMERIC(I2, "-32769", "32768"),
    FROM_NUMERIC(I4, "-2147483649", "2147483648"),
    FROM_NUMERIC(I8, "-9223372036854775809", "9223372036854775808"),
    FROM_FLOATS(I2, "-32769", "32768"),
    FROM_FLOATS(I4, "-2147483649", "2147483648"),
    /* The neighbours of the ends that float8 has. */
    FROM_FLOATS(I8, "-9223372036854777856", "9223372036854775808"),
    {"", 1, {F4}, NUM, RULE_KEEP, 0, PLAIN},
    {"", 1, {F8}, NUM, RULE_KEEP, 0, PLAIN},
    {"",
     1,
     {NUM},
     F8,
     RULE_KEEP,
     OP_IMPLICIT | OP_NULLABLE,
     REPRESENTABLE(N("2.4703282292062328e-324"), N("1.7976931348623158e308"), "0", N("Infinity"))},
    {"",
     1,
     {NUM},
     F4,
     RULE_KEEP,
     OP_IMPLICIT | OP_NULLABLE,
     REPRESENTABLE(N("7.0064923216240854e-46"), N("3.4028235677973366e38"), "0", N("Infinity"))},
    {"",
     1,
     {F8},
     F4,
     RULE_KEEP,
     OP_NULLABLE,
     REPRESENTABLE(F("7.0064923216240854e-46"), F("3.4028235677973366e38"), "0", F("Infinity"))},

    {"", 1, {TYPE_BOOL}, I4, RULE_BOOL_TO_INT, 0, PLAIN},
    {"", 1, {I4}, TYPE_BOOL, RULE_NONE, 0, PLAIN},

    {"", 1, {TXT}, TYPE_VARCHAR, RULE_NONE, OP_IMPLICIT, PLAIN},
    {"", 1, {TXT}, TYPE_BPCHAR, RULE_NONE, OP_IMPLICIT, PLAIN},
    {"", 1, {TYPE_VARCHAR}, TXT, RULE_NONE, OP_IMPLICIT, PLAIN},
    {"", 1, {TYPE_VARCHAR}, TYPE_BPCHAR, RULE_NONE, OP_IMPLICIT, PLAIN},
    {"", 1, {TYPE_BPCHAR}, TXT, RULE_NONE, OP_IMPLICIT, PLAIN},
    {"", 1, {TYPE_BPCHAR}, TYPE_VARCHAR, RULE_NONE, OP_IMPLICIT, PLAIN},
    TO_TEXT(TYPE_BOOL, 0),
    TO_TEXT(I2, 0),
    TO_TEXT(I4, 0),
    TO_TEXT(I8, 0),
    TO_TEXT(NUM, OP_TAME),
    TO_TEXT(F4, 0),
    TO_TEXT(F8, 0),
    TO_TEXT(TYPE_DATE, 0),
    TO_TEXT(TYPE_TIME, 0),
    TO_TEXT(TYPE_TIMESTAMP, 0),
    TO_TEXT(TYPE_TIMESTAMPTZ, OP_TIME_ZONE),
    TO_TEXT(TYPE_INTERVAL, 0),
    TO_TEXT(TYPE_UUID, 0),
    TO_TEXT(TYPE_ANYENUM, 0),

    DATE_TO_STAMP(TYPE_TIMESTAMP, "4714-11-24 BC", 0),
    DATE_TO_STAMP(TYPE_TIMESTAMPTZ, "4714-11-25 BC", OP_TIME_ZONE),
    {"", 1, {TYPE_TIMESTAMP}, TYPE_DATE, RULE_TIMESTAMP_TO_DATE, 0, PLAIN},
    {"", 1, {TYPE_TIMESTAMPTZ}, TYPE_DATE, RULE_NONE, OP_TIME_ZONE, PLAIN},
    STAMP_TO_STAMP(TYPE_TIMESTAMP, "", TYPE_TIMESTAMPTZ, RULE_NONE, OP_IMPLICIT),
    STAMP_TO_STAMP(TYPE_TIMESTAMPTZ, "+00", TYPE_TIMESTAMP, RULE_NONE, 0),
    {"", 1, {TYPE_TIMESTAMP}, TYPE_TIME, RULE_NONE, OP_NULLABLE, PLAIN},
    {"", 1, {TYPE_TIMESTAMPTZ}, TYPE_TIME, RULE_NONE, OP_NULLABLE | OP_TIME_ZONE, PLAIN},
    {"", 1, {TYPE_TIME}, TYPE_INTERVAL, RULE_OF_DAY, OP_IMPLICIT, PLAIN},
};
const size_t expr_n_casts = sizeof expr_casts / sizeof *expr_casts;

const struct expr_operation expr_op_tame = {
    "",
    1,
    {NUM},
    NUM,
    RULE_KEEP,
    OP_NULLABLE,
    "CASE WHEN pg_catalog.scale(%1)" OP("<=") "100 AND pg_catalog.abs(%1)" OP("<")
        N("1e100") " OR pg_catalog.abs(%1)" OP(">=") N("Infinity") " THEN %1 END"};

const struct expr_operation expr_op_tame_text = {
    "",
    1,
    {TXT},
    TXT,
    RULE_KEEP,
    OP_NULLABLE,
    "CASE WHEN pg_catalog.octet_length(%1)" OP("<=") "1000000 THEN %1 END"};

const struct expr_operation expr_op_not = {"NOT",     1, {TYPE_BOOL}, TYPE_BOOL,
                                           RULE_NONE, 0, "(NOT %1)"};
const struct expr_operation expr_op_is_null = {
    "IS NULL", 1, {0}, TYPE_BOOL, RULE_NONE, OP_NEVER_NULL, "(%1 IS NULL)"};
const struct expr_operation expr_op_is_not_null = {
    "IS NOT NULL", 1, {0}, TYPE_BOOL, RULE_NONE, OP_NEVER_NULL, "(%1 IS NOT NULL)"};
const struct expr_operation expr_op_distinct = {
    "IS DISTINCT FROM",        2, {0}, TYPE_BOOL, RULE_COMPARE_EQUAL, OP_NEVER_NULL,
    "(%1 IS DISTINCT FROM %2)"};
const struct expr_operation expr_op_not_distinct = {
    "IS NOT DISTINCT FROM",        2, {0}, TYPE_BOOL, RULE_COMPARE_EQUAL, OP_NEVER_NULL,
    "(%1 IS NOT DISTINCT FROM %2)"};

const struct expr_operation *expr_find_cast(uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < expr_n_casts; i++)
        if (expr_casts[i].args[0] == from && expr_casts[i].result == to)
            return &expr_casts[i];
    return NULL;
}

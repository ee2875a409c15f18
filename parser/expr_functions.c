/* The functions of the allow-list; see expr_operators.c for what a template owes. */
#include "parser/expr_internal.h"

#define OP(sign) " OPERATOR(pg_catalog." sign ") "
#define F4 TYPE_FLOAT4
#define F8 TYPE_FLOAT8
#define I4 TYPE_INT4
#define NUM TYPE_NUMERIC
#define TXT TYPE_TEXT

#define ROUNDING(name, rule, float_rule)                                                           \
    {name, 1, {NUM}, NUM, rule, OP_TAME, "pg_catalog." name "(%1)"},                               \
    {                                                                                              \
        name, 1, {F8}, F8, float_rule, 0, "pg_catalog." name "(%1)"                                \
    }
#define TEXT_1(name)                                                                               \
    {                                                                                              \
        name, 1, {TXT}, TXT, RULE_NONE, 0, "pg_catalog." name "(%1)"                               \
    }
#define TEXT_1_COLLATES(name)                                                                      \
    {                                                                                              \
        name, 1, {TXT}, TXT, RULE_NONE, OP_COLLATES | OP_TAME_TEXT, "pg_catalog." name "(%1)"      \
    }
#define TRIM(name)                                                                                 \
    TEXT_1(name),                                                                                  \
    {                                                                                              \
        name, 2, {TXT, TXT}, TXT, RULE_NONE, OP_CONSTANT_2, "pg_catalog." name "(%1, %2)"          \
    }
#define LENGTH(name)                                                                               \
    {name, 1, {TXT}, I4, RULE_LENGTH, 0, "pg_catalog." name "(%1)"},                               \
    {                                                                                              \
        name, 1, {TYPE_BPCHAR}, I4, RULE_LENGTH, 0, "pg_catalog." name "(%1)"                      \
    }

/* From the first whole millennium to nearly the end: cutting off, or the time zone's shift, cannot
 * leave the type. */
#define STAMP_FROM(low, type, zone)                                                                \
    "CASE WHEN %2" OP(">=") "'" low " 00:00:00" zone " BC'::pg_catalog." type                      \
                            " AND %2" OP("<") "'294276-12-31 00:00:00" zone "'::pg_catalog." type  \
                                              " OR NOT pg_catalog.isfinite(%2) THEN "
#define TRUNCATES(type, zone) STAMP_FROM("4000-01-02", type, zone)
#define SHIFTS(type, zone) STAMP_FROM("4714-11-25", type, zone)

#define EXTRACT(type, flags)                                                                       \
    {                                                                                              \
        "extract", 2, {TXT, type}, NUM, RULE_EXTRACT, OP_FIELD_FIRST | OP_NULLABLE | (flags),      \
            "pg_catalog.\"extract\"(%F, %2)"                                                       \
    }
#define DATE_PART(type, flags)                                                                     \
    {                                                                                              \
        "date_part", 2, {TXT, type}, F8, RULE_EXTRACT, OP_FIELD_FIRST | OP_NULLABLE | (flags),     \
            "pg_catalog.date_part(%F, %2)"                                                         \
    }
#define TRUNC_FLAGS (OP_FIELD_FIRST | OP_NULLABLE)

const struct expr_operation expr_functions[] = {
    {"abs", 1, {TYPE_INT2}, TYPE_INT2, RULE_ABS, OP_INTEGER | OP_NULLABLE, ""},
    {"abs", 1, {I4}, I4, RULE_ABS, OP_INTEGER | OP_NULLABLE, ""},
    {"abs", 1, {TYPE_INT8}, TYPE_INT8, RULE_ABS, OP_INTEGER | OP_NULLABLE, ""},
    {"abs", 1, {NUM}, NUM, RULE_ABS, OP_TAME, "pg_catalog.abs(%1)"},
    {"abs", 1, {F4}, F4, RULE_ABS, 0, "pg_catalog.abs(%1)"},
    {"abs", 1, {F8}, F8, RULE_ABS, 0, "pg_catalog.abs(%1)"},
    {"mod", 2, {TYPE_INT2, TYPE_INT2}, TYPE_INT2, RULE_MODULO, OP_INTEGER | OP_NULLABLE, ""},
    {"mod", 2, {I4, I4}, I4, RULE_MODULO, OP_INTEGER | OP_NULLABLE, ""},
    {"mod", 2, {TYPE_INT8, TYPE_INT8}, TYPE_INT8, RULE_MODULO, OP_INTEGER | OP_NULLABLE, ""},
    {"mod",
     2,
     {NUM, NUM},
     NUM,
     RULE_MODULO,
     OP_TAME | OP_NULLABLE,
     "pg_catalog.mod(%1, NULLIF(%2, 0))"},
    {"div",
     2,
     {NUM, NUM},
     NUM,
     RULE_DIV,
     OP_TAME | OP_NULLABLE,
     "pg_catalog.div(%1, NULLIF(%2, 0))"},
    ROUNDING("round", RULE_ROUND, RULE_ROUND_EVEN),
    {"round", 2, {NUM, I4}, NUM, RULE_ROUND, OP_TAME | OP_CONSTANT_2, "pg_catalog.round(%1, %2)"},
    ROUNDING("trunc", RULE_TRUNC, RULE_TRUNC),
    {"trunc", 2, {NUM, I4}, NUM, RULE_TRUNC, OP_TAME | OP_CONSTANT_2, "pg_catalog.trunc(%1, %2)"},
    ROUNDING("floor", RULE_FLOOR, RULE_FLOOR),
    ROUNDING("ceil", RULE_CEIL, RULE_CEIL),
    ROUNDING("ceiling", RULE_CEIL, RULE_CEIL),
    ROUNDING("sign", RULE_SIGN, RULE_SIGN),

    TEXT_1_COLLATES("lower"),
    TEXT_1_COLLATES("upper"),
    TEXT_1_COLLATES("initcap"),
    TEXT_1("reverse"),
    LENGTH("length"),
    LENGTH("char_length"),
    LENGTH("character_length"),
    LENGTH("octet_length"),
    TRIM("btrim"),
    TRIM("ltrim"),
    TRIM("rtrim"),
    {"left", 2, {TXT, I4}, TXT, RULE_NONE, OP_CONSTANT_2, "pg_catalog.\"left\"(%1, %2)"},
    {"right", 2, {TXT, I4}, TXT, RULE_NONE, OP_CONSTANT_2, "pg_catalog.\"right\"(%1, %2)"},
    {"substring", 2, {TXT, I4}, TXT, RULE_NONE, OP_CONSTANT_2, "pg_catalog.\"substring\"(%1, %2)"},
    {"substring",
     3,
     {TXT, I4, I4},
     TXT,
     RULE_NONE,
     OP_CONSTANT_2 | OP_CONSTANT_3,
     "pg_catalog.\"substring\"(%1, %2, %3)"},
    /* With a pattern: refused, but it takes part in resolution. */
    {"substring", 2, {TXT, TXT}, TXT, RULE_NONE, 0, NULL},
    {"substring", 3, {TXT, TXT, TXT}, TXT, RULE_NONE, 0, NULL},
    {"substr", 2, {TXT, I4}, TXT, RULE_NONE, OP_CONSTANT_2, "pg_catalog.substr(%1, %2)"},
    {"substr",
     3,
     {TXT, I4, I4},
     TXT,
     RULE_NONE,
     OP_CONSTANT_2 | OP_CONSTANT_3,
     "pg_catalog.substr(%1, %2, %3)"},
    {"split_part",
     3,
     {TXT, TXT, I4},
     TXT,
     RULE_NONE,
     OP_CONSTANT_2 | OP_CONSTANT_3,
     "pg_catalog.split_part(%1, %2, %3)"},
    {"strpos", 2, {TXT, TXT}, I4, RULE_LENGTH, OP_CONSTANT_2, "pg_catalog.strpos(%1, %2)"},
    {"position", 2, {TXT, TXT}, I4, RULE_LENGTH, OP_CONSTANT_2, "pg_catalog.\"position\"(%1, %2)"},
    {"starts_with", 2, {TXT, TXT}, TYPE_BOOL, RULE_NONE, 0, "pg_catalog.starts_with(%1, %2)"},

    {"isfinite", 1, {TYPE_DATE}, TYPE_BOOL, RULE_NONE, 0, "pg_catalog.isfinite(%1)"},
    {"isfinite", 1, {TYPE_TIMESTAMP}, TYPE_BOOL, RULE_NONE, 0, "pg_catalog.isfinite(%1)"},
    {"isfinite", 1, {TYPE_TIMESTAMPTZ}, TYPE_BOOL, RULE_NONE, 0, "pg_catalog.isfinite(%1)"},
    {"isfinite", 1, {TYPE_INTERVAL}, TYPE_BOOL, RULE_NONE, 0, "pg_catalog.isfinite(%1)"},
    {"date", 1, {TYPE_TIMESTAMP}, TYPE_DATE, RULE_TIMESTAMP_TO_DATE, 0, "(%1)::pg_catalog.date"},
    {"date", 1, {TYPE_TIMESTAMPTZ}, TYPE_DATE, RULE_NONE, OP_TIME_ZONE, "(%1)::pg_catalog.date"},

    EXTRACT(TYPE_DATE, 0),
    EXTRACT(TYPE_TIMESTAMP, 0),
    EXTRACT(TYPE_TIMESTAMPTZ, OP_TIME_ZONE),
    EXTRACT(TYPE_INTERVAL, 0),
    EXTRACT(TYPE_TIME, 0),
    {"extract", 2, {TXT, TYPE_TIMETZ}, NUM, RULE_NONE, 0, NULL},
    /* PostgreSQL goes through timestamp here, which the last dates overflow. */
    {"date_part",
     2,
     {TXT, TYPE_DATE},
     F8,
     RULE_EXTRACT,
     OP_FIELD_FIRST | OP_NULLABLE,
     "(pg_catalog.\"extract\"(%F, %2))::pg_catalog.float8"},
    DATE_PART(TYPE_TIMESTAMP, 0),
    DATE_PART(TYPE_TIMESTAMPTZ, OP_TIME_ZONE),
    DATE_PART(TYPE_INTERVAL, 0),
    DATE_PART(TYPE_TIME, 0),
    {"date_part", 2, {TXT, TYPE_TIMETZ}, F8, RULE_NONE, 0, NULL},
    {"date_trunc",
     2,
     {TXT, TYPE_TIMESTAMP},
     TYPE_TIMESTAMP,
     RULE_DATE_TRUNC,
     TRUNC_FLAGS,
     TRUNCATES("timestamp", "") "pg_catalog.date_trunc(%F, %2) END"},
    {"date_trunc",
     2,
     {TXT, TYPE_TIMESTAMPTZ},
     TYPE_TIMESTAMPTZ,
     RULE_DATE_TRUNC,
     TRUNC_FLAGS | OP_TIME_ZONE,
     TRUNCATES("timestamptz", "+00") "pg_catalog.date_trunc(%F, %2) END"},
    {"date_trunc",
     2,
     {TXT, TYPE_INTERVAL},
     TYPE_INTERVAL,
     RULE_DATE_TRUNC,
     TRUNC_FLAGS,
     "pg_catalog.date_trunc(%F, %2)"},
    {"date_trunc", 3, {TXT, TYPE_TIMESTAMPTZ, TXT}, TYPE_TIMESTAMPTZ, RULE_NONE, 0, NULL},
    {"timezone",
     2,
     {TXT, TYPE_TIMESTAMP},
     TYPE_TIMESTAMPTZ,
     RULE_NONE,
     TRUNC_FLAGS,
     SHIFTS("timestamp", "") "pg_catalog.timezone(%F, %2) END"},
    {"timezone",
     2,
     {TXT, TYPE_TIMESTAMPTZ},
     TYPE_TIMESTAMP,
     RULE_NONE,
     TRUNC_FLAGS,
     SHIFTS("timestamptz", "+00") "pg_catalog.timezone(%F, %2) END"},
    {"timezone", 2, {TXT, TYPE_TIMETZ}, TYPE_TIMETZ, RULE_NONE, 0, NULL},
    {"timezone", 2, {TYPE_INTERVAL, TYPE_TIMESTAMP}, TYPE_TIMESTAMPTZ, RULE_NONE, 0, NULL},
    {"timezone", 2, {TYPE_INTERVAL, TYPE_TIMESTAMPTZ}, TYPE_TIMESTAMP, RULE_NONE, 0, NULL},
    {"timezone", 2, {TYPE_INTERVAL, TYPE_TIMETZ}, TYPE_TIMETZ, RULE_NONE, 0, NULL},
};
const size_t expr_n_functions = sizeof expr_functions / sizeof *expr_functions;

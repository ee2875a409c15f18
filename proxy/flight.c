/*
 * Canonical forms. A value leaves the twin in a form that no setting of the session can bend:
 * text as hexadecimal UTF-8, arrays of floating point as those of numbers, floating point and
 * intervals as their binary wire form in hexadecimal, dates and timestamps as JSON writes them
 * (always ISO), the rest by its output function.
 */
#include "proxy/flight.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum form {
    FORM_OUTPUT,
    FORM_ISO,
    FORM_FLOAT4,
    FORM_FLOAT8,
    FORM_INTERVAL,
    FORM_NUMBERS,
    FORM_TEXT
};
enum { TYPE_FLOAT8_ARRAY = 1022 };

static enum form form_of(uint32_t type)
{
    switch (type) {
    case TYPE_BOOL:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_NUMERIC:
    case TYPE_UUID:
    case TYPE_TIME:
        return FORM_OUTPUT;
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
        return FORM_ISO;
    case TYPE_FLOAT4:
        return FORM_FLOAT4;
    case TYPE_FLOAT8:
        return FORM_FLOAT8;
    case TYPE_INTERVAL:
        return FORM_INTERVAL;
    case TYPE_FLOAT8_ARRAY:
        return FORM_NUMBERS;
    default:
        return FORM_TEXT;
    }
}

static void add_canonical(struct text *sql, uint32_t type, const char *value)
{
    switch (form_of(type)) {
    case FORM_OUTPUT:
        text_printf(sql, "%s::pg_catalog.text", value);
        break;
    case FORM_ISO:
        text_printf(sql,
                    "pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(%s), "
                    "VARIADIC '{}'::pg_catalog.text[])",
                    value);
        break;
    case FORM_FLOAT4:
        text_printf(sql, "pg_catalog.encode(pg_catalog.float4send(%s), 'hex')", value);
        break;
    case FORM_FLOAT8:
        text_printf(sql, "pg_catalog.encode(pg_catalog.float8send(%s), 'hex')", value);
        break;
    case FORM_INTERVAL:
        text_printf(sql, "pg_catalog.encode(pg_catalog.interval_send(%s), 'hex')", value);
        break;
    case FORM_NUMBERS: /* text would have as few digits as extra_float_digits says */
        add_canonical(sql, TYPE_TEXT, arena_printf(sql->arena, "%s::pg_catalog.numeric[]", value));
        break;
    case FORM_TEXT:
        text_printf(sql,
                    "pg_catalog.encode(pg_catalog.convert_to(%s::pg_catalog.text, 'UTF8'), 'hex')",
                    value);
        break;
    }
}

static const char *const setting_names[FLIGHT_SETTINGS] = {
    [FLIGHT_EPSILON] = "dp.epsilon",       [FLIGHT_DELTA] = "dp.delta",
    [FLIGHT_MECHANISM] = "dp.mechanism",   [FLIGHT_NOTICES] = "dp.notices",
    [FLIGHT_REUSE] = "dp.reuse",           [FLIGHT_MAX_ERROR] = "dp.max_error",
    [FLIGHT_CONFIDENCE] = "dp.confidence", [FLIGHT_MIN_MESSAGES] = "client_min_messages",
    [FLIGHT_TIME_ZONE] = "TimeZone",
};

const char *flight_sql(struct arena *arena, const struct statement *statement, const char *name,
                       const char *sql, size_t n_params, const uint32_t *types)
{
    struct text out = text_new(arena);
    text_add(&out, "SELECT ");
    for (size_t i = 0; i < FLIGHT_SETTINGS; i++) {
        add_canonical(
            &out, TYPE_TEXT,
            arena_printf(arena, "pg_catalog.current_setting('%s', true)", setting_names[i]));
        text_add(&out, ", ");
    }
    if (name[0] == '\0') {
        text_add(&out, "true");
    } else {
        text_add(&out, "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements AS p WHERE p.name "
                       "OPERATOR(pg_catalog.=) ");
        text_literal(&out, name);
        text_add(&out, " AND p.statement OPERATOR(pg_catalog.=) ");
        text_literal(&out, sql);
        text_add(&out, ")");
    }
    for (size_t i = 0; i < statement->n_names; i++) {
        struct text qualified = text_new(arena);
        if (statement->names[i].schema) {
            text_identifier(&qualified, statement->names[i].schema);
            text_add(&qualified, ".");
        }
        text_identifier(&qualified, statement->names[i].name);
        text_add(&out, ", pg_catalog.to_regclass(");
        text_literal(&out, qualified.data);
        text_add(&out, ")::pg_catalog.oid::pg_catalog.text");
    }
    for (size_t i = 0; i < n_params; i++) {
        text_add(&out, ", ");
        add_canonical(&out, types[i], arena_printf(arena, "$%zu", i + 1));
    }
    return out.data;
}

/* The value of a hexadecimal digit as encode() writes it; 16: none. */
static unsigned digit(char c)
{
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                  : 16;
}

static bool from_hex(struct arena *arena, const char *hex, unsigned char **bytes, size_t *length)
{
    size_t digits = strlen(hex);
    if (digits % 2 != 0)
        return false;
    *bytes = arena_alloc(arena, digits / 2 + 1);
    *length = digits / 2;
    for (size_t i = 0; i < *length; i++) {
        unsigned high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high > 15 || low > 15)
            return false;
        (*bytes)[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static uint64_t big_endian(const unsigned char *bytes, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* From the form that add_canonical asked for to text that the type's input function reads back to
 * the same value under any setting. NULL where it is malformed. */
static const char *read_canonical(struct arena *arena, uint32_t type, const char *raw)
{
    enum form form = form_of(type);
    if (form == FORM_OUTPUT || form == FORM_ISO)
        return raw;
    unsigned char *bytes;
    size_t length;
    if (!from_hex(arena, raw, &bytes, &length))
        return NULL;
    if (form == FORM_FLOAT4 && length == 4) {
        uint32_t bits = (uint32_t)big_endian(bytes, 4);
        float value;
        memcpy(&value, &bits, sizeof value);
        return arena_printf(arena, "%.9g", (double)value);
    }
    if (form == FORM_FLOAT8 && length == 8) {
        uint64_t bits = big_endian(bytes, 8);
        double value;
        memcpy(&value, &bits, sizeof value);
        return arena_printf(arena, "%.17g", value);
    }
    if (form == FORM_INTERVAL && length == 16)
        return arena_printf(arena, "%" PRId32 " mons %" PRId32 " days %" PRId64 " microseconds",
                            (int32_t)big_endian(bytes + 12, 4), (int32_t)big_endian(bytes + 8, 4),
                            (int64_t)big_endian(bytes, 8));
    if ((form == FORM_TEXT || form == FORM_NUMBERS) && memchr(bytes, 0, length) == NULL)
        return arena_strndup(arena, (const char *)bytes, length);
    return NULL;
}

/* The next field of a DataRow as text; NULL where it is the SQL NULL. */
static const char *next_field(struct arena *arena, struct wire_reader *reader)
{
    uint32_t length = wire_read_int32(reader);
    if (length == UINT32_MAX)
        return NULL;
    const unsigned char *bytes = wire_read_bytes(reader, length);
    return bytes ? arena_strndup(arena, (const char *)bytes, length) : NULL;
}

/* Enum types have other OIDs on the protected server; their labels travel as text. */
enum { FIRST_USER_OID = 16384 };

bool flight_read(struct arena *arena, const struct wire_message *row, size_t n_names,
                 size_t n_params, const uint32_t *types, struct flight *flight)
{
    struct wire_reader reader = wire_read(row);
    if (wire_read_int16(&reader) != (uint16_t)(FLIGHT_SETTINGS + 1 + n_names + n_params))
        return false;
    for (size_t i = 0; i < FLIGHT_SETTINGS; i++) {
        const char *raw = next_field(arena, &reader);
        flight->settings[i] = raw ? read_canonical(arena, TYPE_TEXT, raw) : "";
        if (flight->settings[i] == NULL)
            return false;
    }
    const char *prepared = next_field(arena, &reader);
    flight->still_prepared = prepared != NULL && prepared[0] == 't';
    flight->oids = arena_alloc(arena, (n_names + 1) * sizeof *flight->oids);
    for (size_t i = 0; i < n_names; i++) {
        const char *oid = next_field(arena, &reader);
        flight->oids[i] = oid ? (uint32_t)strtoul(oid, NULL, 10) : 0;
    }
    flight->params = arena_alloc(arena, (n_params + 1) * sizeof *flight->params);
    for (size_t i = 0; i < n_params; i++) {
        const char *raw = next_field(arena, &reader);
        flight->params[i].type = types[i] < FIRST_USER_OID ? types[i] : TYPE_TEXT;
        flight->params[i].text = raw ? read_canonical(arena, types[i], raw) : NULL;
        if (raw != NULL && flight->params[i].text == NULL)
            return false;
    }
    return wire_read_end(&reader);
}

static const char *constant_type(uint32_t type)
{
    switch (type) {
    case TYPE_DATE:
        return "date";
    case TYPE_TIME:
        return "time";
    case TYPE_TIMESTAMP:
        return "timestamp";
    case TYPE_TIMESTAMPTZ:
        return "timestamptz";
    case TYPE_INTERVAL:
        return "interval";
    default:
        return "text";
    }
}

const char *flight_constants_sql(struct arena *arena, size_t n_constants,
                                 const struct sql_constant *constants)
{
    struct text out = text_new(arena);
    for (size_t i = 0; i < n_constants; i++) {
        text_add(&out, i == 0 ? "SELECT " : ", ");
        struct text literal = text_new(arena);
        text_literal(&literal, constants[i].literal);
        add_canonical(&out, constants[i].type,
                      arena_printf(arena, "(%s::pg_catalog.%s)", literal.data,
                                   constant_type(constants[i].type)));
    }
    return out.data;
}

bool flight_read_constants(struct arena *arena, const struct wire_message *row, size_t n_constants,
                           struct sql_constant *constants)
{
    struct wire_reader reader = wire_read(row);
    if (wire_read_int16(&reader) != (uint16_t)n_constants)
        return false;
    for (size_t i = 0; i < n_constants; i++) {
        const char *raw = next_field(arena, &reader);
        constants[i].canonical = raw ? read_canonical(arena, constants[i].type, raw) : NULL;
        if (constants[i].canonical == NULL)
            return false;
    }
    return wire_read_end(&reader);
}

#include "proxy/final.h"

#include <assert.h>
#include <stdlib.h>

#include "proxy/copied.h"

static size_t count_arrays(size_t n_arrays, const struct array_params *arrays)
{
    size_t count = 0;
    for (size_t i = 0; i < n_arrays; i++)
        count += arrays[i].count;
    return count;
}

static const char *final_text(const struct plan *plan)
{
    if (plan->shape != PLAN_EXPLAIN)
        return plan->final_sql;
    return plan->explain_json
               ? "SELECT pg_catalog.convert_from(pg_catalog.unnest($1::pg_catalog.bytea[]), 'UTF8')"
                 "::pg_catalog.json AS \"QUERY PLAN\""
               : "SELECT pg_catalog.convert_from(pg_catalog.unnest($1::pg_catalog.bytea[]), 'UTF8')"
                 " AS \"QUERY PLAN\"";
}

void final_parse(struct evbuffer *twin, const char *name, const struct plan *plan,
                 size_t n_client_params, const uint32_t *client_types, size_t n_arrays,
                 const struct array_params *arrays)
{
    if (plan->shape == PLAN_COPY) {
        char *sql = copied_sql(plan, n_arrays, arrays);
        wire_parse(twin, name, sql, 0, NULL);
        free(sql);
        return;
    }
    size_t count = n_client_params + count_arrays(n_arrays, arrays), at = 0;
    uint32_t *types = calloc(count + 1, sizeof *types);
    assert(types != NULL);
    for (size_t i = 0; i < n_client_params; i++)
        types[at++] = client_types[i];
    for (size_t i = 0; i < n_arrays; i++)
        for (size_t j = 0; j < arrays[i].count; j++)
            types[at++] = arrays[i].items[j].type;
    wire_parse(twin, name, final_text(plan), count, types);
    free(types);
}

static void add_formats(struct wire_writer *writer, const struct statement_request *client,
                        size_t n_values, size_t n_arrays, const struct array_params *arrays)
{
    wire_add_int16(writer, (uint16_t)(n_values + count_arrays(n_arrays, arrays)));
    for (size_t i = 0; i < n_values; i++)
        wire_add_int16(writer, client->n_formats == 0   ? 0
                               : client->n_formats == 1 ? client->formats[0]
                                                        : client->formats[i]);
    for (size_t i = 0; i < n_arrays; i++)
        for (size_t j = 0; j < arrays[i].count; j++)
            wire_add_int16(writer, arrays[i].items[j].format);
}

static void add_value(struct wire_writer *writer, const unsigned char *bytes, size_t length)
{
    wire_add_int32(writer, bytes ? (uint32_t)length : UINT32_MAX);
    if (bytes)
        wire_add_bytes(writer, bytes, length);
}

void final_bind(struct evbuffer *twin, const char *portal, const char *name,
                const struct statement_request *client, size_t n_arrays,
                const struct array_params *arrays)
{
    size_t n_values = client ? client->prepared->n_params : 0;
    size_t n_results = client && n_arrays > 0 ? client->n_results : 0;
    struct wire_writer writer = wire_begin(twin, 'B');
    wire_add_string(&writer, portal);
    wire_add_string(&writer, name);
    add_formats(&writer, client, n_values, n_arrays, arrays);
    wire_add_int16(&writer, (uint16_t)(n_values + count_arrays(n_arrays, arrays)));
    for (size_t i = 0; i < n_values; i++)
        add_value(&writer, client->values[i].bytes, client->values[i].length);
    for (size_t i = 0; i < n_arrays; i++)
        for (size_t j = 0; j < arrays[i].count; j++)
            add_value(&writer, arrays[i].items[j].bytes, arrays[i].items[j].length);
    wire_add_int16(&writer, (uint16_t)n_results);
    for (size_t i = 0; i < n_results; i++)
        wire_add_int16(&writer, client->results[i]);
    wire_end(&writer);
}

void final_report_error(const struct wire_message *message, struct evbuffer *out)
{
    struct wire_report report = {.severity = wire_report_field(message, 'V'),
                                 .sqlstate = wire_report_field(message, 'C'),
                                 .message = wire_report_field(message, 'M'),
                                 .detail = wire_report_field(message, 'D'),
                                 .hint = wire_report_field(message, 'H')};
    wire_report(out, &report);
}

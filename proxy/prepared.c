/*
 * Prepared statements and portals of one session. Tables are short (limits bound them), so they are
 * plain arrays.
 */
#include "proxy/prepared.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "parser/utf8.h"

struct prepared *prepared_new(const char *name, const char *sql, struct parsed *parsed)
{
    struct prepared *prepared = calloc(1, sizeof *prepared);
    assert(prepared != NULL);
    prepared->references = 1;
    prepared->name = strdup(name);
    prepared->sql = strdup(sql);
    assert(prepared->name != NULL && prepared->sql != NULL);
    prepared->parsed = parsed;
    return prepared;
}

struct prepared *prepared_hold(struct prepared *prepared)
{
    prepared->references++;
    return prepared;
}

void prepared_release(void *pointer)
{
    struct prepared *prepared = pointer;
    if (prepared == NULL || --prepared->references > 0)
        return;
    parsed_free(prepared->parsed);
    free(prepared->name);
    free(prepared->sql);
    free(prepared->param_types);
    free(prepared->row_description);
    free(prepared);
}

static bool describe_parameters(struct prepared *prepared, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    size_t count = wire_read_int16(&reader);
    uint32_t *types = calloc(count ? count : 1, sizeof *types);
    assert(types != NULL);
    for (size_t i = 0; i < count; i++)
        types[i] = wire_read_int32(&reader);
    if (!wire_read_end(&reader)) {
        free(types);
        return false;
    }
    free(prepared->param_types);
    prepared->param_types = types;
    prepared->n_params = count;
    return true;
}

struct column_description {
    const char *name;
    uint32_t table, type, typmod;
    uint16_t attribute, length, format;
};

static struct column_description read_column(struct wire_reader *reader)
{
    struct column_description column;
    column.name = wire_read_string(reader);
    column.table = wire_read_int32(reader);
    column.attribute = wire_read_int16(reader);
    column.type = wire_read_int32(reader);
    column.length = wire_read_int16(reader);
    column.typmod = wire_read_int32(reader);
    column.format = wire_read_int16(reader);
    return column;
}

static bool describe_rows(struct prepared *prepared, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    size_t count = wire_read_int16(&reader);
    bool ascii = true;
    for (size_t i = 0; i < count; i++)
        ascii = utf8_is_ascii(read_column(&reader).name) && ascii;
    if (!wire_read_end(&reader))
        return false;
    unsigned char *copy = malloc(message->length ? message->length : 1);
    assert(copy != NULL);
    memcpy(copy, message->payload, message->length);
    free(prepared->row_description);
    prepared->row_description = copy;
    prepared->row_description_length = message->length;
    prepared->n_columns = count;
    prepared->ascii_columns = ascii;
    return true;
}

static struct wire_message own_description(const struct prepared *prepared)
{
    struct wire_message message = {.type = 'T',
                                   .payload = prepared->row_description,
                                   .length = prepared->row_description_length};
    return message;
}

bool prepared_same_types(const struct prepared *prepared, const struct wire_message *other)
{
    if (prepared->row_description == NULL)
        return other->type == 'n';
    if (other->type != 'T')
        return false;
    struct wire_message own = own_description(prepared);
    struct wire_reader a = wire_read(&own), b = wire_read(other);
    size_t count = wire_read_int16(&a);
    if (wire_read_int16(&b) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (read_column(&a).type != read_column(&b).type)
            return false;
    return wire_read_end(&a) && wire_read_end(&b);
}

/* Described again it is the same but for the names, or not the same statement any more: what is
 * open of it keeps its columns. */
static bool describe_again(struct prepared *prepared, const struct wire_message *message)
{
    bool same = prepared_same_types(prepared, message);
    prepared->renamed = prepared->renamed && !same;
    return !same || message->type == 'n' || describe_rows(prepared, message);
}

bool prepared_describe(struct prepared *prepared, const struct wire_message *message)
{
    switch (message->type) {
    case 't':
        return prepared->param_types != NULL || describe_parameters(prepared, message);
    case 'T':
    case 'n':
        prepared->stale = false;
        if (prepared->described)
            return describe_again(prepared, message);
        prepared->renamed = false;
        prepared->described = message->type == 'n' || describe_rows(prepared, message);
        return prepared->described;
    default:
        return false;
    }
}

void prepared_forget_description(struct prepared *prepared)
{
    free(prepared->param_types);
    free(prepared->row_description);
    prepared->param_types = NULL;
    prepared->row_description = NULL;
    prepared->n_params = prepared->n_columns = 0;
    prepared->described = false;
}

bool prepared_is_described(const struct prepared *prepared)
{
    return prepared->described && (!prepared->stale || prepared->ascii_columns);
}

void prepared_write_description(const struct prepared *prepared, const struct wire_message *named,
                                size_t n_formats, const uint16_t *formats, struct evbuffer *out)
{
    if (prepared->row_description == NULL) {
        wire_empty(out, 'n');
        return;
    }
    struct wire_message own = own_description(prepared);
    struct wire_reader reader = wire_read(&own), names = wire_read(named ? named : &own);
    struct wire_writer writer = wire_begin(out, 'T');
    size_t count = wire_read_int16(&reader);
    wire_read_int16(&names);
    wire_add_int16(&writer, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        struct column_description column = read_column(&reader);
        wire_add_string(&writer, read_column(&names).name);
        wire_add_int32(&writer, column.table);
        wire_add_int16(&writer, column.attribute);
        wire_add_int32(&writer, column.type);
        wire_add_int16(&writer, column.length);
        wire_add_int32(&writer, column.typmod);
        uint16_t format = n_formats == 0 ? 0 : n_formats == 1 ? formats[0] : formats[i];
        wire_add_int16(&writer, format);
    }
    wire_end(&writer);
}

struct prepared *prepared_table_find(const struct prepared_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_statements; i++)
        if (strcmp(table->statements[i]->name, name) == 0)
            return table->statements[i];
    return NULL;
}

void prepared_table_remove(struct prepared_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_statements; i++) {
        if (strcmp(table->statements[i]->name, name) != 0)
            continue;
        prepared_release(table->statements[i]);
        table->statements[i] = table->statements[--table->n_statements];
        return;
    }
}

void prepared_table_change_encoding(struct prepared_table *table, bool utf8)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->n_statements; i++) {
        struct prepared *prepared = table->statements[i];
        prepared->renamed = prepared->stale = true;
        if (utf8 || utf8_is_ascii(prepared->name))
            table->statements[kept++] = prepared;
        else
            prepared_release(prepared);
    }
    table->n_statements = kept;
}

void prepared_table_put(struct prepared_table *table, struct prepared *prepared)
{
    prepared_table_remove(table, prepared->name);
    struct prepared **grown =
        realloc(table->statements, (table->n_statements + 1) * sizeof(struct prepared *));
    assert(grown != NULL);
    table->statements = grown;
    table->statements[table->n_statements++] = prepared;
}

static void free_portal(struct portal *portal)
{
    free(portal->name);
    free(portal->formats);
    prepared_release(portal->prepared);
}

const struct portal *prepared_table_find_portal(const struct prepared_table *table,
                                                const char *name)
{
    for (size_t i = 0; i < table->n_portals; i++)
        if (strcmp(table->portals[i].name, name) == 0)
            return &table->portals[i];
    return NULL;
}

void prepared_table_remove_portal(struct prepared_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_portals; i++) {
        if (strcmp(table->portals[i].name, name) != 0)
            continue;
        free_portal(&table->portals[i]);
        table->portals[i] = table->portals[--table->n_portals];
        return;
    }
}

void prepared_table_put_portal(struct prepared_table *table, const char *name,
                               struct prepared *prepared, size_t n_formats, const uint16_t *formats,
                               bool explain)
{
    prepared_table_remove_portal(table, name);
    struct portal *grown = realloc(table->portals, (table->n_portals + 1) * sizeof(struct portal));
    assert(grown != NULL);
    table->portals = grown;
    struct portal *portal = &table->portals[table->n_portals++];
    portal->name = strdup(name);
    portal->prepared = prepared_hold(prepared);
    portal->n_formats = n_formats;
    portal->formats = calloc(n_formats ? n_formats : 1, sizeof *portal->formats);
    portal->explain = explain;
    assert(portal->name != NULL && portal->formats != NULL);
    if (n_formats > 0)
        memcpy(portal->formats, formats, n_formats * sizeof *formats);
}

void prepared_table_clear_portals(struct prepared_table *table)
{
    for (size_t i = 0; i < table->n_portals; i++)
        free_portal(&table->portals[i]);
    table->n_portals = 0;
}

void prepared_table_clear(struct prepared_table *table)
{
    prepared_table_clear_portals(table);
    free(table->portals);
    for (size_t i = 0; i < table->n_statements; i++)
        prepared_release(table->statements[i]);
    free(table->statements);
    memset(table, 0, sizeof *table);
}

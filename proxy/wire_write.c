#include "proxy/wire.h"

#include <assert.h>
#include <event2/buffer.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Writing. A message is built in memory of its own and reaches the buffer whole, at wire_end: its
 * length is then known, and nobody ever sees half of it. A message that cannot be built would leave
 * the peer waiting or reading nonsense, so that running out of memory ends the program.
 */

enum { FIRST_CAPACITY = 256, REFERENCE_FROM = 16384 };

static void make_room(struct wire_writer *writer, size_t length)
{
    if (length <= writer->capacity - writer->length)
        return;
    assert(length <= INT_MAX / 2 && writer->length <= INT_MAX / 2);
    size_t capacity = writer->capacity == 0 ? FIRST_CAPACITY : writer->capacity;
    while (capacity - writer->length < length)
        capacity *= 2;
    unsigned char *data = realloc(writer->data, capacity);
    if (data == NULL)
        abort();
    writer->data = data;
    writer->capacity = capacity;
}

static void store_int32(unsigned char *bytes, uint32_t value)
{
    bytes[0] = (unsigned char)(value >> 24);
    bytes[1] = (unsigned char)(value >> 16);
    bytes[2] = (unsigned char)(value >> 8);
    bytes[3] = (unsigned char)value;
}

struct wire_writer wire_begin(struct evbuffer *out, char type)
{
    struct wire_writer writer = {.out = out, .type = type};
    if (type != 0)
        wire_add_bytes(&writer, &type, 1);
    wire_add_int32(&writer, 0);
    return writer;
}

void wire_add_bytes(struct wire_writer *writer, const void *bytes, size_t length)
{
    if (length == 0)
        return;
    make_room(writer, length);
    memcpy(writer->data + writer->length, bytes, length);
    writer->length += length;
}

void wire_add_byte(struct wire_writer *writer, uint8_t value)
{
    wire_add_bytes(writer, &value, 1);
}

void wire_add_int16(struct wire_writer *writer, uint16_t value)
{
    unsigned char bytes[2] = {(unsigned char)(value >> 8), (unsigned char)value};
    wire_add_bytes(writer, bytes, sizeof bytes);
}

void wire_add_int32(struct wire_writer *writer, uint32_t value)
{
    unsigned char bytes[4];
    store_int32(bytes, value);
    wire_add_bytes(writer, bytes, sizeof bytes);
}

void wire_add_string(struct wire_writer *writer, const char *text)
{
    wire_add_bytes(writer, text, strlen(text) + 1);
}

static void free_data(const void *data, size_t length, void *extra)
{
    (void)data, (void)length;
    free(extra);
}

void wire_end(struct wire_writer *writer)
{
    size_t header = writer->type == 0 ? 0 : 1;
    store_int32(writer->data + header, (uint32_t)(writer->length - header));
    int failed;
    if (writer->length >= REFERENCE_FROM) {
        failed = evbuffer_add_reference(writer->out, writer->data, writer->length, free_data,
                                        writer->data);
    } else {
        failed = evbuffer_add(writer->out, writer->data, writer->length);
        free(writer->data);
    }
    if (failed != 0)
        abort();
    *writer = (struct wire_writer){0};
}

static void add_field(struct wire_writer *writer, char code, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    wire_add_byte(writer, (uint8_t)code);
    wire_add_string(writer, text);
}

void wire_report(struct evbuffer *out, const struct wire_report *report)
{
    bool is_error = strcmp(report->severity, "ERROR") == 0 ||
                    strcmp(report->severity, "FATAL") == 0 ||
                    strcmp(report->severity, "PANIC") == 0;
    struct wire_writer writer = wire_begin(out, is_error ? 'E' : 'N');
    add_field(&writer, 'S', report->severity);
    add_field(&writer, 'V', report->severity);
    add_field(&writer, 'C', report->sqlstate);
    add_field(&writer, 'M', report->message);
    add_field(&writer, 'D', report->detail);
    add_field(&writer, 'H', report->hint);
    if (report->position > 0) {
        char number[16] = {0};
        size_t at = sizeof number - 1;
        for (int rest = report->position; rest > 0; rest /= 10)
            number[--at] = (char)('0' + rest % 10);
        add_field(&writer, 'P', number + at);
    }
    wire_add_byte(&writer, 0);
    wire_end(&writer);
}

void wire_report_moved(struct evbuffer *out, const struct wire_message *report, size_t characters)
{
    struct wire_reader reader = wire_read(report);
    struct wire_writer writer = wire_begin(out, report->type);
    for (;;) {
        uint8_t code = wire_read_byte(&reader);
        const char *value = code == 0 ? NULL : wire_read_string(&reader);
        if (value == NULL || reader.failed)
            break;
        char position[24];
        snprintf(position, sizeof position, "%llu", strtoull(value, NULL, 10) + characters);
        wire_add_byte(&writer, code);
        wire_add_string(&writer, code == 'P' ? position : value);
    }
    wire_add_byte(&writer, 0);
    wire_end(&writer);
}

void wire_ready(struct evbuffer *out, char transaction_status)
{
    struct wire_writer writer = wire_begin(out, 'Z');
    wire_add_byte(&writer, (uint8_t)transaction_status);
    wire_end(&writer);
}

void wire_parameter_status(struct evbuffer *out, const char *name, const char *value)
{
    struct wire_writer writer = wire_begin(out, 'S');
    wire_add_string(&writer, name);
    wire_add_string(&writer, value);
    wire_end(&writer);
}

void wire_backend_key(struct evbuffer *out, uint32_t pid, uint32_t key)
{
    struct wire_writer writer = wire_begin(out, 'K');
    wire_add_int32(&writer, pid);
    wire_add_int32(&writer, key);
    wire_end(&writer);
}

void wire_command_complete(struct evbuffer *out, const char *tag)
{
    struct wire_writer writer = wire_begin(out, 'C');
    wire_add_string(&writer, tag);
    wire_end(&writer);
}

void wire_empty(struct evbuffer *out, char type)
{
    struct wire_writer writer = wire_begin(out, type);
    wire_end(&writer);
}

void wire_query(struct evbuffer *out, const char *sql)
{
    struct wire_writer writer = wire_begin(out, 'Q');
    wire_add_string(&writer, sql);
    wire_end(&writer);
}

void wire_parse(struct evbuffer *out, const char *name, const char *sql, size_t n_types,
                const uint32_t *types)
{
    assert(n_types <= UINT16_MAX);
    struct wire_writer writer = wire_begin(out, 'P');
    wire_add_string(&writer, name);
    wire_add_string(&writer, sql);
    wire_add_int16(&writer, (uint16_t)n_types);
    for (size_t i = 0; i < n_types; i++)
        wire_add_int32(&writer, types[i]);
    wire_end(&writer);
}

void wire_name(struct evbuffer *out, char type, char kind, const char *name)
{
    struct wire_writer writer = wire_begin(out, type);
    wire_add_byte(&writer, (uint8_t)kind);
    wire_add_string(&writer, name);
    wire_end(&writer);
}

void wire_execute(struct evbuffer *out, const char *portal, uint32_t rows_max)
{
    struct wire_writer writer = wire_begin(out, 'E');
    wire_add_string(&writer, portal);
    wire_add_int32(&writer, rows_max);
    wire_end(&writer);
}

void wire_authentication(struct evbuffer *out, uint32_t kind, const void *data, size_t length)
{
    struct wire_writer writer = wire_begin(out, 'R');
    wire_add_int32(&writer, kind);
    wire_add_bytes(&writer, data, length);
    wire_end(&writer);
}

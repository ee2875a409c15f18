#include "proxy/wire.h"

#include <assert.h>
#include <event2/buffer.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/limits.h"

/*
 * Reading. A message's length is checked once, when it is cut; afterwards its fields are read
 * through a cursor that cannot leave it. Memory grows with the bytes that arrived, never with the
 * length that a peer claims.
 */

static uint32_t big_endian_32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The largest length field that a client may send with this type; 0: no such message. */
static size_t client_limit(char type, size_t bytes_max)
{
    switch (type) {
    case 'Q': /* Query */
    case 'P': /* Parse */
    case 'B': /* Bind */
    case 'F': /* FunctionCall */
    case 'd': /* CopyData */
        return bytes_max;
    case 'p': /* the answers of an authentication */
        return bytes_max < LIMIT_AUTH_MESSAGE_MAX ? bytes_max : LIMIT_AUTH_MESSAGE_MAX;
    case 'D': /* Describe */
    case 'E': /* Execute */
    case 'C': /* Close */
    case 'S': /* Sync */
    case 'H': /* Flush */
    case 'X': /* Terminate */
    case 'c': /* CopyDone */
    case 'f': /* CopyFail */
        return LIMIT_SMALL_MESSAGE_MAX;
    default:
        return 0;
    }
}

/* Makes the payload contiguous once all of it is there. */
static enum wire_status cut(struct evbuffer *buffer, size_t header, struct wire_message *message)
{
    size_t whole = header + message->length;
    if (evbuffer_get_length(buffer) < whole)
        return WIRE_INCOMPLETE;
    const unsigned char *bytes = evbuffer_pullup(buffer, (ev_ssize_t)whole);
    if (bytes == NULL) /* out of memory */
        return WIRE_INVALID;
    message->payload = bytes + header;
    return WIRE_READY;
}

enum wire_status wire_peek(struct evbuffer *buffer, bool from_client, size_t bytes_max,
                           struct wire_message *message)
{
    unsigned char header[5];
    *message = (struct wire_message){0};
    ev_ssize_t got = evbuffer_copyout(buffer, header, sizeof header);
    if (got < 1)
        return WIRE_INCOMPLETE;
    memcpy(&message->type, header, 1);
    size_t limit =
        from_client ? client_limit(message->type, bytes_max) : (size_t)LIMIT_SERVER_MESSAGE_MAX;
    if (limit == 0)
        return WIRE_INVALID;
    if (got < (ev_ssize_t)sizeof header)
        return WIRE_INCOMPLETE;
    size_t length = big_endian_32(header + 1);
    if (length < 4 || length > limit)
        return WIRE_INVALID;
    message->length = length - 4;
    return cut(buffer, sizeof header, message);
}

bool wire_is_client_type(char type)
{
    return client_limit(type, 1) != 0;
}

enum wire_status wire_peek_startup(struct evbuffer *buffer, struct wire_message *message)
{
    unsigned char header[4];
    *message = (struct wire_message){0};
    if (evbuffer_copyout(buffer, header, sizeof header) < (ev_ssize_t)sizeof header)
        return WIRE_INCOMPLETE;
    size_t length = big_endian_32(header);
    if (length < LIMIT_STARTUP_MIN || length > LIMIT_STARTUP_MAX)
        return WIRE_INVALID;
    message->length = length - 4;
    return cut(buffer, sizeof header, message);
}

static size_t whole_length(const struct wire_message *message)
{
    return message->length + (message->type == 0 ? 4 : 5);
}

void wire_consume(struct evbuffer *buffer, const struct wire_message *message)
{
    assert(evbuffer_get_length(buffer) >= whole_length(message));
    if (evbuffer_drain(buffer, whole_length(message)) < 0)
        abort();
}

size_t wire_forward_partial(struct evbuffer *from, size_t left, struct evbuffer *to)
{
    size_t here = evbuffer_get_length(from);
    size_t moved = here < left ? here : left;
    /* Whole chains change hands; only the ends are copied. A half-moved message could not be
     * mended, so that running out of memory ends the program. */
    if (moved > 0 && evbuffer_remove_buffer(from, to, moved) != (int)moved)
        abort();
    return left - moved;
}

void wire_forward(struct evbuffer *from, const struct wire_message *message, struct evbuffer *to)
{
    size_t left = wire_forward_partial(from, whole_length(message), to);
    assert(left == 0);
}

size_t wire_forward_begin(struct evbuffer *from, const struct wire_message *message,
                          struct evbuffer *to)
{
    return wire_forward_partial(from, whole_length(message), to);
}

struct wire_reader wire_read(const struct wire_message *message)
{
    return (struct wire_reader){.at = message->payload, .left = message->length};
}

const unsigned char *wire_read_bytes(struct wire_reader *reader, size_t length)
{
    if (reader->failed || length > reader->left) {
        reader->failed = true;
        return NULL;
    }
    const unsigned char *bytes = reader->at;
    reader->at += length;
    reader->left -= length;
    return bytes;
}

uint8_t wire_read_byte(struct wire_reader *reader)
{
    const unsigned char *bytes = wire_read_bytes(reader, 1);
    return bytes == NULL ? 0 : bytes[0];
}

uint16_t wire_read_int16(struct wire_reader *reader)
{
    const unsigned char *bytes = wire_read_bytes(reader, 2);
    return (uint16_t)(bytes == NULL ? 0 : bytes[0] << 8 | bytes[1]);
}

uint32_t wire_read_int32(struct wire_reader *reader)
{
    const unsigned char *bytes = wire_read_bytes(reader, 4);
    return bytes == NULL ? 0 : big_endian_32(bytes);
}

const char *wire_read_string(struct wire_reader *reader)
{
    const unsigned char *end = NULL;
    if (!reader->failed && reader->left > 0)
        end = memchr(reader->at, '\0', reader->left);
    if (end == NULL) {
        reader->failed = true;
        return "";
    }
    return (const char *)wire_read_bytes(reader, (size_t)(end - reader->at) + 1);
}

bool wire_read_end(const struct wire_reader *reader)
{
    return !reader->failed && reader->left == 0;
}

const char *wire_report_field(const struct wire_message *message, char code)
{
    struct wire_reader reader = wire_read(message);
    for (;;) {
        uint8_t found = wire_read_byte(&reader);
        if (reader.failed || found == 0)
            return NULL;
        const char *value = wire_read_string(&reader);
        if (reader.failed)
            return NULL;
        if (found == (unsigned char)code)
            return value;
    }
}

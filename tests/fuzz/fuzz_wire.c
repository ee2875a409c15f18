/* A stream of messages: first byte the side, second the size of the pieces it arrives in. */
#include <assert.h>
#include <event2/buffer.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proxy/limits.h"
#include "proxy/wire.h"

enum { BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads the payload as all kinds of fields in turn: the cursor must stay within it. */
static void read_fields(const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    for (unsigned turn = 0; !reader.failed && reader.left > 0; turn++) {
        const unsigned char *before = reader.at;
        switch (turn % 5) {
        case 0:
            wire_read_byte(&reader);
            break;
        case 1:
            (void)strlen(wire_read_string(&reader));
            break;
        case 2:
            wire_read_int16(&reader);
            break;
        case 3:
            wire_read_bytes(&reader, wire_read_int32(&reader));
            break;
        default:
            wire_read_int32(&reader);
            break;
        }
        assert(reader.at >= before &&
               reader.at + reader.left == message->payload + message->length);
    }
    (void)wire_report_field(message, 'C');
    (void)wire_report_field(message, 'M');
}

/* All messages that are there; false: the stream is to be closed. */
static bool take_messages(struct evbuffer *buffer, bool from_client, struct evbuffer *other)
{
    for (;;) {
        struct wire_message message;
        size_t before = evbuffer_get_length(buffer);
        enum wire_status status = wire_peek(buffer, from_client, BYTES_MAX, &message);
        assert(evbuffer_get_length(buffer) == before);
        if (status == WIRE_INVALID)
            return false;
        if (status == WIRE_INCOMPLETE)
            return true;
        assert(!from_client ||
               (wire_is_client_type(message.type) && message.length <= LIMIT_SMALL_MESSAGE_MAX));
        read_fields(&message);
        size_t whole = message.length + (message.type == 0 ? 4 : 5);
        if (message.length % 2 == 0)
            wire_forward(buffer, &message, other);
        else
            wire_consume(buffer, &message);
        assert(before - evbuffer_get_length(buffer) == whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct evbuffer *buffer = evbuffer_new(), *other = evbuffer_new();
    size_t piece = (size_t)data[1] + 1;
    struct wire_message message;
    bool goes_on = true;
    for (size_t at = 2; goes_on && at < size; at += piece) {
        evbuffer_add(buffer, data + at, size - at < piece ? size - at : piece);
        if ((data[0] & 2) != 0)
            goes_on = wire_peek_startup(buffer, &message) != WIRE_INVALID;
        else
            goes_on = take_messages(buffer, (data[0] & 1) != 0, other);
    }
    if ((data[0] & 2) != 0 && wire_peek_startup(buffer, &message) == WIRE_READY) {
        assert(message.length >= 4 && message.length <= LIMIT_STARTUP_MAX - 4);
        read_fields(&message);
        wire_consume(buffer, &message);
    }
    evbuffer_free(buffer);
    evbuffer_free(other);
    return 0;
}

#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/limits.h"
#include "proxy/wire.h"

enum { MEGABYTE = 1 << 20 };

static struct evbuffer *buffer_of(const void *bytes, size_t length)
{
    struct evbuffer *buffer = evbuffer_new();
    evbuffer_add(buffer, bytes, length);
    return buffer;
}

static enum wire_status peek_once(const void *bytes, size_t length, bool from_client,
                                  struct wire_message *message)
{
    struct evbuffer *buffer = buffer_of(bytes, length);
    enum wire_status status = wire_peek(buffer, from_client, MEGABYTE, message);
    message->payload = NULL;
    evbuffer_free(buffer);
    return status;
}

Test(wire, a_message_is_cut_when_its_last_byte_is_there)
{
    static const char bytes[] = "Q\0\0\0\x0dselect 1";
    struct evbuffer *buffer = evbuffer_new();
    struct wire_message message;
    for (size_t i = 0; i < sizeof bytes; i++) {
        cr_expect_eq(wire_peek(buffer, true, MEGABYTE, &message), WIRE_INCOMPLETE);
        cr_expect_null(message.payload);
        cr_expect_eq(message.type, i >= 1 ? 'Q' : 0);
        cr_expect_eq(message.length, i >= 5 ? 9 : 0);
        evbuffer_add(buffer, bytes + i, 1);
    }
    cr_assert_eq(wire_peek(buffer, true, MEGABYTE, &message), WIRE_READY);
    cr_expect_eq(message.length, 9);
    cr_expect_arr_eq(message.payload, "select 1", 9);
    wire_consume(buffer, &message);
    cr_expect_eq(evbuffer_get_length(buffer), 0);
    evbuffer_free(buffer);
}

Test(wire, a_client_may_send_these_types_and_no_others)
{
    for (int type = 0; type < 256; type++) {
        const char bytes[] = {(char)type, 0, 0, 0, 4};
        struct wire_message message;
        bool known = type != 0 && strchr("QPBDECSHXFdcfp", type) != NULL;
        enum wire_status status = peek_once(bytes, sizeof bytes, true, &message);
        cr_expect_eq(status, known ? WIRE_READY : WIRE_INVALID, "type %d", type);
        cr_expect_eq(wire_is_client_type((char)type), known);
        cr_expect_eq((unsigned char)message.type, type);
        cr_expect_eq(peek_once(bytes, sizeof bytes, false, &message), WIRE_READY);
    }
}

/* Whether a header with this length field is acceptable. */
static bool accepts(char type, uint32_t length, bool from_client)
{
    const unsigned char bytes[] = {(unsigned char)type, (unsigned char)(length >> 24),
                                   (unsigned char)(length >> 16), (unsigned char)(length >> 8),
                                   (unsigned char)length};
    struct wire_message message;
    return peek_once(bytes, sizeof bytes, from_client, &message) != WIRE_INVALID;
}

Test(wire, lengths_are_bounded_by_type)
{
    for (const char *type = "DECSHXcf"; *type != '\0'; type++) {
        cr_expect(accepts(*type, LIMIT_SMALL_MESSAGE_MAX, true));
        cr_expect(!accepts(*type, LIMIT_SMALL_MESSAGE_MAX + 1, true));
    }
    for (const char *type = "QPBFd"; *type != '\0'; type++) {
        cr_expect(accepts(*type, MEGABYTE, true));
        cr_expect(!accepts(*type, MEGABYTE + 1, true));
        cr_expect(!accepts(*type, 0x7fffffff, true));
        cr_expect(!accepts(*type, 0xffffffff, true));
        cr_expect(!accepts(*type, 3, true));
        cr_expect(!accepts(*type, 0, true));
    }
    cr_expect(accepts('p', LIMIT_AUTH_MESSAGE_MAX, true));
    cr_expect(!accepts('p', LIMIT_AUTH_MESSAGE_MAX + 1, true));
    cr_expect(accepts('D', LIMIT_SERVER_MESSAGE_MAX, false));
    cr_expect(!accepts('D', LIMIT_SERVER_MESSAGE_MAX + 1u, false));
    cr_expect(!accepts('D', 3, false));
}

Test(wire, a_startup_packet_has_bounds_of_its_own)
{
    static const struct {
        unsigned char bytes[5];
        enum wire_status status;
    } cases[] = {
        {{0, 0, 0, 7, 0}, WIRE_INVALID},
        {{0, 0, 0, 8, 0}, WIRE_INCOMPLETE},
        {{0, 0, 0x27, 0x10, 0}, WIRE_INCOMPLETE},
        {{0, 0, 0x27, 0x11, 0}, WIRE_INVALID},
        {{0x16, 3, 1, 2, 0}, WIRE_INVALID},
        {{'G', 'E', 'T', ' ', '/'}, WIRE_INVALID},
        {{0xff, 0xff, 0xff, 0xff, 0}, WIRE_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct evbuffer *buffer = buffer_of(cases[i].bytes, 5);
        struct wire_message message;
        cr_expect_eq(wire_peek_startup(buffer, &message), cases[i].status, "case %zu", i);
        evbuffer_free(buffer);
    }
    struct evbuffer *buffer = buffer_of("\0\0\0\x08\4\xd2\x16\x2frest", 12);
    struct wire_message message;
    cr_assert_eq(wire_peek_startup(buffer, &message), WIRE_READY);
    cr_expect_eq(message.length, 4);
    wire_consume(buffer, &message);
    cr_expect_eq(evbuffer_get_length(buffer), 4);
    evbuffer_free(buffer);
}

Test(wire, a_message_is_forwarded_whole_and_nothing_behind_it)
{
    struct evbuffer *from = evbuffer_new(), *to = evbuffer_new();
    struct wire_writer writer = wire_begin(from, 'D');
    for (size_t i = 0; i < 300000; i++)
        wire_add_byte(&writer, (uint8_t)(i * 31 % 251));
    wire_end(&writer);
    wire_ready(from, 'I');
    struct wire_message message;
    cr_assert_eq(wire_peek(from, false, 0, &message), WIRE_READY);
    cr_expect_eq(message.length, 300000);
    wire_forward(from, &message, to);
    cr_expect_eq(evbuffer_get_length(from), 6);
    cr_assert_eq(wire_peek(to, false, 0, &message), WIRE_READY);
    cr_assert_eq(message.length, 300000);
    for (size_t i = 0; i < 300000; i++)
        cr_assert_eq(message.payload[i], (uint8_t)(i * 31 % 251));
    evbuffer_free(from);
    evbuffer_free(to);
}

Test(wire, a_message_too_large_to_wait_for_is_forwarded_as_it_comes)
{
    struct evbuffer *from = evbuffer_new(), *to = evbuffer_new();
    struct wire_message message;
    static const unsigned char header[] = {'d', 0, 0, 0x40, 0};
    static const char zeros[1000];
    evbuffer_add(from, header, sizeof header);
    evbuffer_add(from, zeros, sizeof zeros);
    cr_assert_eq(wire_peek(from, false, 0, &message), WIRE_INCOMPLETE);
    cr_assert_eq(message.length, 0x4000 - 4);
    size_t left = wire_forward_begin(from, &message, to);
    cr_expect_eq(left, 0x4000 + 1 - 1005);
    while (left > 0) {
        evbuffer_add(from, zeros, sizeof zeros);
        left = wire_forward_partial(from, left, to);
    }
    cr_expect_eq(evbuffer_get_length(to), 0x4001);
    cr_expect_eq(evbuffer_get_length(from), 16 * 1000 - (0x4001 - 1005));
    evbuffer_free(from);
    evbuffer_free(to);
}

Test(wire, a_reader_fails_for_good_at_the_first_field_that_does_not_fit)
{
    /* In memory of its own size: a read beyond it would be noticed. */
    unsigned char *payload = memcpy(malloc(10), "\1\2\3\4\5\6\7ab\0", 10);
    struct wire_message message = {.type = 'X', .payload = payload, .length = 10};
    struct wire_reader reader = wire_read(&message);
    cr_expect_eq(wire_read_byte(&reader), 1);
    cr_expect_eq(wire_read_int16(&reader), 0x0203);
    cr_expect_eq(wire_read_int32(&reader), 0x04050607);
    cr_expect(!wire_read_end(&reader));
    cr_expect_str_eq(wire_read_string(&reader), "ab");
    cr_expect(wire_read_end(&reader));
    cr_expect_str_eq(wire_read_string(&reader), "");
    cr_expect(reader.failed);
    cr_expect(!wire_read_end(&reader));

    message.length = 9; /* the string has lost its end */
    reader = wire_read(&message);
    wire_read_bytes(&reader, 7);
    cr_expect_str_eq(wire_read_string(&reader), "");
    cr_expect_eq(wire_read_byte(&reader), 0, "nothing is read after a failure");
    cr_expect(reader.failed);

    reader = wire_read(&message);
    cr_expect_null(wire_read_bytes(&reader, SIZE_MAX));
    cr_expect(reader.failed);
    reader = wire_read(&message);
    wire_read_bytes(&reader, 6);
    cr_expect_eq(wire_read_int32(&reader), 0);
    cr_expect(reader.failed);
    free(payload);
}

/* What a writer produced, as one block. */
static void expect_bytes(struct evbuffer *buffer, const void *bytes, size_t length)
{
    cr_assert_eq(evbuffer_get_length(buffer), length, "%zu bytes", evbuffer_get_length(buffer));
    cr_expect_arr_eq(evbuffer_pullup(buffer, -1), bytes, length);
    evbuffer_drain(buffer, length);
}

Test(wire, messages_are_written_to_the_byte)
{
    struct evbuffer *out = evbuffer_new();
    const uint32_t types[] = {23, 0};
    wire_ready(out, 'T');
    expect_bytes(out, "Z\0\0\0\5T", 6);
    wire_empty(out, '1');
    expect_bytes(out, "1\0\0\0\4", 5);
    wire_parameter_status(out, "a", "bc");
    expect_bytes(out,
                 "S\0\0\0\x09"
                 "a\0bc\0",
                 10);
    wire_backend_key(out, 1, 0x80000000);
    expect_bytes(out, "K\0\0\0\x0c\0\0\0\1\x80\0\0\0", 13);
    wire_command_complete(out, "SELECT 1");
    expect_bytes(out, "C\0\0\0\x0dSELECT 1\0", 14);
    wire_query(out, "x");
    expect_bytes(out, "Q\0\0\0\6x\0", 7);
    wire_parse(out, "n", "s", 2, types);
    expect_bytes(out, "P\0\0\0\x12n\0s\0\0\2\0\0\0\x17\0\0\0\0", 19);
    wire_name(out, 'D', 'S', "n");
    expect_bytes(out, "D\0\0\0\7Sn\0", 8);
    wire_execute(out, "", 100);
    expect_bytes(out, "E\0\0\0\x09\0\0\0\0\x64", 10);
    wire_authentication(out, WIRE_AUTH_SASL_CONTINUE, "r=", 2);
    expect_bytes(out, "R\0\0\0\x0a\0\0\0\x0br=", 11);
    struct wire_writer writer = wire_begin(out, 0);
    wire_add_int32(&writer, WIRE_TLS_REQUEST);
    wire_end(&writer);
    expect_bytes(out, "\0\0\0\x08\4\xd2\x16\x2f", 8);
    evbuffer_free(out);
}

Test(wire, a_report_holds_its_fields_and_leaves_out_empty_ones)
{
    struct evbuffer *out = evbuffer_new();
    struct wire_report report = {.severity = "ERROR",
                                 .sqlstate = "42501",
                                 .message = "no",
                                 .detail = "",
                                 .hint = "yes",
                                 .position = 120};
    struct wire_message message;
    wire_report(out, &report);
    expect_bytes(out, "E\0\0\0\x28SERROR\0VERROR\0C42501\0Mno\0Hyes\0P120\0\0", 41);
    report.severity = "NOTICE";
    wire_report(out, &report);
    cr_assert_eq(wire_peek(out, false, 0, &message), WIRE_READY);
    cr_expect_eq(message.type, 'N');
    cr_expect_str_eq(wire_report_field(&message, 'S'), "NOTICE");
    cr_expect_str_eq(wire_report_field(&message, 'C'), "42501");
    cr_expect_str_eq(wire_report_field(&message, 'H'), "yes");
    cr_expect_str_eq(wire_report_field(&message, 'P'), "120");
    cr_expect_null(wire_report_field(&message, 'D'));
    cr_expect_null(wire_report_field(&message, '\0'));
    evbuffer_free(out);
}

Test(wire, a_report_without_fields_or_end_has_no_field)
{
    struct wire_message message = {.type = 'E', .payload = (const unsigned char *)"", .length = 0};
    cr_expect_null(wire_report_field(&message, 'C'));
    message.payload = (const unsigned char *)"C42";
    message.length = 3;
    cr_expect_null(wire_report_field(&message, 'C'), "no NUL");
    message.payload = (const unsigned char *)"Sx\0C42501\0";
    message.length = 10;
    cr_expect_str_eq(wire_report_field(&message, 'C'), "42501");
    cr_expect_null(wire_report_field(&message, 'M'), "no terminator");
}

#ifndef PROXY_WIRE_H
#define PROXY_WIRE_H

/*
 * PostgreSQL's protocol 3.0 as bytes: cutting messages, reading their fields, writing them. No
 * sockets, no session. Lengths from the network are checked here and nowhere else.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;

/* A whole message, payload contiguous in memory, borrowed until the buffer changes. */
struct wire_message {
    char type; /* 0: a startup packet */
    const unsigned char *payload;
    size_t length; /* of the payload */
};

enum wire_status { WIRE_READY, WIRE_INCOMPLETE, WIRE_INVALID };

/* The next message of a client (from_client: unknown types and lengths above the type's limit are
 * WIRE_INVALID; bytes_max bounds the large types) or of a server. Nothing is consumed. On
 * WIRE_INCOMPLETE and WIRE_INVALID type and length hold what is known of the header, payload is
 * NULL; see wire_is_client_type. */
enum wire_status wire_peek(struct evbuffer *buffer, bool from_client, size_t bytes_max,
                           struct wire_message *message);
/* Whether a client may send this type at all: tells an unknown type from a bad length. */
bool wire_is_client_type(char type);
enum wire_status wire_peek_startup(struct evbuffer *buffer, struct wire_message *message);
/* Removes the peeked message. */
void wire_consume(struct evbuffer *buffer, const struct wire_message *message);
/* Moves the peeked message, header and all, to another buffer without a copy of large ones. */
void wire_forward(struct evbuffer *from, const struct wire_message *message, struct evbuffer *to);
/* For messages too large to wait for: moves what is there of a message of which only the header is
 * known (length above 0) and returns how many bytes are still to come, to be moved by
 * wire_forward_partial as they arrive, before anything else is peeked. */
size_t wire_forward_begin(struct evbuffer *from, const struct wire_message *message,
                          struct evbuffer *to);
size_t wire_forward_partial(struct evbuffer *from, size_t left, struct evbuffer *to);

/* Reading fields: a cursor that fails for good at the first field that does not fit. */
struct wire_reader {
    const unsigned char *at;
    size_t left;
    bool failed;
};
struct wire_reader wire_read(const struct wire_message *message);
uint8_t wire_read_byte(struct wire_reader *reader);
uint16_t wire_read_int16(struct wire_reader *reader);
uint32_t wire_read_int32(struct wire_reader *reader);
const char *wire_read_string(struct wire_reader *reader); /* "" when failed */
const unsigned char *wire_read_bytes(struct wire_reader *reader, size_t length);
bool wire_read_end(const struct wire_reader *reader); /* all consumed, nothing failed */

/* Writing: wire_begin remembers where the length goes, wire_end fills it in. */
struct wire_writer {
    struct evbuffer *out;
    unsigned char *data;
    size_t length, capacity;
    char type;
};
struct wire_writer wire_begin(struct evbuffer *out, char type); /* type 0: no type byte */
void wire_add_byte(struct wire_writer *writer, uint8_t value);
void wire_add_int16(struct wire_writer *writer, uint16_t value);
void wire_add_int32(struct wire_writer *writer, uint32_t value);
void wire_add_string(struct wire_writer *writer, const char *text); /* with its NUL */
void wire_add_bytes(struct wire_writer *writer, const void *bytes, size_t length);
void wire_end(struct wire_writer *writer);

/* One error or notice as it goes to a client; NULL or "" fields are left out. */
struct wire_report {
    const char *severity; /* ERROR, FATAL, NOTICE, WARNING */
    const char *sqlstate; /* five characters */
    const char *message, *detail, *hint;
    int position; /* 1-based characters; 0: none */
};
void wire_report(struct evbuffer *out, const struct wire_report *report); /* 'E' or 'N' */
/* The twin's 'E' or 'N' as it is, but its position so many characters further on. */
void wire_report_moved(struct evbuffer *out, const struct wire_message *report, size_t characters);
void wire_ready(struct evbuffer *out, char transaction_status);
void wire_parameter_status(struct evbuffer *out, const char *name, const char *value);
void wire_backend_key(struct evbuffer *out, uint32_t pid, uint32_t key);
/* 'R' with its kind and what follows. */
enum wire_auth {
    WIRE_AUTH_OK = 0,
    WIRE_AUTH_SASL = 10,
    WIRE_AUTH_SASL_CONTINUE = 11,
    WIRE_AUTH_SASL_FINAL = 12
};
void wire_authentication(struct evbuffer *out, uint32_t kind, const void *data, size_t length);
/* What stands in a packet without type. */
enum {
    WIRE_PROTOCOL_3_0 = 3 << 16,
    WIRE_CANCEL_REQUEST = 1234 << 16 | 5678,
    WIRE_TLS_REQUEST = 1234 << 16 | 5679,
    WIRE_GSS_REQUEST = 1234 << 16 | 5680,
};
void wire_command_complete(struct evbuffer *out, const char *tag);
void wire_empty(struct evbuffer *out, char type); /* a message without payload */
void wire_query(struct evbuffer *out, const char *sql);
void wire_parse(struct evbuffer *out, const char *name, const char *sql, size_t n_types,
                const uint32_t *types);
void wire_name(struct evbuffer *out, char type, char kind, const char *name); /* D and C */
void wire_execute(struct evbuffer *out, const char *portal, uint32_t rows_max);

/* Fields of an ErrorResponse by code ('S','C','M',..); NULL where absent. */
const char *wire_report_field(const struct wire_message *message, char code);

#endif

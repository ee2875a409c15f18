/* The console's answers as messages: everything is text; integers say that they are. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "parser/catalog.h"
#include "proxy/console_internal.h"

enum { INT8_BYTES = 8 };

void console_columns(struct console *console, size_t n, const struct console_column *columns)
{
    struct wire_writer writer = wire_begin(stream_output(console->stream), 'T');
    wire_add_int16(&writer, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        wire_add_string(&writer, columns[i].name);
        wire_add_int32(&writer, 0); /* of no table */
        wire_add_int16(&writer, 0);
        wire_add_int32(&writer, columns[i].is_number ? TYPE_INT8 : TYPE_TEXT);
        wire_add_int16(&writer, columns[i].is_number ? INT8_BYTES : UINT16_MAX);
        wire_add_int32(&writer, UINT32_MAX); /* no modifier */
        wire_add_int16(&writer, 0);          /* text format */
    }
    wire_end(&writer);
}

void console_row(struct console *console, size_t n, const char *const *cells)
{
    struct wire_writer writer = wire_begin(stream_output(console->stream), 'D');
    wire_add_int16(&writer, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        if (cells[i] == NULL) {
            wire_add_int32(&writer, UINT32_MAX);
            continue;
        }
        size_t length = strlen(cells[i]);
        wire_add_int32(&writer, (uint32_t)length);
        wire_add_bytes(&writer, cells[i], length);
    }
    wire_end(&writer);
    console->n_rows++;
}

void console_done(struct console *console, const char *tag)
{
    char rows[32];
    snprintf(rows, sizeof rows, "SHOW %zu", console->n_rows);
    wire_command_complete(stream_output(console->stream), tag ? tag : rows);
    wire_ready(stream_output(console->stream), 'I');
}

void console_fail(struct console *console, const char *sqlstate, const char *message,
                  const char *hint)
{
    const struct wire_report report = {
        .severity = "ERROR", .sqlstate = sqlstate, .message = message, .hint = hint};
    wire_report(stream_output(console->stream), &report);
    wire_ready(stream_output(console->stream), 'I');
}

void console_notice(struct console *console, const char *message)
{
    const struct wire_report report = {
        .severity = "NOTICE", .sqlstate = "00000", .message = message};
    wire_report(stream_output(console->stream), &report);
}

const char *console_time(time_t at, char text[32])
{
    struct tm parts;
    if (gmtime_r(&at, &parts) == NULL || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        text[0] = '\0';
    return text;
}

char *console_public_conninfo(const char *conninfo)
{
    static const char *const shown[] = {"host", "hostaddr", "port", "dbname", "user", "sslmode"};
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    char *text = strdup("");
    for (const PQconninfoOption *option = options; option && option->keyword; option++) {
        for (size_t i = 0; option->val && text && i < sizeof shown / sizeof *shown; i++) {
            char *longer = NULL;
            if (strcmp(option->keyword, shown[i]) != 0)
                continue;
            if (asprintf(&longer, "%s%s%s=%s", text, text[0] ? " " : "", shown[i], option->val) < 0)
                longer = NULL;
            free(text);
            text = longer;
        }
    }
    PQconninfoFree(options);
    return text;
}

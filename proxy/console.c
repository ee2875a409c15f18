/*
 * A console's life, its protocol and the choice of the command. Clients are libpq in pgveilctl and
 * psql; the extended protocol is refused, which some drivers need a word about.
 */
#include <assert.h>
#include <ctype.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/version.h"
#include "proxy/console_internal.h"
#include "proxy/limits.h"
#include "proxy/listener.h"
#include "proxy/log.h"

const struct console_command console_commands[] = {
    {"SHOW STATUS", "pgveil itself: since when, connections, its servers", console_show_status},
    {"SHOW DATASETS", "datasets, their policies and sessions", console_show_datasets},
    {"SHOW SESSIONS", "who is connected, and what for", console_show_sessions},
    {"SHOW ANALYSTS", "analysts of the ledger, and their sessions here", console_show_analysts},
    {"SHOW CONFIG", "the configuration in use", console_show_config},
    {"SHOW VERSION", "the version of pgveil", console_show_version},
    {"SHOW HELP", "this list", console_show_help},
    {"SYNC NAME", "read a dataset's policy and catalogue again, for new sessions", console_sync},
    {"TEST NAME", "check a dataset's protected server, role and policy", console_test},
    {"PAUSE NAME", "measure nothing more on a dataset, until RESUME or a restart", console_pause},
    {"RESUME NAME", "undo PAUSE", console_unpause},
    {"RELOAD", "read the configuration file again, as far as it can change", console_reload},
    {"KILL PID", "end a session", console_kill},
    {NULL, NULL, NULL},
};

/* --- life ------------------------------------------------------------------------------------ */

static void console_free(struct console *console)
{
    struct console **link = console->list;
    while (*link != console)
        link = &(*link)->next;
    *link = console->next;
    dataset_test_free(console->test);
    if (console->stream)
        stream_free(console->stream);
    if (console->closing)
        event_free(console->closing);
    startup_free(console->startup);
    listener_release(console->listener);
    free(console);
}

static void on_closing(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    console_free(context);
}

/* Freed in the next turn of the loop, or after the callback that is awaited. */
static void end(struct console *console, const char *sqlstate, const char *message)
{
    if (console->state == CONSOLE_CLOSING)
        return;
    console->state = CONSOLE_CLOSING;
    if (message) {
        struct wire_report report = {.severity = "FATAL", .sqlstate = sqlstate, .message = message};
        wire_report(stream_output(console->stream), &report);
    }
    stream_free_flushed(console->stream);
    console->stream = NULL;
    if (console->dataset) { /* its sync goes on alone */
        dataset_sync_forget(console->dataset, console);
        console->dataset = NULL;
        console->awaited = false;
    }
    if (!console->awaited) {
        struct timeval now = {0, 0};
        event_add(console->closing, &now);
    }
}

void console_end_all(struct console **list)
{
    for (struct console *console = *list; console; console = console->next)
        end(console, "57P01", "terminating connection due to administrator command");
}

void console_free_all(struct console **list)
{
    while (*list)
        console_free(*list);
}

void console_wait(struct console *console)
{
    assert(console->state == CONSOLE_READY);
    console->state = CONSOLE_WAITING;
    console->awaited = true;
    stream_pause(console->stream);
}

bool console_resume(struct console *console)
{
    console->awaited = false;
    console->dataset = NULL;
    if (console->state == CONSOLE_CLOSING) {
        struct timeval now = {0, 0};
        event_add(console->closing, &now);
        return false;
    }
    console->state = CONSOLE_READY;
    if (console->ended) {
        end(console, NULL, NULL);
        return false;
    }
    stream_resume(console->stream);
    return true;
}

/* --- commands -------------------------------------------------------------------------------- */

enum { WORDS_MAX = 3 };

/* Takes the next word off the text: bare, 'quoted' or "quoted" with the quote doubled inside. In
 * place. NULL: none; *bad: a quote is open. */
static char *take_word(char **text, bool *bad)
{
    char *at = *text + strspn(*text, " \t\r\n;");
    char quote = *at == '\'' || *at == '"' ? *at : '\0';
    char *word = at, *out = at;
    if (*at == '\0') {
        *text = at;
        return NULL;
    }
    if (quote == '\0') {
        at += strcspn(at, " \t\r\n;");
        *text = *at ? at + 1 : at;
        *at = '\0';
        return word;
    }
    for (at++; *at && (*at != quote || at[1] == quote); at++) {
        if (*at == quote)
            at++;
        *out++ = *at;
    }
    *bad = *at == '\0';
    *text = *at ? at + 1 : at;
    *out = '\0';
    return word;
}

/* The command that the words are; argument: what stands in the place of a NAME or PID. */
static const struct console_command *find_command(char *const words[], size_t n_words,
                                                  const char **argument)
{
    for (const struct console_command *command = console_commands; command->words; command++) {
        const char *at = command->words;
        size_t matched = 0;
        bool fits = true;
        *argument = NULL;
        for (; fits && *at; matched++) {
            size_t length = strcspn(at, " ");
            bool is_given = strcmp(at, "NAME") == 0 || strcmp(at, "PID") == 0;
            fits =
                matched < n_words && (is_given || (strlen(words[matched]) == length &&
                                                   strncasecmp(words[matched], at, length) == 0));
            if (fits && is_given)
                *argument = words[matched];
            at += length;
            at += strspn(at, " ");
        }
        if (fits && matched == n_words)
            return command;
    }
    return NULL;
}

static void run_command(struct console *console, char *text)
{
    char *words[WORDS_MAX + 1] = {NULL};
    size_t n_words = 0;
    bool bad = false;
    const char *argument = NULL;
    while (n_words <= WORDS_MAX && (words[n_words] = take_word(&text, &bad)) != NULL)
        n_words++;
    const struct console_command *command = bad ? NULL : find_command(words, n_words, &argument);
    if (n_words == 0) {
        wire_empty(stream_output(console->stream), 'I');
        wire_ready(stream_output(console->stream), 'I');
    } else if (bad) {
        console_fail(console, "42601", "a quoted name is not closed", NULL);
    } else if (command == NULL) {
        console_fail(console, "42601", "this is no command of the console",
                     "SHOW HELP lists them; one command at a time.");
    } else {
        console->n_rows = 0;
        log_debug("console: %s", command->words);
        command->run(console, argument);
    }
}

/* --- protocol -------------------------------------------------------------------------------- */

static void on_query(struct console *console, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    char *text = strdup(wire_read_string(&reader));
    assert(text != NULL);
    if (wire_read_end(&reader))
        run_command(console, text);
    else
        console_fail(console, "08P01", "invalid string in message", NULL);
    free(text);
}

static void on_message(struct console *console, const struct wire_message *message)
{
    struct wire_report report = {.severity = "ERROR",
                                 .sqlstate = "0A000",
                                 .message = "the console takes simple queries only",
                                 .hint = "With psycopg, use a cursor without parameters."};
    if (console->state == CONSOLE_IGNORE && message->type != 'S')
        return;
    switch (message->type) {
    case 'Q':
        on_query(console, message);
        break;
    case 'S':
        console->state = CONSOLE_READY;
        wire_ready(stream_output(console->stream), 'I');
        break;
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C':
        console->state = CONSOLE_IGNORE;
        wire_report(stream_output(console->stream), &report);
        break;
    case 'H':
        break;
    default:
        end(console, "08P01", "this message means nothing to the console");
        break;
    }
}

static void read_client(struct console *console)
{
    while (console->state == CONSOLE_READY || console->state == CONSOLE_IGNORE) {
        struct evbuffer *input = stream_input(console->stream);
        struct wire_message message = {0};
        enum wire_status status = wire_peek(input, true, LIMIT_CONSOLE_MESSAGE_BYTES, &message);
        if (status == WIRE_INCOMPLETE)
            return;
        if (status == WIRE_INVALID) {
            end(console, "08P01", "invalid message, or a longer one than a command can be");
            return;
        }
        if (message.type == 'X') {
            end(console, NULL, NULL);
            return;
        }
        on_message(console, &message);
        if (console->stream)
            wire_consume(input, &message);
    }
}

static void on_stream(void *context, struct stream *stream, enum stream_event event)
{
    struct console *console = context;
    (void)stream;
    switch (event) {
    case STREAM_DATA:
        read_client(console);
        break;
    case STREAM_CLOSED:
        read_client(console); /* a script's last command may come with its end of file */
        if (console->state == CONSOLE_WAITING)
            console->ended = true;
        else
            end(console, NULL, NULL);
        break;
    case STREAM_CONNECTED:
    case STREAM_DRAINED:
        break;
    }
}

static void greet(struct console *console)
{
    struct evbuffer *out = stream_output(console->stream);
    wire_parameter_status(out, "server_version", PGVEIL_VERSION " (pgveil console)");
    wire_parameter_status(out, "server_encoding", "UTF8");
    wire_parameter_status(out, "client_encoding", "UTF8");
    wire_parameter_status(out, "standard_conforming_strings", "on");
    wire_parameter_status(out, "DateStyle", "ISO, MDY");
    wire_parameter_status(out, "integer_datetimes", "on");
    wire_backend_key(out, 0, 0);
    wire_ready(out, 'I');
}

void console_start(struct server *server, struct listener *listener, struct console **list,
                   struct stream *stream, struct startup *startup)
{
    struct console *console = calloc(1, sizeof *console);
    assert(console != NULL);
    console->server = server;
    console->listener = listener;
    console->stream = stream;
    console->startup = startup;
    console->closing = evtimer_new(server->base, on_closing, console);
    assert(console->closing != NULL);
    console->list = list;
    console->next = *list;
    *list = console;
    stream_limit_input(stream, LIMIT_CONSOLE_MESSAGE_BYTES);
    stream_set_callback(stream, on_stream, console);
    greet(console);
}

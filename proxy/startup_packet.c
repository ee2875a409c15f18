#include "proxy/startup_packet.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "parser/utf8.h"
#include "proxy/limits.h"

enum {
    OLDEST_MAJOR_WITH_ERRORS = 3, /* older clients read another format of errors */
};

/* Settings that a client may bring along: what drivers and tools send, and nothing that touches
 * what another session sees. dp.* comes on top. The twin checks the values. */
static const char *const settings_allowed[] = {
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "DateStyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "IntervalStyle",
    "jit",
    "lock_timeout",
    "search_path",
    "standard_conforming_strings", /* on only */
    "statement_timeout",
    "TimeZone",
};

void startup_free(struct startup *startup)
{
    if (startup == NULL)
        return;
    for (size_t i = 0; i < startup->n_parameters; i++) {
        free(startup->parameters[i].name);
        free(startup->parameters[i].value);
    }
    free(startup->parameters);
    free(startup->user);
    free(startup->database);
    free(startup);
}

void startup_packet_clear(struct startup_packet *packet)
{
    startup_free(packet->startup);
    for (uint32_t i = 0; i < packet->n_options; i++)
        free(packet->options[i]);
    free(packet->options);
    *packet = (struct startup_packet){0};
}

/* The first refusal wins. Always false, so that callers can return it. */
static bool __attribute__((format(printf, 3, 4)))
refuse(struct startup_packet *packet, const char *sqlstate, const char *format, ...)
{
    if (packet->kind == STARTUP_REFUSED)
        return false;
    packet->kind = STARTUP_REFUSED;
    packet->sqlstate = sqlstate;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(packet->text, sizeof packet->text, format, arguments);
    va_end(arguments);
    return false;
}

static bool out_of_memory(struct startup_packet *packet)
{
    return refuse(packet, "53200", "out of memory");
}

enum { SHOWN_BYTES = 100 };

/* As much of a client's text as an error repeats, cut between characters. */
static const char *shown(const char *text, char out[SHOWN_BYTES + 1])
{
    size_t length = strnlen(text, SHOWN_BYTES + 1);
    if (length > SHOWN_BYTES) {
        length = SHOWN_BYTES;
        while (length > 0 && (text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(out, text, length);
    out[length] = '\0';
    return out;
}

/* dp.name: a setting of pgveil's own. Unknown ones are harmless: nobody reads them. */
static bool is_dp_setting(const char *name)
{
    if (strncasecmp(name, "dp.", 3) != 0 || name[3] == '\0' || strlen(name) > 63)
        return false;
    size_t letters = strspn(name + 3, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    return letters == strlen(name + 3);
}

bool startup_setting_is_allowed(const char *name)
{
    for (size_t i = 0; i < sizeof settings_allowed / sizeof *settings_allowed; i++) {
        if (strcasecmp(settings_allowed[i], name) == 0)
            return true;
    }
    return is_dp_setting(name);
}

static bool is_true(const char *value)
{
    static const char *const words[] = {"on", "true", "yes", "1", "t", "y"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(words[i], value) == 0)
            return true;
    }
    return false;
}

static bool add_setting(struct startup_packet *packet, const char *name, const char *value)
{
    struct startup *startup = packet->startup;
    char part[SHOWN_BYTES + 1];
    if (!startup_setting_is_allowed(name))
        return refuse(packet, "42704", "unrecognized configuration parameter \"%s\"",
                      shown(name, part));
    /* The parser reads literals one way only. */
    if (strcasecmp(name, "standard_conforming_strings") == 0 && !is_true(value))
        return refuse(packet, "22023", "standard_conforming_strings cannot be switched off here");
    struct startup_parameter *grown =
        realloc(startup->parameters, (startup->n_parameters + 1) * sizeof *startup->parameters);
    if (grown == NULL)
        return out_of_memory(packet);
    startup->parameters = grown;
    grown += startup->n_parameters;
    grown->name = strdup(name);
    grown->value = strdup(value);
    if (grown->name == NULL || grown->value == NULL) {
        free(grown->name);
        free(grown->value);
        return out_of_memory(packet);
    }
    startup->n_parameters++;
    return true;
}

/* The next word of an options string: words end at white space, a backslash takes the next
 * character as it is. Writes into word (as long as the text) and returns where to go on; NULL: no
 * more. */
static const char *next_word(const char *text, char *word)
{
    static const char blanks[] = " \t\n\r\v\f";
    text += strspn(text, blanks);
    if (*text == '\0')
        return NULL;
    while (*text != '\0' && strchr(blanks, *text) == NULL) {
        if (*text == '\\' && text[1] != '\0')
            text++;
        *word++ = *text++;
    }
    *word = '\0';
    return text;
}

/* "name=value", with dashes for underscores in the name; prefix: of the option it came in. */
static bool add_assignment(struct startup_packet *packet, const char *prefix, char *assignment)
{
    char part[SHOWN_BYTES + 1];
    char *value = strchr(assignment, '=');
    if (value == NULL)
        return refuse(packet, "42601", "%s%s requires a value", prefix, shown(assignment, part));
    *value++ = '\0';
    for (char *at = assignment; *at != '\0'; at++) {
        if (*at == '-')
            *at = '_';
    }
    return add_setting(packet, assignment, value);
}

/* "-c name=value", "-cname=value" and "--name=value"; a server's other switches are not a client's
 * to give. */
static bool read_options(struct startup_packet *packet, const char *text)
{
    char *word = calloc(strlen(text) + 1, 1);
    if (word == NULL)
        return out_of_memory(packet);
    char part[SHOWN_BYTES + 1];
    bool fits = true;
    while (fits && (text = next_word(text, word)) != NULL) {
        if (strcmp(word, "-c") == 0) {
            text = next_word(text, word);
            if (text == NULL) {
                fits = refuse(packet, "42601", "option requires an argument -- 'c'");
                break;
            }
            fits = add_assignment(packet, "-c ", word);
        } else if (strncmp(word, "-c", 2) == 0) {
            fits = add_assignment(packet, "-c ", word + 2);
        } else if (strncmp(word, "--", 2) == 0 && word[2] != '\0') {
            fits = add_assignment(packet, "--", word + 2);
        } else {
            fits = refuse(packet, "42601", "invalid command-line argument for server process: %s",
                          shown(word, part));
        }
    }
    free(word);
    return fits;
}

static bool keep(struct startup_packet *packet, char **place, const char *value)
{
    free(*place);
    *place = strdup(value);
    return *place != NULL || out_of_memory(packet);
}

/* A protocol option that a newer client asks for; none is known here. */
static bool add_protocol_option(struct startup_packet *packet, const char *name)
{
    char **grown = realloc(packet->options, (packet->n_options + 1) * sizeof *grown);
    if (grown == NULL)
        return out_of_memory(packet);
    packet->options = grown;
    grown[packet->n_options] = strdup(name);
    if (grown[packet->n_options] == NULL)
        return out_of_memory(packet);
    packet->n_options++;
    packet->negotiate = true;
    return true;
}

/* Logical and physical replication read everything. */
static bool check_replication(struct startup_packet *packet, const char *value)
{
    static const char *const off[] = {"off", "false", "no", "0", "f", "n"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        if (strcasecmp(off[i], value) == 0)
            return true;
    }
    return refuse(packet, "42501", "must be superuser or replication role to start walsender");
}

static bool add_pair(struct startup_packet *packet, const char *name, const char *value)
{
    if (!utf8_is_valid(name) || !utf8_is_valid(value))
        return refuse(packet, "22021", "invalid byte sequence for encoding \"UTF8\"");
    if (strcmp(name, "user") == 0)
        return keep(packet, &packet->startup->user, value);
    if (strcmp(name, "database") == 0)
        return keep(packet, &packet->startup->database, value);
    if (strcmp(name, "replication") == 0)
        return check_replication(packet, value);
    if (strcmp(name, "options") == 0)
        return true; /* read before all others, which override it */
    if (strncmp(name, "_pq_.", 5) == 0)
        return add_protocol_option(packet, name);
    return add_setting(packet, name, value);
}

/* All pairs, or only the options among them. */
static bool read_pairs(struct startup_packet *packet, struct wire_reader reader, bool options_only)
{
    bool fits = true;
    while (fits) {
        const char *name = wire_read_string(&reader);
        if (reader.failed || name[0] == '\0')
            break;
        const char *value = wire_read_string(&reader);
        if (reader.failed)
            break;
        if (!options_only)
            fits = add_pair(packet, name, value);
        else if (strcmp(name, "options") == 0)
            fits = utf8_is_valid(value)
                       ? read_options(packet, value)
                       : refuse(packet, "22021", "invalid byte sequence for encoding \"UTF8\"");
    }
    if (fits && !wire_read_end(&reader))
        return refuse(packet, "08P01",
                      "invalid startup packet layout: expected terminator as last byte");
    return fits;
}

static void read_session(struct startup_packet *packet, struct wire_reader reader, uint32_t minor)
{
    packet->negotiate = minor > 0;
    packet->startup = calloc(1, sizeof *packet->startup);
    if (packet->startup == NULL) {
        out_of_memory(packet);
        return;
    }
    packet->kind = STARTUP_SESSION;
    if (!read_pairs(packet, reader, true) || !read_pairs(packet, reader, false))
        return;
    struct startup *startup = packet->startup;
    if (startup->user == NULL || startup->user[0] == '\0')
        refuse(packet, "28000", "no PostgreSQL user name specified in startup packet");
    else if (startup->database == NULL || startup->database[0] == '\0')
        keep(packet, &startup->database, startup->user);
}

void startup_packet_read(const struct wire_message *message, bool allow_tls, bool allow_gss,
                         struct startup_packet *packet)
{
    *packet = (struct startup_packet){.kind = STARTUP_DROP};
    struct wire_reader reader = wire_read(message);
    uint32_t code = wire_read_int32(&reader);
    if (reader.failed)
        return;
    uint32_t major = code >> 16, minor = code & 0xffff;
    if (code == WIRE_CANCEL_REQUEST) {
        packet->pid = wire_read_int32(&reader);
        packet->key = wire_read_int32(&reader);
        packet->kind = wire_read_end(&reader) ? STARTUP_CANCEL : STARTUP_DROP;
    } else if (code == WIRE_TLS_REQUEST && allow_tls) {
        packet->kind = wire_read_end(&reader) ? STARTUP_TLS : STARTUP_DROP;
    } else if (code == WIRE_GSS_REQUEST && allow_gss) {
        packet->kind = wire_read_end(&reader) ? STARTUP_GSS : STARTUP_DROP;
    } else if (major == WIRE_PROTOCOL_3_0 >> 16) {
        read_session(packet, reader, minor);
    } else if (major >= OLDEST_MAJOR_WITH_ERRORS) {
        refuse(packet, "0A000", "unsupported frontend protocol %u.%u: server supports 3.0 to 3.0",
               major, minor);
    }
}

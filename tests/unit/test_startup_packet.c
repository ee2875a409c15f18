#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/startup_packet.h"

/* A payload in memory of exactly its size, so that a read beyond it is noticed. */
static struct startup_packet read_bytes(const void *bytes, size_t length, bool may_ask)
{
    unsigned char *copy = malloc(length + (length == 0));
    memcpy(copy, bytes, length);
    struct wire_message message = {.payload = copy, .length = length};
    struct startup_packet packet;
    startup_packet_read(&message, may_ask, may_ask, &packet);
    free(copy);
    return packet;
}

/* Protocol 3.0, then these pairs: a literal whose own NUL is the last terminator. */
#define SESSION(pairs) read_bytes("\0\3\0\0" pairs, sizeof("\0\3\0\0" pairs), true)

static void expect_refused(struct startup_packet packet, const char *sqlstate, const char *text)
{
    cr_assert_eq(packet.kind, STARTUP_REFUSED);
    cr_expect_str_eq(packet.sqlstate, sqlstate);
    cr_expect_str_eq(packet.text, text);
    startup_packet_clear(&packet);
}

Test(startup_packet, the_database_is_the_users_name_by_default)
{
    struct startup_packet packet = SESSION("user\0alice\0");
    cr_assert_eq(packet.kind, STARTUP_SESSION);
    cr_expect_str_eq(packet.startup->user, "alice");
    cr_expect_str_eq(packet.startup->database, "alice");
    cr_expect_eq(packet.startup->n_parameters, 0);
    cr_expect(!packet.negotiate);
    startup_packet_clear(&packet);
}

Test(startup_packet, the_last_of_two_names_counts)
{
    struct startup_packet packet =
        SESSION("user\0alice\0database\0a\0user\0bob\0database\0census\0");
    cr_assert_eq(packet.kind, STARTUP_SESSION);
    cr_expect_str_eq(packet.startup->user, "bob");
    cr_expect_str_eq(packet.startup->database, "census");
    startup_packet_clear(&packet);
}

Test(startup_packet, a_user_must_be_named)
{
    static const char text[] = "no PostgreSQL user name specified in startup packet";
    expect_refused(SESSION("database\0census\0"), "28000", text);
    expect_refused(SESSION("user\0\0database\0census\0"), "28000", text);
    expect_refused(SESSION(""), "28000", text);
}

Test(startup_packet, a_packet_ends_with_its_terminator)
{
    static const char text[] = "invalid startup packet layout: expected terminator as last byte";
    expect_refused(read_bytes("\0\3\0\0user\0alice\0", 15, true), "08P01", text);
    expect_refused(read_bytes("\0\3\0\0user\0ali", 12, true), "08P01", text);
    expect_refused(read_bytes("\0\3\0\0user\0alice\0\0x", 17, true), "08P01", text);
    expect_refused(read_bytes("\0\3\0\0", 4, true), "08P01", text);
    expect_refused(read_bytes("\0\3\0\0user", 8, true), "08P01", text);
}

Test(startup_packet, what_drivers_bring_along_passes_in_any_case)
{
    struct startup_packet packet = SESSION("user\0a\0DateStyle\0ISO\0timezone\0UTC\0"
                                           "EXTRA_FLOAT_DIGITS\0002\0client_encoding\0'utf-8'\0"
                                           "application_name\0\0dp.epsilon\0001e20\0"
                                           "standard_conforming_strings\0ON\0");
    cr_assert_eq(packet.kind, STARTUP_SESSION);
    cr_assert_eq(packet.startup->n_parameters, 7);
    cr_expect_str_eq(packet.startup->parameters[0].name, "DateStyle");
    cr_expect_str_eq(packet.startup->parameters[0].value, "ISO");
    cr_expect_str_eq(packet.startup->parameters[3].value, "'utf-8'");
    cr_expect_str_eq(packet.startup->parameters[4].value, "");
    startup_packet_clear(&packet);
}

Test(startup_packet, other_settings_are_unrecognized)
{
    static const char *const names[] = {
        "foo",
        "role",
        "session_authorization",
        "session_preload_libraries",
        "work_mem",
        "dp.",
        "dp",
        "dp.a.b",
        "dp.a b",
        "dp.\xc3\xa4",
        "is_superuser",
        "log_statement",
        "user ",
        "User",
        "search_pat",
        "search_path2",
        "dp.epsilon;",
        "local_preload_libraries",
        "row_security",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char bytes[200], text[200];
        int length = snprintf(bytes, sizeof bytes, "%c%c%c%cuser%ca%c%s%c1%c", 0, 3, 0, 0, 0, 0,
                              names[i], 0, 0);
        snprintf(text, sizeof text, "unrecognized configuration parameter \"%s\"", names[i]);
        expect_refused(read_bytes(bytes, (size_t)length + 1, true), "42704", text);
    }
}

Test(startup_packet, a_long_name_is_cut_between_characters)
{
    char bytes[400];
    memcpy(bytes, "\0\3\0\0user\0a", 11);
    for (int i = 0; i < 100; i++)
        memcpy(bytes + 11 + 2 * i, "\xc3\xa4", 2);
    memcpy(bytes + 211, "\0v\0", 4);
    struct startup_packet packet = read_bytes(bytes, 215, true);
    cr_assert_eq(packet.kind, STARTUP_REFUSED);
    const char *cut = strchr(packet.text, '"') + 1;
    cr_expect_eq(strspn(cut, "\xc3\xa4") % 2, 0);
    cr_expect_gt(strspn(cut, "\xc3\xa4"), 60);
    startup_packet_clear(&packet);
}

Test(startup_packet, strings_cannot_be_made_to_read_backslashes)
{
    expect_refused(SESSION("user\0a\0standard_conforming_strings\0off\0"), "22023",
                   "standard_conforming_strings cannot be switched off here");
    expect_refused(SESSION("user\0a\0options\0-c Standard_Conforming_Strings=0\0"), "22023",
                   "standard_conforming_strings cannot be switched off here");
}

Test(startup_packet, replication_is_refused)
{
    static const char text[] = "must be superuser or replication role to start walsender";
    expect_refused(SESSION("user\0a\0replication\0database\0"), "42501", text);
    expect_refused(SESSION("user\0a\0replication\0true\0"), "42501", text);
    expect_refused(SESSION("user\0a\0replication\0\0"), "42501", text);
    struct startup_packet packet = SESSION("user\0a\0replication\0off\0");
    cr_expect_eq(packet.kind, STARTUP_SESSION);
    startup_packet_clear(&packet);
}

Test(startup_packet, names_and_values_must_be_utf8)
{
    static const char text[] = "invalid byte sequence for encoding \"UTF8\"";
    expect_refused(SESSION("user\0a\xff\0"), "22021", text);
    expect_refused(SESSION("user\0a\xc3\0"), "22021", text);
    expect_refused(SESSION("user\0\xed\xa0\x80\0"), "22021", text);
    expect_refused(SESSION("user\0\xc0\x80\0"), "22021", text);
    expect_refused(SESSION("user\0\xf4\x90\x80\x80\0"), "22021", text);
    expect_refused(SESSION("user\0a\0\xe2\x82\0x\0"), "22021", text);
    expect_refused(SESSION("user\0a\0options\0-c dp.a=\xf0\x9f\x98\0"), "22021", text);
    struct startup_packet packet = SESSION("user\0\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa4\0");
    cr_expect_eq(packet.kind, STARTUP_SESSION);
    startup_packet_clear(&packet);
}

Test(startup_packet, options_are_read_in_all_their_forms)
{
    struct startup_packet packet =
        SESSION("user\0a\0search_path\0last\0options\0"
                "  -c search_path=a\\ b\\\\c -cgeqo=off\t--default-transaction-read-only=on "
                "-c dp.epsilon=a=b\0");
    cr_assert_eq(packet.kind, STARTUP_SESSION, "%s", packet.text);
    const struct startup *startup = packet.startup;
    cr_assert_eq(startup->n_parameters, 5);
    cr_expect_str_eq(startup->parameters[0].name, "search_path");
    cr_expect_str_eq(startup->parameters[0].value, "a b\\c");
    cr_expect_str_eq(startup->parameters[1].name, "geqo");
    cr_expect_str_eq(startup->parameters[2].name, "default_transaction_read_only");
    cr_expect_str_eq(startup->parameters[2].value, "on");
    cr_expect_str_eq(startup->parameters[3].value, "a=b");
    cr_expect_str_eq(startup->parameters[4].value, "last", "the packet's own settings come last");
    startup_packet_clear(&packet);
}

Test(startup_packet, other_switches_of_a_server_are_refused)
{
    expect_refused(SESSION("user\0a\0options\0-d 5\0"), "42601",
                   "invalid command-line argument for server process: -d");
    expect_refused(SESSION("user\0a\0options\0-c\0"), "42601",
                   "option requires an argument -- 'c'");
    expect_refused(SESSION("user\0a\0options\0-c geqo\0"), "42601", "-c geqo requires a value");
    expect_refused(SESSION("user\0a\0options\0--geqo\0"), "42601", "--geqo requires a value");
    expect_refused(SESSION("user\0a\0options\0--\0"), "42601",
                   "invalid command-line argument for server process: --");
    expect_refused(SESSION("user\0a\0options\0-c =1\0"), "42704",
                   "unrecognized configuration parameter \"\"");
    expect_refused(SESSION("user\0a\0options\0-c work_mem=1\0"), "42704",
                   "unrecognized configuration parameter \"work_mem\"");
}

Test(startup_packet, newer_protocols_are_negotiated_and_others_refused)
{
    struct startup_packet packet =
        read_bytes("\0\3\0\2user\0a\0_pq_.x\0001\0_pq_.y\0002\0", 30, true);
    cr_assert_eq(packet.kind, STARTUP_SESSION);
    cr_expect(packet.negotiate);
    cr_assert_eq(packet.n_options, 2);
    cr_expect_str_eq(packet.options[0], "_pq_.x");
    cr_expect_str_eq(packet.options[1], "_pq_.y");
    startup_packet_clear(&packet);
    expect_refused(read_bytes("\0\4\0\0", 4, true), "0A000",
                   "unsupported frontend protocol 4.0: server supports 3.0 to 3.0");
    packet = read_bytes("\0\2\0\0", 4, true);
    cr_expect_eq(packet.kind, STARTUP_DROP);
    packet = read_bytes("\0\0\0\0", 4, true);
    cr_expect_eq(packet.kind, STARTUP_DROP);
}

Test(startup_packet, requests_are_known_while_they_may_come)
{
    static const char tls[] = {4, (char)210, 22, 47}, gss[] = {4, (char)210, 22, 48};
    cr_expect_eq(read_bytes(tls, 4, true).kind, STARTUP_TLS);
    cr_expect_eq(read_bytes(gss, 4, true).kind, STARTUP_GSS);
    expect_refused(read_bytes(tls, 4, false), "0A000",
                   "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.0");
    expect_refused(read_bytes(gss, 4, false), "0A000",
                   "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.0");
}

Test(startup_packet, a_cancel_request_has_one_length)
{
    static const char cancel[] = {4, (char)210, 22, 46, 0, 0, 1, 0, (char)255, 0, 0, 1, 0};
    struct startup_packet packet = read_bytes(cancel, 12, true);
    cr_expect_eq(packet.kind, STARTUP_CANCEL);
    cr_expect_eq(packet.pid, 256);
    cr_expect_eq(packet.key, 0xff000001);
    cr_expect_eq(read_bytes(cancel, 11, true).kind, STARTUP_DROP);
    cr_expect_eq(read_bytes(cancel, 13, true).kind, STARTUP_DROP);
    cr_expect_eq(read_bytes(cancel, 4, true).kind, STARTUP_DROP);
}

#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/wire.h"
#include "tests/support/login_fixture.h"

#define PASSWORD "password='right password' "

/* One libpq connection to a fixture of its own. */
static void expect(enum config_tls mode, const char *options, const char *text)
{
    struct login_fixture *fixture = login_fixture_new(mode);
    char *error = login_fixture_connect(fixture, options);
    if (text[0] == '\0')
        cr_expect_str_eq(error, "");
    else
        cr_expect(strstr(error, text) != NULL, "expected \"%s\", got \"%s\"", text, error);
    cr_expect_eq(fixture->n_accepted, text[0] == '\0' ? 1 : 0);
    free(error);
    login_fixture_free(fixture);
}

Test(login, libpq_logs_in_without_tls)
{
    expect(CONFIG_TLS_DISABLE, "user=alice dbname=census " PASSWORD, "");
}

Test(login, libpq_logs_in_over_tls)
{
    expect(CONFIG_TLS_ALLOW, "sslmode=require user=alice dbname=census " PASSWORD, "");
}

Test(login, libpq_logs_in_with_channel_binding)
{
    expect(CONFIG_TLS_REQUIRE,
           "sslmode=require channel_binding=require user=alice dbname=census " PASSWORD, "");
}

Test(login, libpq_logs_in_over_tls_without_channel_binding)
{
    expect(CONFIG_TLS_REQUIRE,
           "sslmode=require channel_binding=disable user=alice dbname=census " PASSWORD, "");
}

Test(login, tls_1_1_is_refused)
{
    expect(CONFIG_TLS_REQUIRE,
           "sslmode=require ssl_min_protocol_version=TLSv1.1 ssl_max_protocol_version=TLSv1.1 "
           "user=alice dbname=census " PASSWORD,
           "SSL");
}

Test(login, where_tls_is_required_clear_text_is_refused_with_a_hint)
{
    expect(CONFIG_TLS_REQUIRE, "sslmode=disable user=alice dbname=census " PASSWORD,
           "FATAL:  this server accepts TLS connections only\nHINT:");
}

Test(login, where_tls_is_disabled_the_client_is_told_so)
{
    expect(CONFIG_TLS_DISABLE, "sslmode=require user=alice dbname=census " PASSWORD,
           "server does not support SSL");
}

Test(login, a_wrong_password_is_refused)
{
    expect(CONFIG_TLS_ALLOW, "user=alice dbname=census password=wrong",
           "FATAL:  password authentication failed for user \"alice\"");
}

Test(login, an_unknown_user_is_refused_in_the_same_words)
{
    expect(CONFIG_TLS_ALLOW, "user=mallory dbname=census " PASSWORD,
           "FATAL:  password authentication failed for user \"mallory\"");
}

Test(login, an_empty_password_is_refused)
{
    expect(CONFIG_TLS_DISABLE, "user=alice dbname=census password=''", "no password supplied");
}

Test(login, a_ledger_without_answer_is_said_to_be_unavailable)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    fixture->ledger_fails = true;
    char *error = login_fixture_connect(fixture, "user=alice dbname=census " PASSWORD);
    cr_expect(strstr(error, "FATAL:  the ledger is not available") != NULL, "%s", error);
    cr_expect_eq(fixture->n_ended, 1);
    free(error);
    login_fixture_free(fixture);
}

Test(login, settings_of_the_client_reach_the_session)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    char *error = login_fixture_connect(
        fixture, "user=alice application_name=report client_encoding=LATIN1 "
                 "options='-c dp.epsilon=0.5 --statement-timeout=5s' " PASSWORD);
    cr_assert_str_eq(error, "");
    const struct startup *startup = fixture->startup;
    cr_assert_eq(startup->n_parameters, 4);
    cr_expect_str_eq(startup->user, "alice");
    cr_expect_str_eq(startup->database, "alice");
    cr_expect_str_eq(startup->parameters[0].name, "dp.epsilon");
    cr_expect_str_eq(startup->parameters[0].value, "0.5");
    cr_expect_str_eq(startup->parameters[1].name, "statement_timeout");
    cr_expect_str_eq(startup->parameters[1].value, "5s");
    cr_expect_str_eq(startup->parameters[2].name, "application_name");
    cr_expect_str_eq(startup->parameters[3].name, "client_encoding");
    free(error);
    login_fixture_free(fixture);
}

Test(login, a_setting_that_is_not_allowed_ends_the_login_before_the_password)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    char *error = login_fixture_connect(
        fixture, "user=alice options='-c session_preload_libraries=x' " PASSWORD);
    cr_expect(strstr(error, "FATAL:  unrecognized configuration parameter "
                            "\"session_preload_libraries\"") != NULL,
              "%s", error);
    cr_expect_eq(fixture->n_lookups, 0);
    free(error);
    login_fixture_free(fixture);
}

static bool has_ended(struct login_fixture *fixture)
{
    return fixture->n_ended > 0;
}

static bool has_cancelled(struct login_fixture *fixture)
{
    return fixture->n_cancelled > 0;
}

static bool has_looked_up(struct login_fixture *fixture)
{
    return fixture->n_lookups > 0;
}

static const unsigned char tls_request[] = {0, 0, 0, 8, 4, 210, 22, 47};
static const unsigned char gss_request[] = {0, 0, 0, 8, 4, 210, 22, 48};

/* Sends bytes on a fresh raw connection; the reply and whether the server then closed. */
struct raw {
    unsigned char reply[2048];
    size_t length;
    bool ended;
};

static struct raw raw_talk(struct login_fixture *fixture, const void *bytes, size_t length)
{
    struct raw raw = {0};
    int fd = login_fixture_dial(fixture);
    raw.length = login_fixture_talk(fixture, fd, bytes, length, raw.reply, sizeof raw.reply - 1,
                                    sizeof raw.reply, &raw.ended);
    close(fd);
    return raw;
}

static void expect_silence(const void *bytes, size_t length)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_ALLOW);
    struct raw raw = raw_talk(fixture, bytes, length);
    cr_expect(raw.ended);
    cr_expect_eq(raw.length, 0);
    cr_expect_eq(fixture->n_ended, 1);
    cr_expect_eq(fixture->n_lookups, 0);
    login_fixture_free(fixture);
}

Test(login, what_is_not_postgresql_is_closed_without_a_word)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const unsigned char hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
    static const unsigned char long_packet[] = {0, 0, 0x4e, 0x20, 0, 3, 0, 0};
    static const unsigned char short_packet[] = {0, 0, 0, 7, 0, 3, 0};
    static const unsigned char version_2[] = {0, 0, 0, 9, 0, 2, 0, 0, 0};
    expect_silence(http, sizeof http - 1);
    expect_silence(hello, sizeof hello);
    expect_silence(long_packet, sizeof long_packet);
    expect_silence(short_packet, sizeof short_packet);
    expect_silence(version_2, sizeof version_2);
}

Test(login, clear_text_behind_a_tls_request_is_not_read)
{
    unsigned char bytes[64];
    memcpy(bytes, tls_request, 8);
    memcpy(bytes + 8, "\0\0\0\x16\0\3\0\0user\0alice\0\0", 21);
    expect_silence(bytes, 29);
    memcpy(bytes, gss_request, 8);
    expect_silence(bytes, 29);
}

Test(login, both_requests_for_encryption_may_come_in_either_order_but_once)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    const unsigned char *const orders[2][2] = {{tls_request, gss_request},
                                               {gss_request, tls_request}};
    for (int i = 0; i < 2; i++) {
        unsigned char reply[512] = {0};
        bool over;
        int fd = login_fixture_dial(fixture);
        cr_expect_eq(login_fixture_talk(fixture, fd, orders[i][0], 8, reply, 512, 1, &over), 1);
        cr_expect_eq(reply[0], 'N');
        cr_expect_eq(login_fixture_talk(fixture, fd, orders[i][1], 8, reply, 512, 1, &over), 1);
        cr_expect_eq(reply[0], 'N');
        size_t got = login_fixture_talk(fixture, fd, tls_request, 8, reply, 511, 511, &over);
        static const char text[] = "unsupported frontend protocol 1234.5679: server supports 3.0 "
                                   "to 3.0";
        cr_expect_eq(reply[0], 'E');
        cr_expect(memmem(reply, got, text, sizeof text - 1) != NULL);
        cr_expect(memmem(reply, got, "C0A000", 6) != NULL);
        cr_expect(over);
        close(fd);
    }
    login_fixture_free(fixture);
}

Test(login, a_newer_minor_version_is_negotiated_down)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    static const char packet[] = "\0\0\0\x22\0\3\x27\x0fuser\0alice\0_pq_.foo\0true\0";
    static const unsigned char expected[] = {'v', 0,   0,   0,   21,  0,   3,   0,   0,   0, 0,  0,
                                             1,   '_', 'p', 'q', '_', '.', 'f', 'o', 'o', 0, 'R'};
    unsigned char reply[512] = {0};
    bool over;
    int fd = login_fixture_dial(fixture);
    cr_assert_eq(sizeof packet, 0x22);
    size_t got =
        login_fixture_talk(fixture, fd, packet, sizeof packet, reply, 512, sizeof expected, &over);
    cr_expect_geq(got, sizeof expected);
    cr_expect_arr_eq(reply, expected, sizeof expected);
    close(fd);
    login_fixture_free(fixture);
}

Test(login, a_cancel_request_gets_silence)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_REQUIRE);
    static const unsigned char request[] = {0, 0, 0, 16, 4, 210, 22, 46,
                                            0, 0, 0, 42, 0, 0,   18, 103};
    struct raw raw = raw_talk(fixture, request, sizeof request);
    cr_expect(raw.ended);
    cr_expect_eq(raw.length, 0);
    cr_expect(login_fixture_wait(fixture, has_cancelled, 1000));
    cr_expect_eq(fixture->n_cancelled, 1);
    cr_expect_eq(fixture->n_ended, 0);
    cr_expect_eq(fixture->pid, 42);
    cr_expect_eq(fixture->key, 4711);
    login_fixture_free(fixture);
}

Test(login, a_client_that_says_nothing_is_closed_in_time)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    fixture->config.login_timeout_ms = 100;
    struct raw raw = raw_talk(fixture, tls_request, 3);
    cr_expect(raw.ended);
    cr_expect_eq(raw.length, 0);
    cr_expect_eq(fixture->n_ended, 1);
    login_fixture_free(fixture);
}

static const char alice_packet[] = "\0\0\0\x14\0\3\0\0user\0alice\0";

Test(login, a_client_that_stops_half_way_is_told_and_closed_in_time)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    fixture->config.login_timeout_ms = 100;
    struct raw raw = raw_talk(fixture, alice_packet, sizeof alice_packet);
    static const char text[] = "canceling authentication due to timeout";
    cr_expect(raw.ended);
    cr_expect(memmem(raw.reply, raw.length, text, sizeof text - 1) != NULL);
    cr_expect(memmem(raw.reply, raw.length, "C57014", 6) != NULL);
    login_fixture_free(fixture);
}

Test(login, a_client_that_leaves_during_the_lookup_ends_after_its_answer)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    fixture->config.login_timeout_ms = 200;
    fixture->hold_verifier = true;
    int fd = login_fixture_dial(fixture);
    cr_assert_eq(send(fd, alice_packet, sizeof alice_packet, 0), sizeof alice_packet);
    cr_assert(login_fixture_wait(fixture, has_looked_up, 1000));
    close(fd);
    cr_expect(!login_fixture_wait(fixture, has_ended, 500), "the owner must live until the answer");
    login_verifier(fixture->waiting, NULL, false);
    cr_expect_eq(fixture->n_ended, 1);
    login_fixture_free(fixture);
}

/* Startup as alice, then this message: what comes after AuthenticationSASL. */
static struct raw after_sasl(const void *bytes, size_t length)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    struct raw raw = {0};
    bool over;
    int fd = login_fixture_dial(fixture);
    static const char offer[] = "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0";
    size_t got = login_fixture_talk(fixture, fd, alice_packet, sizeof alice_packet, raw.reply,
                                    sizeof offer, sizeof offer, &over);
    cr_expect_eq(got, sizeof offer);
    cr_expect_arr_eq(raw.reply, offer, sizeof offer);
    raw.length = login_fixture_talk(fixture, fd, bytes, length, raw.reply, sizeof raw.reply - 1,
                                    sizeof raw.reply, &raw.ended);
    close(fd);
    cr_expect_eq(fixture->n_ended, 1);
    login_fixture_free(fixture);
    return raw;
}

static void expect_after_sasl(const void *bytes, size_t length, const char *text)
{
    struct raw raw = after_sasl(bytes, length);
    cr_expect(raw.ended);
    cr_expect(memmem(raw.reply, raw.length, text, strlen(text)) != NULL, "expected \"%s\"", text);
}

Test(login, messages_out_of_place_end_the_authentication)
{
    static const char query[] = "Q\0\0\0\x0eselect 1;";
    static const char md5[] = "p\0\0\0\x28md5c7b75523c7b75523c7b75523c7b75523\0";
    static const char unknown[] = "p\0\0\0\x10NTLM-V2\0\0\0\0\0";
    static const char truncated[] = "p\0\0\0\x16SCRAM-SHA-256\0\0\0\1\0";
    static const char plus[] = "p\0\0\0\x1dSCRAM-SHA-256-PLUS\0\0\0\0\2ab";
    expect_after_sasl(query, sizeof query, "expected SASL response, got message type 81");
    expect_after_sasl(md5, sizeof md5 - 1, "invalid message format");
    expect_after_sasl(unknown, sizeof unknown - 1,
                      "client selected an invalid SASL authentication mechanism");
    expect_after_sasl(truncated, sizeof truncated - 1, "invalid message format");
    expect_after_sasl(plus, sizeof plus - 1,
                      "client selected an invalid SASL authentication mechanism");
}

Test(login, an_authentication_message_beyond_the_limit_is_closed_without_a_word)
{
    static const char message[] = "p\0\1\0\0SCRAM-SHA-256\0";
    struct raw raw = after_sasl(message, sizeof message);
    cr_expect(raw.ended);
    cr_expect_eq(raw.length, 0);
}

Test(login, a_trusted_client_is_asked_for_nothing)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_DISABLE);
    fixture->context.trusted = true;
    char *error = login_fixture_connect(fixture, "user=nobody dbname=pgveil");
    cr_expect_str_eq(error, "");
    cr_expect_eq(fixture->n_accepted, 1);
    cr_expect_eq(fixture->n_lookups, 0, "no verifier is looked up");
    cr_expect_str_eq(fixture->startup->user, "nobody");
    free(error);
    login_fixture_free(fixture);
}

Test(login, a_trusted_client_needs_no_tls_where_others_do)
{
    struct login_fixture *fixture = login_fixture_new(CONFIG_TLS_REQUIRE);
    fixture->context.trusted = true;
    fixture->context.tls = NULL;
    char *error = login_fixture_connect(fixture, "sslmode=disable user=x dbname=pgveil");
    cr_expect_str_eq(error, "");
    free(error);
    login_fixture_free(fixture);
}

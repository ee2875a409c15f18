#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/scram.h"
#include "proxy/scram_client.h"
#include "proxy/scram_server.h"
#include "tests/support/verifier.h"

/* The exchange of RFC 7677, section 3. */
static const char rfc_salt[] = "W22ZaJ0SNY7soEsUEjb6gQ==";
static const char rfc_server_nonce[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
static const char rfc_client_first[] = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
static const char rfc_server_first[] = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                       "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
#define RFC_FINAL_BARE "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
static const char rfc_client_final[] = RFC_FINAL_BARE ",p=" RFC_PROOF;
static const char rfc_server_final[] = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

static const unsigned char binding[32] = "a hash of some certificate.....";

struct exchange {
    struct scram_server *server;
    char *answer;
    struct scram_refusal refusal;
};

/* with_verifier: the user of the RFC; else nobody. */
static struct exchange begin(bool with_verifier, bool with_binding, const char *mechanism)
{
    struct exchange exchange = {0};
    char *verifier = with_verifier ? make_verifier("pencil", rfc_salt, 4096) : NULL;
    bool is_malformed;
    exchange.server = scram_server_new("user", verifier, binding, with_binding ? 32 : 0,
                                       rfc_server_nonce, &is_malformed);
    cr_assert_not_null(exchange.server);
    cr_expect(!is_malformed);
    cr_expect(scram_server_select(exchange.server, mechanism));
    free(verifier);
    return exchange;
}

static enum scram_outcome step_bytes(struct exchange *exchange, const char *bytes, size_t length)
{
    free(exchange->answer);
    return scram_server_step(exchange->server, bytes, length, &exchange->answer,
                             &exchange->refusal);
}

static enum scram_outcome step(struct exchange *exchange, const char *text)
{
    return step_bytes(exchange, text, strlen(text));
}

static void finish(struct exchange *exchange)
{
    free(exchange->answer);
    scram_server_free(exchange->server);
}

Test(scram, the_example_of_the_rfc_is_reproduced)
{
    struct exchange exchange = begin(true, false, "SCRAM-SHA-256");
    cr_expect_eq(step(&exchange, rfc_client_first), SCRAM_CONTINUE);
    cr_expect_str_eq(exchange.answer, rfc_server_first);
    cr_expect_eq(step(&exchange, rfc_client_final), SCRAM_DONE);
    cr_expect_str_eq(exchange.answer, rfc_server_final);
    cr_expect_eq(step(&exchange, rfc_client_final), SCRAM_REFUSED, "an exchange ends once");
    finish(&exchange);
}

Test(scram, every_bit_of_the_proof_counts)
{
    unsigned char proof[32];
    size_t length;
    cr_assert(scram_base64_decode(RFC_PROOF, proof, sizeof proof, &length));
    for (int bit = 0; bit < 256; bit += 5) {
        struct exchange exchange = begin(true, false, "SCRAM-SHA-256");
        char text[64], message[200];
        proof[bit / 8] ^= (unsigned char)(1 << bit % 8);
        cr_assert(scram_base64_encode(proof, sizeof proof, text, sizeof text));
        proof[bit / 8] ^= (unsigned char)(1 << bit % 8);
        snprintf(message, sizeof message, "%s,p=%s", RFC_FINAL_BARE, text);
        cr_expect_eq(step(&exchange, rfc_client_first), SCRAM_CONTINUE);
        cr_expect_eq(step(&exchange, message), SCRAM_WRONG_PASSWORD);
        cr_expect_null(exchange.answer);
        finish(&exchange);
    }
}

/* Client and server of this program against each other. */
static enum scram_outcome log_in(const char *verifier, const char *password, bool *verified)
{
    struct scram_server *server = scram_server_new("alice", verifier, NULL, 0, NULL, NULL);
    struct scram_client *client = scram_client_new(password, NULL, NULL, 0);
    cr_assert(server != NULL && client != NULL);
    struct scram_refusal refusal;
    char *challenge, *final_answer = NULL;
    const char *first = scram_client_first(client);
    cr_expect(scram_server_select(server, "SCRAM-SHA-256"));
    cr_expect_eq(scram_server_step(server, first, strlen(first), &challenge, &refusal),
                 SCRAM_CONTINUE);
    char *proof = scram_client_final(client, challenge, strlen(challenge));
    cr_assert_not_null(proof);
    enum scram_outcome outcome =
        scram_server_step(server, proof, strlen(proof), &final_answer, &refusal);
    *verified =
        final_answer != NULL && scram_client_verify(client, final_answer, strlen(final_answer));
    free(challenge);
    free(proof);
    free(final_answer);
    scram_client_free(client);
    scram_server_free(server);
    return outcome;
}

Test(scram, client_and_server_understand_each_other)
{
    bool verified;
    char *verifier = make_verifier("secret", rfc_salt, 4096);
    cr_expect_eq(log_in(verifier, "secret", &verified), SCRAM_DONE);
    cr_expect(verified);
    cr_expect_eq(log_in(verifier, "Secret", &verified), SCRAM_WRONG_PASSWORD);
    cr_expect_eq(log_in(NULL, "secret", &verified), SCRAM_WRONG_PASSWORD);
    free(verifier);
    verifier = make_verifier("secret", "QUJD", 7);
    cr_expect_eq(log_in(verifier, "secret", &verified), SCRAM_DONE);
    free(verifier);
}

Test(scram, a_server_that_does_not_know_the_password_is_found_out)
{
    struct scram_client *client = scram_client_new("pencil", "abc", NULL, 0);
    static const char challenge[] = "r=abcdef,s=QUJD,i=10";
    static const char other_nonce[] = "r=abXdef,s=QUJD,i=10";
    static const char same_nonce[] = "r=abc,s=QUJD,i=10";
    static const char no_work[] = "r=abcdef,s=QUJD,i=0";
    static const char much_work[] = "r=abcdef,s=QUJD,i=99999999999";
    static const char no_salt[] = "r=abcdef,s=,i=10";
    cr_expect(!scram_client_verify(client, rfc_server_final, strlen(rfc_server_final)));
    cr_expect_null(scram_client_final(client, other_nonce, strlen(other_nonce)));
    cr_expect_null(scram_client_final(client, same_nonce, strlen(same_nonce)));
    cr_expect_null(scram_client_final(client, no_work, strlen(no_work)));
    cr_expect_null(scram_client_final(client, much_work, strlen(much_work)));
    cr_expect_null(scram_client_final(client, no_salt, strlen(no_salt)));
    cr_expect_null(scram_client_final(client, "", 0));
    char *proof = scram_client_final(client, challenge, strlen(challenge));
    cr_expect_not_null(proof);
    cr_expect(!scram_client_verify(client, rfc_server_final, strlen(rfc_server_final)));
    cr_expect(!scram_client_verify(client, "e=other-error", 13));
    cr_expect(!scram_client_verify(client, "", 0));
    free(proof);
    scram_client_free(client);
    cr_expect_null(scram_client_new("p\xc3\xa4ssword", NULL, NULL, 0), "not ASCII");
}

Test(scram, drivers_may_put_anything_into_the_user_name)
{
    static const char *const variants[] = {
        "n,,n=,r=abc",
        "n,,n=*,r=abc",
        "n,,n=somebody else,r=abc",
        "y,,n=,r=abc",
        "n,,n=,r=abc,x=ignored,Y=too",
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct exchange exchange = begin(true, false, "SCRAM-SHA-256");
        cr_expect_eq(step(&exchange, variants[i]), SCRAM_CONTINUE, "%s", variants[i]);
        finish(&exchange);
    }
}

Test(scram, malformed_first_messages_are_refused)
{
    static const char *const messages[] = {
        "",
        "n",
        "n,",
        "n,,",
        "n,,,",
        "n,,n",
        "n,,n=",
        "n,,n=,",
        "n,,n=,r",
        "n,,n=,r=",
        "n,,n=,r=,x=1",
        "n,,r=abc,n=",
        "n,,n=,r=a\tb",
        "n,,n=,r=abc,",
        "n,,n=,r=abc,1=2",
        "n,,n=,r=abc,x",
        "n,,m=ext,n=,r=abc",
        "n,a=admin,n=,r=abc",
        "n,x,n=,r=abc",
        "x,,n=,r=abc",
        "p=tls-unique,,n=,r=abc",
        "p=tls-server-end-point,,n=,r=abc",
        "p,,n=,r=abc",
        "p=tls-server-end-pointX,,n=,r=abc",
        " n,,n=,r=abc",
        "n,,n=,r=abc\xff",
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct exchange exchange = begin(true, false, "SCRAM-SHA-256");
        cr_expect_eq(step(&exchange, messages[i]), SCRAM_REFUSED, "%s", messages[i]);
        cr_expect_not_null(exchange.refusal.message);
        cr_expect_null(exchange.answer);
        finish(&exchange);
    }
}

Test(scram, a_nul_within_a_message_is_refused)
{
    struct exchange exchange = begin(true, false, "SCRAM-SHA-256");
    cr_expect_eq(step_bytes(&exchange, "n,,n=,r=abc\0def", 15), SCRAM_REFUSED);
    finish(&exchange);
}

Test(scram, a_nonce_beyond_the_limit_is_refused)
{
    char message[SCRAM_NONCE_TEXT_MAX + 20];
    strcpy(message, "n,,n=,r=");
    memset(message + 8, 'x', SCRAM_NONCE_TEXT_MAX + 1);
    message[8 + SCRAM_NONCE_TEXT_MAX] = '\0';
    struct exchange exchange = begin(true, false, "SCRAM-SHA-256");
    cr_expect_eq(step(&exchange, message), SCRAM_CONTINUE);
    finish(&exchange);
    memset(message + 8, 'x', SCRAM_NONCE_TEXT_MAX + 1);
    message[9 + SCRAM_NONCE_TEXT_MAX] = '\0';
    exchange = begin(true, false, "SCRAM-SHA-256");
    cr_expect_eq(step(&exchange, message), SCRAM_REFUSED);
    finish(&exchange);
}

Test(scram, malformed_last_messages_are_refused)
{
    static const char *const messages[] = {
        "",
        "c=biws",
        RFC_FINAL_BARE,
        RFC_FINAL_BARE ",",
        RFC_FINAL_BARE ",p=",
        RFC_FINAL_BARE ",p=AAAA",
        RFC_FINAL_BARE ",p=dHzb!apWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        RFC_FINAL_BARE ",p=" RFC_PROOF ",x=1",
        RFC_FINAL_BARE ",p=" RFC_PROOF ",",
        RFC_FINAL_BARE ",x,p=" RFC_PROOF,
        "c=eSws,r=abc,p=" RFC_PROOF,
        "r=abc,p=" RFC_PROOF,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k1,p=" RFC_PROOF,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" RFC_PROOF,
        "p=" RFC_PROOF,
        "c=biws,p=" RFC_PROOF,
        "c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=" RFC_PROOF,
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct exchange exchange = begin(true, false, "SCRAM-SHA-256");
        cr_expect_eq(step(&exchange, rfc_client_first), SCRAM_CONTINUE);
        cr_expect_eq(step(&exchange, messages[i]), SCRAM_REFUSED, "%s", messages[i]);
        cr_expect_null(exchange.answer);
        finish(&exchange);
    }
}

Test(scram, plus_is_offered_only_with_a_channel_binding)
{
    static const char with[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0", without[] = "SCRAM-SHA-256\0";
    size_t length;
    struct scram_server *server = scram_server_new("a", NULL, binding, 32, NULL, NULL);
    const char *list = scram_server_mechanisms(server, &length);
    cr_assert_eq(length, sizeof with);
    cr_expect_arr_eq(list, with, length);
    scram_server_free(server);
    server = scram_server_new("a", NULL, NULL, 0, NULL, NULL);
    list = scram_server_mechanisms(server, &length);
    cr_assert_eq(length, sizeof without);
    cr_expect_arr_eq(list, without, length);
    cr_expect(!scram_server_select(server, "SCRAM-SHA-256-PLUS"));
    cr_expect(!scram_server_select(server, "SCRAM-SHA-1"));
    cr_expect(!scram_server_select(server, ""));
    cr_expect(scram_server_select(server, "SCRAM-SHA-256"));
    cr_expect(!scram_server_select(server, "SCRAM-SHA-256"), "only once");
    scram_server_free(server);
}

Test(scram, a_hidden_offer_of_channel_binding_is_noticed)
{
    struct exchange exchange = begin(true, true, "SCRAM-SHA-256");
    cr_expect_eq(step(&exchange, "y,,n=,r=abc"), SCRAM_REFUSED);
    cr_expect_str_eq(exchange.refusal.sqlstate, "28000");
    cr_expect_str_eq(exchange.refusal.message, "SCRAM channel binding negotiation error");
    finish(&exchange);
    exchange = begin(true, true, "SCRAM-SHA-256");
    cr_expect_eq(step(&exchange, "n,,n=,r=abc"), SCRAM_CONTINUE, "a client without TLS of its own");
    finish(&exchange);
}

Test(scram, plus_without_binding_data_is_refused)
{
    static const char *const messages[] = {"n,,n=,r=abc", "y,,n=,r=abc", "p=tls-unique,,n=,r=abc"};
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct exchange exchange = begin(true, true, "SCRAM-SHA-256-PLUS");
        cr_expect_eq(step(&exchange, messages[i]), SCRAM_REFUSED);
        finish(&exchange);
    }
}

Test(scram, another_certificate_than_ours_is_noticed)
{
    char header[64 + 32], encoded[160], message[400];
    struct exchange exchange = begin(true, true, "SCRAM-SHA-256-PLUS");
    cr_expect_eq(step(&exchange, "p=tls-server-end-point,,n=user,r=abc"), SCRAM_CONTINUE);
    memcpy(header, "p=tls-server-end-point,,", 24);
    memcpy(header + 24, binding, 32);
    header[30] ^= 1;
    cr_assert(scram_base64_encode((unsigned char *)header, 56, encoded, sizeof encoded));
    snprintf(message, sizeof message, "c=%s,r=abc%s,p=%s", encoded, rfc_server_nonce, RFC_PROOF);
    cr_expect_eq(step(&exchange, message), SCRAM_REFUSED);
    cr_expect_str_eq(exchange.refusal.message, "SCRAM channel binding check failed");
    finish(&exchange);
    /* With ours it is only the proof that is wrong. */
    exchange = begin(true, true, "SCRAM-SHA-256-PLUS");
    cr_expect_eq(step(&exchange, "p=tls-server-end-point,,n=user,r=abc"), SCRAM_CONTINUE);
    header[30] ^= 1;
    cr_assert(scram_base64_encode((unsigned char *)header, 56, encoded, sizeof encoded));
    snprintf(message, sizeof message, "c=%s,r=abc%s,p=%s", encoded, rfc_server_nonce, RFC_PROOF);
    cr_expect_eq(step(&exchange, message), SCRAM_WRONG_PASSWORD);
    finish(&exchange);
}

/* The salt that a user is shown. */
static void shown_salt(const char *user, const char *verifier, char out[64])
{
    struct scram_server *server = scram_server_new(user, verifier, NULL, 0, NULL, NULL);
    struct scram_refusal refusal;
    char *answer;
    cr_assert(scram_server_select(server, "SCRAM-SHA-256"));
    cr_assert_eq(scram_server_step(server, "n,,n=,r=abc", 11, &answer, &refusal), SCRAM_CONTINUE);
    snprintf(out, 64, "%s", strstr(answer, ",s=") + 3);
    free(answer);
    scram_server_free(server);
}

Test(scram, an_unknown_user_looks_like_a_known_one)
{
    char first[64], again[64], other[64], real[64];
    static const unsigned char secret[32] = "a secret that outlives a restart";
    char *verifier = make_verifier("x", rfc_salt, 4096);
    scram_server_set_secret(secret);
    shown_salt("mallory", NULL, first);
    shown_salt("mallory", NULL, again);
    shown_salt("trent", NULL, other);
    shown_salt("alice", verifier, real);
    cr_expect_str_eq(first, again, "the same salt each time");
    cr_expect_str_neq(first, other, "another for another name");
    cr_expect_eq(strlen(first), strlen(real));
    cr_expect(strstr(first, ",i=4096") != NULL);
    free(verifier);
}

Test(scram, malformed_verifiers_are_told_apart)
{
    static const char *const verifiers[] = {
        "",
        "md5c7b75523",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$4096",
        "SCRAM-SHA-256$4096:",
        "SCRAM-SHA-256$4096:QUJD",
        "SCRAM-SHA-256$4096:QUJD$",
        "SCRAM-SHA-256$4096:QUJD$AAAA:AAAA",
        "SCRAM-SHA-256$0:QUJD$",
        "SCRAM-SHA-256$99999999999999999999:QUJD$",
        "SCRAM-SHA-256$4096:$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "SCRAM-SHA-256$4096:QUJD$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    };
    struct scram_verifier parsed;
    for (size_t i = 0; i < sizeof verifiers / sizeof *verifiers; i++) {
        bool is_malformed = false;
        cr_expect(!scram_verifier_parse(verifiers[i], &parsed), "%s", verifiers[i]);
        struct scram_server *server =
            scram_server_new("a", verifiers[i], NULL, 0, NULL, &is_malformed);
        cr_expect(is_malformed);
        scram_server_free(server);
    }
    cr_expect(
        scram_verifier_parse("SCRAM-SHA-256$4096:QUJD$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
                             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                             &parsed));
    cr_expect_eq(parsed.iterations, 4096);
    cr_expect_eq(parsed.salt_length, 3);
    cr_expect_arr_eq(parsed.salt, "ABC", 3);
}

Test(scram, base64_round_trips_and_is_strict)
{
    unsigned char bytes[64], back[64];
    char text[128];
    size_t length;
    for (size_t n = 0; n < sizeof bytes; n++) {
        bytes[n] = (unsigned char)(n * 97 + 13);
        cr_assert(scram_base64_encode(bytes, n, text, sizeof text));
        cr_assert(scram_base64_decode(text, back, sizeof back, &length));
        cr_assert_eq(length, n);
        cr_expect_arr_eq(back, bytes, n);
        cr_expect(n == 0 || !scram_base64_decode(text, back, n - 1, &length), "no room");
        cr_expect(!scram_base64_encode(bytes, n, text, (n + 2) / 3 * 4), "no room for the NUL");
    }
    static const char *const wrong[] = {"A",    "AA",   "AAA",  "A===",  "====",     "AA=A",
                                        "AB==", "AAB=", "AA A", "AA\n=", "AA==AAAA", "AA-_"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect(!scram_base64_decode(wrong[i], back, sizeof back, &length), "%s", wrong[i]);
}

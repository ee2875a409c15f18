/* Both sides of SCRAM: first byte which of them and how, then messages, one a line. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/scram.h"
#include "proxy/scram_client.h"
#include "proxy/scram_server.h"

/* Of "pencil", with few iterations. */
static const char verifier[] =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
static const char nonce[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
static const unsigned char binding[32] = "a hash of some certificate.....";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void serve(uint8_t how, const char *text, size_t length)
{
    bool is_known = (how & 1) != 0, has_binding = (how & 2) != 0, is_malformed;
    struct scram_server *server = scram_server_new("user", is_known ? verifier : NULL, binding,
                                                   has_binding ? 32 : 0, nonce, &is_malformed);
    assert(server != NULL && !is_malformed);
    bool plus = (how & 4) != 0;
    bool selected = scram_server_select(server, plus ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256");
    assert(selected == (!plus || has_binding));
    for (int step = 0; step < 4; step++) {
        const char *end = memchr(text, '\n', length);
        size_t here = end == NULL ? length : (size_t)(end - text);
        struct scram_refusal refusal;
        char *answer;
        enum scram_outcome outcome = scram_server_step(server, text, here, &answer, &refusal);
        assert((answer != NULL) == (outcome == SCRAM_CONTINUE || outcome == SCRAM_DONE));
        assert((refusal.message != NULL) == (outcome == SCRAM_REFUSED));
        /* In order: a first message, then at most one proof; nobody gets in unknown. */
        assert(outcome != SCRAM_CONTINUE || step == 0);
        assert(outcome != SCRAM_DONE || (step == 1 && is_known && selected));
        free(answer);
        length -= end == NULL ? length : here + 1;
        text += end == NULL ? here : here + 1;
    }
    scram_server_free(server);
}

static void connect_to(const char *text, size_t length)
{
    struct scram_client *client = scram_client_new("pencil", "rOprNGfwEbeRWgbNEkqO", NULL, 0);
    assert(client != NULL);
    const char *end = memchr(text, '\n', length);
    size_t here = end == NULL ? length : (size_t)(end - text);
    /* Many iterations only slow the search down. */
    const char *iterations = memmem(text, here, ",i=", 3);
    bool is_cheap = iterations == NULL || here - (size_t)(iterations - text) <= 3 + 4;
    if (is_cheap) {
        char *proof = scram_client_final(client, text, here);
        size_t rest = end == NULL ? 0 : length - here - 1;
        bool verified = scram_client_verify(client, end == NULL ? text : end + 1, rest);
        assert(!verified || proof != NULL);
        free(proof);
    }
    scram_client_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scram_verifier parsed;
    if (size == 0)
        return 0;
    char *text = strndup((const char *)data + 1, size - 1);
    if ((data[0] & 0x30) == 0x10)
        connect_to((const char *)data + 1, size - 1);
    else if ((data[0] & 0x30) == 0x20)
        (void)scram_verifier_parse(text, &parsed);
    else
        serve(data[0], (const char *)data + 1, size - 1);
    free(text);
    return 0;
}

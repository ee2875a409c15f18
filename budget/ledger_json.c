/* Writes JSON for the ledger. Texts are UTF-8 that the twin or the catalogue has validated. */
#include "budget/ledger_json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct json_text {
    char *data;
    size_t length, size;
};

static void reserve(struct json_text *text, size_t more)
{
    if (text->length + more + 1 > text->size) {
        text->size = 2 * (text->length + more + 1);
        text->data = realloc(text->data, text->size);
        assert(text->data != NULL);
    }
}

static void add(struct json_text *text, const char *more)
{
    size_t length = strlen(more);
    reserve(text, length);
    memcpy(text->data + text->length, more, length + 1);
    text->length += length;
}

static void add_format(struct json_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For numbers and names of ours: at most 255 bytes. */
static void add_format(struct json_text *text, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < sizeof(line));
    add(text, line);
}

static void add_string(struct json_text *text, const char *value)
{
    if (!value) {
        add(text, "null");
        return;
    }
    add(text, "\"");
    for (const char *at = value; *at; at++) {
        reserve(text, 6);
        if (*at == '"' || *at == '\\') {
            text->data[text->length++] = '\\';
        }
        if ((unsigned char)*at < 0x20) {
            text->length +=
                (size_t)sprintf(text->data + text->length, "\\u%04x", (unsigned)(unsigned char)*at);
        } else {
            text->data[text->length++] = *at;
        }
    }
    add(text, "\"");
}

/* Decimal digits of any __int128; JSON numbers have no limit of their own. */
static void add_int128(struct json_text *text, __int128 value)
{
    char digits[41];
    char *at = digits + sizeof(digits);
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    *--at = '\0';
    do {
        *--at = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--at = '-';
    }
    add(text, at);
}

static void add_charge(struct json_text *text, const struct dp_charge *charge)
{
    add_format(text, "\"mu2\":%" PRIu64 ",\"delta\":%" PRIu64, charge->mu2_pico,
               charge->delta_atto);
    if (charge->pure) {
        add_format(text, ",\"epsilon\":%" PRIu64, charge->epsilon);
    }
}

static void add_releases(struct json_text *text, const struct ledger_release *releases, size_t n)
{
    add(text, "[");
    for (size_t i = 0; i < n; i++) {
        add(text, i == 0 ? "{" : ",{");
        add_charge(text, &releases[i].charge);
        add(text, ",\"fingerprint\":");
        add_string(text, releases[i].fingerprint);
        add(text, ",\"measures\":");
        add(text, releases[i].measures);
        add(text, "}");
    }
    add(text, "]");
}

char *ledger_releases_json(const struct ledger_release *releases, size_t n)
{
    struct json_text text = {0};
    add_releases(&text, releases, n);
    return text.data;
}

char *ledger_charge_text(const struct ledger_charge *charge)
{
    struct json_text text = {0};
    add(&text, "{\"request\":");
    add_string(&text, charge->request_id);
    add(&text, ",\"analyst\":");
    add_string(&text, charge->analyst);
    add(&text, ",\"epoch\":");
    add_string(&text, charge->epoch);
    add(&text, ",\"fingerprint\":");
    add_string(&text, charge->fingerprint);
    add(&text, ",\"releases\":");
    add_releases(&text, charge->releases, charge->n_releases);
    add(&text, "}");
    return text.data;
}

char *ledger_list_json(const char *const *texts, size_t n)
{
    struct json_text text = {0};
    add(&text, "[");
    for (size_t i = 0; i < n; i++) {
        add(&text, i == 0 ? "" : ",");
        add(&text, texts[i]);
    }
    add(&text, "]");
    return text.data;
}

static void add_strings(struct json_text *text, const char *name, const char *const *strings,
                        size_t n)
{
    add_format(text, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        add(text, i == 0 ? "" : ",");
        add_string(text, strings[i]);
    }
    add(text, "]");
}

static void add_answer(struct json_text *text, const struct ledger_answer *answer)
{
    const struct dp_calibration *calibration = &answer->calibration;
    add_format(text, "{\"measure\":%d,\"identity\":", answer->measure);
    add_string(text, answer->identity);
    add_format(text, ",\"mechanism\":\"%s\",\"scale10\":%d,\"exp2\":%d,",
               calibration->mechanism == DP_LAPLACE ? "laplace" : "gaussian",
               calibration->grid.scale10, calibration->grid.exp2);
    add_format(text, "\"sensitivity\":%" PRIu64 ",\"groups\":%" PRIu64 ",\"m\":%" PRIu64 ",",
               calibration->delta_grid, calibration->groups, calibration->m);
    add_charge(text, &calibration->charge);
    if (answer->keys_of == LEDGER_KEYS_HERE) {
        add(text, ",\"keys_here\":true");
    } else if (answer->keys_of != 0) {
        add_format(text, ",\"keys_of\":%" PRIu64, answer->keys_of);
    }
    add_format(text, ",\"n_keys\":%zu", answer->n_keys);
    if (answer->keys) {
        add_strings(text, "keys", answer->keys, answer->n_groups * answer->n_keys);
    }
    if (answer->family) {
        add(text, ",\"family\":");
        add_string(text, answer->family);
        add_strings(text, "fold_keys", answer->fold_keys, answer->n_fold_keys);
    }
    if (answer->noisy) {
        add(text, ",\"noisy\":[");
        for (size_t i = 0; i < answer->n_groups; i++) {
            add(text, i == 0 ? "" : ",");
            add_int128(text, answer->noisy[i]);
        }
        add(text, "]");
    }
    add(text, "}");
}

char *ledger_answers_json(const struct ledger_answer *answers, size_t n)
{
    struct json_text text = {0};
    add(&text, "[");
    for (size_t i = 0; i < n; i++) {
        bool first = i == 0 || answers[i].release != answers[i - 1].release;
        if (first) {
            add(&text, i == 0 ? "" : "]},");
            add_format(&text, "{\"release\":%d,\"answers\":[", answers[i].release);
        } else {
            add(&text, ",");
        }
        add_answer(&text, &answers[i]);
    }
    add(&text, n == 0 ? "]" : "]}]");
    return text.data;
}

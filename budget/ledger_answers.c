/*
 * Calls about kept answers, and the reading of what comes back. As in ledger.c a result is believed
 * only where every field has the form expected.
 */
#include "budget/ledger_answers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ledger_call.h"
#include "budget/ledger_json.h"

/* Columns of type pgveil.kept in schema_answers.sql. */
enum kept_column {
    KEPT_ID,
    KEPT_RELEASE,
    KEPT_MEASURE,
    KEPT_IDENTITY,
    KEPT_SINCE,
    KEPT_MECHANISM,
    KEPT_SCALE10,
    KEPT_EXP2,
    KEPT_SENSITIVITY,
    KEPT_GROUPS,
    KEPT_M,
    KEPT_MU2,
    KEPT_DELTA,
    KEPT_EPSILON,
    KEPT_KEYS_OF,
    KEPT_N_KEYS,
    KEPT_KEYS,
    KEPT_NOISY,
    KEPT_FAMILY,
    KEPT_FOLD_KEYS,
    KEPT_COLUMNS
};

/* Everything that belongs to one struct ledger_answers, as a list. */
struct block {
    struct block *next;
    _Alignas(max_align_t) char data[];
};

static void *block_alloc(struct ledger_answers *answers, size_t size)
{
    assert(size < SIZE_MAX - sizeof(struct block));
    struct block *block = malloc(sizeof(*block) + size);
    assert(block != NULL);
    block->next = answers->memory;
    answers->memory = block;
    memset(block->data, 0, size);
    return block->data;
}

void ledger_answers_free(struct ledger_answers *answers)
{
    struct block *block = answers->memory;
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    memset(answers, 0, sizeof(*answers));
}

/* --- the calls ----------------------------------------------------------------------------------
 */

/* An array of texts that need no quoting: digests, and several with colons between. */
static char *plain_array(const char *const *texts, size_t n)
{
    size_t size = 3;
    for (size_t i = 0; i < n; i++) {
        assert(strspn(texts[i], "0123456789abcdef:") == strlen(texts[i]) && texts[i][0] != '\0');
        size += strlen(texts[i]) + 1;
    }
    char *array = malloc(size);
    assert(array != NULL);
    char *at = array;
    *at++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            *at++ = ',';
        }
        at = stpcpy(at, texts[i]);
    }
    *at++ = '}';
    *at = '\0';
    return array;
}

void ledger_kept_call(struct ledger_call *call, const char *analyst, const char *dataset,
                      const char *epoch, const char *const *questions, size_t n_questions)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.kept($1::pg_catalog.text, $2::pg_catalog.text,"
                            " $3::pg_catalog.text, $4::pg_catalog.text[], $5::pg_catalog.int8)");
    ledger_call_text(call, analyst);
    ledger_call_text(call, dataset);
    ledger_call_text(call, epoch);
    ledger_call_owned(call, plain_array(questions, n_questions));
    ledger_call_integer(call, LEDGER_KEPT_MOST);
}

void ledger_adopted_call(struct ledger_call *call, const char *request_id, const char *analyst)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.adopted($1::pg_catalog.uuid, $2::pg_catalog.text)");
    ledger_call_text(call, request_id);
    ledger_call_text(call, analyst);
}

void ledger_keep_call(struct ledger_call *call, const char *request_id, const char *analyst,
                      const char *dataset, const char *epoch, const struct ledger_release *releases,
                      size_t n_releases, const struct ledger_answer *answers, size_t n_answers)
{
    ledger_call_begin(call, "SELECT pgveil.keep($1::pg_catalog.uuid, $2::pg_catalog.text,"
                            " $3::pg_catalog.text, $4::pg_catalog.text, $5::pg_catalog.json,"
                            " $6::pg_catalog.json)");
    ledger_call_text(call, request_id);
    ledger_call_text(call, analyst);
    ledger_call_text(call, dataset);
    ledger_call_text(call, epoch);
    ledger_call_owned(call, ledger_releases_json(releases, n_releases));
    ledger_call_owned(call, ledger_answers_json(answers, n_answers));
}

enum ledger_outcome ledger_keep_result(const PGresult *result)
{
    char word[16];
    bool ok = ledger_has_rows(result, 1, 1) && PQntuples(result) == 1 &&
              ledger_read_text(result, 0, 0, word, sizeof(word)) &&
              (strcmp(word, "kept") == 0 || strcmp(word, "known") == 0);
    return ok ? LEDGER_OK : LEDGER_FAILED;
}

/* --- arrays of PostgreSQL, in their text form, of one dimension ----------------------------------
 */

/* The next element of an array literal, unquoted into out (as long as the literal); *is_null for an
 * unquoted NULL. *at stands behind '{' or ',' and is moved behind the element. */
static bool next_element(const char **at, char *out, bool *is_null)
{
    const char *from = *at;
    bool quoted = *from == '"';
    char *to = out;
    from += quoted;
    while (*from != '\0' && (quoted ? *from != '"' : *from != ',' && *from != '}')) {
        if (*from == '\\' && *++from == '\0') {
            return false;
        }
        *to++ = *from++;
    }
    *to = '\0';
    if (quoted && *from++ != '"') {
        return false;
    }
    *is_null = !quoted && strcmp(out, "NULL") == 0;
    *at = from;
    return quoted || to > out;
}

/* Calls done for each element; false where the text is no array or done says so. */
static bool each_element(const char *text, size_t length, size_t *n,
                         bool (*done)(void *context, size_t index, const char *element),
                         void *context)
{
    char *element = malloc(length + 1);
    assert(element != NULL);
    bool ok = *text == '{';
    const char *at = text + 1;
    *n = 0;
    if (ok && strcmp(text, "{}") == 0) {
        free(element);
        return true;
    }
    while (ok) {
        bool is_null = false;
        ok = next_element(&at, element, &is_null) &&
             done(context, (*n)++, is_null ? NULL : element) && (*at == ',' || *at == '}');
        if (*at == '}') {
            ok = ok && at[1] == '\0';
            break;
        }
        at++;
    }
    free(element);
    return ok;
}

/* At least as many as the elements of the array. */
static size_t commas(const char *text)
{
    size_t n = 1;
    for (; *text; text++) {
        n += *text == ',';
    }
    return n;
}

static bool read_int128(const char *text, __int128 *out)
{
    bool negative = *text == '-';
    text += negative;
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    __int128 value = 0;
    for (; *text; text++) {
        int digit = *text - '0';
        if (__builtin_mul_overflow(value, (__int128)10, &value) ||
            __builtin_add_overflow(value, (__int128)(negative ? -digit : digit), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

static bool add_noisy(void *context, size_t index, const char *element)
{
    __int128 *values = context;
    return element != NULL && read_int128(element, &values[index]);
}

struct key_reader {
    struct ledger_answers *answers;
    const char **keys;
};

static bool add_key(void *context, size_t index, const char *element)
{
    struct key_reader *reader = context;
    if (element) {
        char *copy = block_alloc(reader->answers, strlen(element) + 1);
        strcpy(copy, element);
        reader->keys[index] = copy;
    }
    return true;
}

static bool add_text(void *context, size_t index, const char *element)
{
    return element != NULL && add_key(context, index, element);
}

/* --- the rows -----------------------------------------------------------------------------------
 */

static bool read_integer(const PGresult *result, int row, int column, int *out)
{
    char text[16];
    char *end;
    if (!ledger_read_text(result, row, column, text, sizeof(text)) || text[0] == '\0') {
        return false;
    }
    *out = (int)strtol(text, &end, 10);
    return *end == '\0';
}

static const char *copy_text(struct ledger_answers *answers, const PGresult *result, int row,
                             int column)
{
    size_t size = (size_t)PQgetlength(result, row, column) + 1;
    char *copy = block_alloc(answers, size);
    return ledger_read_text(result, row, column, copy, size) ? copy : NULL;
}

static bool read_charge(const PGresult *result, int row, struct dp_charge *charge)
{
    charge->pure = !PQgetisnull(result, row, KEPT_EPSILON);
    return ledger_read_unsigned(result, row, KEPT_MU2, &charge->mu2_pico) &&
           ledger_read_unsigned(result, row, KEPT_DELTA, &charge->delta_atto) &&
           (!charge->pure || ledger_read_unsigned(result, row, KEPT_EPSILON, &charge->epsilon));
}

static bool read_calibration(const PGresult *result, int row, struct dp_calibration *out)
{
    char mechanism[16];
    if (!ledger_read_text(result, row, KEPT_MECHANISM, mechanism, sizeof(mechanism))) {
        return false;
    }
    out->mechanism = strcmp(mechanism, "laplace") == 0 ? DP_LAPLACE : DP_GAUSSIAN;
    return (out->mechanism == DP_LAPLACE || strcmp(mechanism, "gaussian") == 0) &&
           read_integer(result, row, KEPT_SCALE10, &out->grid.scale10) &&
           read_integer(result, row, KEPT_EXP2, &out->grid.exp2) &&
           ledger_read_unsigned(result, row, KEPT_SENSITIVITY, &out->delta_grid) &&
           ledger_read_unsigned(result, row, KEPT_GROUPS, &out->groups) &&
           ledger_read_unsigned(result, row, KEPT_M, &out->m) && out->m > 0 &&
           read_charge(result, row, &out->charge);
}

/* Keys and noisy values; they must fit each other. */
static bool read_groups(struct ledger_answers *answers, const PGresult *result, int row,
                        struct ledger_answer *answer)
{
    size_t n_texts = 0;
    bool decides = !PQgetisnull(result, row, KEPT_KEYS);
    bool counts = !PQgetisnull(result, row, KEPT_NOISY);
    if (decides) {
        const char *text = PQgetvalue(result, row, KEPT_KEYS);
        struct key_reader reader = {answers,
                                    block_alloc(answers, commas(text) * sizeof(const char *))};
        answer->keys = reader.keys;
        if (answer->n_keys == 0 ||
            !each_element(text, (size_t)PQgetlength(result, row, KEPT_KEYS), &n_texts, add_key,
                          &reader) ||
            n_texts % answer->n_keys != 0) {
            return false;
        }
        answer->n_groups = n_texts / answer->n_keys;
    }
    if (counts) {
        const char *text = PQgetvalue(result, row, KEPT_NOISY);
        __int128 *values = block_alloc(answers, commas(text) * sizeof(*values));
        answer->noisy = values;
        if (!each_element(text, (size_t)PQgetlength(result, row, KEPT_NOISY), &answer->n_groups,
                          add_noisy, values)) {
            return false;
        }
    }
    return (decides || counts) && (!decides || answer->n_groups * answer->n_keys == n_texts);
}

/* Family and keys: both or none. */
static bool read_fold(struct ledger_answers *answers, const PGresult *result, int row,
                      struct ledger_answer *answer)
{
    if (PQgetisnull(result, row, KEPT_FAMILY) != PQgetisnull(result, row, KEPT_FOLD_KEYS)) {
        return false;
    }
    if (PQgetisnull(result, row, KEPT_FAMILY)) {
        return true;
    }
    const char *text = PQgetvalue(result, row, KEPT_FOLD_KEYS);
    struct key_reader reader = {answers, block_alloc(answers, commas(text) * sizeof(const char *))};
    answer->family = copy_text(answers, result, row, KEPT_FAMILY);
    answer->fold_keys = reader.keys;
    return answer->family && each_element(text, (size_t)PQgetlength(result, row, KEPT_FOLD_KEYS),
                                          &answer->n_fold_keys, add_text, &reader);
}

static bool read_answer(struct ledger_answers *answers, const PGresult *result, int row)
{
    struct ledger_answer *answer = &answers->items[row];
    uint64_t n_keys = 0;
    if (!ledger_read_unsigned(result, row, KEPT_ID, &answer->id) ||
        !read_integer(result, row, KEPT_RELEASE, &answer->release) ||
        !read_integer(result, row, KEPT_MEASURE, &answer->measure) ||
        !ledger_read_unsigned(result, row, KEPT_KEYS_OF, &answer->keys_of) ||
        !ledger_read_unsigned(result, row, KEPT_N_KEYS, &n_keys) ||
        !read_calibration(result, row, &answer->calibration)) {
        return false;
    }
    answer->identity = copy_text(answers, result, row, KEPT_IDENTITY);
    answer->since = copy_text(answers, result, row, KEPT_SINCE);
    answer->n_keys = n_keys;
    return answer->identity && answer->since && read_groups(answers, result, row, answer) &&
           read_fold(answers, result, row, answer);
}

enum ledger_outcome ledger_answers_result(const PGresult *result, struct ledger_answers *answers)
{
    memset(answers, 0, sizeof(*answers));
    if (!ledger_has_rows(result, KEPT_COLUMNS, 0)) {
        return LEDGER_FAILED;
    }
    answers->n = (size_t)PQntuples(result);
    answers->items = block_alloc(answers, answers->n * sizeof(*answers->items));
    for (int row = 0; row < PQntuples(result); row++) {
        if (!read_answer(answers, result, row)) {
            ledger_answers_free(answers);
            return LEDGER_FAILED;
        }
    }
    return LEDGER_OK;
}

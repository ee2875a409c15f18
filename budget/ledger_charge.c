/*
 * The call of a batch of charges. A procedure that commits returns one row: so it packs its answers
 * into one text, and they are unpacked here into results as any other call has them.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ledger_answer.h"
#include "budget/ledger_call.h"
#include "budget/ledger_json.h"

void ledger_charges_call(struct ledger_call *call, const char *dataset, const char *const *charges,
                         size_t n)
{
    assert(n > 0 && n <= LEDGER_BATCH_MAX);
    ledger_call_begin(call, "CALL pgveil.charge($1::pg_catalog.text, $2::pg_catalog.json, NULL)");
    ledger_call_text(call, dataset);
    ledger_call_owned(call, ledger_list_json(charges, n));
}

/* One field, as pgveil.encoded_field writes it: length:text, or -, for NULL (value NULL). Moves *at
 * behind it. */
static bool take_field(char **at, const char *end, char **value, size_t *length)
{
    enum { LENGTH_MAX = 1 << 20 };
    char *from = *at;
    *value = NULL;
    *length = 0;
    if (end - from >= 2 && from[0] == '-' && from[1] == ',') {
        *at = from + 2;
        return true;
    }
    const char *digits = from;
    while (from < end && *from >= '0' && *from <= '9' && *length <= LENGTH_MAX) {
        *length = *length * 10 + (size_t)(*from++ - '0');
    }
    if (from == digits || from == end || *from++ != ':' || (size_t)(end - from) <= *length ||
        from[*length] != ',') {
        return false;
    }
    *value = from;
    *at = from + *length + 1;
    return true;
}

static PGresult *new_answer(void)
{
    static char name[] = "field";
    PGresAttDesc columns[ANSWER_COLUMNS];
    PGresult *answer = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    memset(columns, 0, sizeof(columns));
    for (size_t i = 0; i < ANSWER_COLUMNS; i++) {
        columns[i].name = name;
    }
    assert(answer && PQsetResultAttrs(answer, ANSWER_COLUMNS, columns));
    return answer;
}

/* NULL where the text is not that of an answer. */
static PGresult *take_answer(char **at, const char *end)
{
    PGresult *answer = new_answer();
    for (int i = 0; i < ANSWER_COLUMNS; i++) {
        char *value;
        size_t length;
        if (!take_field(at, end, &value, &length)) {
            PQclear(answer);
            return NULL;
        }
        int set = PQsetvalue(answer, 0, i, value, value ? (int)length : -1);
        assert(set);
    }
    return answer;
}

bool ledger_charges_split(const PGresult *result, PGresult **answers, size_t n)
{
    size_t done = 0;
    if (!ledger_has_rows(result, 1, 1) || PQntuples(result) != 1 || PQgetisnull(result, 0, 0)) {
        return false;
    }
    char *at = PQgetvalue(result, 0, 0);
    const char *end = at + PQgetlength(result, 0, 0);
    while (done < n && (answers[done] = take_answer(&at, end)) != NULL) {
        done++;
    }
    if (done == n && at == end) {
        return true;
    }
    while (done > 0) {
        PQclear(answers[--done]);
    }
    return false;
}

/* Results on standard output: aligned columns for people, JSON and CSV for programs. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "budget/ctl.h"

/* Columns that a text takes on a terminal; control characters, shown as ?, take one. */
static int text_width(const char *text)
{
    int width = 0;
    mbstate_t state = {0};
    while (*text) {
        wchar_t wide;
        size_t length = mbrtowc(&wide, text, strlen(text), &state);
        if (length == (size_t)-1 || length == (size_t)-2) {
            memset(&state, 0, sizeof(state));
            text++;
            width++;
            continue;
        }
        int columns = wcwidth(wide);
        width += columns < 0 ? 1 : columns;
        text += length;
    }
    return width;
}

static void put_text(const char *text)
{
    for (; *text; text++) {
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
    }
}

/* A JSON number with at most a fraction, so that it can stand unquoted. */
static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || (text[0] == '0' && digits > 1)) {
        return false;
    }
    text += digits;
    if (*text == '.') {
        digits = strspn(text + 1, "0123456789");
        return digits > 0 && text[1 + digits] == '\0';
    }
    return *text == '\0';
}

/* PostgreSQL's numbers of types, in pg_type.dat. */
enum { INT8_TYPE = 20, JSON_TYPE = 114 };

/* Columns whose texts are numbers; a name that looks like one stays a text. */
static bool column_is_number(const PGresult *result, int column)
{
    static const char *const numbers[] = {"seq",
                                          "schema_version",
                                          "entries",
                                          "epsilon",
                                          "delta",
                                          "spent",
                                          "remaining",
                                          "spent_pico",
                                          "cap_pico",
                                          "mu2_pico",
                                          "zcdp_pico",
                                          "spent_delta",
                                          "cap_delta",
                                          "charges",
                                          "unresolved",
                                          "n_analysts",
                                          "n_datasets",
                                          "error_95",
                                          "price",
                                          "share",
                                          "queries_left",
                                          "in_force",
                                          "first_value",
                                          "n_private_tables",
                                          "n_public_tables",
                                          "ledger_schema",
                                          "draw",
                                          "entry",
                                          "n_answers",
                                          "bytes",
                                          "n_groups"};
    /* The console says it by the type. */
    if (PQftype(result, column) == INT8_TYPE) {
        return true;
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(PQfname(result, column), numbers[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A JSON array of names as a text, with a comma between two. To be freed; NULL: not one. */
static char *list_in_words(const char *json)
{
    json_t *list = json_loads(json, 0, NULL);
    size_t size = strlen(json) + 2 * json_array_size(list) + 1;
    char *text = json_is_array(list) ? calloc(1, size) : NULL;
    size_t length = 0;
    for (size_t i = 0; text && i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        length +=
            (size_t)snprintf(text + length, size - length, "%s%s", i ? ", " : "", name ? name : "");
    }
    json_decref(list);
    return text;
}

/* For people and spreadsheets: a copy without JSON, to be cleared. NULL without memory. */
static PGresult *in_words(const PGresult *result)
{
    PGresult *copy = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    bool ok = copy;
    for (int column = 0; ok && column < PQnfields(copy); column++) {
        for (int row = 0; ok && row < PQntuples(copy) && PQftype(copy, column) == JSON_TYPE;
             row++) {
            char *text = list_in_words(PQgetvalue(copy, row, column));
            ok = text && PQsetvalue(copy, row, column, text, (int)strlen(text));
            free(text);
        }
    }
    if (!ok) {
        ctl_error("out of memory");
        PQclear(copy);
        copy = NULL;
    }
    return copy;
}

static bool print_table(const PGresult *result)
{
    int n_columns = PQnfields(result);
    int *widths = calloc((size_t)n_columns + 1, sizeof(*widths));
    bool *numbers = calloc((size_t)n_columns + 1, sizeof(*numbers));
    bool ok = widths && numbers;
    for (int column = 0; ok && column < n_columns; column++) {
        widths[column] = text_width(PQfname(result, column));
        numbers[column] = column_is_number(result, column);
        for (int row = 0; row < PQntuples(result); row++) {
            int width = text_width(PQgetvalue(result, row, column));
            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    for (int row = -1; ok && row < PQntuples(result); row++) {
        for (int column = 0; column < n_columns; column++) {
            const char *text = row < 0 ? PQfname(result, column) : PQgetvalue(result, row, column);
            int padding = widths[column] - text_width(text);
            bool last = column == n_columns - 1;
            printf("%s%*s", column ? "  " : "", numbers[column] ? padding : 0, "");
            put_text(text);
            printf("%*s", numbers[column] || last ? 0 : padding, "");
        }
        putchar('\n');
    }
    if (!ok) {
        ctl_error("out of memory");
    }
    free(widths);
    free(numbers);
    return ok;
}

static bool print_record(const PGresult *result)
{
    int widest = 0;
    for (int column = 0; column < PQnfields(result); column++) {
        int width = text_width(PQfname(result, column));
        widest = width > widest ? width : widest;
    }
    for (int row = 0; row < PQntuples(result); row++) {
        for (int column = 0; column < PQnfields(result); column++) {
            printf("%-*s  ", widest, PQfname(result, column));
            put_text(PQgetvalue(result, row, column));
            putchar('\n');
        }
    }
    return true;
}

static bool put_json_text(const char *text)
{
    json_t *value = json_string(text);
    char *escaped = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    if (escaped) {
        fputs(escaped, stdout);
    } else {
        ctl_error("a text is not UTF-8, or memory is short");
    }
    free(escaped);
    json_decref(value);
    return escaped != NULL;
}

static bool put_json_row(const PGresult *result, int row)
{
    putchar('{');
    for (int column = 0; column < PQnfields(result); column++) {
        const char *text = PQgetvalue(result, row, column);
        fputs(column ? ", " : "", stdout);
        if (!put_json_text(PQfname(result, column))) {
            return false;
        }
        fputs(": ", stdout);
        if (PQftype(result, column) == JSON_TYPE) {
            fputs(text, stdout);
        } else if (column_is_number(result, column) && (text[0] == '\0' || is_number(text))) {
            fputs(text[0] ? text : "null", stdout);
        } else if (!put_json_text(text)) {
            return false;
        }
    }
    putchar('}');
    return true;
}

static bool print_json(const PGresult *result, bool one)
{
    bool ok = true;
    fputs(one ? "" : "[", stdout);
    for (int row = 0; ok && row < PQntuples(result); row++) {
        fputs(row ? ",\n " : "", stdout);
        ok = put_json_row(result, row);
    }
    fputs(one ? "\n" : "]\n", stdout);
    return ok;
}

static void put_csv_text(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') {
            putchar('"');
        }
        putchar(*text);
    }
    putchar('"');
}

static void print_csv(const PGresult *result, bool header)
{
    for (int row = header ? -1 : 0; row < PQntuples(result); row++) {
        for (int column = 0; column < PQnfields(result); column++) {
            fputs(column ? "," : "", stdout);
            put_csv_text(row < 0 ? PQfname(result, column) : PQgetvalue(result, row, column));
        }
        fputs("\r\n", stdout);
    }
}

static bool written(bool ok)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        ctl_error("standard output cannot be written");
        return false;
    }
    return ok;
}

bool ctl_print_lines(const struct ctl *ctl, const PGresult *result, bool header)
{
    bool ok = true;
    if (ctl->format == CTL_CSV) {
        print_csv(result, header);
        return written(true);
    }
    for (int row = 0; ok && row < PQntuples(result); row++) {
        ok = put_json_row(result, row);
        putchar('\n');
    }
    return written(ok);
}

bool ctl_print_result(const struct ctl *ctl, const PGresult *result, bool one)
{
    PGresult *words = NULL;
    bool ok;
    if (ctl->format == CTL_JSON) {
        return written(print_json(result, one));
    }
    words = in_words(result);
    ok = words;
    if (ok && ctl->format == CTL_CSV) {
        print_csv(words, true);
    } else if (ok) {
        ok = one ? print_record(words) : print_table(words);
    }
    PQclear(words);
    return written(ok);
}

PGresult *ctl_new_result(int n_columns, const char *const columns[])
{
    enum { COLUMNS_MAX = 20, NAME_MAX_BYTES = 96 };
    PGresAttDesc attributes[COLUMNS_MAX];
    char names[COLUMNS_MAX][NAME_MAX_BYTES];
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    if (!result || n_columns > COLUMNS_MAX) {
        PQclear(result);
        return NULL;
    }
    memset(attributes, 0, sizeof(attributes));
    for (int i = 0; i < n_columns; i++) {
        snprintf(names[i], NAME_MAX_BYTES, "%s", columns[i]);
        attributes[i].name = names[i];
    }
    if (!PQsetResultAttrs(result, n_columns, attributes)) {
        PQclear(result);
        return NULL;
    }
    return result;
}

bool ctl_set_value(PGresult *result, int row, int column, const char *value)
{
    char *copy = strdup(value);
    bool ok = copy && PQsetvalue(result, row, column, copy, (int)strlen(copy));
    free(copy);
    return ok;
}

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

static bool column_is_number(const PGresult *result, int column)
{
    bool any = false;
    for (int row = 0; row < PQntuples(result); row++) {
        const char *text = PQgetvalue(result, row, column);
        if (text[0] && !is_number(text)) {
            return false;
        }
        any = any || text[0];
    }
    return any;
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

static bool print_json(const PGresult *result, bool one)
{
    if (!one) {
        fputs("[", stdout);
    }
    for (int row = 0; row < PQntuples(result); row++) {
        fputs(row ? ",\n {" : "{", stdout);
        for (int column = 0; column < PQnfields(result); column++) {
            const char *text = PQgetvalue(result, row, column);
            fputs(column ? ", " : "", stdout);
            if (!put_json_text(PQfname(result, column))) {
                return false;
            }
            fputs(": ", stdout);
            if (is_number(text) && column_is_number(result, column)) {
                fputs(text, stdout);
            } else if (!put_json_text(text)) {
                return false;
            }
        }
        fputs("}", stdout);
    }
    fputs(one ? "\n" : "]\n", stdout);
    return true;
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

static bool print_csv(const PGresult *result)
{
    for (int row = -1; row < PQntuples(result); row++) {
        for (int column = 0; column < PQnfields(result); column++) {
            fputs(column ? "," : "", stdout);
            put_csv_text(row < 0 ? PQfname(result, column) : PQgetvalue(result, row, column));
        }
        fputs("\r\n", stdout);
    }
    return true;
}

bool ctl_print_result(const struct ctl *ctl, const PGresult *result, bool one)
{
    bool ok;
    switch (ctl->format) {
    case CTL_JSON:
        ok = print_json(result, one);
        break;
    case CTL_CSV:
        ok = print_csv(result);
        break;
    case CTL_TABLE:
    default:
        ok = one ? print_record(result) : print_table(result);
        break;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        ctl_error("standard output cannot be written");
        return false;
    }
    return ok;
}

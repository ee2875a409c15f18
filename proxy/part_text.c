/*
 * Statements end at semicolons, and of all the encodings that PostgreSQL's clients have none uses a
 * semicolon's byte inside a character, or has another character that becomes one. So the texts have
 * the same semicolons, and the blanks behind them are the same bytes.
 */
#include "proxy/part_text.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t count_semicolons(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += text[i] == ';';
    return count;
}

/* Where the text goes on behind so many semicolons. */
static size_t behind_semicolons(const char *text, size_t count)
{
    const char *at = text;
    for (; count > 0; count--) {
        at = strchr(at, ';');
        assert(at != NULL);
        at++;
    }
    return (size_t)(at - text);
}

/* The place in raw of the one at offset in sql: SIZE_MAX where the two differ between the semicolon
 * before it and there. */
static size_t place_in_raw(const char *sql, const char *raw, size_t offset)
{
    size_t before = count_semicolons(sql, offset);
    size_t from = behind_semicolons(sql, before);
    size_t from_raw = behind_semicolons(raw, before);
    bool same = strncmp(sql + from, raw + from_raw, offset - from) == 0;
    return same ? from_raw + (offset - from) : SIZE_MAX;
}

/* The place in raw of the statement's end: a semicolon, or the end of the text. */
static size_t end_in_raw(const char *sql, const char *raw, size_t offset)
{
    if (sql[offset] == '\0')
        return strlen(raw);
    if (sql[offset] != ';')
        return SIZE_MAX;
    return behind_semicolons(raw, count_semicolons(sql, offset + 1)) - 1;
}

/* One blank for each character; lines stay. */
static size_t write_blanks(char *out, const char *sql, size_t length)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)sql[i] & 0xC0) != 0x80)
            out[written++] = sql[i] == '\n' ? '\n' : ' ';
    return written;
}

char *part_text(const char *sql, const char *raw, size_t location, size_t length)
{
    if (count_semicolons(sql, strlen(sql)) != count_semicolons(raw, strlen(raw)))
        return NULL;
    size_t start = place_in_raw(sql, raw, location);
    size_t end = end_in_raw(sql, raw, location + length);
    if (start == SIZE_MAX || end == SIZE_MAX || start > end || end > strlen(raw))
        return NULL;
    char *text = malloc(location + (end - start) + 1);
    assert(text != NULL);
    size_t blanks = write_blanks(text, sql, location);
    memcpy(text + blanks, raw + start, end - start);
    text[blanks + (end - start)] = '\0';
    return text;
}

/*
 * Statements end at semicolons, and of all the encodings that PostgreSQL's clients have none uses a
 * semicolon's byte inside a character, or has another character that becomes one. So the texts have
 * the same semicolons, and the blanks behind them are the same bytes.
 */
#include "proxy/part_text.h"

#include <assert.h>
#include <string.h>

static size_t count_semicolons(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == ';';
    return count;
}

bool part_finder_init(struct part_finder *finder, const char *sql, const char *raw)
{
    *finder = (struct part_finder){.sql = sql, .raw = raw};
    return count_semicolons(sql) == count_semicolons(raw);
}

/* Behind the last semicolon before the place in sql. */
static void go_to(struct part_finder *finder, size_t place)
{
    const char *semicolon;
    while ((semicolon = memchr(finder->sql + finder->at, ';', place - finder->at)) != NULL) {
        const char *same = strchr(finder->raw + finder->at_raw, ';');
        assert(same != NULL);
        finder->at = (size_t)(semicolon - finder->sql) + 1;
        finder->at_raw = (size_t)(same - finder->raw) + 1;
    }
}

static size_t count_characters(struct part_finder *finder, size_t place)
{
    for (; finder->counted < place; finder->counted++)
        finder->characters += ((unsigned char)finder->sql[finder->counted] & 0xC0) != 0x80;
    return finder->characters;
}

bool part_find(struct part_finder *finder, size_t location, size_t length, struct part *part)
{
    size_t end = location + length, end_raw;
    assert(location >= finder->at && location >= finder->counted);
    go_to(finder, location);
    size_t blanks = location - finder->at;
    if (strncmp(finder->sql + finder->at, finder->raw + finder->at_raw, blanks) != 0)
        return false;
    part->location = finder->at_raw + blanks;
    part->before = count_characters(finder, location);
    if (finder->sql[end] == ';') {
        go_to(finder, end + 1);
        end_raw = finder->at_raw - 1;
    } else if (finder->sql[end] == '\0') {
        end_raw = part->location + strlen(finder->raw + part->location);
    } else {
        return false;
    }
    part->length = end_raw - part->location;
    return end_raw > part->location;
}

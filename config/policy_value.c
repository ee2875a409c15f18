#include "config/policy_value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { IDENTIFIER_BYTES_MAX = 63, MICROSECONDS = 1000000, YEAR_MAX = 9999, AUTOMATIC_PLACES = 7 };
#define AUTOMATIC_UNIT_MAX 1000000000000000

static bool is_identifier_start(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_identifier_part(unsigned char c)
{
    return is_identifier_start(c) || (c >= '0' && c <= '9') || c == '$';
}

/* Length in the text of a quoted identifier, both quotes included; 0 where it does not end. */
static size_t read_quoted(const char *text, char *out, size_t *length)
{
    size_t at = 1;
    while (text[at] != '\0' && *length <= IDENTIFIER_BYTES_MAX) {
        if (text[at] == '"' && text[at + 1] != '"')
            return at + 1;
        at += text[at] == '"' ? 2 : 1;
        out[(*length)++] = text[at - 1];
    }
    return 0;
}

char *policy_read_identifier(const char **text)
{
    char name[IDENTIFIER_BYTES_MAX + 2];
    size_t length = 0, used = 0;
    if (**text == '"') {
        used = read_quoted(*text, name, &length);
    } else if (is_identifier_start((unsigned char)**text)) {
        while (is_identifier_part((unsigned char)(*text)[used]) && length <= IDENTIFIER_BYTES_MAX) {
            char c = (*text)[used++];
            name[length++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
    }
    if (used == 0 || length == 0 || length > IDENTIFIER_BYTES_MAX)
        return NULL;
    *text += used;
    return strndup(name, length);
}

bool policy_parse_column_name(const struct json_place *place, const char *text, char **name)
{
    const char *at = text;
    *name = policy_read_identifier(&at);
    if (*name && *at == '\0')
        return true;
    free(*name);
    *name = NULL;
    return json_fail(place,
                     "\"%.80s\" is no column's name; accepted: an identifier of at most 63 "
                     "bytes with PostgreSQL's quoting: age, \"Home Town\"",
                     text);
}

bool policy_parse_table_name(const struct json_place *place, const char *text, char **schema,
                             char **name)
{
    const char *at = text;
    *name = NULL;
    *schema = policy_read_identifier(&at);
    if (*schema && *at == '.') {
        at++;
        *name = policy_read_identifier(&at);
    }
    if (*name && *at == '\0')
        return true;
    free(*schema);
    free(*name);
    *schema = *name = NULL;
    return json_fail(place,
                     "\"%.80s\" is no table's name; accepted: schema.table with "
                     "PostgreSQL's quoting: public.visits, \"My Schema\".\"a.b\"",
                     text);
}

/* Days from 2000-01-01 in the Gregorian calendar. */
static long long days_from_date(int year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    long long past = year - 1;
    long long days = 365 * past + past / 4 - past / 100 + past / 400 + before[month - 1] + day - 1;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days + (leap && month > 2) - 730119; /* 730119 days lie before 2000-01-01 */
}

static bool read_digits(const char **at, int count, int *out)
{
    *out = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool skip(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool read_date(const char **at, long long *days)
{
    static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!read_digits(at, 4, &year) || !skip(at, '-') || !read_digits(at, 2, &month) ||
        !skip(at, '-') || !read_digits(at, 2, &day))
        return false;
    if (year < 1 || year > YEAR_MAX || month < 1 || month > 12 || day < 1 ||
        day > lengths[month - 1])
        return false;
    if (month == 2 && day == 29 && ((year % 4 != 0 || year % 100 == 0) && year % 400 != 0))
        return false;
    *days = days_from_date(year, month, day);
    return true;
}

/* HH:MM, HH:MM:SS or HH:MM:SS.ffffff, then the end or Z. */
static bool read_time(const char *at, long long *microseconds)
{
    int hour, minute, second = 0, fraction = 0;
    if (!read_digits(&at, 2, &hour) || !skip(&at, ':') || !read_digits(&at, 2, &minute))
        return false;
    if (skip(&at, ':') && !read_digits(&at, 2, &second))
        return false;
    if (skip(&at, '.')) {
        int unit = MICROSECONDS, digit;
        do {
            unit /= 10;
            if (unit == 0 || !read_digits(&at, 1, &digit))
                return false;
            fraction += digit * unit;
        } while (isdigit((unsigned char)*at));
    }
    (void)skip(&at, 'Z');
    if (*at != '\0' || hour > 23 || minute > 59 || second > 59)
        return false;
    *microseconds = ((hour * 60LL + minute) * 60 + second) * MICROSECONDS + fraction;
    return true;
}

static bool read_moment(const char *text, enum policy_bound_kind *kind, struct dp_decimal *out)
{
    long long days, microseconds;
    const char *at = text;
    if (!read_date(&at, &days))
        return false;
    if (*at == '\0') {
        *kind = POLICY_BOUND_DATE;
        *out = dp_decimal_from_int(days);
        return true;
    }
    if (!skip(&at, 'T') && !skip(&at, ' '))
        return false;
    if (!read_time(at, &microseconds))
        return false;
    *kind = POLICY_BOUND_TIMESTAMP;
    *out = dp_decimal_from_int(days * 86400 * MICROSECONDS + microseconds);
    return true;
}

static bool read_bound(const struct json_place *place, enum policy_bound_kind *kind,
                       struct dp_decimal *out)
{
    *kind = POLICY_BOUND_NUMBER;
    if (json_decimal(place->value, out))
        return true;
    if (json_is_string(place->value) && read_moment(json_string_value(place->value), kind, out))
        return true;
    const char *is =
        json_is_string(place->value) ? json_string_value(place->value) : json_kind(place->value);
    return json_fail(place,
                     "is %.80s; accepted: a finite number of at most 38 digits, a date as "
                     "\"2020-01-31\", a timestamp as \"2020-01-31 12:00:00\"",
                     is);
}

bool policy_read_bounds(const struct json_place *place, struct policy_bounds *bounds)
{
    enum policy_bound_kind high_kind;
    if (!json_is_array(place->value) || json_array_size(place->value) != 2)
        return json_fail(place, "is %s; accepted: [low, high], or \"auto\"",
                         json_is_array(place->value) ? "an array of another length"
                                                     : json_kind(place->value));
    struct json_place low = json_element(place, 0), high = json_element(place, 1);
    if (!read_bound(&low, &bounds->kind, &bounds->low) ||
        !read_bound(&high, &high_kind, &bounds->high))
        return false;
    if (bounds->kind != high_kind)
        return json_fail(place, "mixes kinds; accepted: two numbers, two dates or two timestamps");
    if (dp_decimal_compare(&bounds->low, &bounds->high) >= 0)
        return json_fail(place, "is %s; accepted: [low, high] with low below high",
                         dp_decimal_compare(&bounds->low, &bounds->high) == 0 ? "empty: one value"
                                                                              : "inverted");
    return true;
}

bool policy_wants_automatic(const struct json_place *place)
{
    return json_is_string(place->value) || json_is_object(place->value);
}

static bool read_unit(const struct json_place *place, struct policy_automatic *automatic)
{
    const struct dp_decimal least = {1, AUTOMATIC_PLACES}, most = {AUTOMATIC_UNIT_MAX, 0};
    automatic->has_unit = json_decimal(place->value, &automatic->unit) &&
                          dp_decimal_compare(&automatic->unit, &least) >= 0 &&
                          dp_decimal_compare(&automatic->unit, &most) <= 0;
    return automatic->has_unit ||
           json_fail(place, "is not a size; accepted: a number from 0.0000001 to 1000000000000000, "
                            "the smallest that matters, as 1 or \"0.01\"");
}

static bool read_range(const struct json_place *place, struct policy_automatic *automatic)
{
    struct policy_bounds range;
    if (!policy_read_bounds(place, &range))
        return false;
    if (range.kind != POLICY_BOUND_NUMBER)
        return json_fail(place, "is not of numbers; accepted: [low, high] of numbers");
    automatic->has_range = true;
    automatic->low = range.low;
    automatic->high = range.high;
    return true;
}

bool policy_read_automatic(const struct json_place *place, struct policy_automatic *automatic)
{
    static const char *const accepted[] = {"auto", "unit", "within", NULL};
    if (json_is_string(place->value) && strcmp(json_string_value(place->value), "auto") == 0)
        return true;
    if (!json_is_object(place->value))
        return json_fail(place, "is \"%.80s\"; accepted: [low, high], or \"auto\"",
                         json_string_value(place->value));
    struct json_place chosen = json_get(place, "auto"), unit = json_get(place, "unit");
    struct json_place within = json_get(place, "within");
    if (!json_only_keys(place, accepted))
        return false;
    if (!chosen.value || !json_is_true(chosen.value))
        return json_fail(&chosen, "is %s; accepted: true",
                         chosen.value ? json_kind(chosen.value) : "missing");
    return (!unit.value || read_unit(&unit, automatic)) &&
           (!within.value || read_range(&within, automatic));
}

/* NULL without an error recorded: the SQL NULL. */
static char *domain_text(const struct json_place *place)
{
    char number[64];
    char *text = NULL;
    if (json_is_string(place->value))
        text = strdup(json_string_value(place->value));
    else if (json_is_boolean(place->value))
        text = strdup(json_is_true(place->value) ? "true" : "false");
    else if (json_number_text(place->value, number))
        text = strdup(number);
    else if (json_is_null(place->value))
        return NULL;
    else
        json_fail(place, "is %s; accepted: a string, a number, true, false, null",
                  json_kind(place->value));
    if (!text)
        json_fail(place, "out of memory");
    return text;
}

/* Orders texts with NULL first, for finding repetitions. */
static int compare_texts(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    if (!*left || !*right)
        return (*left != NULL) - (*right != NULL);
    return strcmp(*left, *right);
}

static bool check_distinct(const struct json_place *place, const struct policy_column *column)
{
    const char **sorted = calloc(column->n_domain, sizeof *sorted);
    if (!sorted)
        return json_fail(place, "out of memory");
    for (size_t i = 0; i < column->n_domain; i++)
        sorted[i] = column->domain[i];
    qsort(sorted, column->n_domain, sizeof *sorted, compare_texts);
    bool distinct = true;
    for (size_t i = 1; i < column->n_domain && distinct; i++) {
        distinct = compare_texts(&sorted[i - 1], &sorted[i]) != 0;
        if (!distinct)
            json_fail(place, "holds %.80s twice; accepted: distinct values",
                      sorted[i] ? sorted[i] : "null");
    }
    free(sorted);
    return distinct;
}

bool policy_read_domain(const struct json_place *place, struct policy_column *column)
{
    size_t count = json_array_size(place->value);
    if (count == 0)
        return json_fail(place, "is %s; accepted: an array of at least one value",
                         json_is_array(place->value) ? "empty" : json_kind(place->value));
    column->domain = calloc(count, sizeof *column->domain);
    if (!column->domain)
        return json_fail(place, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct json_place entry = json_element(place, i);
        column->n_domain = i + 1;
        column->domain[i] = domain_text(&entry);
        if (place->error->text[0] != '\0')
            return false;
    }
    return check_distinct(place, column);
}

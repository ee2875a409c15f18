#include "parser/ascii_sql.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "parser/utf8.h"

/* A quoted token: [at, end) is what stands between the quotes. */
struct quoted {
    const char *at, *end;
    char quote;
    bool escapes; /* E'' */
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Does the text before a quote end with the prefix E of a literal? */
static bool has_escape_prefix(const char *sql, const char *quote)
{
    size_t before = (size_t)(quote - sql);
    return *quote == '\'' && before > 0 && (quote[-1] == 'E' || quote[-1] == 'e') &&
           (before == 1 || !is_word(quote[-2]));
}

/* False where the token has no end. */
static bool find_end(struct quoted *token)
{
    const char *at = token->at;
    for (; *at != '\0'; at++) {
        if (token->escapes && *at == '\\' && at[1] != '\0')
            at++;
        else if (*at == token->quote && at[1] == token->quote)
            at++;
        else if (*at == token->quote)
            break;
    }
    token->end = at;
    return *at != '\0';
}

static bool needs_escapes(const struct quoted *token)
{
    for (const char *at = token->at; at < token->end; at++)
        if ((unsigned char)*at >= 0x80)
            return true;
    return false;
}

static void write_code(struct text *out, char quote, uint32_t code)
{
    if (quote == '"')
        text_printf(out, code > 0xFFFF ? "\\+%06" PRIx32 : "\\%04" PRIx32, code);
    else
        text_printf(out, code > 0xFFFF ? "\\U%08" PRIx32 : "\\u%04" PRIx32, code);
}

/* The token's inner text; false where it is not UTF-8. */
static bool write_inner(struct text *out, const struct quoted *token)
{
    for (const char *at = token->at; at < token->end;) {
        bool backslash = *at == '\\';
        bool escaping = backslash && token->escapes;
        if (escaping && (unsigned char)at[1] >= 0x80) { /* \x is x */
            at++;
            continue;
        }
        if (backslash && !token->escapes)
            text_add(out, "\\");
        size_t plain = escaping ? 2 : (unsigned char)*at < 0x80 ? 1 : 0;
        if (plain > 0) {
            text_append(out, at, plain);
            at += plain;
            continue;
        }
        uint32_t code = utf8_next(&at);
        if (code == UTF8_INVALID)
            return false;
        write_code(out, token->quote, code);
    }
    return true;
}

/* One quoted token from its opening quote on; moves *at behind it. */
static bool write_quoted(struct text *out, const char *sql, const char **at)
{
    struct quoted token = {.at = *at + 1, .quote = **at, .escapes = has_escape_prefix(sql, *at)};
    if (!find_end(&token))
        return false;
    bool prefixed = *at > sql && !token.escapes && (is_word((*at)[-1]) || (*at)[-1] == '&');
    if (!needs_escapes(&token)) {
        text_append(out, *at, (size_t)(token.end + 1 - *at));
    } else if (prefixed) {
        return false;
    } else {
        text_add(out, token.quote == '"' ? " U&\"" : token.escapes ? "'" : " E'");
        if (!write_inner(out, &token))
            return false;
        text_append(out, &token.quote, 1);
    }
    *at = token.end + 1;
    return true;
}

static bool begins_unknown(const char *sql, const char *at)
{
    bool dollar = *at == '$' && !isdigit((unsigned char)at[1]) && (at == sql || !is_word(at[-1]));
    return (unsigned char)*at >= 0x80 || dollar || strncmp(at, "--", 2) == 0 ||
           strncmp(at, "/*", 2) == 0;
}

const char *ascii_sql(struct arena *arena, const char *sql)
{
    if (utf8_is_ascii(sql))
        return sql;
    struct text out = text_new(arena);
    for (const char *at = sql; *at != '\0';) {
        if (begins_unknown(sql, at))
            return NULL;
        if (*at != '\'' && *at != '"')
            text_append(&out, at++, 1);
        else if (!write_quoted(&out, sql, &at))
            return NULL;
    }
    return out.data;
}

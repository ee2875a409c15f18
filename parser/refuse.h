#ifndef PARSER_REFUSE_H
#define PARSER_REFUSE_H

/* Fills in a refusal: the first one wins. */
#include <stdbool.h>

#include "parser/refusal.h"

/* What a refusal says besides its SQLSTATE; NULL texts are left empty, long ones are cut. */
struct refusal_text {
    const char *message, *detail, *hint;
};

/*
 * location: byte offset in source, negative for none. Always returns false, so that a caller can
 * end with it.
 */
bool refuse(struct refusal *refusal, const char *source, int location, const char *sqlstate,
            const struct refusal_text *text);

/* The position that PostgreSQL would report: characters of UTF-8, from 1; 0 for none. */
int refuse_position(const char *source, int location);

#endif

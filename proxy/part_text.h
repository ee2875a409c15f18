#ifndef PROXY_PART_TEXT_H
#define PROXY_PART_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* One statement of a text as the client wrote it: where it stands there. */
struct part {
    size_t location, length; /* bytes of the client's */
    size_t before;           /* characters before it */
};

/* Finds the statements of a text one after the other, in time linear in its length. */
struct part_finder {
    const char *sql, *raw;      /* borrowed: in UTF-8, and the same in the client's encoding */
    size_t at, at_raw;          /* the beginning, or behind a semicolon that both have */
    size_t counted, characters; /* how many characters the first bytes of sql are */
};

/* False where the two do not have the same semicolons. */
bool part_finder_init(struct part_finder *finder, const char *sql, const char *raw);
/* The statement at location (bytes of sql, the parser's), behind those that were found before.
 * False where it cannot be told where it stands in raw. */
bool part_find(struct part_finder *finder, size_t location, size_t length, struct part *part);

#endif

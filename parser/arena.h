#ifndef PARSER_ARENA_H
#define PARSER_ARENA_H

/* Memory of one statement: allocated piece by piece, freed at once. Allocation never returns NULL:
 * out of memory the program ends; above the arena's limit too, unless arena_guard names a way out
 * (limits on the statement's length and tokens keep honest statements far below it). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena);
/* From here on, whoever asks for more than `bytes` further bytes is taken to the escape by longjmp
 * with 1; what was allocated stays. NULL: back to the general limit. */
void arena_guard(struct arena *arena, size_t bytes, jmp_buf *escape);
void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any type */
/* A place for memory of malloc, to be freed with the arena. Asked for before the memory is, so that
 * none is lost where arena_guard's escape is taken; arena_take counts its size. */
struct arena_place;
struct arena_place *arena_place(struct arena *arena);
void arena_take(struct arena *arena, struct arena_place *place, void *memory, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A growing string in an arena: for writing SQL. */
struct text {
    struct arena *arena;
    char *data; /* always NUL-terminated once something was added */
    size_t length, capacity;
};

struct text text_new(struct arena *arena);
void text_add(struct text *text, const char *piece);
void text_append(struct text *text, const char *piece, size_t length);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_identifier(struct text *text, const char *name); /* always quoted */
void text_literal(struct text *text, const char *value); /* '...' or E'...', safe in any setting */

#endif

#include "parser/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One statement never honestly needs this much: text and tokens are limited before. */
enum { ARENA_BYTES_MAX = 512 << 20, BLOCK_BYTES = 16 << 10 };

struct block {
    struct block *next;
    size_t size, used; /* bytes after the header */
    alignas(max_align_t) unsigned char bytes[];
};

struct arena_place {
    struct arena_place *next;
    void *memory; /* NULL: not taken */
};

struct arena {
    struct block *blocks; /* the newest first; only it is filled further */
    struct arena_place *places;
    size_t total, limit;
    jmp_buf *escape; /* NULL: the program ends at the limit */
};

static void fail(const char *why)
{
    fprintf(stderr, "pgveil: statement memory: %s\n", why);
    abort();
}

static void fail_limit(struct arena *arena)
{
    if (arena->escape != NULL)
        longjmp(*arena->escape, 1);
    fail("above the limit of one statement");
}

void arena_guard(struct arena *arena, size_t bytes, jmp_buf *escape)
{
    arena->escape = escape;
    arena->limit = escape != NULL && bytes < ARENA_BYTES_MAX - arena->total ? arena->total + bytes
                                                                            : ARENA_BYTES_MAX;
}

struct arena *arena_new(void)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        fail("out of memory");
    arena->limit = ARENA_BYTES_MAX;
    return arena;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    for (struct arena_place *place = arena->places; place; place = place->next)
        free(place->memory);
    for (struct block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(arena);
}

static struct block *block_new(struct arena *arena, size_t size)
{
    if (size > arena->limit - arena->total)
        fail_limit(arena);
    struct block *block = calloc(1, sizeof *block + size);
    if (!block)
        fail("out of memory");
    arena->total += size;
    block->size = size;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t unit = alignof(max_align_t);

    if (size > ARENA_BYTES_MAX)
        fail_limit(arena);
    size = (size + unit - 1) / unit * unit;
    struct block *head = arena->blocks;
    if (head && size <= head->size - head->used) {
        void *piece = head->bytes + head->used;
        head->used += size;
        return piece;
    }
    if (head && size >= BLOCK_BYTES / 4) {
        /* A big piece gets a block of its own behind the head, whose rest stays in use. */
        struct block *big = block_new(arena, size);
        big->used = size;
        big->next = head->next;
        head->next = big;
        return big->bytes;
    }
    struct block *block = block_new(arena, size > BLOCK_BYTES ? size : BLOCK_BYTES);
    block->used = size;
    block->next = head;
    arena->blocks = block;
    return block->bytes;
}

struct arena_place *arena_place(struct arena *arena)
{
    struct arena_place *place = arena_alloc(arena, sizeof *place);
    place->next = arena->places;
    arena->places = place;
    return place;
}

void arena_take(struct arena *arena, struct arena_place *place, void *memory, size_t size)
{
    assert(place->memory == NULL);
    place->memory = memory;
    if (size > arena->limit - arena->total)
        fail_limit(arena);
    arena->total += size;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    length = strnlen(text, length);
    if (length >= ARENA_BYTES_MAX)
        fail_limit(arena);
    char *copy = arena_alloc(arena, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, SIZE_MAX);
}

static char *format(struct arena *arena, const char *pattern, va_list arguments, size_t *length)
    __attribute__((format(printf, 2, 0), nonnull));

static char *format(struct arena *arena, const char *pattern, va_list arguments, size_t *length)
{
    va_list again;

    va_copy(again, arguments);
    char probe[1];
    int needed = vsnprintf(probe, sizeof probe, pattern, arguments);
    if (needed < 0)
        fail("cannot format a text");
    char *text = arena_alloc(arena, (size_t)needed + 1);
    int written = vsnprintf(text, (size_t)needed + 1, pattern, again);
    va_end(again);
    assert(written == needed);
    *length = (size_t)written;
    return text;
}

char *arena_printf(struct arena *arena, const char *pattern, ...)
{
    va_list arguments;
    size_t length;

    va_start(arguments, pattern);
    char *text = format(arena, pattern, arguments, &length);
    va_end(arguments);
    return text;
}

struct text text_new(struct arena *arena)
{
    return (struct text){.arena = arena};
}

void text_append(struct text *text, const char *piece, size_t length)
{
    if (length >= ARENA_BYTES_MAX - text->length)
        fail_limit(text->arena);
    size_t needed = text->length + length + 1;
    if (needed > text->capacity) {
        size_t capacity = text->capacity ? text->capacity : 64;
        while (capacity < needed)
            capacity *= 2;
        char *data = arena_alloc(text->arena, capacity);
        if (text->length)
            memcpy(data, text->data, text->length);
        text->data = data;
        text->capacity = capacity;
    }
    memcpy(text->data + text->length, piece, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void text_add(struct text *text, const char *piece)
{
    text_append(text, piece, strlen(piece));
}

void text_printf(struct text *text, const char *pattern, ...)
{
    char small[256];
    va_list arguments;

    va_start(arguments, pattern);
    int needed = vsnprintf(small, sizeof small, pattern, arguments);
    va_end(arguments);
    if (needed >= 0 && (size_t)needed < sizeof small) {
        text_append(text, small, (size_t)needed);
        return;
    }
    size_t length;
    va_start(arguments, pattern);
    const char *piece = format(text->arena, pattern, arguments, &length);
    va_end(arguments);
    text_append(text, piece, length);
}

static void text_doubled(struct text *text, const char *value, const char *doubled)
{
    for (const char *rest = value; *rest;) {
        size_t plain = strcspn(rest, doubled);
        text_append(text, rest, plain);
        rest += plain;
        if (*rest) {
            text_append(text, rest, 1);
            text_append(text, rest, 1);
            rest++;
        }
    }
}

void text_identifier(struct text *text, const char *name)
{
    text_append(text, "\"", 1);
    text_doubled(text, name, "\"");
    text_append(text, "\"", 1);
}

void text_literal(struct text *text, const char *value)
{
    /* E'' means the same whether standard_conforming_strings is on or off. */
    bool escapes = strchr(value, '\\') != NULL;
    text_add(text, escapes ? " E'" : "'");
    text_doubled(text, value, escapes ? "'\\" : "'");
    text_append(text, "'", 1);
}

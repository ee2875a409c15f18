#include <criterion/criterion.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "parser/arena.h"

Test(arena, pieces_are_zeroed_aligned_and_do_not_overlap)
{
    struct arena *arena = arena_new();
    unsigned char *pieces[300];

    for (size_t i = 0; i < 300; i++) {
        size_t size = i * 37 % 9000 + 1;
        pieces[i] = arena_alloc(arena, size);
        cr_assert_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++)
            cr_assert_eq(pieces[i][j], 0);
        memset(pieces[i], (int)(i % 255 + 1), size);
    }
    for (size_t i = 0; i < 300; i++)
        for (size_t j = 0; j < i * 37 % 9000 + 1; j++)
            cr_assert_eq(pieces[i][j], i % 255 + 1);
    arena_free(arena);
}

Test(arena, freeing_nothing_is_allowed)
{
    arena_free(NULL);
    arena_free(arena_new());
}

Test(arena, copies_end_at_the_length_or_at_the_nul)
{
    struct arena *arena = arena_new();
    cr_assert_str_eq(arena_strdup(arena, "visits"), "visits");
    cr_assert_str_eq(arena_strndup(arena, "visits", 3), "vis");
    cr_assert_str_eq(arena_strndup(arena, "vi", 30), "vi");
    cr_assert_str_eq(arena_printf(arena, "$%d::%s", 7, "int4"), "$7::int4");
    arena_free(arena);
}

Test(arena, a_text_grows_through_every_size)
{
    struct arena *arena = arena_new();
    struct text text = text_new(arena);

    for (int i = 0; i < 5000; i++)
        text_printf(&text, "%d,", i % 10);
    cr_assert_eq(text.length, 10000);
    cr_assert_eq(strlen(text.data), 10000);
    for (size_t i = 0; i < 5000; i++)
        cr_assert(text.data[2 * i] == (char)('0' + i % 10) && text.data[2 * i + 1] == ',');
    arena_free(arena);
}

Test(arena, a_long_piece_is_formatted_whole)
{
    struct arena *arena = arena_new();
    struct text text = text_new(arena);
    char long_piece[1001];

    memset(long_piece, 'x', 1000);
    long_piece[1000] = '\0';
    text_printf(&text, "<%s>", long_piece);
    cr_assert_eq(text.length, 1002);
    cr_assert_eq(text.data[1001], '>');
    arena_free(arena);
}

Test(arena, identifiers_are_always_quoted)
{
    struct arena *arena = arena_new();
    struct text text = text_new(arena);
    text_identifier(&text, "a\"b");
    text_identifier(&text, "select");
    cr_assert_str_eq(text.data, "\"a\"\"b\"\"select\"");
    arena_free(arena);
}

Test(arena, literals_are_safe_with_and_without_standard_conforming_strings)
{
    struct arena *arena = arena_new();
    struct text text = text_new(arena);
    text_literal(&text, "it's");
    text_literal(&text, "");
    text_literal(&text, "a\\'; --");
    cr_assert_str_eq(text.data, "'it''s''' E'a\\\\''; --'");
    arena_free(arena);
}

Test(arena, more_than_the_limit_of_a_statement_ends_the_program, .signal = SIGABRT)
{
    struct arena *arena = arena_new();
    for (int i = 0; i < 1000; i++)
        arena_alloc(arena, 100 << 20);
    arena_free(arena);
}

Test(arena, a_guarded_arena_jumps_at_its_limit_and_goes_on_afterwards)
{
    struct arena *arena = arena_new();
    volatile int jumps = 0;
    jmp_buf escape;
    arena_alloc(arena, 100000);
    if (setjmp(escape) != 0)
        jumps++;
    if (jumps == 0) {
        arena_guard(arena, 1 << 20, &escape);
        for (;;)
            arena_alloc(arena, 1000);
    }
    cr_assert_eq(jumps, 1);
    arena_guard(arena, 0, NULL);
    cr_assert_not_null(arena_alloc(arena, 4 << 20));
    arena_free(arena);
}

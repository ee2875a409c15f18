#ifndef PARSER_AST_H
#define PARSER_AST_H

/*
 * The only door to libpg_query: text -> tree, tree -> text. Its parser, protobuf-c and whoever
 * walks a tree recurse on the C stack, so that limits come before the tree is built, and everything
 * runs on a thread whose stack is large enough for what the limits let pass.
 */
#include <pg_query/pg_query.pb-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "parser/arena.h"
#include "parser/parser.h"

/* Runs work(context) on the thread with a stack of 64 MB and waits for it; not from within such
 * work. False where the thread could not be had. */
bool ast_run(void (*work)(void *context), void *context);

enum ast_result { AST_PARSED, AST_UNPARSABLE, AST_TOO_LARGE };

/*
 * Checks the limits and parses. AST_PARSED: *bytes (in the arena) is the packed tree, for
 * ast_unpack. AST_TOO_LARGE: *limit names the limit, in words.
 */
struct ast_bytes {
    size_t length;
    const unsigned char *data;
};
enum ast_result ast_parse(struct arena *arena, const char *text, const struct parser_limits *limits,
                          struct ast_bytes *bytes, const char **limit);

/* A tree of its own, in the arena, free to be changed. NULL where the bytes are no tree. */
PgQuery__ParseResult *ast_unpack(struct arena *arena, const struct ast_bytes *bytes);

/* Text of pgveil's own, without limits. NULL where it does not parse. */
PgQuery__ParseResult *ast_parse_own(struct arena *arena, const char *text);

/* SQL of the tree, in the arena, checked to parse to the same tree. NULL where it does not. */
const char *ast_deparse(struct arena *arena, const PgQuery__ParseResult *tree);

#endif

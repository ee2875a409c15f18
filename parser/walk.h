#ifndef PARSER_WALK_H
#define PARSER_WALK_H

/*
 * Walking libpg_query's trees by their descriptors: no kind of node and no field can be forgotten,
 * whatever version of the library is linked. The callers recurse; all of it runs on the large stack
 * of parser/ast.h, and the depth of a tree is limited before it is built.
 */
#include <pg_query/pg_query.pb-c.h>
#include <stdbool.h>

#include "parser/arena.h"

typedef bool walk_child(void *context, const ProtobufCFieldDescriptor *field,
                        ProtobufCMessage **child);

/* Calls for every message directly below, in the order of the fields; stops and returns false as
 * soon as a call does. *child may be replaced by a message of the same type. */
bool walk_children(ProtobufCMessage *message, walk_child *call, void *context);

/* Same structure and values; locations and lengths in the text do not count. */
bool walk_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

/* Name of the first field that is set and not in the NULL-terminated list; NULL: none. */
const char *walk_unexpected_field(const ProtobufCMessage *message, const char *const *expected);

ProtobufCMessage *walk_copy(struct arena *arena, const ProtobufCMessage *message);

#endif

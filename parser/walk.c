/* Generic walking, comparing and copying of protobuf trees. Every field is read through its
 * descriptor: offset, type, label and, for members of a oneof, the case that is set. */
#include "parser/walk.h"

#include <string.h>

static const char *member(const ProtobufCMessage *message, unsigned offset)
{
    return (const char *)message + offset;
}

static size_t repeated_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    size_t count;
    memcpy(&count, member(message, field->quantifier_offset), sizeof count);
    return count;
}

static bool oneof_unset(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
        return false;
    uint32_t set;
    memcpy(&set, member(message, field->quantifier_offset), sizeof set);
    return set != field->id;
}

/* The fields to look at. A Node is one union of hundreds: only its set member. */
static void field_range(const ProtobufCMessage *message, unsigned *first, unsigned *end)
{
    *first = 0;
    *end = message->descriptor->n_fields;
    if (message->descriptor != &pg_query__node__descriptor)
        return;
    const ProtobufCFieldDescriptor *set = protobuf_c_message_descriptor_get_field(
        message->descriptor, (unsigned)((const PgQuery__Node *)message)->node_case);
    *first = set == NULL ? 0 : (unsigned)(set - message->descriptor->fields);
    *end = set == NULL ? 0 : *first + 1;
}

static size_t scalar_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
    default:
        return sizeof(uint32_t);
    }
}

bool walk_children(ProtobufCMessage *message, walk_child *call, void *context)
{
    unsigned first, end;
    field_range(message, &first, &end);
    for (unsigned i = first; i < end; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->type != PROTOBUF_C_TYPE_MESSAGE || oneof_unset(message, field))
            continue;
        void *place = (char *)message + field->offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            ProtobufCMessage **items;
            memcpy(&items, place, sizeof items);
            for (size_t n = 0; n < repeated_count(message, field); n++)
                if (!call(context, field, &items[n]))
                    return false;
            continue;
        }
        ProtobufCMessage *child;
        memcpy(&child, place, sizeof child);
        if (child == NULL)
            continue;
        if (!call(context, field, &child))
            return false;
        memcpy(place, &child, sizeof child);
    }
    return true;
}

/* Where a node stood in the text says nothing about what it means. */
static bool is_position(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_INT32 &&
           (strcmp(field->name, "location") == 0 || strcmp(field->name, "stmt_location") == 0 ||
            strcmp(field->name, "stmt_len") == 0);
}

static bool equal_strings(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool equal_members(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *left, *right;
        memcpy(&left, a, sizeof left);
        memcpy(&right, b, sizeof right);
        return equal_strings(left, right);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *left, *right;
        memcpy(&left, a, sizeof left);
        memcpy(&right, b, sizeof right);
        return walk_equal(left, right);
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData left, right;
        memcpy(&left, a, sizeof left);
        memcpy(&right, b, sizeof right);
        return left.len == right.len &&
               (left.len == 0 || memcmp(left.data, right.data, left.len) == 0);
    }
    return memcmp(a, b, scalar_size(field)) == 0;
}

bool walk_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->descriptor != b->descriptor)
        return false;
    unsigned first, end, other_first, other_end;
    field_range(a, &first, &end);
    field_range(b, &other_first, &other_end);
    if (first != other_first || end != other_end)
        return false;
    for (unsigned i = first; i < end; i++) {
        const ProtobufCFieldDescriptor *field = &a->descriptor->fields[i];
        if (is_position(field))
            continue;
        if (oneof_unset(a, field) != oneof_unset(b, field))
            return false;
        if (oneof_unset(a, field))
            continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            if (!equal_members(field, member(a, field->offset), member(b, field->offset)))
                return false;
            continue;
        }
        size_t count = repeated_count(a, field);
        if (count != repeated_count(b, field))
            return false;
        const char *left, *right;
        memcpy(&left, member(a, field->offset), sizeof left);
        memcpy(&right, member(b, field->offset), sizeof right);
        for (size_t n = 0; n < count; n++)
            if (!equal_members(field, left + n * scalar_size(field),
                               right + n * scalar_size(field)))
                return false;
    }
    return true;
}

static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return repeated_count(message, field) > 0;
    if (oneof_unset(message, field))
        return false;
    const char *place = member(message, field->offset);
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text;
        memcpy(&text, place, sizeof text);
        return text != NULL && text[0] != '\0';
    }
    for (size_t i = 0; i < scalar_size(field); i++)
        if (place[i] != 0)
            return true;
    return false;
}

const char *walk_unexpected_field(const ProtobufCMessage *message, const char *const *expected)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        bool known = is_position(field);
        for (size_t n = 0; !known && expected[n] != NULL; n++)
            known = strcmp(expected[n], field->name) == 0;
        if (!known && is_set(message, field))
            return field->name;
    }
    return NULL;
}

static void copy_member(struct arena *arena, const ProtobufCFieldDescriptor *field, char *place)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text;
        memcpy(&text, place, sizeof text);
        const char *copy = arena_strdup(arena, text == NULL ? "" : text);
        memcpy(place, &copy, sizeof copy);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *child;
        memcpy(&child, place, sizeof child);
        if (child == NULL)
            return;
        ProtobufCMessage *copy = walk_copy(arena, child);
        memcpy(place, &copy, sizeof copy);
    }
}

ProtobufCMessage *walk_copy(struct arena *arena, const ProtobufCMessage *message)
{
    ProtobufCMessage *copy = arena_alloc(arena, message->descriptor->sizeof_message);
    memcpy(copy, message, message->descriptor->sizeof_message);
    unsigned first, end;
    field_range(message, &first, &end);
    for (unsigned i = first; i < end; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (oneof_unset(message, field))
            continue;
        char *place = (char *)copy + field->offset;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            copy_member(arena, field, place);
            continue;
        }
        size_t count = repeated_count(message, field), size = scalar_size(field);
        if (count == 0)
            continue;
        const char *items;
        memcpy(&items, place, sizeof items);
        char *copies = arena_alloc(arena, count * size);
        memcpy(copies, items, count * size);
        for (size_t n = 0; n < count; n++)
            copy_member(arena, field, copies + n * size);
        memcpy(place, &copies, sizeof copies);
    }
    return copy;
}

/*
 * The queue of expected replies, a growing ring. Memory is bounded by the session, which stops
 * reading its client while much is owed.
 */
#include "proxy/replies.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST = 16 };

void replies_init(struct replies *replies)
{
    memset(replies, 0, sizeof *replies);
}

void replies_clear(struct replies *replies)
{
    while (replies->count > 0)
        replies_pop(replies);
    free(replies->ring);
    replies_init(replies);
}

static void grow(struct replies *replies)
{
    size_t capacity = replies->capacity ? replies->capacity * 2 : CAPACITY_FIRST;
    struct reply *ring = calloc(capacity, sizeof *ring);
    assert(ring != NULL);
    for (size_t i = 0; i < replies->count; i++)
        ring[i] = replies->ring[(replies->first + i) % replies->capacity];
    free(replies->ring);
    replies->ring = ring;
    replies->capacity = capacity;
    replies->first = 0;
}

static struct reply *append(struct replies *replies)
{
    if (replies->count == replies->capacity)
        grow(replies);
    struct reply *reply = &replies->ring[(replies->first + replies->count) % replies->capacity];
    replies->count++;
    memset(reply, 0, sizeof *reply);
    return reply;
}

void replies_push(struct replies *replies, char message, reply_sink *sink, void *context,
                  void (*release)(void *))
{
    struct reply *reply = append(replies);
    reply->message = message;
    reply->sink = sink;
    reply->context = context;
    reply->release = release;
}

void replies_push_local(struct replies *replies, struct evbuffer *bytes)
{
    struct reply *reply = append(replies);
    reply->message = 'L';
    reply->local = bytes;
}

struct reply *replies_head(struct replies *replies)
{
    return replies->count > 0 ? &replies->ring[replies->first] : NULL;
}

struct reply replies_take(struct replies *replies)
{
    assert(replies->count > 0);
    struct reply head = replies->ring[replies->first];
    replies->first = (replies->first + 1) % replies->capacity;
    replies->count--;
    return head;
}

void replies_pop(struct replies *replies)
{
    struct reply gone = replies_take(replies);
    if (gone.release)
        gone.release(gone.context);
    if (gone.local)
        evbuffer_free(gone.local);
}

bool replies_await(const struct replies *replies, reply_sink *sink)
{
    for (size_t i = 0; i < replies->count; i++)
        if (replies->ring[(replies->first + i) % replies->capacity].sink == sink)
            return true;
    return false;
}

bool replies_fail(struct replies *replies)
{
    while (replies->count > 0 && replies_head(replies)->message != 'S')
        replies_pop(replies);
    return replies->count > 0;
}

bool reply_ends(const struct reply *reply, char type)
{
    switch (reply->message) {
    case 'P':
        return type == '1';
    case 'B':
        return type == '2';
    case 'C':
        return type == '3';
    case 'D':
        return type == 'T' || type == 'n';
    case 'E':
        return type == 'C' || type == 'I' || type == 's';
    case 'S':
    case 'Q':
        return type == 'Z';
    default:
        return false;
    }
}

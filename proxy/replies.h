#ifndef PROXY_REPLIES_H
#define PROXY_REPLIES_H

/*
 * What the twin still owes: one entry per message sent to it, in order. An entry says who gets the
 * reply: the client (no sink) or pgveil itself. An error ends every entry up to the next Sync, as
 * the twin ignores those messages.
 */
#include <stdbool.h>
#include <stddef.h>

#include "proxy/wire.h"

struct evbuffer;

/* Gets every message of the entry's reply, an ErrorResponse included. */
typedef void reply_sink(void *context, const struct wire_message *message);

struct reply {
    char message;     /* type of the message sent: P B D C E S Q, or 'L' for a local one */
    reply_sink *sink; /* NULL: relayed to the client */
    void *context;
    void (*release)(void *context); /* called once when the entry goes; may be NULL */
    struct evbuffer *local;         /* 'L': bytes for the client, sent when its turn comes; owned */
};

struct replies {
    struct reply *ring;
    size_t capacity, first, count;
};

void replies_init(struct replies *replies);
void replies_clear(struct replies *replies);
void replies_push(struct replies *replies, char message, reply_sink *sink, void *context,
                  void (*release)(void *));
/* Takes the bytes. */
void replies_push_local(struct replies *replies, struct evbuffer *bytes);
/* The entry whose reply comes next; NULL: nothing is owed. Borrowed until the next change. */
struct reply *replies_head(struct replies *replies);
void replies_pop(struct replies *replies);
/* Removes the head and hands it over: the caller calls its sink and then its release. */
struct reply replies_take(struct replies *replies);
/* Is a reply owed to this sink? */
bool replies_await(const struct replies *replies, reply_sink *sink);
/* Drops entries up to the next Sync, which stays. False where there is none: the twin ignores
 * everything until one is sent. */
bool replies_fail(struct replies *replies);
/* Does a message of this type end the reply to the entry? (An ErrorResponse is not asked about.) */
bool reply_ends(const struct reply *reply, char type);

#endif

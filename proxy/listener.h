#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

/*
 * The listening sockets: accepts, counts connections, and backs off where descriptors run out.
 * Knows nothing of what happens on a connection.
 */
#include <event2/event.h>
#include <stdint.h>

struct listener;

/* Takes the descriptor (close-on-exec, non-blocking); listener_release must follow when the
 * connection is gone, also after a failed login. */
typedef void listener_accepted(void *context, int fd);

/* address: an address or name, all that it resolves to is listened on; "*": every address. port 0:
 * any free one (with one address only). Above connections_max a client gets FATAL 53300 at once and
 * is closed. NULL with text in error where not a single address can be had. */
struct listener *listener_new(struct event_base *base, const char *address, uint16_t port,
                              uint64_t connections_max, listener_accepted *accepted, void *context,
                              char error[512]);
/* The same on a Unix socket of mode 0600, whose path is made anew. */
struct listener *listener_new_unix(struct event_base *base, const char *path,
                                   uint64_t connections_max, listener_accepted *accepted,
                                   void *context, char error[512]);
/* Closes the listening sockets; connections go on and are still released. */
void listener_stop(struct listener *listener);
/* Once the last connection is released, or none will be. */
void listener_free(struct listener *listener);

void listener_release(struct listener *listener);
uint64_t listener_connections(const struct listener *listener);
uint16_t listener_port(const struct listener *listener);

/* Makes room for so many descriptors, as far as the system lets: the number that may be open in the
 * end. */
uint64_t listener_raise_descriptors(uint64_t wanted);

#endif

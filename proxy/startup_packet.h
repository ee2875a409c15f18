#ifndef PROXY_STARTUP_PACKET_H
#define PROXY_STARTUP_PACKET_H

/*
 * What a packet without type says, the first words of a connection: pure, the payload in, a struct
 * out. Settings pass only by the allow-list of this file; nothing of them is ever put into SQL.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proxy/login.h"
#include "proxy/wire.h"

enum startup_kind {
    STARTUP_DROP,    /* not PostgreSQL's protocol, or a version without error messages: no answer */
    STARTUP_REFUSED, /* FATAL with sqlstate and text */
    STARTUP_TLS,     /* SSLRequest */
    STARTUP_GSS,     /* GSSENCRequest */
    STARTUP_CANCEL,
    STARTUP_SESSION,
};

struct startup_packet {
    enum startup_kind kind;
    /* STARTUP_REFUSED */
    const char *sqlstate; /* static */
    char text[256];
    /* STARTUP_CANCEL */
    uint32_t pid, key;
    /* STARTUP_SESSION */
    struct startup *startup;
    bool negotiate;     /* a newer minor version, or protocol options: say what is spoken here */
    uint32_t n_options; /* unknown protocol options, for NegotiateProtocolVersion */
    char **options;
};

/* allow_tls, allow_gss: whether such a request may still come. Free by startup_packet_clear. */
void startup_packet_read(const struct wire_message *message, bool allow_tls, bool allow_gss,
                         struct startup_packet *packet);
/* Frees what is left in it; a startup that was taken out must be set to NULL before. */
void startup_packet_clear(struct startup_packet *packet);

/* Whether a client may set this at startup, in whatever case of letters. */
bool startup_setting_is_allowed(const char *name);

#endif

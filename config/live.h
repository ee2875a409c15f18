#ifndef CONFIG_LIVE_H
#define CONFIG_LIVE_H

/*
 * The configuration in use, as texts, and what of it can change while pgveil runs. The rest of
 * struct config is immutable; what changes here is read anew wherever it is used.
 */
#include <stdbool.h>

#include "config/config.h"

/* One value: key is the dotted path ("datasets.census.epsilon_max"), value its text (NULL: none).
 * Both are borrowed. */
struct config_value {
    const char *key, *value;
    bool reloads;     /* can change while pgveil runs */
    bool is_conninfo; /* a connection string: may hold a password */
};
void config_each(const struct config *config,
                 void (*visit)(void *context, const struct config_value *value), void *context);

/* What differs between the two, one call each. Values that reload are copied from fresh; the others
 * wait for a restart. before and after: as above. */
struct config_change {
    const char *key, *before, *after;
    bool applied;
    bool is_conninfo;
};
void config_reload(struct config *config, const struct config *fresh,
                   void (*changed)(void *context, const struct config_change *change),
                   void *context);

#endif

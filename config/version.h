#ifndef CONFIG_VERSION_H
#define CONFIG_VERSION_H

/* Of both programs. */
#ifndef PGVEIL_VERSION
#define PGVEIL_VERSION "0.1.0"
#endif

#endif

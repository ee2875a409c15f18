#ifndef PARSER_SETTINGS_H
#define PARSER_SETTINGS_H

/* Settings that an analyst may change in the twin session. */
#include <stdbool.h>

bool setting_is_allowed(const char *name);

#endif

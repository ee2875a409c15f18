/* Names and passwords: which texts may be one, and which names the ledger knows. */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"
#include "config/config.h"

/* Reads a character of UTF-8; its length, 0: not one. */
static size_t read_character(const char *text, uint32_t *out)
{
    const unsigned char *at = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (length == 0 || at[0] > 0xf4) {
        return 0;
    }
    uint32_t character = length == 1 ? at[0] : at[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        character = character << 6 | (at[i] & 0x3f);
    }
    bool surrogate = character >= 0xd800 && character <= 0xdfff;
    if (character < least[length] || character > 0x10ffff || surrogate) {
        return 0;
    }
    *out = character;
    return length;
}

static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

/* Unicode's Default_Ignorable_Code_Point, Bidi_Control, White_Space but the space itself, and what
 * has no picture of its own: private use, noncharacters, the blank of Braille. */
static bool is_invisible(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0xa0, 0xa0},       {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},
                  {0x115f, 0x1160},   {0x1680, 0x1680},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
                  {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x2800, 0x2800},
                  {0x3000, 0x3000},   {0x3164, 0x3164},   {0xe000, 0xf8ff},   {0xfdd0, 0xfdef},
                  {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
                  {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (character >= ranges[i].first && character <= ranges[i].last) {
            return true;
        }
    }
    return (character & 0xfffe) == 0xfffe;
}

static bool is_text(const char *text, bool visible)
{
    while (*text) {
        uint32_t character;
        size_t length = read_character(text, &character);
        if (length == 0 || is_control(character) || (visible && is_invisible(character))) {
            return false;
        }
        text += length;
    }
    return true;
}

static bool is_spaced(const char *name)
{
    return name[0] != ' ' && name[strlen(name) - 1] != ' ' && !strstr(name, "  ");
}

bool ctl_name_usable(const char *name, bool analyst, const char **why)
{
    static const char *const reserved[] = {"public", "none", "postgres"};
    *why = NULL;
    if (name[0] == '\0' || strlen(name) > CTL_NAME_MAX) {
        *why = "a name has 1 to 63 bytes";
    } else if (!is_text(name, true)) {
        *why = "a name is UTF-8 without control characters and without invisible ones";
    } else if (!is_spaced(name)) {
        *why = "a name has single spaces only, and none at its ends";
    } else if (analyst && (strncmp(name, "pg_", 3) == 0 || strncmp(name, "pgveil", 6) == 0)) {
        *why = "names that begin with pg_ or pgveil are reserved";
    }
    for (size_t i = 0; analyst && i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcmp(name, reserved[i]) == 0) {
            *why = "this name is reserved";
        }
    }
    return *why == NULL;
}

bool ctl_password_usable(const char *password, const char **why)
{
    *why = NULL;
    if (password[0] == '\0') {
        *why = "the password is empty";
    } else if (strlen(password) > 512) {
        *why = "the password is longer than 512 bytes";
    } else if (!is_text(password, false)) {
        *why = "a password is UTF-8 without control characters";
    }
    return *why == NULL;
}

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many bytes must be changed, added or removed to make one name of the other; case does not
 * count. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[CTL_NAME_MAX + 1];
    size_t length = strlen(b);
    for (unsigned i = 0; i <= length; i++) {
        row[i] = i;
    }
    for (unsigned i = 1; *a; a++, i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= length; k++) {
            unsigned above = row[k];
            bool same = (*a | 0x20) == (b[k - 1] | 0x20);
            row[k] = least_of(above + 1, row[k - 1] + 1, diagonal + !same);
            diagonal = above;
        }
    }
    return row[length];
}

void ctl_nearest_begin(struct ctl_nearest *nearest, const char *wanted)
{
    size_t length = strlen(wanted);
    *nearest = (struct ctl_nearest){.wanted = wanted, .distance = 1 + (unsigned)length / 3};
}

void ctl_nearest_try(struct ctl_nearest *nearest, const char *name)
{
    if (strlen(name) > CTL_NAME_MAX || strlen(nearest->wanted) > CTL_NAME_MAX) {
        return;
    }
    nearest->known = nearest->known || strcmp(name, nearest->wanted) == 0;
    unsigned found = distance(nearest->wanted, name);
    if (found < nearest->distance || (found == nearest->distance && !nearest->name[0])) {
        nearest->distance = found;
        strcpy(nearest->name, name);
    }
}

const char *ctl_nearest_hint(const struct ctl_nearest *nearest, char hint[CTL_HINT_SIZE])
{
    hint[0] = '\0';
    if (nearest->name[0]) {
        snprintf(hint, CTL_HINT_SIZE, "; did you mean \"%s\"?", nearest->name);
    }
    return hint;
}

/* What each kind is called, and what it is to pgveil.names(). */
static const char *const kind_keys[] = {"analyst", "group", "dataset", "holder"};
static const char *const kind_names[] = {"analyst", "group", "dataset", "analyst or group"};

/* Datasets that are configured and that nobody was ever granted anything on. */
static void try_configured(const struct ctl *ctl, struct ctl_nearest *nearest)
{
    struct config_error error;
    if (ctl->option[CTL_OPTION_SERVER] && !ctl->option[CTL_OPTION_CONFIG]) {
        return;
    }
    struct config *config = config_read(ctl_config_path(ctl), &error);
    for (size_t i = 0; config && i < config->n_datasets; i++) {
        ctl_nearest_try(nearest, config->datasets[i].name);
    }
    config_free(config);
}

enum ctl_exit ctl_check_known(struct ctl *ctl, enum ctl_kind kind, const char *name)
{
    struct ledger_call call;
    struct ctl_nearest nearest;
    char hint[CTL_HINT_SIZE];
    if (!name) {
        return CTL_OK;
    }
    ledger_names_call(&call, kind_keys[kind]);
    PGresult *names = ctl_call(ctl, &call);
    if (!names) {
        return CTL_REFUSED;
    }
    ctl_nearest_begin(&nearest, name);
    for (int row = 0; row < PQntuples(names); row++) {
        ctl_nearest_try(&nearest, PQgetvalue(names, row, 0));
    }
    PQclear(names);
    if (kind == CTL_DATASET) {
        try_configured(ctl, &nearest);
    }
    if (nearest.known) {
        return CTL_OK;
    }
    ctl_error("there is no %s %s%s", kind_names[kind], name, ctl_nearest_hint(&nearest, hint));
    return CTL_REFUSED;
}

bool ctl_check_empty(struct ctl *ctl, const PGresult *table, enum ctl_kind kind, const char *name,
                     const char *dataset)
{
    return PQntuples(table) > 0 || (ctl_check_known(ctl, kind, name) == CTL_OK &&
                                    ctl_check_known(ctl, CTL_DATASET, dataset) == CTL_OK);
}

bool ctl_confirm_new_name(struct ctl *ctl, enum ctl_kind kind, const char *name,
                          enum ctl_exit *exit_code)
{
    struct ledger_call call;
    ledger_alike_call(&call, kind_keys[kind], name);
    PGresult *result = ctl_call(ctl, &call);
    *exit_code = result ? CTL_OK : CTL_REFUSED;
    bool ok = result && (PQntuples(result) == 0 ||
                         ctl_confirm(ctl, exit_code,
                                     "\"%s\" could be taken for the %s \"%s\", which there is or "
                                     "was.",
                                     name, kind_names[kind], PQgetvalue(result, 0, 0)));
    PQclear(result);
    return ok;
}

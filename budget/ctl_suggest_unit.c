/*
 * Which table holds the privacy units? Foreign keys say what belongs to what, and a name often says
 * the rest: a table that others lead to may hold people, or the regions that they live in.
 */
#include <string.h>
#include <strings.h>

#include "budget/ctl_suggest.h"

/* Points for and against; the exact numbers only order the usual cases. */
enum { PER_TABLE = 1, PERSON_NAME = 6, PERSON_COLUMN = 3, CODE_KEY = -5, LEADS_ON = -4 };

static bool has_word(const char *text, const char *const words[])
{
    for (size_t i = 0; words[i]; i++) {
        if (strcasestr(text, words[i])) {
            return true;
        }
    }
    return false;
}

bool suggest_names_people(const char *column)
{
    static const char *const words[] = {"name",     "mail",  "phone",        "street",  "address",
                                        "ssn",      "iban",  "passport",     "tax",     "license",
                                        "password", "token", "insurance_no", "ip_addr", NULL};
    return has_word(column, words);
}

static bool is_person_table(const char *name)
{
    static const char *const words[] = {
        "person",      "people",     "patient",   "customer", "client",   "user",      "member",
        "student",     "pupil",      "employ",    "citizen",  "resident", "subject",   "donor",
        "participant", "respondent", "worker",    "voter",    "tenant",   "household", "account",
        "insured",     "passenger",  "applicant", NULL};
    const char *dot = strchr(name, '.');
    return has_word(dot ? dot + 1 : name, words);
}

static bool is_person_column(const char *name)
{
    static const char *const words[] = {
        "birth",   "sex",    "gender", "first_name", "surname", "last_name", "full_name",
        "marital", "ethnic", "e_mail", "email",      "phone",   NULL};
    return strcasecmp(name, "age") == 0 || has_word(name, words);
}

/* Keys of text are those of code lists. */
static bool is_code(const char *type)
{
    return strcmp(type, "text") == 0 || strncmp(type, "char", 4) == 0;
}

/* Whether equality of the type is identity, as a unit needs. */
static bool can_be_unit(const char *type)
{
    static const char *const types[] = {"smallint",          "integer", "bigint", "text",
                                        "character varying", "uuid",    "date",   "numeric"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(type, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Marks the tables whose rows belong to a unit of root, and returns how many there are. */
static int mark_private(struct catalogue *catalogue, const struct table *root)
{
    int n_private = 1;
    bool more = true;
    for (int i = 0; i < catalogue->n_tables; i++) {
        catalogue->tables[i].unit = &catalogue->tables[i] == root ? root->key : -1;
    }
    while (more) {
        more = false;
        for (int i = 0; i < catalogue->n_tables; i++) {
            struct table *table = &catalogue->tables[i];
            for (int row = table->first; table->unit < 0 && row < table->end; row++) {
                const struct table *parent =
                    suggest_find(catalogue, suggest_cell(catalogue, row, CATALOGUE_REFERENCES));
                if (parent && parent->unit >= 0) {
                    table->unit = row;
                    n_private++;
                    more = true;
                }
            }
        }
    }
    return n_private;
}

struct score {
    int points, reach;
    bool person_name, person_column, code_key, leads_on;
};

static struct score score_of(struct catalogue *catalogue, const struct table *table)
{
    struct score score = {.reach = mark_private(catalogue, table),
                          .person_name = is_person_table(table->name),
                          .code_key = is_code(suggest_cell(catalogue, table->key, CATALOGUE_TYPE))};
    for (int row = table->first; row < table->end; row++) {
        score.person_column |= is_person_column(suggest_cell(catalogue, row, CATALOGUE_NAME));
        const struct table *parent =
            suggest_find(catalogue, suggest_cell(catalogue, row, CATALOGUE_REFERENCES));
        score.leads_on |= parent && is_person_table(parent->name);
    }
    score.points = PER_TABLE * score.reach + PERSON_NAME * score.person_name +
                   PERSON_COLUMN * score.person_column + CODE_KEY * score.code_key +
                   LEADS_ON * score.leads_on;
    return score;
}

static void explain(const struct score *score, char *text, size_t size)
{
    snprintf(text, size, "%d other table%s lead%s to it%s%s%s%s", score->reach - 1,
             score->reach == 2 ? "" : "s", score->reach == 2 ? "s" : "",
             score->person_name ? ", its name is one of people" : "",
             score->person_column ? ", it has columns of people" : "",
             score->code_key ? ", but its key is a code" : "",
             score->leads_on ? ", but it leads on to people" : "");
}

static bool is_candidate(const struct catalogue *catalogue, const struct table *table)
{
    return table->key >= 0 && can_be_unit(suggest_cell(catalogue, table->key, CATALOGUE_TYPE));
}

static void tell_candidates(struct catalogue *catalogue)
{
    char text[256];
    ctl_error("it cannot be told which table holds the privacy units: name it with --unit");
    for (int i = 0; i < catalogue->n_tables; i++) {
        const struct table *table = &catalogue->tables[i];
        if (is_candidate(catalogue, table)) {
            struct score score = score_of(catalogue, table);
            explain(&score, text, sizeof(text));
            fprintf(stderr, "  --unit %s: %s\n", table->name, text);
        }
    }
}

static const struct table *choose(struct catalogue *catalogue, char why[512])
{
    const struct table *best = NULL;
    struct score most = {0};
    bool tie = false;
    for (int i = 0; i < catalogue->n_tables; i++) {
        const struct table *table = &catalogue->tables[i];
        if (!is_candidate(catalogue, table)) {
            continue;
        }
        struct score score = score_of(catalogue, table);
        tie = best && score.points == most.points   ? true
              : !best || score.points > most.points ? false
                                                    : tie;
        if (!best || score.points > most.points) {
            best = table;
            most = score;
        }
    }
    if (!best || tie) {
        tell_candidates(catalogue);
        return NULL;
    }
    explain(&most, why, 512);
    return best;
}

/* By its whole name, or without the schema where one table alone is called so. */
static const struct table *find_named(const struct catalogue *catalogue, const char *named)
{
    const struct table *found = suggest_find(catalogue, named);
    size_t length = strlen(named);
    int n = found ? 1 : 0;
    bool whole = found != NULL;
    for (int i = 0; !whole && length > 0 && i < catalogue->n_tables; i++) {
        const char *name = catalogue->tables[i].name;
        size_t before = strlen(name) > length ? strlen(name) - length : 0;
        if (before > 1 && name[before - 1] == '.' && strcmp(name + before, named) == 0) {
            found = n++ == 0 ? &catalogue->tables[i] : found;
        }
    }
    return n == 1 ? found : NULL;
}

const struct table *suggest_unit(struct catalogue *catalogue, const char *named, char why[512])
{
    const struct table *root = NULL;
    if (named) {
        root = find_named(catalogue, named);
        snprintf(why, 512, "named by --unit");
        if (!root || !is_candidate(catalogue, root)) {
            ctl_error("%s is not a table with a primary key of one column whose type can name a "
                      "unit (integers, text, uuid, date, numeric)",
                      named);
            return NULL;
        }
    } else {
        root = choose(catalogue, why);
    }
    if (root) {
        mark_private(catalogue, root);
    }
    return root;
}

/* pgveilctl explain: a statement's privacy plan, as the analyst would see it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "budget/ctl.h"

/* Standard input to its end. NULL with the reason printed. */
static char *read_input(void)
{
    enum { STATEMENT_MAX = 1 << 24 };
    size_t length = 0;
    size_t size = 4096;
    char *text = malloc(size);
    while (text) {
        length += fread(text + length, 1, size - length - 1, stdin);
        if (length < size - 1) {
            text[length] = '\0';
            return text;
        }
        size *= 2;
        char *longer = size <= STATEMENT_MAX ? realloc(text, size) : NULL;
        if (!longer) {
            free(text);
        }
        text = longer;
    }
    ctl_error("the statement is too long");
    return NULL;
}

/* The statement as it is where it is an EXPLAIN already, else behind one. */
static char *explained(struct ctl *ctl, const char *sql)
{
    static const char word[] = "explain";
    const char *prefix = ctl->format == CTL_JSON ? "EXPLAIN (FORMAT JSON) " : "EXPLAIN ";
    size_t blank = strspn(sql, " \t\r\n");
    size_t end = blank + strlen(word);
    bool is_explain = strncasecmp(sql + blank, word, strlen(word)) == 0 &&
                      !isalnum((unsigned char)sql[end]) && sql[end] != '_';
    size_t size = strlen(prefix) + strlen(sql) + 1;
    char *text = malloc(size);
    if (text) {
        ctl->n_before = is_explain ? 0 : (int)strlen(prefix);
        snprintf(text, size, "%s%s", is_explain ? "" : prefix, sql);
    }
    return text;
}

/* The plan's lines as they are; JSON is one document. */
static bool print_plan(struct ctl *ctl, const PGresult *plan)
{
    if (ctl->format == CTL_CSV) {
        return ctl_print_result(ctl, plan, false);
    }
    for (int row = 0; row < PQntuples(plan); row++) {
        puts(PQgetvalue(plan, row, 0));
    }
    if (fflush(stdout) != 0) {
        ctl_error("standard output cannot be written");
        return false;
    }
    return true;
}

enum ctl_exit ctl_explain(struct ctl *ctl)
{
    const char *analyst = ctl->option[CTL_OPTION_ANALYST];
    const char *dataset = ctl->option[CTL_OPTION_DATASET];
    bool from_input = strcmp(ctl->arguments[0], "-") == 0;
    if (!analyst || !dataset) {
        ctl_error("explain needs --analyst and --dataset");
        return CTL_USAGE;
    }
    if (strcmp(dataset, "pgveil") == 0) {
        ctl_error("pgveil is the console's name; no dataset can have it");
        return CTL_USAGE;
    }
    char *sql = from_input ? read_input() : strdup(ctl->arguments[0]);
    char *text = sql ? explained(ctl, sql) : NULL;
    enum ctl_exit exit_code = text ? ctl_control(ctl, analyst, dataset) : CTL_REFUSED;
    if (exit_code == CTL_OK) {
        PGresult *plan = ctl_control_run(ctl, text);
        exit_code = plan && print_plan(ctl, plan) ? CTL_OK : CTL_REFUSED;
        PQclear(plan);
    }
    free(sql);
    free(text);
    return exit_code;
}

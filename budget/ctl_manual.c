/* The manual page, from the table of commands. */
#include <string.h>

#include "budget/ctl.h"

/* Text for roff: nothing in it is taken for markup. */
static void put_roff(FILE *file, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", file);
        }
        if (*text == '\\') {
            fputs("\\e", file);
        } else if (*text == '-') {
            fputs("\\-", file);
        } else {
            fputc(*text, file);
        }
        line_start = *text == '\n';
    }
}

static void put_roff_options(FILE *file, unsigned bits)
{
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        const struct ctl_option *option = &ctl_options[id];
        if (!(bits & (1U << id))) {
            continue;
        }
        fputs(".TP\n", file);
        if (option->letter) {
            fprintf(file, "\\fB\\-%c\\fR, ", option->letter);
        }
        fputs("\\fB\\-\\-", file);
        put_roff(file, option->name);
        fprintf(file, "\\fR%s%s%s\n", option->argument ? " \\fI" : "",
                option->argument ? option->argument : "", option->argument ? "\\fR" : "");
        put_roff(file, option->help);
        fputc('\n', file);
    }
}

static void put_paragraph(FILE *file, const char *text)
{
    fputs(".PP\n", file);
    put_roff(file, text);
    fputc('\n', file);
}

/* What a first day looks like. */
static void put_examples(FILE *file)
{
    static const struct {
        const char *what;
        const char *lines[4];
    } examples[] = {
        {"A first policy, to be read and changed before it is used:",
         {"pgveilctl policy suggest 'host=db dbname=census' > census.json",
          "pgveilctl policy check census.json"}},
        {"Is everything as it should be at the protected server?",
         {"pgveilctl dataset test census"}},
        {"An analyst, and a budget of epsilon 3 a month:",
         {"pgveilctl analyst add ana",
          "pgveilctl budget grant ana census --epsilon 3 --delta 1e-6 --window month",
          "pgveilctl budget forecast ana census"}},
        {"What would a statement cost, and how far would its answer be off?",
         {"pgveilctl explain -a ana -d census 'SELECT avg(wage) FROM people'"}},
        {"After a change of the schema or the policy; open sessions go on:",
         {"pgveilctl dataset sync census"}},
        {"Every night: is the ledger sound, and does it hold what it held yesterday?",
         {"pgveilctl ledger verify --head \"$(cat yesterday)\"",
          "pgveilctl status --json | jq -r '\"\\(.entries):\\(.head)\"' > yesterday"}},
    };
    fputs(".SH EXAMPLES\n", file);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        put_paragraph(file, examples[i].what);
        fputs(".nf\n", file);
        for (int line = 0; line < 4 && examples[i].lines[line]; line++) {
            fputs("    ", file);
            put_roff(file, examples[i].lines[line]);
            fputc('\n', file);
        }
        fputs(".fi\n", file);
    }
}

void ctl_print_man(FILE *file)
{
    fputs(".TH PGVEILCTL 8\n.SH NAME\npgveilctl \\- analysts, budgets and charges of pgveil\n"
          ".SH SYNOPSIS\n.B pgveilctl\n.I COMMAND\n[arguments] [options]\n.SH DESCRIPTION\n",
          file);
    put_roff(file,
             "The tool of the DBA of pgveil, the proxy that answers SQL with differential privacy: "
             "who may log in, what each analyst may learn of each dataset, the journal of what was "
             "spent, the policies, and the running pgveil itself.\n");
    put_paragraph(file,
                  "Analysts, groups, budgets, settings, answers and the journal are in the ledger. "
                  "Without --server it is found through the configuration file: its ledger_server, "
                  "or the managed ledger below its state_directory, which runs as long as pgveil "
                  "does and is open to the user that runs pgveil and to root.");
    put_paragraph(file,
                  "explain, console, dataset sync, test, pause and resume, session and reload talk "
                  "to the running pgveil over the socket in the folder control below its "
                  "state_directory, open to the same two users.");
    put_paragraph(
        file, "Tables are aligned for people and leave out what only programs need; with --json "
              "and --csv they are whole. Messages and progress go to standard error, progress "
              "to terminals only. What changes budgets has --dry-run; what gives budget back, "
              "takes something away for good or weakens the bookkeeping asks for a typed yes, "
              "or wants --yes where there is no terminal.");
    fputs(".SH COMMANDS\n", file);
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        fputs(".SS ", file);
        put_roff(file, command->name);
        fprintf(file, "%s%s\n%c", command->arguments[0] ? " " : "", command->arguments,
                command->summary[0] - ('a' - 'A'));
        put_roff(file, command->summary + 1);
        fputs(".\n", file);
        if (command->details[0]) {
            fputs(".PP\n", file);
            put_roff(file, command->details);
            fputc('\n', file);
        }
        put_roff_options(file, command->options);
    }
    fputs(".SH OPTIONS\nOptions of every command:\n", file);
    put_roff_options(file, ctl_general_options);
    fputs(
        ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nrefused or failed; of ledger verify, policy check, "
        "policy diff and dataset test: something was found\n.TP\n2\nwrong usage\n.TP\n3\n"
        "the ledger server, or the running pgveil, cannot be reached or has no connection to spare: it "
        "may do another time\n.SH FILES\n.TP\n"
        "/etc/pgveil/pgveil.json\nthe configuration file\n.TP\n"
        "STATE_DIRECTORY/control\nfolder of the running pgveil's socket\n.TP\n"
        "~/.pgveilctl_history\nhistory of the console; PGVEILCTL_HISTORY names another file\n",
        file);
    put_examples(file);
}

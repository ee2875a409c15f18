/* pgveilctl: the DBA's tool. */
#include <locale.h>

#include "budget/ctl.h"

static bool is_lost(const PGconn *connection)
{
    return connection && PQstatus(connection) == CONNECTION_BAD;
}

int main(int argc, char **argv)
{
    struct ctl ctl;
    enum ctl_exit exit_code = CTL_OK;
    setlocale(LC_CTYPE, "");
    if (!ctl_parse(&ctl, argc, argv)) {
        return CTL_USAGE;
    }
    if (ctl.option[CTL_OPTION_HELP]) {
        ctl_print_help(stdout, ctl.command);
        return CTL_OK;
    }
    if (ctl.command->needs_ledger) {
        exit_code = ctl_connect(&ctl, true);
    }
    if (exit_code == CTL_OK) {
        exit_code = ctl.command->run(&ctl);
    }
    /* Whoever has gone in the middle may be there another time. */
    if (exit_code == CTL_REFUSED && (is_lost(ctl.ledger) || is_lost(ctl.control))) {
        exit_code = CTL_UNREACHABLE;
    }
    PQfinish(ctl.ledger);
    PQfinish(ctl.control);
    return (int)exit_code;
}

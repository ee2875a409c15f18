/* pgveilctl budget forecast: what the rest of a budget buys, computed from the public facts alone.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"

/* Two-sided 95 % quantile of the standard normal law. */
static const double normal_95 = 1.959963984540054;

/* The price of one count of people whose 95 % interval has this half-width: for a Gaussian mu^2 in
 * 1e-12 (ALGORITHMS 8: 2 Phi((h + 1/2) / sigma) - 1 = 0.95). */
static double gaussian_price(double half_width)
{
    double sigma = (half_width + 0.5) / normal_95;
    return 1e12 / (sigma * sigma);
}

/* The same for Laplace noise: the epsilon in 1e-9 with 2 q^(h + 1) / (1 + q) = 0.05, q =
 * e^-epsilon. */
static double laplace_price(double half_width)
{
    double low = 0.0;
    double high = 10.0;
    for (int i = 0; i < 100; i++) {
        double middle = 0.5 * (low + high);
        double q = exp(-middle);
        if (2.0 * pow(q, half_width + 1.0) / (1.0 + q) > 0.05) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 1e9 * high;
}

static bool fill_row(PGresult *result, int row, double half_width, double price, double whole,
                     double rest, bool plot)
{
    char text[64];
    double queries = floor(rest / ceil(price));
    snprintf(text, sizeof(text), "%.0f", half_width);
    bool ok = ctl_set_value(result, row, 0, text);
    snprintf(text, sizeof(text), "%.0f", ceil(price));
    ok = ok && ctl_set_value(result, row, 1, text);
    snprintf(text, sizeof(text), "%.6f", ceil(price) / whole);
    ok = ok && ctl_set_value(result, row, 2, text);
    snprintf(text, sizeof(text), "%.0f", queries);
    ok = ok && ctl_set_value(result, row, 3, text);
    if (plot) {
        /* Four marks for each power of ten. */
        int length = (int)(4.0 * log10(queries + 1.0));
        memset(text, 0, sizeof(text));
        memset(text, '#', (size_t)(length > 60 ? 60 : length));
        ok = ok && ctl_set_value(result, row, 4, text);
    }
    return ok;
}

static enum ctl_exit print_forecast(struct ctl *ctl, const struct ledger_account *account)
{
    static const double half_widths[] = {2, 5, 10, 20, 50, 100, 200, 500, 1000};
    static const char *const columns[] = {"error_95", "price", "share", "queries_left",
                                          "queries_left_log10"};
    bool pure = strcmp(account->cap_mode, "pure") == 0;
    bool plot = ctl->format == CTL_TABLE;
    double whole = pure ? (double)account->epsilon_cap : (double)account->mu2_cap_pico;
    double rest = (double)ledger_account_remaining_mu2(account);
    if (pure) {
        rest = account->epsilon_spent < account->epsilon_cap
                   ? (double)(account->epsilon_cap - account->epsilon_spent)
                   : 0.0;
    }
    PGresult *result = ctl_new_result(plot ? 5 : 4, columns);
    bool ok = result != NULL;
    for (size_t i = 0; ok && i < sizeof(half_widths) / sizeof(half_widths[0]); i++) {
        double price = pure ? laplace_price(half_widths[i]) : gaussian_price(half_widths[i]);
        price = fmax(price, pure ? 1.0 : (double)account->minimum_mu2_pico);
        ok = fill_row(result, (int)i, half_widths[i], price, whole, rest, plot);
    }
    if (ok) {
        ok = ctl_print_result(ctl, result, false);
    } else {
        ctl_error("out of memory");
    }
    PQclear(result);
    return ok ? CTL_OK : CTL_REFUSED;
}

enum ctl_exit ctl_budget_forecast(struct ctl *ctl)
{
    struct ledger_call call;
    struct ledger_account account;
    ledger_account_call(&call, ctl->arguments[0], ctl->arguments[1]);
    PGresult *result = ctl_call(ctl, &call);
    if (!result) {
        return CTL_REFUSED;
    }
    enum ledger_outcome outcome = ledger_account_result(result, &account);
    PQclear(result);
    if (outcome == LEDGER_NO_ACCOUNT) {
        ctl_error("%s has no grant on %s", ctl->arguments[0], ctl->arguments[1]);
        return CTL_REFUSED;
    }
    if (outcome == LEDGER_FAILED) {
        ctl_error("the ledger gave no usable answer");
        return CTL_REFUSED;
    }
    if (outcome == LEDGER_FROZEN) {
        ctl_error("warning: frozen at present");
    }
    return print_forecast(ctl, &account);
}

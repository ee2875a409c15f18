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

/* A budget in the currency of its mode. */
struct funds {
    bool pure;
    double whole, rest, minimum;
};

/* One row of the forecast. */
struct buys {
    double half_width, price, queries;
};

static struct buys buys_of(const struct funds *funds, double half_width)
{
    double price = funds->pure ? laplace_price(half_width) : gaussian_price(half_width);
    price = ceil(fmax(price, funds->minimum));
    return (struct buys){half_width, price, floor(funds->rest / price)};
}

static bool fill_row(PGresult *result, int row, const struct buys *buys, const struct funds *funds)
{
    char text[64];
    snprintf(text, sizeof(text), "%.0f", buys->half_width);
    bool ok = ctl_set_value(result, row, 0, text);
    snprintf(text, sizeof(text), "%.0f", buys->price);
    ok = ok && ctl_set_value(result, row, 1, text);
    snprintf(text, sizeof(text), "%.6f", buys->price / funds->whole);
    ok = ok && ctl_set_value(result, row, 2, text);
    snprintf(text, sizeof(text), "%.0f", buys->queries);
    return ok && ctl_set_value(result, row, 3, text);
}

/* The plot: a logarithmic scale, so many columns for each power of ten. */
enum { DECADE = 8, DECADES_MAX = 7 };

/* "1       10      100     1k ...", as far as the longest bar needs. */
static void write_scale(double most, char text[96])
{
    static const char *const ticks[DECADES_MAX] = {"1", "10", "100", "1k", "10k", "100k", "1M"};
    size_t used = 0;
    double reached = 1.0;
    for (int i = 0; i < DECADES_MAX && (i == 0 || reached <= 10.0 * most); i++) {
        used += (size_t)snprintf(text + used, 96 - used, "%-*s", DECADE, ticks[i]);
        reached *= 10.0;
    }
    while (used > 0 && text[used - 1] == ' ') {
        text[--used] = '\0';
    }
}

static bool fill_plot_row(PGresult *result, int row, const struct buys *buys,
                          const struct funds *funds)
{
    char text[96];
    snprintf(text, sizeof(text), "+-%.0f", buys->half_width);
    bool ok = ctl_set_value(result, row, 0, text);
    snprintf(text, sizeof(text), "%.3g %%", 100.0 * buys->price / funds->whole);
    ok = ok && ctl_set_value(result, row, 1, text);
    snprintf(text, sizeof(text), "%.0f", buys->queries);
    ok = ok && ctl_set_value(result, row, 2, text);
    int length = buys->queries < 1.0 ? 0 : 1 + (int)(DECADE * log10(buys->queries));
    length = length > DECADE * DECADES_MAX ? DECADE * DECADES_MAX : length;
    memset(text, '#', (size_t)length);
    text[length] = '\0';
    return ok && ctl_set_value(result, row, 3, text);
}

static void print_heading(const struct ctl *ctl, const struct ledger_account *account,
                          const struct funds *funds)
{
    printf("%s on %s: epsilon %s, delta %s; %.4g %% of it may still be spent.\n\n",
           ctl->arguments[0], ctl->arguments[1], account->epsilon, account->delta,
           100.0 * funds->rest / funds->whole);
}

static enum ctl_exit print_forecast(struct ctl *ctl, const struct ledger_account *account)
{
    static const double half_widths[] = {2, 5, 10, 20, 50, 100, 200, 500, 1000};
    enum { ROWS = sizeof(half_widths) / sizeof(half_widths[0]) };
    static const char *const columns[] = {"error_95", "price", "share", "queries_left"};
    char scale[96];
    const char *plot_columns[] = {"error (95 %)", "share of budget", "queries left", scale};
    bool plot = ctl->format == CTL_TABLE;
    struct funds funds = {.pure = strcmp(account->cap_mode, "pure") == 0,
                          .whole = (double)account->mu2_cap_pico,
                          .rest = (double)ledger_account_remaining_mu2(account),
                          .minimum = (double)account->minimum_mu2_pico};
    if (funds.pure) {
        funds.whole = (double)account->epsilon_cap;
        funds.rest = account->epsilon_spent < account->epsilon_cap
                         ? (double)(account->epsilon_cap - account->epsilon_spent)
                         : 0.0;
        funds.minimum = 1.0;
    }
    struct buys most = buys_of(&funds, half_widths[ROWS - 1]);
    write_scale(most.queries, scale);
    PGresult *result = ctl_new_result(4, plot ? plot_columns : columns);
    bool ok = result != NULL;
    for (int row = 0; ok && row < ROWS; row++) {
        struct buys buys = buys_of(&funds, half_widths[row]);
        ok =
            plot ? fill_plot_row(result, row, &buys, &funds) : fill_row(result, row, &buys, &funds);
    }
    if (ok && plot) {
        print_heading(ctl, account, &funds);
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
        if (ctl_check_known(ctl, CTL_ANALYST, ctl->arguments[0]) == CTL_OK &&
            ctl_check_known(ctl, CTL_DATASET, ctl->arguments[1]) == CTL_OK) {
            ctl_error("%s has no grant on %s", ctl->arguments[0], ctl->arguments[1]);
        }
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

/* pgveilctl budget forecast: what the rest of a budget buys, computed from the public facts alone.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"
#include "mechanisms/calibrate.h"

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

/* What one count costs, in each currency; epsilon 0: it is not pure. */
struct price {
    double mu2, zcdp, epsilon;
};

/* The noise is Laplace where a limit counts pure epsilons alone: it admits nothing else. */
static struct price price_of(double half_width, bool pure, double minimum)
{
    struct price price = {0};
    uint64_t mu2 = 0;
    if (pure) {
        price.epsilon = ceil(laplace_price(half_width));
        dp_mu2_of_pure((dp_nano)price.epsilon, &mu2);
        double epsilon = price.epsilon * 1e-9;
        price.mu2 = fmax((double)mu2, minimum);
        price.zcdp = fmax(ceil(2e12 * epsilon * tanh(0.5 * epsilon)), minimum);
    } else {
        price.mu2 = price.zcdp = ceil(fmax(gaussian_price(half_width), minimum));
    }
    return price;
}

static double cell(const PGresult *limits, int row, enum ledger_limit_column column)
{
    return strtod(PQgetvalue(limits, row, column), NULL);
}

static bool is_pure(const PGresult *limits, int row)
{
    return strcmp(PQgetvalue(limits, row, LIMIT_MODE), "pure") == 0;
}

static double price_in(const PGresult *limits, int row, const struct price *price)
{
    return is_pure(limits, row)                                       ? price->epsilon
           : strcmp(PQgetvalue(limits, row, LIMIT_MODE), "zcdp") == 0 ? price->zcdp
                                                                      : price->mu2;
}

/* How many of them the limit admits: by its cap, or by basic composition while all is pure. */
static double admitted(const PGresult *limits, int row, const struct price *price)
{
    double by_cap = 0.0, by_epsilon = 0.0;
    if (!is_pure(limits, row)) {
        double rest = cell(limits, row, LIMIT_CAP) - cell(limits, row, LIMIT_SPENT);
        by_cap = floor(fmax(rest, 0.0) / price_in(limits, row, price));
    }
    if (price->epsilon > 0.0 && strcmp(PQgetvalue(limits, row, LIMIT_ALL_PURE), "true") == 0) {
        double rest = cell(limits, row, LIMIT_CAP_EPSILON) - cell(limits, row, LIMIT_SPENT_EPSILON);
        by_epsilon = floor(fmax(rest, 0.0) / price->epsilon);
    }
    return fmax(by_cap, by_epsilon);
}

/* All that bounds the analyst, and what follows from it in common. */
struct funds {
    const PGresult *limits;
    int own;      /* row of the grant */
    bool pure;    /* the noise is Laplace */
    double whole; /* the grant's cap, in the currency of its mode */
    double minimum;
};

/* One row of the forecast. */
struct buys {
    double half_width, price, queries;
    int limit; /* row of the limit that ends it; the own grant where that is as near */
};

static struct buys buys_of(const struct funds *funds, double half_width)
{
    struct price price = price_of(half_width, funds->pure, funds->minimum);
    struct buys buys = {.half_width = half_width,
                        .price = price_in(funds->limits, funds->own, &price),
                        .queries = admitted(funds->limits, funds->own, &price),
                        .limit = funds->own};
    for (int row = 0; row < PQntuples(funds->limits); row++) {
        double queries = admitted(funds->limits, row, &price);
        if (queries < buys.queries) {
            buys.queries = queries;
            buys.limit = row;
        }
    }
    return buys;
}

/* "grant", "cap of all analysts", "cap of group north"; with the dataset where it is another one.
 */
static void name_limit(const struct ctl *ctl, const PGresult *limits, int row, char text[256])
{
    const char *holder = PQgetvalue(limits, row, LIMIT_HOLDER);
    const char *dataset = PQgetvalue(limits, row, LIMIT_DATASET);
    bool here = strcmp(dataset, ctl->arguments[1]) == 0;
    bool group = strcmp(holder, "group") == 0;
    snprintf(text, 256, "%s%s%s%s",
             strcmp(holder, "analyst") == 0 ? "grant"
             : group                        ? "cap of group "
                                            : "cap of all analysts",
             group ? PQgetvalue(limits, row, LIMIT_NAME) : "", here ? "" : " on ",
             here ? "" : dataset);
}

static bool fill_row(const struct ctl *ctl, PGresult *result, int row, const struct buys *buys,
                     const struct funds *funds)
{
    char text[256];
    snprintf(text, sizeof(text), "%.0f", buys->half_width);
    bool ok = ctl_set_value(result, row, 0, text);
    snprintf(text, sizeof(text), "%.0f", buys->price);
    ok = ok && ctl_set_value(result, row, 1, text);
    snprintf(text, sizeof(text), "%.12f", buys->price / funds->whole);
    ok = ok && ctl_set_value(result, row, 2, text);
    snprintf(text, sizeof(text), "%.0f", buys->queries);
    ok = ok && ctl_set_value(result, row, 3, text);
    ok = ok && ctl_set_value(result, row, 4, funds->pure ? "laplace" : "gaussian");
    name_limit(ctl, funds->limits, buys->limit, text);
    return ok && ctl_set_value(result, row, 5, text);
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
                          const struct funds *funds, const struct buys *some)
{
    char limit[256];
    printf("%s on %s: epsilon %s, delta %s; %.4g %% of it is spent. For ungrouped counts of people "
           "with %s noise",
           ctl->arguments[0], ctl->arguments[1], account->epsilon, account->delta,
           100.0 * strtod(account->spent_share, NULL), funds->pure ? "Laplace" : "Gaussian");
    if (some->limit != funds->own) {
        name_limit(ctl, funds->limits, some->limit, limit);
        printf("; the %s ends them first", limit);
    }
    fputs(".\n\n", stdout);
}

/* The half-widths of the rows. */
static const double half_widths[] = {2, 5, 10, 20, 50, 100, 200, 500, 1000};
enum { ROWS = sizeof(half_widths) / sizeof(half_widths[0]) };

static enum ctl_exit print_forecast(struct ctl *ctl, const struct ledger_account *account,
                                    const struct funds *funds)
{
    static const char *const columns[] = {"error_95",     "price",     "share",
                                          "queries_left", "mechanism", "limit"};
    char scale[96];
    const char *plot_columns[] = {"error (95 %)", "share of budget", "queries left", scale};
    bool plot = ctl->format == CTL_TABLE;
    struct buys most = buys_of(funds, half_widths[ROWS - 1]);
    write_scale(most.queries, scale);
    PGresult *result = plot ? ctl_new_result(4, plot_columns) : ctl_new_result(6, columns);
    bool ok = result != NULL;
    for (int row = 0; ok && row < ROWS; row++) {
        struct buys buys = buys_of(funds, half_widths[row]);
        ok = plot ? fill_plot_row(result, row, &buys, funds)
                  : fill_row(ctl, result, row, &buys, funds);
    }
    if (ok && plot) {
        print_heading(ctl, account, funds, &most);
    }
    if (ok) {
        ok = ctl_print_result(ctl, result, false);
    } else {
        ctl_error("out of memory");
    }
    PQclear(result);
    return ok ? CTL_OK : CTL_REFUSED;
}

static enum ctl_exit forecast(struct ctl *ctl, const struct ledger_account *account)
{
    struct ledger_call call;
    ledger_limits_call(&call, ctl->arguments[0], ctl->arguments[1]);
    PGresult *limits = ctl_call(ctl, &call);
    if (!limits) {
        return CTL_REFUSED;
    }
    struct funds funds = {
        .limits = limits, .own = -1, .minimum = (double)account->minimum_mu2_pico};
    for (int row = 0; row < PQntuples(limits); row++) {
        funds.pure = funds.pure || is_pure(limits, row);
        funds.own = strcmp(PQgetvalue(limits, row, LIMIT_OWN), "true") == 0 ? row : funds.own;
    }
    enum ctl_exit exit_code = CTL_REFUSED;
    if (funds.own < 0) {
        ctl_error("the grant was taken back meanwhile");
    } else {
        funds.whole =
            cell(limits, funds.own, is_pure(limits, funds.own) ? LIMIT_CAP_EPSILON : LIMIT_CAP);
        exit_code = print_forecast(ctl, account, &funds);
    }
    PQclear(limits);
    return exit_code;
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
    return forecast(ctl, &account);
}

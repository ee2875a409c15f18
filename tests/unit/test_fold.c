/* Coarser groups from finer ones that were paid for: what is derived, how precise it is said to be,
 * what it costs, and all that must refuse. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/refine.h"
#include "tests/support/analyst.h"
#include "tests/support/catalogs.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* Fifty times the usual epsilon, so that what is bought then suffices for coarser groups. */
static void pay_well(struct analyst *who)
{
    who->settings.epsilon *= 50;
}
static void pay_usually(struct analyst *who)
{
    who->settings.epsilon /= 50;
}

/* Is the second free for who has paid well for the first? */
static bool derives(const struct catalog *catalog, const char *fine, const char *coarse)
{
    struct analyst who = analyst_of(catalog);
    pay_well(&who);
    cr_assert_gt(analyst_ask(&who, fine), 0u, "%s", fine);
    pay_usually(&who);
    uint64_t price = analyst_ask(&who, coarse);
    cr_expect(price == 0 || price == analyst_fresh_price(&who, coarse), "%s", coarse);
    return price == 0;
}

static void expect_derived(const char *dataset, const char *fine, const char *coarse)
{
    cr_expect(derives(catalogs_get(dataset), fine, coarse), "%s\n%s", fine, coarse);
}

static void expect_drawn(const char *dataset, const char *fine, const char *coarse)
{
    cr_expect_not(derives(catalogs_get(dataset), fine, coarse), "%s\n%s", fine, coarse);
}

Test(fold, coarser_groups_and_the_total_are_had_from_finer_ones)
{
    static const char fine[] = "SELECT region, smsa, parttime, count(*), avg(wage), "
                               "sum(education), stddev(experience) FROM people "
                               "GROUP BY region, smsa, parttime";
    static const char *const coarse[] = {
        "SELECT region, count(*) FROM people GROUP BY region",
        "SELECT smsa, avg(wage) FROM people GROUP BY smsa",
        "SELECT parttime, region, sum(education) FROM people GROUP BY parttime, region",
        "SELECT smsa, parttime, region, count(*) FROM people GROUP BY 1, 2, 3",
        "SELECT count(*) FROM people",
        "SELECT avg(wage), count(wage) FROM people",
        "SELECT sum(education), stddev(experience) FROM people",
    };
    for (size_t i = 0; i < COUNT(coarse); i++)
        expect_derived("census", fine, coarse[i]);
}

Test(fold, joins_and_conditions_are_derived_like_anything_else)
{
    expect_derived(
        "panel",
        "SELECT p.gender, y.south, count(*), sum(y.weeks) FROM years y JOIN persons p ON "
        "p.id = y.person_id WHERE y.wage > 7 GROUP BY 1, 2",
        "SELECT y.south, count(*), sum(y.weeks) FROM years y JOIN persons p ON "
        "p.id = y.person_id WHERE y.wage > 7 GROUP BY 1");
}

Test(fold, nothing_is_derived_without_proof)
{
    expect_drawn("clinic", "SELECT code, count(*) FROM visits GROUP BY 1",
                 "SELECT count(*) FROM visits");
}

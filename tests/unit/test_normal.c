/* References with 25 digits, computed with arbitrary precision. */
#include <criterion/criterion.h>
#include <math.h>

#include "mechanisms/normal.h"

static void is(const char *what, long double value, long double expected)
{
    long double error = value / expected - 1.0L;
    cr_expect(error < DP_NORMAL_ERROR && error > -DP_NORMAL_ERROR, "%s: %.20Lg, not %.20Lg", what,
              value, expected);
}

Test(normal, exponentials_and_logarithms_are_within_the_error_bound)
{
    is("dp_exp(-10999.5L)", dp_exp(-10999.5L), 9.502684385153650063803964e-4778L);
    is("dp_exp(-700.25L)", dp_exp(-700.25L), 7.678723813110872211649887e-305L);
    is("dp_exp(-1.0L)", dp_exp(-1.0L), 0.3678794411714423215955238L);
    is("dp_exp(-0.0625L)", dp_exp(-0.0625L), 0.9394130628134757861197108L);
    is("dp_exp(0.0078125L)", dp_exp(0.0078125L), 1.007843097206447977693454L);
    is("dp_exp(1.0L)", dp_exp(1.0L), 2.718281828459045235360287L);
    is("dp_exp(11.5L)", dp_exp(11.5L), 98715.77101076049742811027L);
    is("dp_exp(10999.75L)", dp_exp(10999.75L), 1.351223890686947107705789e+4777L);
    is("dp_expm1(-20.0L)", dp_expm1(-20.0L), -0.9999999979388463775614422L);
    is("dp_expm1(-0.5L)", dp_expm1(-0.5L), -0.3934693402873665763962005L);
    is("dp_expm1(-0.3359375L)", dp_expm1(-0.3359375L), -0.2853322288440518387736493L);
    is("dp_expm1(-9.5367431640625e-7L)", dp_expm1(-9.5367431640625e-7L),
       -0.0000009536738616590436737910799L);
    is("dp_expm1(9.0949470177292823792e-13L)", dp_expm1(9.0949470177292823792e-13L),
       9.094947017733418282213157e-13L);
    is("dp_expm1(0.33203125L)", dp_expm1(0.33203125L), 0.3937964039695830970106924L);
    is("dp_expm1(0.34375L)", dp_expm1(0.34375L), 0.4102260349257107056997279L);
    is("dp_expm1(5.0L)", dp_expm1(5.0L), 147.4131591025766034211156L);
    is("dp_log(0x80p-4007L)", dp_log(0x80p-4007L), -2772.588722239781237668928L);
    is("dp_log(0.0078125L)", dp_log(0.0078125L), -4.852030263919617165920625L);
    is("dp_log(0.9990234375L)", dp_log(0.9990234375L), -0.0009770396478266127859680752L);
    is("dp_log(1.0009765625L)", dp_log(1.0009765625L), 0.0009760859730554588959608249L);
    is("dp_log(1.4140625L)", dp_log(1.4140625L), 0.3464667673462085809184622L);
    is("dp_log(10.0L)", dp_log(10.0L), 2.302585092994045684017991L);
    is("dp_log(0xc0p4994L)", dp_log(0xc0p4994L), 3466.834515088394656777556L);
    is("dp_log1p(-0.4375L)", dp_log1p(-0.4375L), -0.5753641449035618548784380L);
    is("dp_log1p(-1e-18L)", dp_log1p(-1e-18L), -1.000000000000000000500000e-18L);
    is("dp_log1p(8.6736173798840354721e-19L)", dp_log1p(8.6736173798840354721e-19L),
       8.673617379884035468298040e-19L);
    is("dp_log1p(0.25L)", dp_log1p(0.25L), 0.2231435513142097557662951L);
    is("dp_log1p(0.75L)", dp_log1p(0.75L), 0.5596157879354226862708885L);
    is("dp_log1p(100.0L)", dp_log1p(100.0L), 4.615120516841259450884198L);
    is("dp_sqrt(0x80p-3008L)", dp_sqrt(0x80p-3008L), 2.016004541854722042638839e-452L);
    is("dp_sqrt(0.5L)", dp_sqrt(0.5L), 0.7071067811865475244008444L);
    is("dp_sqrt(2.0L)", dp_sqrt(2.0L), 1.414213562373095048801689L);
    is("dp_sqrt(10000000000000000000.0L)", dp_sqrt(10000000000000000000.0L),
       3162277660.168379331998894L);
    is("dp_sqrt(0xc0p3994L)", dp_sqrt(0xc0p3994L), 1.988620697944389117564283e+602L);
}

Test(normal, normal_tails_are_within_the_error_bound)
{
    is("dp_normal_density(0.0L)", dp_normal_density(0.0L), 0.3989422804014326779399461L);
    is("dp_normal_density(-1.5L)", dp_normal_density(-1.5L), 0.1295175956658917276140996L);
    is("dp_normal_density(9.0L)", dp_normal_density(9.0L), 1.027977357166891479530189e-18L);
    is("dp_normal_density(37.25L)", dp_normal_density(37.25L), 1.974883779891632897425971e-302L);
    is("dp_normal_density(99.5L)", dp_normal_density(99.5L), 6.150888217424868668477437e-2151L);
    is("dp_normal_mills(0.0L)", dp_normal_mills(0.0L), 1.253314137315500251207883L);
    is("dp_normal_mills(0.5L)", dp_normal_mills(0.5L), 0.8763644564536923467278531L);
    is("dp_normal_mills(0.9990234375L)", dp_normal_mills(0.9990234375L),
       0.6560159413918192630971164L);
    is("dp_normal_mills(1.0L)", dp_normal_mills(1.0L), 0.6556795424187984715438712L);
    is("dp_normal_mills(1.9990234375L)", dp_normal_mills(1.9990234375L),
       0.4215228559759695799889834L);
    is("dp_normal_mills(2.0L)", dp_normal_mills(2.0L), 0.4213692292880544732249343L);
    is("dp_normal_mills(5.9990234375L)", dp_normal_mills(5.9990234375L),
       0.1624027955926517569701762L);
    is("dp_normal_mills(6.0L)", dp_normal_mills(6.0L), 0.1623776608968674618156821L);
    is("dp_normal_mills(50.0L)", dp_normal_mills(50.0L), 0.01999200958085356731115669L);
    is("dp_normal_mills(2000.0L)", dp_normal_mills(2000.0L), 0.0004999998750000937498828127L);
    is("dp_normal_tail(-40.0L)", dp_normal_tail(-40.0L), 1.000000000000000000000000L);
    is("dp_normal_tail(-3.0L)", dp_normal_tail(-3.0L), 0.9986501019683699054733482L);
    is("dp_normal_tail(-0.75L)", dp_normal_tail(-0.75L), 0.7733726476231318006729378L);
    is("dp_normal_tail(-0.0009765625L)", dp_normal_tail(-0.0009765625L),
       0.5003895920087805410067758L);
    is("dp_normal_tail(0.0L)", dp_normal_tail(0.0L), 0.5000000000000000000000000L);
    is("dp_normal_tail(0.984375L)", dp_normal_tail(0.984375L), 0.1624655827384186164838902L);
    is("dp_normal_tail(1.0L)", dp_normal_tail(1.0L), 0.1586552539314570514147675L);
    is("dp_normal_tail(4.75L)", dp_normal_tail(4.75L), 0.000001017083242568703171259182L);
    is("dp_normal_tail(8.5L)", dp_normal_tail(8.5L), 9.479534822203318354151050e-18L);
    is("dp_normal_tail(37.5L)", dp_normal_tail(37.5L), 4.605353009581954843827969e-308L);
    is("dp_normal_tail(99.5L)", dp_normal_tail(99.5L), 6.181172984364354084340327e-2153L);
    is("dp_normal_central(9.5367431640625e-7L)", dp_normal_central(9.5367431640625e-7L),
       0.0000003804610065473291447558940L);
    is("dp_normal_central(0.125L)", dp_normal_central(0.125L), 0.04973822483011289297929563L);
    is("dp_normal_central(1.9921875L)", dp_normal_central(1.9921875L),
       0.4768247553897145475942141L);
    is("dp_normal_central(2.0L)", dp_normal_central(2.0L), 0.4772498680518207927997174L);
    is("dp_normal_central(7.5L)", dp_normal_central(7.5L), 0.4999999999999680910832709L);
}

Test(normal, the_inverse_tail_undoes_the_tail)
{
    static const long double points[] = {0.0L, 0.015625L, 0.5L,  1.0L, 1.75L,
                                         2.5L, 6.25L,     12.0L, 37.0L};
    for (unsigned i = 0; i < sizeof(points) / sizeof(*points); i++) {
        long double x = points[i];
        long double found = dp_normal_tail_inverse(dp_normal_tail(x));
        long double error = (found - x) / (1.0L + x);
        cr_expect(error < DP_NORMAL_ERROR && error > -DP_NORMAL_ERROR, "%.20Lg gives %.20Lg", x,
                  found);
    }
    long double low = dp_normal_tail_inverse(1.0L - 0x1p-20L);
    cr_expect(low + dp_normal_tail_inverse(0x1p-20L) == 0.0L);
}

/* The C library's functions, good to a few units of 2^-64, on dense grids: no seam between the
 * methods. */
Test(normal, dense_grids_agree_with_the_c_library)
{
    const long double scale = 0.70710678118654752440084436210484903928L;
    for (int i = 1; i < 40000; i++) {
        long double x = (long double)i / 4096.0L * 1.00001L;
        is("exp", dp_exp(x), expl(x));
        is("exp", dp_exp(-x), expl(-x));
        is("expm1", dp_expm1(x / 8), expm1l(x / 8));
        is("expm1", dp_expm1(-x / 8), expm1l(-x / 8));
        is("log", dp_log(x), logl(x));
        is("log1p", dp_log1p(x / 32), log1pl(x / 32));
        is("log1p", dp_log1p(-x / 32), log1pl(-x / 32));
        is("sqrt", dp_sqrt(x), sqrtl(x));
        is("tail", dp_normal_tail(x), erfcl(x * scale) / 2);
        is("tail", dp_normal_tail(-x), erfcl(-x * scale) / 2);
        is("central", dp_normal_central(x), erfl(x * scale) / 2);
    }
}

Test(normal, tails_fall_and_join_without_a_step)
{
    long double last = 1.0L;
    for (long double x = -8.0L; x < 12.0L; x += 0x1p-7L) {
        long double tail = dp_normal_tail(x);
        cr_expect(tail < last, "at %Lg", x);
        last = tail;
    }
}

#!/bin/bash
# mechanisms/ needs nothing but libc's memory functions, the entropy interface, the process's own id, and
# what the compiler itself puts in: no files, no clock, no libm, no other library. And noise.o gives away
# no symbol that could choose another generator.
set -u
cd "$(dirname "$0")/.." || exit 1
archive=build/release/libmechanisms.a
status=0
if [ ! -f "$archive" ]; then
    make --no-print-directory "$archive" || exit 1
fi

memory='malloc|calloc|realloc|free|mmap|munmap|madvise|memcpy|memset|memmove|memcmp|explicit_bzero'
checked='__explicit_bzero_chk|__memcpy_chk|__memset_chk|__memmove_chk'
entropy='getrandom|getpid|__errno_location'
compiler='__assert_fail|__stack_chk_fail|__(u?div|u?mod|udivmod|u?divmod)ti[34]|__float(un)?ti[dx]f|_GLOBAL_OFFSET_TABLE_|__asan_.*|__ubsan_.*'

defined=$(nm --defined-only "$archive" | awk 'NF == 3 {print $3}' | sort -u)
foreign=$(nm --undefined-only "$archive" | awk '$1 == "U" {print $2}' | sort -u |
    comm -23 - <(echo "$defined") | grep -vxE "$memory|$checked|$entropy|$compiler")
if [ -n "$foreign" ]; then
    echo "$archive needs more than memory and entropy:"
    echo "$foreign"
    status=1
fi

outside=$(nm --defined-only --extern-only "$archive" | awk 'NF == 3 && $3 !~ /^dp_/ {print $3}')
if [ -n "$outside" ]; then
    echo "$archive exports names that do not begin with dp_:"
    echo "$outside"
    status=1
fi

# One generator, constant data; its pieces are local.
generators=$(nm --defined-only --extern-only "$archive" | awk '$3 ~ /rng/ {print $2, $3}' | sort)
if [ "$generators" != "$(printf 'D dp_rng_system\nT dp_rng_reseed')" ] &&
    [ "$generators" != "$(printf 'R dp_rng_system\nT dp_rng_reseed')" ]; then
    echo "unexpected exports of the generator:"
    echo "$generators"
    status=1
fi
exit $status

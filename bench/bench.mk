# Benchmarks: every bench/NAME.c becomes a program; `make bench` runs them. They print, and assert nothing.

BENCH_OUT := $(OUT)/bench
$(BENCH_OUT)/%: $(OUT)/bench/%.o $(patsubst %,$(OUT)/lib%.a,proxy parser budget config mechanisms)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# Noise needs no other folder.
$(BENCH_OUT)/noise: $(OUT)/bench/noise.o $(OUT)/libmechanisms.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lm

.PHONY: bench bench-noise bench-ledger
bench: bench-noise bench-ledger ## all benchmarks
bench-noise: $(BENCH_OUT)/noise ## nanoseconds per noisy value, measured variance beside theoretical
	@$(BENCH_OUT)/noise
bench-ledger: $(BENCH_OUT)/ledger ## durable charges per second beside pgbench on the same server
	@$(BENCH_OUT)/ledger

# Tests: every tests/unit/test_NAME.c is a Criterion program of its own, linked with the archives it
# may know. Built with sanitizers: make SANITIZE=address,undefined check-unit
# tests/stat/test_NAME.c likewise: statistical tests of the samplers, which take longer.

TEST_OUT := $(OUT)/tests
TEST_ARCHIVES := $(patsubst %,$(OUT)/lib%.a,proxy parser budget config mechanisms)
UNIT_TESTS := $(patsubst tests/unit/test_%.c,$(TEST_OUT)/unit/%,$(wildcard tests/unit/test_*.c))
STAT_TESTS := $(patsubst tests/stat/test_%.c,$(TEST_OUT)/stat/%,$(wildcard tests/stat/test_*.c))
NOISES := tests/support/zero_noise.c tests/support/audited_noise.c
TEST_SUPPORT := $(patsubst %.c,$(OUT)/%.o,$(filter-out $(NOISES),$(wildcard tests/support/*.c)))
TEST_SERVERS := $(patsubst %,$(TEST_OUT)/pgveil-%-noise,zero audited half)

.SECONDARY:
$(TEST_OUT)/unit/%: $(OUT)/tests/unit/test_%.o $(TEST_SUPPORT) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) $(EDIT) -lcriterion

$(TEST_OUT)/stat/%: $(OUT)/tests/stat/test_%.o $(TEST_SUPPORT) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) $(EDIT) -lcriterion

# The server with another noise: the shipped objects, and tests/support in the place of
# mechanisms/noise.c. Without any, for comparing answers with PostgreSQL's; from a fixed keystream,
# with every public number written down; and half as wide as was paid for.
SERVER_PARTS := $(OUT)/proxy/main.o $(patsubst %,$(OUT)/lib%.a,proxy parser budget config) \
  $(patsubst %.c,$(OUT)/%.o,$(filter-out mechanisms/noise.c,$(wildcard mechanisms/*.c)))
$(TEST_OUT)/pgveil-zero-noise: $(OUT)/tests/support/zero_noise.o
$(TEST_OUT)/pgveil-audited-noise: $(OUT)/tests/support/audited_noise.o $(OUT)/tests/support/tape_rng.o
$(TEST_OUT)/pgveil-half-noise: $(OUT)/tests/support/half_noise.o $(OUT)/tests/support/tape_rng.o
$(TEST_SERVERS): $(SERVER_PARTS)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(OUT)/tests/support/half_noise.o: tests/support/audited_noise.c
	@mkdir -p $(@D)
	@echo "  CC   $< with its fault"
	$(Q)$(CC) $(CFLAGS_ALL) -DNOISE_FAULT -MD -MP -c -o $@ $<

# Programs that tests run, without a server: what the compiler makes of a statement.
TEST_TOOLS := $(patsubst tests/tools/%.c,$(TEST_OUT)/tools/%,$(wildcard tests/tools/*.c))
$(TEST_OUT)/tools/%: $(OUT)/tests/tools/%.o $(OUT)/tests/support/catalogs.o \
  $(patsubst %,$(OUT)/lib%.a,parser config mechanisms)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

.PHONY: check check-unit check-stat check-layering tests
check: ## everything: tests/run
	tests/run

tests: $(UNIT_TESTS) $(STAT_TESTS) $(TEST_SERVERS) $(TEST_TOOLS) ## build every test program

check-unit: $(UNIT_TESTS) ## run the unit tests; ONE=name runs one of them, FILTER='suite/test' narrows it
	@for t in $(if $(ONE),$(TEST_OUT)/unit/$(ONE),$(UNIT_TESTS)); do \
	  echo "== $${t##*/}"; $$t --quiet $(if $(FILTER),--filter '$(FILTER)') || exit 1; done

check-stat: $(STAT_TESTS) ## run the statistical tests
	@for t in $(STAT_TESTS); do echo "== $${t##*/}"; $$t --quiet || exit 1; done

check-layering: ## who includes whom
	tests/check-layering.sh

include $(wildcard tests/fuzz/fuzz.mk)

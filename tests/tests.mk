# Tests: every tests/unit/test_NAME.c is a Criterion program of its own, linked with the archives it
# may know. Built with sanitizers: make SANITIZE=address,undefined check-unit
# tests/stat/test_NAME.c likewise: statistical tests of the samplers, which take longer.

TEST_OUT := $(OUT)/tests
TEST_ARCHIVES := $(patsubst %,$(OUT)/lib%.a,proxy parser budget config mechanisms)
UNIT_TESTS := $(patsubst tests/unit/test_%.c,$(TEST_OUT)/unit/%,$(wildcard tests/unit/test_*.c))
STAT_TESTS := $(patsubst tests/stat/test_%.c,$(TEST_OUT)/stat/%,$(wildcard tests/stat/test_*.c))
TEST_SUPPORT := $(patsubst %.c,$(OUT)/%.o,$(filter-out tests/support/zero_noise.c,$(wildcard tests/support/*.c)))
ZERO_NOISE := $(TEST_OUT)/pgveil-zero-noise

.SECONDARY:
$(TEST_OUT)/unit/%: $(OUT)/tests/unit/test_%.o $(TEST_SUPPORT) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lcriterion

$(TEST_OUT)/stat/%: $(OUT)/tests/stat/test_%.o $(TEST_SUPPORT) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lcriterion

# The server without noise, for comparing answers with PostgreSQL's: the shipped objects, and
# tests/support/zero_noise.c in the place of mechanisms/noise.c.
$(ZERO_NOISE): $(OUT)/proxy/main.o $(OUT)/tests/support/zero_noise.o \
  $(patsubst %,$(OUT)/lib%.a,proxy parser budget config) \
  $(patsubst %.c,$(OUT)/%.o,$(filter-out mechanisms/noise.c,$(wildcard mechanisms/*.c)))
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

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

tests: $(UNIT_TESTS) $(STAT_TESTS) $(ZERO_NOISE) $(TEST_TOOLS) ## build every test program

check-unit: $(UNIT_TESTS) ## run the unit tests; ONE=name runs one of them, FILTER='suite/test' narrows it
	@for t in $(if $(ONE),$(TEST_OUT)/unit/$(ONE),$(UNIT_TESTS)); do \
	  echo "== $${t##*/}"; $$t --quiet $(if $(FILTER),--filter '$(FILTER)') || exit 1; done

check-stat: $(STAT_TESTS) ## run the statistical tests
	@for t in $(STAT_TESTS); do echo "== $${t##*/}"; $$t --quiet || exit 1; done

check-layering: ## who includes whom
	tests/check-layering.sh

include $(wildcard tests/fuzz/fuzz.mk)

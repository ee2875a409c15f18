# Tests: every tests/unit/test_NAME.c is a Criterion program of its own, linked with the archives it
# may know. Built with sanitizers: make SANITIZE=address,undefined check-unit

TEST_OUT := $(OUT)/tests
UNIT_TESTS := $(patsubst tests/unit/test_%.c,$(TEST_OUT)/unit/%,$(wildcard tests/unit/test_*.c))
TEST_SUPPORT := $(patsubst %.c,$(OUT)/%.o,$(filter-out tests/support/zero_noise.c,$(wildcard tests/support/*.c)))

.SECONDARY:
$(TEST_OUT)/unit/%: $(OUT)/tests/unit/test_%.o $(TEST_SUPPORT) $(patsubst %,$(OUT)/lib%.a,proxy parser budget config mechanisms)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lcriterion

.PHONY: check-unit check-layering
check-unit: $(UNIT_TESTS) ## run the unit tests; ONE=name runs one of them, FILTER='suite/test' narrows it
	@for t in $(if $(ONE),$(TEST_OUT)/unit/$(ONE),$(UNIT_TESTS)); do \
	  echo "== $${t##*/}"; $$t --quiet $(if $(FILTER),--filter '$(FILTER)') || exit 1; done

check-layering: ## who includes whom
	tests/check-layering.sh

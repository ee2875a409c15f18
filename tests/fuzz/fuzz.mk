# libFuzzer programs, built by clang with sanitizers into build/fuzz. make fuzz FUZZ_SECONDS=600
# runs each of them so long; tests/fuzz/README.md says how to go on from a crash.

FUZZ_SECONDS ?= 20
FUZZ_OUT := build/fuzz
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SOURCES := $(addprefix proxy/,log.c stream.c tls.c wire.c wire_write.c scram.c scram_server.c \
  scram_client.c startup_packet.c login.c)

$(FUZZ_OUT)/%: tests/fuzz/fuzz_%.c $(FUZZ_SOURCES) $(wildcard proxy/*.h)
	@mkdir -p $(@D)
	@echo "  FUZZ $@"
	$(Q)clang -std=c11 -D_GNU_SOURCE -g -O1 $(WARNINGS) -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -fno-omit-frame-pointer -I. -o $@ $< $(FUZZ_SOURCES) \
	  $(shell pkg-config --cflags --libs libevent libevent_openssl openssl)

.PHONY: fuzz fuzz-build $(FUZZERS:%=fuzz-%)
fuzz-build: $(FUZZERS:%=$(FUZZ_OUT)/%) ## build the fuzzers (clang)
fuzz: $(FUZZERS:%=fuzz-%) ## run every fuzzer for FUZZ_SECONDS seconds
$(FUZZERS:%=fuzz-%): fuzz-%: $(FUZZ_OUT)/%
	@mkdir -p $(FUZZ_OUT)/corpus/$* $(FUZZ_OUT)/crashes
	$< -max_total_time=$(FUZZ_SECONDS) -max_len=12000 -timeout=5 -rss_limit_mb=1024 \
	  -artifact_prefix=$(FUZZ_OUT)/crashes/$*- $(FUZZ_OUT)/corpus/$* tests/fuzz/seeds/$*

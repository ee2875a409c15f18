# pgveil: one static archive a folder, all output below build/. `make help` lists the targets.
# SANITIZE=address,undefined builds into build/sanitize; the default is the hardened build in build/release.

CC ?= gcc
SANITIZE ?=
WERROR ?= 1
V ?= 0
FLAVOUR := $(if $(SANITIZE),sanitize,release)
OUT := build/$(FLAVOUR)
Q := $(if $(filter 1,$(V)),,@)

PACKAGES := libevent libevent_openssl jansson libpq openssl libprotobuf-c
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
  -Wundef -Wvla -Wcast-qual -Wwrite-strings -Wswitch-enum $(if $(filter 1,$(WERROR)),-Werror)
HARDENING := $(if $(SANITIZE),-O1 -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer,\
  -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
CFLAGS_ALL := -std=c11 -D_GNU_SOURCE -g -fPIE -pthread $(WARNINGS) $(HARDENING) -I. -Ibuild/include \
  $(shell pkg-config --cflags $(PACKAGES) | sed 's/-I/-isystem /g') $(CFLAGS)
LDFLAGS_ALL := -pie -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE),-Wl,-z,relro,-z,now) $(LDFLAGS)
# libevent: core for the loop, openssl for TLS streams.
LIBS := $(shell pkg-config --libs $(PACKAGES)) -lpg_query -lm
# Line editing for `pgveilctl console`, where it is installed: BSD's library, with readline's names.
EDIT := $(shell pkg-config --exists libedit && pkg-config --libs libedit)
$(OUT)/budget/ctl_console.o: CFLAGS_ALL += $(if $(EDIT),-DPGVEIL_LIBEDIT)

FOLDERS := mechanisms config parser budget proxy
include $(wildcard tests/tests.mk bench/bench.mk)

# Programs' main files are not part of the archives.
MAINS := proxy/main.c budget/ctl_main.c
sources = $(filter-out $(MAINS),$(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(OUT)/%.o,$(1))

.PHONY: all clean help format format-check tidy install
all: $(OUT)/pgveil $(OUT)/pgveilctl ## build pgveil and pgveilctl

define archive
$(OUT)/lib$(1).a: $(call objects,$(call sources,$(1)))
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call archive,$(f))))

# No public function of mechanisms/ without its proof note.
$(OUT)/libmechanisms.a: | build/proofs-checked
build/proofs-checked: tests/check-proofs.sh $(wildcard mechanisms/*.h mechanisms/proofs/*.md)
	@mkdir -p $(@D)
	$(Q)tests/check-proofs.sh && touch $@

$(OUT)/pgveil: $(OUT)/proxy/main.o $(patsubst %,$(OUT)/lib%.a,proxy parser budget config mechanisms)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(OUT)/pgveilctl: $(OUT)/budget/ctl_main.o $(patsubst %,$(OUT)/lib%.a,budget config mechanisms)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs jansson libpq openssl) $(EDIT) -lm

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MD -MP -c -o $@ $<

# A file of SQL text as a C string, so that the program needs no file beside it.
build/include/%.sql.h: %.sql
	@mkdir -p $(@D)
	$(Q)sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

SQL_HEADERS := $(patsubst %.sql,build/include/%.sql.h,$(wildcard budget/*.sql proxy/*.sql))
$(foreach f,$(FOLDERS),$(call objects,$(wildcard $(f)/*.c))): | $(SQL_HEADERS)

SOURCES_ALL := $(wildcard $(FOLDERS:%=%/*.[ch]) tests/*/*.[ch] bench/*.[ch])
format: ## format every C file
	clang-format -i $(SOURCES_ALL)
format-check: ## fail where clang-format would change a file
	clang-format --dry-run -Werror $(SOURCES_ALL)
tidy: ## clang-tidy over every C file of the programs
	clang-tidy --quiet $(wildcard $(FOLDERS:%=%/*.c)) -- $(CFLAGS_ALL)

PREFIX ?= /usr/local
SHARE := $(DESTDIR)$(PREFIX)/share
install: all ## install both programs, the manual page and completions below $(DESTDIR)$(PREFIX)
	install -D -m 755 $(OUT)/pgveil $(DESTDIR)$(PREFIX)/bin/pgveil
	install -D -m 755 $(OUT)/pgveilctl $(DESTDIR)$(PREFIX)/bin/pgveilctl
	install -d $(SHARE)/man/man8 $(SHARE)/bash-completion/completions \
	  $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	$(OUT)/pgveilctl --man > $(SHARE)/man/man8/pgveilctl.8
	$(OUT)/pgveilctl completion bash > $(SHARE)/bash-completion/completions/pgveilctl
	$(OUT)/pgveilctl completion zsh > $(SHARE)/zsh/site-functions/_pgveilctl
	$(OUT)/pgveilctl completion fish > $(SHARE)/fish/vendor_completions.d/pgveilctl.fish

clean: ## remove everything built
	rm -rf build
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 18

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

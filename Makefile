# SPDX-License-Identifier: ISC
# Builds, tests and installs everything, without recursion into folders; "make help" lists the
# targets. Sources are found by wildcard: a new file takes part as soon as it exists.
# CC AR CFLAGS CPPFLAGS LDFLAGS LDLIBS are the user's: honoured and added to, never replaced.

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

VERSION   := $(shell cat VERSION)
SOVERSION := 0

BUILD     ?= build
SAN       ?=
WERROR    ?= 0
FUZZ_SECONDS ?= 20
FUZZ_SEED    ?=

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system

# $(O) holds everything that is made; each set of sanitizers has its own, so that they can
# stand side by side. $(BUILD)/peers, other people's servers for the tests, is common to all.
comma := ,
ifneq ($(findstring fuzzer,$(SAN)),)
O := $(BUILD)/san-fuzz
else
O := $(BUILD)$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
endif
PEERS := $(abspath $(BUILD))/peers

# --- sources ---------------------------------------------------------------------------------

src = $(sort $(foreach d,$(1),$(wildcard $(d)/*.c)))

LIB_SRCS     := $(call src,libsmtp/core libsmtp/net libsmtp/middleware libsmtp/senderauth \
                  storage dkim)
CONFIG_SRCS  := $(call src,config)
CLI_SRCS     := $(call src,cli)
SMTPD_SRCS   := $(call src,smtpd smtpd/mail smtpd/queue smtpd/keeper)
SMTPCTL_SRCS := $(call src,smtpctl)
SMTPC_SRCS   := $(call src,smtpc)
TEST_SRCS    := $(sort $(wildcard tests/unit/test_*.c tests/transcripts/test_*.c))
TOOL_SRCS    := $(call src,tests/tools)
SUPPORT_SRCS := $(filter-out $(TEST_SRCS),$(call src,tests/unit tests/transcripts))
FUZZ_SRCS    := $(sort $(wildcard fuzz/fuzz_*.c))
BENCH_SRCS   := $(call src,bench)
EXAMPLE_SRCS := $(call src,examples)

# All of the programs but their main.c; unit tests may link it.
PROGRAMS_SRCS := $(filter-out %/main.c,$(CONFIG_SRCS) $(CLI_SRCS) $(SMTPD_SRCS) \
                   $(SMTPCTL_SRCS) $(SMTPC_SRCS))

obj = $(patsubst %.c,$(O)/obj/%.o,$(1))

ALL_SRCS := $(LIB_SRCS) $(CONFIG_SRCS) $(CLI_SRCS) $(SMTPD_SRCS) $(SMTPCTL_SRCS) $(SMTPC_SRCS) \
            $(TEST_SRCS) $(SUPPORT_SRCS) $(TOOL_SRCS) $(call src,fuzz) $(BENCH_SRCS) $(EXAMPLE_SRCS)

# A program is left out as long as it has no main.c.
PROGRAMS := $(foreach p,smtpd smtpctl smtpc,$(if $(wildcard $(p)/main.c),$(O)/$(p)))
TESTS    := $(addprefix $(O)/tests/,$(notdir $(TEST_SRCS:.c=)))
TOOLS    := $(addprefix $(O)/tests/,$(notdir $(TOOL_SRCS:.c=)))
FUZZERS  := $(patsubst fuzz/%.c,$(O)/fuzz/%,$(FUZZ_SRCS))
REPLAYS  := $(if $(wildcard fuzz/replay.c),$(patsubst fuzz/fuzz_%.c,$(O)/fuzz/replay_%,$(FUZZ_SRCS)))
BENCHES  := $(patsubst %.c,$(O)/%,$(BENCH_SRCS))
EXAMPLES := $(patsubst %.c,$(O)/%,$(EXAMPLE_SRCS))
LIBRARY  := $(O)/libsmtp.a $(if $(LIB_SRCS),$(O)/libsmtp.so)

# --- flags -----------------------------------------------------------------------------------
# Everything that asks pkg-config or the compiler is looked up once, at its first use in a
# recipe: "make test" on a machine with neither must be able to install them first.

# libunbound goes without: its .pc file on Debian names private modules of nettle that its own
# development package does not bring.
PKGS := libevent libevent_pthreads libsodium opendkim sqlite3 yaml-0.1 openssl libidn2
LIBUNBOUND := -lunbound

once = $(eval $(1) := $(2))$($(1))
supported = $(shell $(CC) -Werror $(1) -x c -fsyntax-only /dev/null 2>/dev/null && echo '$(1)')

PKG_CONFIG ?= pkg-config
PKG_CFLAGS  = $(call once,PKG_CFLAGS,$(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PKGS))))
PKG_LIBS    = $(call once,PKG_LIBS,$(shell $(PKG_CONFIG) --libs $(PKGS)))
CHECK_LIBS  = $(call once,CHECK_LIBS,$(shell $(PKG_CONFIG) --libs check))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

HARDEN_PROBED = $(call once,HARDEN_PROBED,$(call supported,-fstack-clash-protection) $(call supported,-fcf-protection))
HARDEN = -fstack-protector-strong $(HARDEN_PROBED)
ifneq ($(SAN),)
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
else
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

ALL_CPPFLAGS = -D_GNU_SOURCE -Ilibsmtp/include -I. -I$(O)/gen \
               -DLIBSMTP_VERSION='"$(VERSION)"' -DLIBSMTP_SYSCONFDIR='"$(SYSCONFDIR)"' \
               $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS   = -std=c17 -O2 -g -fvisibility=hidden -pthread $(WARNINGS) $(HARDEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS  = -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAGS) $(CFLAGS) $(LDFLAGS)
PROG_LDFLAGS = -pie $(ALL_LDFLAGS)
SO_LDFLAGS   = -shared -Wl,-soname,libsmtp.so.$(SOVERSION) -Wl,--version-script=libsmtp.map \
               $(if $(SAN),,-Wl,-z,defs) $(ALL_LDFLAGS)
ALL_LIBS     = $(PKG_LIBS) $(LIBUNBOUND) $(LDLIBS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)')

# --- what "make" makes -----------------------------------------------------------------------

.PHONY: all programs library tests examples
all: library programs examples
library: $(LIBRARY)
programs: $(PROGRAMS)
tests: $(TESTS) $(TOOLS) $(REPLAYS)
examples: $(EXAMPLES)

# --- compile ---------------------------------------------------------------------------------

# Rewritten only when its content changes, so that what depends on it is remade just then.
define stamp
@mkdir -p $(@D)
@printf '%s\n' $(1) | cmp -s - $@ || printf '%s\n' $(1) >$@
endef
quote = '$(subst ','\'',$(1))'

.PHONY: force
$(O)/flags: force
	@command -v $(firstword $(CC)) >/dev/null && command -v $(firstword $(PKG_CONFIG)) >/dev/null || \
	  { echo 'there is no $(firstword $(CC)) or no $(PKG_CONFIG); "scripts/deps.sh build" installs what' \
	    'is needed, or says how' >&2; exit 1; }
	$(call stamp,$(call quote,$(CC)) $(call quote,$(ALL_CPPFLAGS)) $(call quote,$(ALL_CFLAGS)) $(call quote,$(ALL_LDFLAGS)))
$(O)/sources: force
	$(call stamp,$(ALL_SRCS))

PIC := -fPIE
$(call obj,$(LIB_SRCS)): PIC := -fPIC

$(O)/obj/%.o: %.c $(O)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(PIC) -MMD -MP -c -o $@ $<

-include $(patsubst %.o,%.d,$(call obj,$(ALL_SRCS)))

# The schema as a C string: `static const char schema_sql[]`.
$(call obj,$(call src,storage)): | $(if $(wildcard storage/schema.sql),$(O)/gen/schema_sql.h)
$(O)/gen/schema_sql.h: storage/schema.sql
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	@{ echo '/* made from $< */'; echo 'static const char schema_sql[] ='; \
	   sed -e 's/[\\"]/\\&/g' -e 's/^/"/' -e 's/$$/\\n"/' $<; echo ';'; } >$@

# --- link ------------------------------------------------------------------------------------

# q, not r: two folders may hold files of one name.
define archive
$(call say,AR,$@)
@mkdir -p $(@D)
@rm -f $@
$(Q)$(AR) qcs $@ $(filter %.o,$^)
endef

# For tests, fuzzers and our own programs: the internal symbols can be reached.
$(O)/libsmtp.a: $(call obj,$(LIB_SRCS)) $(O)/sources
	$(archive)
$(O)/libprograms.a: $(call obj,$(PROGRAMS_SRCS)) $(O)/sources
	$(archive)
$(O)/libtests.a: $(call obj,$(SUPPORT_SRCS)) $(O)/sources
	$(archive)

SO := libsmtp.so.$(SOVERSION).$(VERSION)
$(O)/$(SO): $(call obj,$(LIB_SRCS)) $(O)/sources libsmtp.map
	$(call say,LD,$@)
	$(Q)$(CC) $(SO_LDFLAGS) -o $@ $(filter %.o,$^) $(ALL_LIBS)
$(O)/libsmtp.so: $(O)/$(SO)
	@ln -sf $(SO) $(O)/libsmtp.so.$(SOVERSION)
	@ln -sf libsmtp.so.$(SOVERSION) $@

define link
$(call say,LD,$@)
@mkdir -p $(@D)
$(Q)$(CC) $(PROG_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)
endef

$(O)/smtpd:   $(call obj,$(SMTPD_SRCS) $(CONFIG_SRCS) $(CLI_SRCS)) $(O)/libsmtp.a $(O)/sources
	$(link) $(ALL_LIBS)
$(O)/smtpctl: $(call obj,$(SMTPCTL_SRCS) $(CONFIG_SRCS) $(CLI_SRCS)) $(O)/libsmtp.a $(O)/sources
	$(link) $(ALL_LIBS)
$(O)/smtpc:   $(call obj,$(SMTPC_SRCS) $(CLI_SRCS)) $(O)/libsmtp.a $(O)/sources
	$(link) $(ALL_LIBS)

TEST_ARCHIVES := $(O)/libtests.a $(O)/libprograms.a $(O)/libsmtp.a
$(O)/tests/%: $(O)/obj/tests/unit/%.o $(TEST_ARCHIVES)
	$(link) $(CHECK_LIBS) $(ALL_LIBS)
$(O)/tests/%: $(O)/obj/tests/transcripts/%.o $(TEST_ARCHIVES)
	$(link) $(CHECK_LIBS) $(ALL_LIBS)
$(O)/tests/%: $(O)/obj/tests/tools/%.o $(TEST_ARCHIVES)
	$(link) $(ALL_LIBS)
$(O)/bench/%: $(O)/obj/bench/%.o $(O)/libprograms.a $(O)/libsmtp.a
	$(link) $(ALL_LIBS)
$(O)/fuzz/replay_%: $(O)/obj/fuzz/fuzz_%.o $(O)/obj/fuzz/replay.o $(O)/libprograms.a $(O)/libsmtp.a
	$(link) $(ALL_LIBS)
$(O)/fuzz/fuzz_%: $(O)/obj/fuzz/fuzz_%.o $(O)/libprograms.a $(O)/libsmtp.a
	$(link) -fsanitize=fuzzer $(ALL_LIBS)

# Examples stand outside: they see the public headers and the shared library only.
$(O)/examples/%: $(O)/obj/examples/%.o $(O)/libsmtp.so
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PROG_LDFLAGS) -Wl,-rpath,'$$ORIGIN/..' -o $@ $(filter %.o,$^) -L$(O) -lsmtp $(LDLIBS)

.SECONDARY:

# --- test ------------------------------------------------------------------------------------
# `test`, `run`, `fuzz`, `bench` and `lint` install first and then call make again, so that the
# compiler and pkg-config are first looked at when they are there.

JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))
AGAIN = $(MAKE) --no-print-directory $(JOBS)
TEST_ENV = BUILD='$(abspath $(O))' PEERS='$(PEERS)' SAN='$(SAN)' CC='$(CC)'

.PHONY: check test test-built run run-built lint map
check: programs tests
	@$(TEST_ENV) tests/run.sh unit transcripts fuzz

test:
	@scripts/deps.sh test
	@BUILD='$(BUILD)' scripts/peers.sh || echo 'tests that need these peers will be skipped'
	@$(AGAIN) test-built
test-built: all tests
	$(if $(LIB_SRCS),@$(MAKE) -s install DESTDIR='$(abspath $(O))/installed' PREFIX=/usr)
	@$(TEST_ENV) tests/run.sh

run:
	@scripts/deps.sh run
	@$(AGAIN) run-built
run-built: programs
	@BUILD='$(abspath $(O))' scripts/run-demo.sh

lint:
	@scripts/deps.sh lint
	@scripts/lint.sh

# The public symbols, as the headers declare them; the list is committed and checked by lint.
map:
	@scripts/exports.sh --write

# --- fuzz, bench -----------------------------------------------------------------------------

.PHONY: fuzz fuzz-built bench bench-built
fuzz:
	@scripts/deps.sh fuzz
	@$(AGAIN) fuzz-built CC=clang SAN=fuzzer-no-link,address,undefined
fuzz-built: $(FUZZERS)
	@FUZZ_SECONDS='$(FUZZ_SECONDS)' FUZZ_SEED='$(FUZZ_SEED)' FOUND='$(BUILD)/fuzz-found' scripts/fuzz.sh $(FUZZERS)

bench:
	@scripts/deps.sh bench
	@BUILD='$(BUILD)' scripts/peers.sh postfix
	@$(AGAIN) bench-built
bench-built: programs $(BENCHES)
	@$(TEST_ENV) bench/run.sh

# --- install ---------------------------------------------------------------------------------

# What is installed as libsmtp.a is one object in which only the public names are left.
$(O)/install/libsmtp.a: $(call obj,$(LIB_SRCS)) $(O)/sources
	$(call say,AR,$@)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(CC) -r -nostdlib -o $(@D)/libsmtp.o $(filter %.o,$^)
	$(Q)$(OBJCOPY) --localize-hidden $(@D)/libsmtp.o
	$(Q)$(AR) qcs $@ $(@D)/libsmtp.o
OBJCOPY ?= objcopy

# Libs.private, not Requires.private: the .pc files of some of these ask for more than their
# packages bring, and a program that uses the shared library needs none of them.
$(O)/install/libsmtp.pc: libsmtp.pc.in VERSION force
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	  -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(strip $(PKG_LIBS) $(LIBUNBOUND) -pthread)|' $< >$@

$(O)/install/%.service: packaging/%.service.in force
	@mkdir -p $(@D)
	@sed -e 's|@SBINDIR@|$(SBINDIR)|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' $< >$@

# A page for each header is made from it, where there is a Python to do so.
PYTHON3 ?= python3
$(O)/man/made: scripts/man.py $(wildcard libsmtp/include/smtp/*.h) VERSION
	$(call say,MAN,$(@D))
	@mkdir -p $(@D)
	@rm -f $(@D)/*.3
	@if command -v $(PYTHON3) >/dev/null; then $(PYTHON3) scripts/man.py $(@D) $(VERSION); \
	  else echo 'there is no $(PYTHON3): the manual pages of the headers are left out'; fi
	@touch $@

HEADERS  := $(sort $(wildcard libsmtp/include/smtp/*.h))
MANPAGES := $(sort $(wildcard man/*.[1-8]))
MANMADE  := $(patsubst %,smtp_%.3,$(filter-out smtp,$(basename $(notdir $(HEADERS)))))
UNITS    := $(patsubst packaging/%.in,%,$(sort $(wildcard packaging/*.service.in)))
D = $(DESTDIR)

.PHONY: install uninstall
install: library programs $(addprefix $(O)/install/,libsmtp.a libsmtp.pc $(UNITS)) $(O)/man/made
	install -d $(D)$(BINDIR) $(D)$(SBINDIR) $(D)$(LIBDIR)/pkgconfig $(D)$(INCLUDEDIR)/smtp
	install -m 755 $(O)/$(SO) $(D)$(LIBDIR)/$(SO)
	ln -sf $(SO) $(D)$(LIBDIR)/libsmtp.so.$(SOVERSION)
	ln -sf libsmtp.so.$(SOVERSION) $(D)$(LIBDIR)/libsmtp.so
	install -m 644 $(O)/install/libsmtp.a $(D)$(LIBDIR)/libsmtp.a
	install -m 644 $(O)/install/libsmtp.pc $(D)$(LIBDIR)/pkgconfig/libsmtp.pc
	install -m 644 $(HEADERS) $(D)$(INCLUDEDIR)/smtp
	$(foreach p,$(filter-out %/smtpc,$(PROGRAMS)),install -m 755 $(p) $(D)$(SBINDIR)$(newline))
	$(foreach p,$(filter %/smtpc,$(PROGRAMS)),install -m 755 $(p) $(D)$(BINDIR)$(newline))
	$(foreach m,$(MANPAGES),install -D -m 644 $(m) $(D)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))$(newline))
	install -d $(D)$(MANDIR)/man3
	for m in $(O)/man/*.3; do [ ! -f "$$m" ] || install -m 644 "$$m" $(D)$(MANDIR)/man3 || exit 1; done
	$(foreach u,$(UNITS),install -D -m 644 $(O)/install/$(u) $(D)$(UNITDIR)/$(u)$(newline))
	@[ -n '$(D)' ] || ldconfig 2>/dev/null || true # so that the library is found at once

uninstall:
	rm -f $(addprefix $(D)$(LIBDIR)/,$(SO) libsmtp.so.$(SOVERSION) libsmtp.so libsmtp.a pkgconfig/libsmtp.pc)
	rm -f $(addprefix $(D)$(INCLUDEDIR)/smtp/,$(notdir $(HEADERS)))
	-rmdir $(D)$(INCLUDEDIR)/smtp
	rm -f $(D)$(SBINDIR)/smtpd $(D)$(SBINDIR)/smtpctl $(D)$(BINDIR)/smtpc
	rm -f $(foreach m,$(MANPAGES),$(D)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))
	rm -f $(addprefix $(D)$(MANDIR)/man3/,$(MANMADE))
	rm -f $(addprefix $(D)$(UNITDIR)/,$(UNITS))

define newline


endef

# --- clean, help -----------------------------------------------------------------------------

.PHONY: clean distclean help
clean:
	rm -rf $(addprefix $(BUILD)/,clang obj gen man tests test-logs fuzz bench examples install installed san-* *.a *.so* \
	  flags sources smtpd smtpctl smtpc)
distclean:
	@case $$(readlink run) in /var/tmp/libsmtp-run.*) rm -rf "$$(readlink run)" ;; esac
	rm -rf $(BUILD) run

help:
	@echo 'make              the library, the programs, the examples'
	@echo 'make run          a demonstration server for example.test in ./run (ONCE=1: stop after it)'
	@echo 'make check        unit tests, transcripts, fuzz corpus; quick'
	@echo 'make test         installs what is missing, then every test (ONLY=NAME: those named so)'
	@echo 'make lint         rules on layers, names, lengths'
	@echo 'make fuzz         every fuzzer for FUZZ_SECONDS=20 (ONLY=NAME)'
	@echo 'make bench        figures, beside smtp-sink, openssl and a bare epoll loop'
	@echo 'make install      DESTDIR= PREFIX=/usr/local BINDIR SBINDIR LIBDIR INCLUDEDIR MANDIR'
	@echo 'make uninstall clean distclean map (rewrites libsmtp.map from the headers)'
	@echo 'SAN=address,undefined | SAN=thread   WERROR=1   BUILD=folder   V=1   CC= CFLAGS= LDFLAGS='

# Two commands for a newcomer: `make demo` and `make test`. Everything else is in `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
DEMO_DIR ?= .demo
WEB := collector/web
# Node.js of our own, where the system's is too old (tests/scripts/install).
export PATH := $(CURDIR)/.tools/node_modules/node/bin:$(PATH)
BROWSER := tests/browser

.PHONY: help demo demo-clean test soak outbox bench fuzz coverage-report year build web deps deps-test lint tidy schema clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: deps web ## build all, start collector and agent with simulated devices, inject faults, show the tickets
	@echo "== building (the first time takes some minutes)"
	cargo build --workspace --bins
	@target/debug/callhome-demo --dir $(DEMO_DIR)

demo-clean: ## remove what `make demo` made
	@target/debug/callhome-demo --dir $(DEMO_DIR) --clean 2>/dev/null || rm -rf $(DEMO_DIR)
	@echo "removed $(DEMO_DIR)"

test: deps deps-test web ## everything: lint, unit, property, end-to-end and browser tests
	@echo "== console: unit tests"
	npm --prefix $(WEB) test --silent
	@echo "== lint"
	$(MAKE) --no-print-directory lint
	@echo "== build"
	cargo build --workspace --bins
	@echo "== tests"
	cargo nextest run --workspace --no-fail-fast

# Seeded storms: make soak SEED=7 RUNS=10 FAULTS=2000. Without a seed: a random one, and the kill test and the
# bundles under failure, too.
SEED ?=
RUNS ?=
FAULTS ?=
soak: deps deps-test ## long runs: seeded storms (SEED=, RUNS=, FAULTS=); without SEED also 2,000 faults under kill -9
	cargo build --release --workspace --bins
	CALLHOME_BIN_DIR=target/release CALLHOME_STORM_SEED=$(SEED) CALLHOME_STORM_RUNS=$(or $(RUNS),5) CALLHOME_STORM_FAULTS=$(FAULTS) \
	  cargo nextest run -p callhome-tests --profile soak -E 'test(=storms::storms)' --no-capture
ifeq ($(SEED),)
	CALLHOME_SOAK=1 CALLHOME_BIN_DIR=target/release cargo nextest run -p callhome-tests --profile soak -E 'test(/^(kills|bundle_failures)/)' --no-capture
endif

# The outbox alone. PART=10 does a tenth of each.
PART ?= 1
outbox: ## the agent's outbox under kill -9, power loss, full disks and damage, with counts (PART=10: a tenth)
	CALLHOME_TEST_OUTBOX_KILLS=$$((500 / $(PART))) CALLHOME_TEST_POWER_LOSSES=$$((7000 / $(PART))) \
	CALLHOME_TEST_DISK_FULL=$$((2000 / $(PART))) CALLHOME_TEST_OUTBOX_DAMAGE=$$((600 / $(PART))) \
	CALLHOME_TEST_OUTBOX_MODEL=$$((80 / $(PART))) \
	  cargo nextest run -p callhome-agent --profile soak --no-capture -E 'test(/^outbox::tests::(kill|power|full|damage|model)/)'

year: deps ## a support centre's year, played in minutes: tickets against causes, every clock against an almanac
	CALLHOME_YEAR=$(or $(YEAR),500,40,365) cargo nextest run -p callhome-collector --cargo-profile fuzz --profile soak \
	  -E 'test(every_cause_has_its_ticket)' --no-capture

bench: deps ## speed and memory, beside a floor and beside other programs measured in the same run
	tests/scripts/install bench || echo "== collectd and the exporter could not be installed: measured without them"
	cargo build --release -p callhome-agent
	cargo build --release -p callhome-collector -p callhome-tests --bins
	target/release/callhome-bench
	cargo nextest run -p callhome-collector --cargo-profile fuzz --profile soak --run-ignored only -E 'test(tests::pace::pace)' --no-capture

FUZZ_CASES ?= 20000
FUZZ_MINUTES ?=
FUZZ_DECODERS ?=
fuzz: ## every decoder with 20,000 inputs (FUZZ_CASES=…), other properties with a twentieth; or by time (FUZZ_MINUTES=10)
ifneq ($(FUZZ_MINUTES),)
	tests/scripts/fuzz-minutes $(FUZZ_MINUTES) "$$(cargo test -p callhome-agent --lib --profile fuzz --no-run \
	  --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)" $(FUZZ_DECODERS)
else
	PROPTEST_CASES=$(FUZZ_CASES) cargo nextest run --workspace --cargo-profile fuzz --profile fuzz --no-fail-fast \
	  -E 'test(/panics|fuzz/) and not package(callhome-tests)'
	PROPTEST_CASES=$$(( $(FUZZ_CASES) / 20 )) cargo nextest run --workspace --cargo-profile fuzz --profile fuzz --no-fail-fast \
	  -E 'test(/prop/) and not test(/panics|fuzz/) and not package(callhome-tests)'
endif

coverage-report: ## what the shipped device profiles see of real recordings, every possible fault included
	COVERAGE_FULL=1 cargo nextest run -p callhome-agent --test coverage --profile soak --no-capture

# The agent by itself: built together, it would get what the collector asks of the libraries that both use.
build: web ## release binaries
	cargo build --release -p callhome-agent
	cargo build --release -p callhome-collector

web: $(WEB)/dist/index.html ## the console's files

$(WEB)/dist/index.html: $(shell find $(WEB)/src $(WEB)/index.html $(WEB)/package-lock.json $(WEB)/vite.config.ts -type f 2>/dev/null)
	@echo "== console: npm ci, build"
	npm --prefix $(WEB) ci --no-audit --no-fund --silent
	npm --prefix $(WEB) run build --silent
	@touch $@

deps: ## install what building and the demo need (Debian packages)
	@tests/scripts/install demo

deps-test: ## install what the tests need beyond that
	@tests/scripts/install test
	@echo "== browser test: npm ci"
	@npm --prefix $(BROWSER) ci --no-audit --no-fund --silent
	@npm --prefix tests/oidc ci --no-audit --no-fund --silent || echo "== no OpenID provider: log-in by one is not tested"

lint: ## formatting, clippy without warnings, licences, sources and advisories of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	@cargo deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing: make deps-test installs it" >&2; exit 1; }
	cargo deny --log-level error check licenses bans sources
	@tests/scripts/advisories

clean: demo-clean ## also build results
	cargo clean
	rm -rf $(WEB)/dist $(WEB)/node_modules $(BROWSER)/node_modules tests/artifacts

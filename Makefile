# Granary's two commands: `make run` and `make test`. `make help` names the others.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(CARGO_HOME)/bin:$(PATH)
# The checked queries are compiled against .sqlx, never against a database that happens to be there; see `make sqlx`.
export SQLX_OFFLINE := true

TARGET := $(or $(CARGO_TARGET_DIR),target)
WASM := $(TARGET)/wasm32-unknown-unknown
CORES := $(shell nproc)

# The wasm-bindgen program must be of exactly the version in Cargo.lock. It is kept outside the clone, for all clones.
WASM_BINDGEN_VERSION := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/^version = "\(.*\)"$$/\1/p}' Cargo.lock)
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/granary/wasm-bindgen-$(WASM_BINDGEN_VERSION)
WASM_BINDGEN := $(TOOLS)/bin/wasm-bindgen

.PHONY: help
help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# --- The two commands ---------------------------------------------------------------------------------------------

.PHONY: run
run: ## Install what is missing, build the release, serve it on http://127.0.0.1:3000
	@scripts/install.sh run
	@+$(MAKE) -j$(CORES) release
	@exec $(TARGET)/release/granary serve

.PHONY: test
test: ## Install what is missing, run every test
	@scripts/install.sh test
	@+scripts/test.sh

.PHONY: bench
bench: ## Measure, beside the bare engine and peers; ONLY=create for a part
	@scripts/install.sh run
	@+$(MAKE) -j$(CORES) release
	@# The client that measures would read every CA of this machine each time it connects: 90 ms, and none of them is asked.
	@+PATRONI=$$(scripts/peers.sh $(ONLY)) SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/nonexistent cargo bench --features ssr --bench granary -- $(ONLY)

.PHONY: chaos
chaos: ## Kill, freeze and starve datastores with replicas, for long; SEED=7 ROUNDS=40 to replay
	@scripts/install.sh test
	@+CHAOS_SEED=$(SEED) CHAOS_ROUNDS=$(ROUNDS) scripts/chaos.sh

# --- The build: browser side, what the browser loads, server side ----------------------------------------------------
# cargo knows best what changed, so it is always asked (FORCE); what it leaves untouched makes nothing after it work.

.PHONY: release site
release: $(TARGET)/release/granary ## Build the release
site: site/hash.txt ## Build what the browser loads, into site/

$(TARGET)/release/granary: site/hash.txt FORCE
	@+cargo build --release --features ssr --bin granary

site/hash.txt: $(TARGET)/bindgen/browser/granary.js FORCE
	@node scripts/site.mjs $(<D) $(@D) 11

$(TARGET)/bindgen/browser/granary.js: $(WASM)/browser/granary.wasm $(WASM_BINDGEN)
	@$(WASM_BINDGEN) --target web --no-typescript --remove-name-section --remove-producers-section --out-dir $(@D) --out-name granary $<

$(WASM)/browser/granary.wasm: FORCE
	@+cargo build --lib --profile browser --target wasm32-unknown-unknown --features hydrate

# The same for tests, all in the development profile.
.PHONY: debug
debug: site-test/hash.txt FORCE ## Build the quick way, as the tests do
	@+cargo build --features ssr --bin granary

site-test/hash.txt: $(TARGET)/bindgen/debug/granary.js FORCE
	@node scripts/site.mjs $(<D) $(@D) 5

$(TARGET)/bindgen/debug/granary.js: $(WASM)/debug/granary.wasm $(WASM_BINDGEN)
	@$(WASM_BINDGEN) --target web --no-typescript --debug --out-dir $(@D) --out-name granary $<

$(WASM)/debug/granary.wasm: FORCE
	@+cargo build --lib --target wasm32-unknown-unknown --features hydrate

# Without optimisation it is built in half the time and still needs less than a second for Granary's wasm.
$(WASM_BINDGEN):
	@echo "wasm-bindgen $(WASM_BINDGEN_VERSION): building it, once, into $(TOOLS)"
	@build=$$(mktemp -d) && trap 'rm -rf "$$build"' EXIT && \
	CARGO_TARGET_DIR=$$build CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
	cargo install --quiet wasm-bindgen-cli --version $(WASM_BINDGEN_VERSION) --no-default-features --bin wasm-bindgen --root $(TOOLS)

.PHONY: FORCE
FORCE:

# --- Every day ----------------------------------------------------------------------------------------------------

.PHONY: down
down: ## Stop everything Granary started: edges, databases, its own metadata database
	@if [[ -x $(TARGET)/release/granary ]]; then exec $(TARGET)/release/granary down; \
	else echo "Nothing to stop: there is no $(TARGET)/release/granary, so nothing was started from here."; fi

.PHONY: fmt
fmt: ## Format the code
	@cargo fmt

.PHONY: lint
lint: ## Check format, lints of both sides, documentation and dependencies; every warning counts
	@cargo fmt --check
	@node scripts/dependencies.mjs
	@+cargo clippy --features ssr --all-targets -- -D warnings
	@+cargo clippy --features hydrate --lib --target wasm32-unknown-unknown -- -D warnings
	@+RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --no-deps --document-private-items --features ssr --lib

.PHONY: engines
engines: ## Fetch further majors of PostgreSQL, and Valkey, into /opt/granary or INTO=…; MAJORS="16 valkey" for some
	@scripts/engines.sh $(MAJORS)

.PHONY: lighthouse
lighthouse: release ## Measure the pages as users load them: performance and what they weigh, too
	@E2E_PROGRAM=$(abspath $(TARGET))/release/granary E2E_SITE=$(CURDIR)/site LIGHTHOUSE=performance \
	npm --prefix end2end test -- --project chromium --workers 1 lighthouse

.PHONY: sqlx
sqlx: ## Write .sqlx anew, from the queries and the migrations
	@+scripts/sqlx.sh

# The README's two commands are `make demo` and `make test`; each does all of its own set-up. `make help` lists the rest.
#
# Everything is built with one cargo profile (release) into one directory outside the checkout, because RocksDB takes
# minutes to compile and is compiled once per profile and directory.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export TILLSIDE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tillside
export CARGO_TARGET_DIR ?= $(TILLSIDE_CACHE)/target
# Where libclang lies in a folder that its users do not search.
ifeq ($(LIBCLANG_PATH),)
brew_llvm := $(firstword $(wildcard /opt/homebrew/opt/llvm/lib /usr/local/opt/llvm/lib /home/linuxbrew/.linuxbrew/opt/llvm/lib))
ifneq ($(brew_llvm),)
export LIBCLANG_PATH := $(brew_llvm)
endif
endif

BIN := $(CARGO_TARGET_DIR)/release
CARGO_BUILD := cargo build --locked --release
CARGO_DENY_VERSION := 0.20.2
CARGO_MACHETE_VERSION := 0.9.2

# Arguments of the demo, for example: make demo ARGS=--once
ARGS ?=
# Arguments of the benchmarks, for example: make bench ARGS=recognise

define step
@printf '\n==> %s\n' '$(1)'
endef

.NOTPARALLEL:
.PHONY: help setup demo test build lint fmt fmt-check spelling dependencies clippy doc unit foreign audit bench simulate

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Build, start a server with a generated Italian retailer, show the tour (ARGS=--once ends after it)
	$(call step,Build the server and the command line)
	$(CARGO_BUILD) --workspace --bins
	$(call step,Demo)
	@exec $(BIN)/tillside demo $(ARGS)

test: lint build unit foreign ## Everything that must hold: lint, unit and end-to-end tests, the foreign client
	$(call step,All of it passed)

build: setup ## Build every binary
	$(call step,Build)
	$(CARGO_BUILD) --workspace --bins

unit: build ## All Rust tests, documentation examples included
	$(call step,Rust tests)
	cargo test --locked --release --workspace

foreign: build ## A Python client that knows only server reflection, against the real server
	$(call step,Foreign client)
	tests/foreign/run $(BIN)/tillside-server

lint: fmt-check spelling dependencies clippy doc ## Formatting, spelling, dependencies, clippy, documentation

fmt: setup ## Format the sources
	@.ci/setup components
	cargo fmt --all

fmt-check: setup
	$(call step,Formatting)
	@.ci/setup components
	cargo fmt --all --check

spelling:
	$(call step,Spelling)
	@tools=$$(.ci/setup venv lint .ci/requirements.txt) && "$$tools/bin/typos" && echo 'no misspelled word'

dependencies: setup
	$(call step,Dependencies)
	@deny=$$(.ci/setup tool cargo-deny $(CARGO_DENY_VERSION)) && "$$deny" --log-level error check --hide-inclusion-graph bans licenses sources
	@machete=$$(.ci/setup tool cargo-machete $(CARGO_MACHETE_VERSION)) && "$$machete"

clippy: setup
	$(call step,Clippy)
	@.ci/setup components
	cargo clippy --locked --release --workspace --all-targets -- -D warnings

doc: setup
	$(call step,Documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --release --workspace --no-deps --document-private-items

audit: setup ## Check the dependencies against published advisories (needs the network)
	$(call step,Advisories)
	@deny=$$(.ci/setup tool cargo-deny $(CARGO_DENY_VERSION)) && "$$deny" check advisories

bench: setup ## Micro-benchmarks and the comparison with a bare echo
	$(call step,Benchmarks)
	cargo bench --locked --package tillside-benches $(if $(ARGS),-- $(ARGS))

# Seeds and commands of each for `make simulate`.
SEEDS ?= 100000
COMMANDS ?= 300

simulate: setup ## A long simulation from a random seed on (SEEDS=100000 COMMANDS=300)
	$(call step,Simulation)
	TILLSIDE_SIMULATION_FIRST=random TILLSIDE_SIMULATION_SEEDS=$(SEEDS) TILLSIDE_SIMULATION_COMMANDS=$(COMMANDS) \
		cargo test --locked --release --workspace --test simulation -- --nocapture every_seed

setup:
	@.ci/setup native

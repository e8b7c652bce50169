# `make demo` and `make test` do all of their own set-up; everything else is cargo.

# A shell that was open while rustup ran does not know cargo yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
KILLS ?= 10000
STRIDE ?= 1

.PHONY: help setup demo test kill-storm kill-sweep check doc clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what this machine lacks to build and test (apt)
	@scripts/setup test

demo: ## watch it: resumption across workers, a killed worker, one 0-RTT flight sent to all
	@scripts/setup build
	@cargo run --release --example prefork

test: setup ## every test, with the TLS clients of other people
	@cargo test --workspace --all-features --no-fail-fast

kill-storm: ## the kill test at any size: make kill-storm KILLS=1000000
	@scripts/setup build
	@SHMTLS_KILLS=$(KILLS) cargo test --release --test crash -- --nocapture

kill-sweep: ## a kill after every instruction: make kill-sweep, or every 16th: STRIDE=16
	@scripts/setup build
	@SHMTLS_STRIDE=$(STRIDE) cargo test --release --test sweep -- --nocapture

check: ## formatting, clippy and rustdoc, warnings denied
	@scripts/setup build
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --all-features -- -D warnings
	@cargo clippy --no-default-features -- -D warnings
	@cargo clippy --no-default-features --features rustls -- -D warnings
	@RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features

doc: ## open the documentation
	@scripts/setup build
	@cargo doc --workspace --no-deps --all-features --open

clean: ## remove what was built
	@cargo clean

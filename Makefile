# `make demo` and `make test` do all of their own set-up; everything else is cargo.

# A shell that was open while rustup ran does not know cargo yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
KILLS ?= 40000
MINUTES ?= 10
SECONDS ?= 60
STRIDE ?= 1
SCHEDULES ?= 1000000

# A workspace of its own: cargo builds it only when told to.
peers = cargo $(1) --release --locked --manifest-path crates/shmtls-bench-peers/Cargo.toml --target-dir target/peers

.PHONY: help setup demo test kill-storm kill-sweep schedules model fuzz soak traces ops handshakes peers peers-check check screenshots doc clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what this machine lacks to build and test (apt)
	@scripts/setup test

demo: ## watch it: resumption across workers, a killed worker, one 0-RTT flight sent to all
	@scripts/setup build
	@cargo run --release --example prefork

test: setup ## every test, with the TLS clients of other people, and every battery in small
	@cargo test --workspace --all-features --no-fail-fast
	@scripts/batteries

kill-storm: ## the kill storms at any size: make kill-storm KILLS=2000000
	@scripts/setup build
	@scripts/kill-storm $(KILLS)

kill-sweep: ## a kill after every instruction: make kill-sweep, or every 16th: STRIDE=16
	@scripts/setup build
	@SHMTLS_STRIDE=$(STRIDE) cargo test --release --test sweep -- --nocapture

schedules: ## the lock's own code in many orders: make schedules SCHEDULES=1000000
	@scripts/setup build
	@SHMTLS_SCHEDULES=$(SCHEDULES) cargo test --release --lib robust::schedules

model: ## every schedule of the lock's model, some minutes: all kernels, and broken locks
	@scripts/setup test
	@models/run full

fuzz: ## hostile segments, on every core: make fuzz SECONDS=3600
	@scripts/setup fuzz
	@scripts/fuzz $(SECONDS)

soak: ## a server under kills, rotations and tools for so long: make soak MINUTES=60
	@scripts/setup build
	@SHMTLS_MINUTES=$(MINUTES) cargo test --release --all-features --test soak -- --nocapture

traces: ## how many sessions are found, on made-up days or yours: make traces TRACE=day.tsv
	@scripts/setup build
	@SHMTLS_TRACE=$(abspath $(TRACE)) RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/rustc-battery cargo bench --bench traces

ops: ## what one operation costs in one process, some minutes: make ops OPS='"get hit"'
	@scripts/setup build
	@RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/rustc-parts cargo bench --all-features --bench ops -- $(OPS)

handshakes: ## full and resumed handshakes a second over N workers: HANDSHAKES='--workers 4'
	@scripts/setup build
	@cargo bench --bench handshakes -- $(HANDSHAKES)

peers: ## shmtls beside LMDB, httpd, Redis, memcached and the concurrent maps: one table, one plot
	@scripts/setup peers
	@$(call peers,run) --features shmcache -- --json target/peers.json --svg target/peers.svg $(PEERS)

peers-check: ## formatting, clippy and the tests of that comparison
	@scripts/setup peers
	@cargo fmt --check --manifest-path crates/shmtls-bench-peers/Cargo.toml
	@$(call peers,clippy) --all-targets --all-features -- -D warnings
	@$(call peers,test) --all-features

check: ## formatting, clippy and rustdoc, warnings denied
	@scripts/setup build
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --all-features -- -D warnings
	@cargo clippy --no-default-features -- -D warnings
	@cargo clippy --no-default-features --features rustls -- -D warnings
	@cargo clippy --no-default-features --features sealing -- -D warnings
	@RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/rustc-battery cargo clippy --lib --tests -- -D warnings
	@RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/rustc-parts cargo clippy --lib --bench ops --all-features -- -D warnings
	@RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features

screenshots: ## the pictures of `shmtls top` in docs/images, from a live segment with real workers
	@scripts/setup build
	@SHMTLS_SCREENSHOTS=$(CURDIR)/docs/images cargo test -q -p shmtls-cli --bin shmtls top::screenshots

doc: ## open the documentation
	@scripts/setup build
	@cargo doc --workspace --no-deps --all-features --open

clean: ## remove what was built
	@cargo clean

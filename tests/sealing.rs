//! Sealed segments: what nobody without the key can read or make, and that all else is as in a
//! plain one. `cache.rs` runs here once more, on sealed segments.
#![allow(unsafe_code)] // Boards in shared memory, a seccomp filter.

#[path = "cache.rs"]
mod cache;
#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[allow(dead_code, reason = "one handshake needs a part of it")]
#[path = "common/tls_lab.rs"]
mod tls_lab;

#[path = "sealing/forging.rs"]
mod forging;
#[path = "sealing/keys.rs"]
mod keys;
#[path = "sealing/lab.rs"]
mod lab;
#[path = "sealing/sharing.rs"]
mod sharing;

//! Secrets leave no trace. A canary is a secret that nothing else looks like: it is stored, used
//! and dropped, and then searched for in the segment's file, in the core dumps of everybody who had
//! it, and in every text that a program could print.
#![allow(unsafe_code)] // Forks and boards in what it includes, and processes that end as crashes.

#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/raw_keys.rs"]
mod raw_keys;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[allow(dead_code, reason = "each test crate uses its part")]
#[path = "common/server.rs"]
mod server;

#[cfg(feature = "openssl")]
#[allow(dead_code, reason = "each test crate uses its part")]
#[path = "common/tls_lab.rs"]
mod tls_lab;

#[cfg(feature = "openssl")]
#[allow(dead_code, reason = "each test crate uses its part")]
#[path = "common/clients.rs"]
mod clients;
#[cfg(feature = "openssl")]
#[path = "common/forwarder.rs"]
mod forwarder;
/// The path by which these know each other.
#[cfg(feature = "openssl")]
mod common {
    pub(crate) use crate::{forwarder, server};
}

#[path = "secrets/canary.rs"]
mod canary;
#[path = "secrets/cores.rs"]
mod cores;
#[path = "secrets/crash.rs"]
mod crash;
#[path = "secrets/deaths.rs"]
mod deaths;
#[cfg(feature = "openssl")]
#[path = "secrets/examples.rs"]
mod examples;
#[cfg(feature = "openssl")]
#[path = "secrets/handshakes.rs"]
mod handshakes;
#[path = "secrets/key_cores.rs"]
mod key_cores;
#[path = "secrets/play.rs"]
mod play;
#[path = "secrets/segment.rs"]
mod segment;
#[path = "secrets/texts.rs"]
mod texts;

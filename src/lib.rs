//! One TLS session cache and one set of ticket keys for all worker processes on a Linux machine.
//!
//! A prefork server has one TLS context per worker. A client that returns reaches another worker
//! than before in N - 1 of N cases, and pays for a full handshake. `shmtls` keeps the sessions in
//! one shared memory segment, so every worker resumes every session, and a worker that is killed
//! at any instruction leaves the cache whole.
//!
//! | to | look at |
//! |---|---|
//! | share sessions between OpenSSL workers | [`openssl::attach`], the one call |
//! | share sessions or ticket keys between rustls workers | [`rustls::attach`] |
//! | make or find a segment | [`Options`] |
//! | store and find sessions by hand | [`Cache`] |
//! | share and rotate ticket keys | [`Cache::keys`], [`Cache::rotate_keys`], [`KeyFiles`] |
//! | be told of what happens | [`Cache::hook`], [`Event`] |
//! | know why sessions are not found | [`Miss`], [`Stats`] |
//! | look into a live segment from outside | [`Inspector`] |
//! | know every byte | `shm-layout.md` in the repository |
//!
//! # How it works
//!
//! ```text
//! handshake -> SessionId (1 to 32 bytes) -> keyed hash -> bucket and tag
//!   -> bucket lock (its last owner died? repair this bucket) -> slot -> copy words -> unlock
//!   -> counters of this process -> hooks of this process -> decode the private copy
//! ```
//!
//! All that an operation touches lies in one bucket, and a dead process can have spoiled only the
//! bucket that it held. Nobody waits for a lock longer than a deadline: then a lookup is a miss and
//! a store is dropped, and both are counted.
//!
//! # Single use
//!
//! [`Cache::take`] gets and removes a session under one lock. Of any number of takers in any
//! processes exactly one has it, whoever is killed when. That makes TLS 1.3 tickets single-use and
//! 0-RTT replay-safe over all workers (RFC 8446, section 8.1).
//!
//! # Ticket keys
//!
//! A ring of keys lies in the segment, with an epoch. Every process uses the most recent ring from
//! its next handshake on, whether an update came from the API, a file or automatic rotation. A new
//! key is published before anybody encrypts with it.
//!
//! # Processes, threads, forks
//!
//! Everything is safe to call from any thread. A [`Cache`] made before `fork` may be used by parent
//! and children. All processes that write must share one PID namespace, because the lock words hold
//! thread IDs: a child that is forked into another one finds what needs no lock, and all else is
//! busy. An [`Inspector`] may be anywhere. Do not call the cache in a `vfork` child, do not fork in
//! a signal handler that interrupted a call, and look up and store in no handler that may have
//! interrupted malloc ([`Cache`] says why).
//!
//! # Secrets
//!
//! Sessions are wiped from the segment whenever they leave it, and from private memory when a
//! [`Session`] is dropped. They are in no log, error, `Debug` text or core dump. Processes that may
//! write to the segment trust each other. With the feature `sealing` sessions are encrypted in the
//! segment, under a key that is not in it: `Options::sealed`.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "openssl", feature = "rustls")),
    allow(rustdoc::broken_intra_doc_links)
)]

// In the order of dependency: a module names only those before it (tests/tidy.rs).
mod error;
mod layout;
mod fault;
mod step;
mod words;
mod sys;
mod secret;
mod session;
mod geometry;
mod hash;
mod robust;
mod segment;
mod stats;
mod members;
mod miss;
mod hook;
mod events;
#[cfg(feature = "sealing")]
mod sealing;
#[cfg(not(feature = "sealing"))]
#[path = "sealing/none.rs"]
mod sealing;
mod record;
mod bucket;
mod places;
mod victims;
mod departures;
mod writer;
mod repair;
mod access;
mod lookup;
mod ticket_key;
mod key_file;
mod keyring;
mod keys;
mod snapshot;
mod check;
mod inspect;
mod backing;
mod cache;
mod walk;
mod options;
mod rotation;
#[cfg(shmtls_parts)]
#[doc(hidden)]
pub mod parts;

#[cfg(feature = "openssl")]
pub mod openssl;
#[cfg(feature = "rustls")]
pub mod rustls;

pub use cache::Cache;
pub use check::{Checked, Spot, Violation};
pub use error::{AttachError, CreateError, OpenError, OptionsError};
pub use events::{EventCursor, Happening, PastEvent, Recovery, Refusal};
pub use hash::IdDigest;
pub use hook::{Event, EventKind, HookId, Lookup, Origin, Removal, Stored};
pub use inspect::{BucketInfo, Inspector, LockState, SegmentInfo};
pub use key_file::{KeyFiles, KeyFormat, UnknownKeyFormat};
pub use keyring::KeySource;
pub use keys::{KeyInfo, KeyStatus, KeyWarning, Published, TicketKeys};
pub use members::ProcessInfo;
pub use miss::{Busy, Inserted, Miss, Purged};
pub use options::Options;
pub use repair::Repaired;
pub use rotation::{Rotation, Rotator};
#[cfg(feature = "sealing")]
#[cfg_attr(docsrs, doc(cfg(feature = "sealing")))]
pub use sealing::SealingKey;
pub use session::{Context, Expiry, InvalidSessionId, Library, NewSession, Session, SessionId};
pub use snapshot::EntryInfo;
pub use stats::Stats;
pub use ticket_key::{KeyError, KeyFingerprint, KeyRole, MAX_KEYS, TicketCipher, TicketKey};

/// The switches of the batteries.
#[cfg(all(shmtls_battery, not(test)))]
#[doc(hidden)]
pub mod battery {
    pub use crate::fault::{Fault, commit, widen};
    pub use crate::sys::clock::set::set_clock;
}

/// The README's code is compiled and run.
#[cfg(all(doctest, feature = "openssl"))]
#[doc = include_str!("../README.md")]
mod readme {}

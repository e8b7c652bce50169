//! Each hole through which a lock, a process or a byte could fall, forced: not waited for, as the
//! storms do. Most owners are caught by a signal in the very section of a bucket and then do what
//! they must not.
//!
//! The two schedules that strand a sleeper are in `src/robust/tests/stranding.rs`.
#![allow(unsafe_code)] // Boards in shared memory, and what no crate does for one.

#[path = "common/layout_doc.rs"]
mod layout_doc;
#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[path = "common/seccomp.rs"]
mod seccomp;

#[path = "holes/denied.rs"]
mod denied;
#[path = "holes/forks.rs"]
mod forks;
#[path = "holes/handlers.rs"]
mod handlers;
#[path = "holes/interrupted.rs"]
mod interrupted;
#[path = "holes/lab.rs"]
mod lab;
#[path = "holes/limits.rs"]
mod limits;
#[cfg(shmtls_battery)]
#[path = "holes/mistakes.rs"]
mod mistakes;
#[path = "holes/namespaces.rs"]
mod namespaces;
#[path = "holes/owners.rs"]
mod owners;
#[path = "holes/truncated.rs"]
mod truncated;

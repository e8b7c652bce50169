//! What one operation costs in one process. Quote ratios within one run: each group holds its own
//! yardstick, for lookups and stores a copy of the same bytes from or to a random cold place.
//!
//! `make ops`, or a part of it: `make ops OPS='"get hit"'`. Without the cfg that it sets
//! (`scripts/rustc-parts`) the groups of what is no interface of the library are left out: the
//! hash, the lock, the reading of ticket keys. In `cargo test` everything runs once, on little.

#[cfg(feature = "openssl")]
mod callbacks;
#[cfg(feature = "openssl")]
#[path = "../../examples/common/certificate.rs"]
mod certificate;
#[cfg(feature = "openssl")]
mod connection;
mod events;
#[cfg(feature = "openssl")]
mod ffi;
#[cfg(shmtls_parts)]
mod hashes;
#[cfg(feature = "openssl")]
#[path = "../../examples/common/identity.rs"]
mod identity;
#[cfg(shmtls_parts)]
mod keys;
#[cfg(shmtls_parts)]
mod locks;
mod lookups;
mod pages;
#[cfg(feature = "sealing")]
mod sealing;
mod sessions;
mod stores;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let seconds = Duration::from_secs(2);
    let criterion = Criterion::default().warm_up_time(seconds / 4).measurement_time(seconds);
    let mut criterion = criterion.configure_from_args();
    #[cfg(shmtls_parts)]
    hashes::group(&mut criterion);
    #[cfg(shmtls_parts)]
    locks::group(&mut criterion);
    lookups::groups(&mut criterion);
    pages::groups(&mut criterion);
    stores::groups(&mut criterion);
    #[cfg(shmtls_parts)]
    keys::group(&mut criterion);
    #[cfg(feature = "openssl")]
    callbacks::groups(&mut criterion);
    events::group(&mut criterion);
    #[cfg(feature = "sealing")]
    sealing::groups(&mut criterion);
    criterion.final_summary();
}

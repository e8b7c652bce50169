//! The rustls adapter on real handshakes. One file for each promise of `shmtls::rustls`.
#![allow(unsafe_code)] // fork

#[path = "rustls/early_data.rs"]
mod early_data;
#[path = "../examples/common/certificate.rs"]
mod certificate;
#[path = "../examples/rustls_prefork/identity.rs"]
mod identity;
#[path = "rustls/lab.rs"]
mod lab;
#[path = "rustls/processes.rs"]
mod processes;
#[path = "rustls/refused.rs"]
mod refused;
#[path = "rustls/resuming.rs"]
mod resuming;
#[path = "rustls/store.rs"]
mod store;
#[path = "rustls/tickets.rs"]
mod tickets;
#[path = "rustls/worker.rs"]
mod worker;

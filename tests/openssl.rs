//! The OpenSSL adapter on real handshakes. One file for each promise of `shmtls::openssl`.
#![allow(unsafe_code)] // What a test's clients and applications need of OpenSSL.

#[path = "openssl/closing.rs"]
mod closing;
#[path = "openssl/early_data.rs"]
mod early_data;
#[path = "openssl/hosts.rs"]
mod hosts;
#[path = "openssl/lifetime.rs"]
mod lifetime;
#[path = "openssl/processes.rs"]
mod processes;
#[path = "openssl/refused.rs"]
mod refused;
#[path = "openssl/resuming.rs"]
mod resuming;
#[path = "openssl/session_api.rs"]
mod session_api;
#[path = "openssl/single_use.rs"]
mod single_use;
#[path = "openssl/stateless.rs"]
mod stateless;
#[path = "openssl/tickets.rs"]
mod tickets;
#[path = "common/tls_lab.rs"]
mod tls_lab;
#[path = "openssl/trouble.rs"]
mod trouble;

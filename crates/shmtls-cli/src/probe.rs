//! Measures from outside how a server resumes, with the TLS client of OpenSSL.
//!
//! ```text
//! place     HOST:PORT, and the one address that is measured
//! client    one connection: a session offered or none, and what came of it
//! measure   which connections, in what order, until enough of them offered a session
//! verdict   what the counts say: never, always, one worker in N
//! ```

pub(crate) mod place;
pub(crate) mod verdict;
mod socket;
pub(crate) mod client;
pub(crate) mod measure;

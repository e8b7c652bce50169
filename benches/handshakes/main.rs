//! Handshakes per second of N worker processes, and what they cost the server: real OpenSSL clients
//! that come back with the session of their last visit, over loopback TCP, to workers without a
//! cache, with OpenSSL's own cache in each worker, and with shmtls.
//!
//! `make handshakes`, with flags: `make handshakes HANDSHAKES='--workers 4 --rounds 9'`. In
//! `cargo test` everything happens once and is short. Ends with status 1 if a handshake resumed
//! that must not, one did not that should have, or an answer was not the right one.

#[path = "../../examples/common/certificate.rs"]
mod certificate;
#[path = "../../examples/common/child.rs"]
mod child;
mod client;
mod contest;
#[path = "../../examples/common/identity.rs"]
mod identity;
mod machine;
mod message;
mod plan;
mod server;
mod table;
mod visitors;

use std::process::ExitCode;

use plan::Plan;

fn main() -> ExitCode {
    let plan = match Plan::from_args(std::env::args().skip(1)) {
        Ok(Some(plan)) => plan,
        // `cargo test` with the name of another test.
        Ok(None) => return ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("handshakes: {why}\n{}", plan::USAGE);
            return ExitCode::from(2);
        }
    };
    println!("{}", machine::text());
    println!("{plan}");
    let broken = match contest::hold(&plan) {
        Ok(cells) => table::print(&cells),
        Err(why) => vec![why],
    };
    for claim in &broken {
        eprintln!("FAILED: {claim}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

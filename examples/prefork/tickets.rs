//! Ticket keys that are rotated while clients come and go.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use shmtls::{Cache, Expiry, KeySource, MAX_KEYS, TicketKey};

use crate::client::Client;
use crate::fleet::Fleet;

/// The rotations of one straggler's sleep.
const ROTATIONS: u32 = 3;
/// Until the next key encrypts; times have whole seconds.
const ACTIVATION: Duration = Duration::from_secs(1);

/// The ring's first key, unless there is one.
pub(crate) fn publish_first(cache: &Cache) -> Result<(), String> {
    if cache.keys().epoch() > 0 {
        return Ok(());
    }
    publish(cache, vec![TicketKey::random().map_err(|e| e.to_string())?])
}

/// One more key, which encrypts a second from now; those before it decrypt.
pub(crate) fn rotate(cache: &Cache) -> Result<(), String> {
    let new = TicketKey::random().map_err(|e| e.to_string())?;
    let new = new.not_before(Expiry::after(ACTIVATION));
    cache.keys().add(new, MAX_KEYS, KeySource::Api).map_err(|e| e.to_string())?;
    Ok(())
}

#[derive(Clone, Copy)]
pub(crate) struct Straggler {
    pub(crate) rotations: u32,
    /// Whether it resumed a ticket from before its sleep.
    pub(crate) old: bool,
    /// Whether it resumed a ticket under the newest key, which it has not seen yet.
    pub(crate) new: bool,
}

/// Stops worker 1, rotates, lets it go on, and sends it a ticket that worker 0 made.
pub(crate) fn stop_through_rotations(
    cache: &Cache,
    fleet: &Fleet,
    client: &Client,
) -> Result<Straggler, String> {
    let signal = |signal| kill(fleet.workers[1], signal).map_err(|e| e.to_string());
    let before = client.visit(fleet.ports[0], None)?;
    client.visit(fleet.ports[1], None)?;
    signal(Signal::SIGSTOP)?;
    for _ in 0..ROTATIONS {
        rotate(cache)?;
    }
    std::thread::sleep(ACTIVATION * 2);
    let after = client.visit(fleet.ports[0], None)?;
    signal(Signal::SIGCONT)?;
    let old = client.visit(fleet.ports[1], Some(&before.session))?.reused;
    let new = client.visit(fleet.ports[1], Some(&after.session))?.reused;
    Ok(Straggler { rotations: ROTATIONS, old, new })
}

fn publish(cache: &Cache, keys: Vec<TicketKey>) -> Result<(), String> {
    cache.keys().publish(keys).map(|_| ()).map_err(|e| e.to_string())
}

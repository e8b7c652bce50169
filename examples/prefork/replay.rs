//! One captured 0-RTT flight, sent to all workers at once.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;

use crate::client::Client;
use crate::fleet::Fleet;

/// Byte-identical copies of each flight.
pub(crate) const COPIES: usize = 16;

/// Captures a flight with a fresh ticket and sends its copies; says how many were accepted.
pub(crate) fn send_copies(fleet: &Fleet, client: &Client) -> Result<usize, String> {
    let ticket = client.visit(fleet.ports[0], None)?.session;
    fleet.verdict()?; // of the visit
    let flight = client.capture_flight(&ticket)?;

    let barrier = Barrier::new(COPIES);
    let ports = fleet.ports.iter().cycle().take(COPIES);
    let _open: Vec<TcpStream> = thread::scope(|threads| {
        let send = |&port| {
            let (barrier, flight) = (&barrier, &flight);
            threads.spawn(move || {
                let socket = TcpStream::connect(("127.0.0.1", port));
                barrier.wait();
                socket.and_then(|mut s| s.write_all(flight).map(|()| s))
            })
        };
        let senders: Vec<_> = ports.map(send).collect();
        let sent = senders.into_iter().map(|sender| sender.join().expect("it does not panic"));
        sent.collect::<Result<_, _>>().map_err(|e| format!("cannot send a flight: {e}"))
    })?;

    let verdicts = (0..COPIES).map(|_| fleet.verdict());
    Ok(verdicts.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|&accepted| accepted).count())
}

/// Whether an honest client's early data is accepted by another worker than gave the ticket.
pub(crate) fn is_accepted_elsewhere(fleet: &Fleet, client: &Client) -> Result<bool, String> {
    let ticket = client.visit(fleet.ports[0], None)?.session;
    fleet.verdict()?;
    let visit = client.visit_early(fleet.ports[1], &ticket)?;
    fleet.verdict()?;
    Ok(visit.reused && visit.early)
}

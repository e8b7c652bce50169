//! One port in front of several: consecutive connections go to consecutive targets.
//!
//! Some clients keep a session only for the port they got it from. This is how such a client comes
//! back to "the same server" and meets another worker, every time and not just by luck.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How long a connection stays on its way.
///
/// OpenSSL stores a TLS 1.2 session after its last flight has been sent, so a client on the same
/// machine that comes back at once can be there first. No network is that fast.
const LATENCY: Duration = Duration::from_millis(30);

/// Starts forwarding to these ports and says where; it ends with the test's process.
pub(crate) fn forward_to(targets: Vec<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for (client, target) in listener.incoming().zip(targets.into_iter().cycle()) {
            let client = client.expect("a connection");
            thread::spawn(move || forward(client, target));
        }
    });
    port
}

fn forward(client: TcpStream, target: u16) {
    thread::sleep(LATENCY);
    let server = TcpStream::connect(("127.0.0.1", target)).expect("the target listens");
    let back = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
    let answers = thread::spawn(move || pump(back.0, back.1));
    pump(client, server);
    answers.join().expect("pump does not panic");
}

/// Copies until the end, and passes the end on; a reset is an end too.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

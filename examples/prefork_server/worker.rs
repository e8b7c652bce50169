//! One worker process: accepts on its sockets, with a thread for each connection.

use std::io::{PipeWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use openssl::ssl::SslContext;

use crate::connection;

/// Past this many connections a worker leaves new ones to the others, or in the queue.
const CONNECTIONS_MAX: usize = 256;
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Worker {
    pub(crate) index: u16,
    pub(crate) context: SslContext,
    pub(crate) verbose: bool,
}

impl Worker {
    /// Serves until the process is killed.
    pub(crate) fn run(&self, listeners: &[&TcpListener], mut ready: PipeWriter) {
        let open = AtomicUsize::new(0);
        thread::scope(|threads| {
            for listener in listeners {
                threads.spawn(|| {
                    loop {
                        let socket = self.accept(listener, &open);
                        let counted = Counted::new(&open);
                        let serve = || {
                            let _counted = counted;
                            self.serve(socket);
                        };
                        // A machine out of threads drops the connection, not the worker.
                        if let Err(e) = thread::Builder::new().spawn_scoped(threads, serve) {
                            self.complain(&format!("cannot start a thread: {e}"));
                        }
                    }
                });
            }
            // Nobody waits for this when the worker replaces a dead one.
            let _ = ready.write_all(b"!");
        });
    }

    /// Blocks: of the workers that wait on one socket the kernel wakes one.
    fn accept(&self, listener: &TcpListener, open: &AtomicUsize) -> TcpStream {
        loop {
            if open.load(Ordering::Relaxed) < CONNECTIONS_MAX {
                match listener.accept() {
                    Ok((socket, _)) => return socket,
                    Err(e) => self.complain(&format!("cannot accept: {e}")),
                }
            }
            thread::sleep(PAUSE);
        }
    }

    fn serve(&self, socket: TcpStream) {
        if let Err(why) = connection::serve(socket, &self.context, self.index) {
            self.complain(&why);
        }
    }

    fn complain(&self, why: &str) {
        if self.verbose {
            eprintln!("worker {}: {why}", self.index);
        }
    }
}

/// One connection in the count, for as long as this lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Counted(open)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

//! Worker processes: forked, each with a listener of its own.
//!
//! A fork copies whatever locks other threads hold at that moment, and the other tests are threads.
//! So each test that forks runs again as the only test of a process of its own.

use std::env;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::lab::SERVER;

const ALONE: &str = "SHMTLS_TEST_ALONE";
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test as the only one of a new process.
pub(crate) fn alone(name: &str, test: fn()) {
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let only = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(ALONE, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&only.stdout);
    assert!(only.status.success(), "{said}\n{}", String::from_utf8_lossy(&only.stderr));
    assert!(said.contains("1 passed"), "there is no test {name}:\n{said}");
}

/// A forked process with a listener of its own; gone when it is dropped.
pub(crate) struct Worker {
    pid: Pid,
    address: SocketAddr,
}

impl Worker {
    /// Forks a worker that makes `context` and gives every connection to `answer`.
    pub(crate) fn fork<C>(context: impl FnOnce() -> C, answer: impl Fn(&C, TcpStream)) -> Worker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        LazyLock::force(&SERVER); // or every worker makes a certificate of its own
        // SAFETY: `alone` has seen to it that the only other thread is the test harness, which
        // waits for this one and holds no lock.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => Worker { pid: child, address },
            ForkResult::Child => {
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    let _ = set_pdeathsig(Signal::SIGKILL);
                    let context = context();
                    for connection in listener.incoming() {
                        answer(&context, patient(connection.unwrap()));
                    }
                }));
                // SAFETY: ends the process; nothing of the parent's is run down.
                unsafe { libc::_exit(1) }
            }
        }
    }

    /// A worker that is stuck fails the test.
    pub(crate) fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.address).expect("the worker is there"))
    }
}

fn patient(connection: TcpStream) -> TcpStream {
    connection.set_nodelay(true).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

//! Real workers: the test that wants one is run again, as a process of its own, and does what it is
//! told line by line.

use std::io::{BufRead, BufReader, Lines, Write, stdin};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shmtls::{BucketInfo, Cache, Context, Expiry, Inspector, NewSession, Options, SessionId};

use crate::support::{Name, fill};

const WORKER_OF: &str = "SHMTLS_CLI_TEST_WORKER_OF";

/// A worker; killed at the end.
pub(crate) struct Worker {
    child: Child,
    orders: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// `test` is the path of the test that calls, which begins with [`work_if_told`].
    pub(crate) fn start(test: &str, name: &Name) -> Self {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", test, "--nocapture"])
            .env(WORKER_OF, name.get())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a worker");
        let orders = child.stdin.take().expect("its stdin");
        let replies = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let mut worker = Self { child, orders, replies };
        worker.wait_for_reply("attached");
        worker
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it done, and waits until it is.
    pub(crate) fn tell(&mut self, order: &str) {
        self.order(order);
        self.wait_for_reply("done");
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it reads");
    }

    fn wait_for_reply(&mut self, reply: &str) {
        let mut lines = self.replies.by_ref().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(reply)), "the worker ended early");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
    }

    /// Goes through all buckets for ever, and is stopped in one of them: its lock is held.
    pub(crate) fn stop_in_a_bucket(&mut self, inspector: &Inspector) -> BucketInfo {
        self.order("sweep");
        let start = Instant::now();
        for round in 0.. {
            assert!(start.elapsed() < Duration::from_secs(20), "never stopped in a bucket");
            thread::sleep(Duration::from_micros(round * 37 % 2000));
            self.signal(Signal::SIGSTOP);
            self.wait_until_stopped();
            if let Some(bucket) = inspector.held_locks().next() {
                return bucket;
            }
            self.signal(Signal::SIGCONT);
        }
        unreachable!("the loop has no end")
    }

    /// All of its threads: the one at work stops when it comes to it, not with the first one.
    fn wait_until_stopped(&self) {
        let threads = format!("/proc/{}/task", self.pid());
        let is_stopped = |thread: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(thread.path().join("stat"));
            stat.is_ok_and(|stat| stat.contains(") T "))
        };
        while !std::fs::read_dir(&threads).expect("threads").flatten().all(is_stopped) {
            thread::yield_now();
        }
    }

    /// Dead and reaped: nobody has its process ID.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("waited");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this process is a worker: then it has done its work, and the test is over.
pub(crate) fn work_if_told() -> bool {
    let Ok(name) = env::var(WORKER_OF) else { return false };
    let cache = Options::new().attach(&name).expect("the segment");
    println!("attached");
    let orders = stdin().lines().map(|line| line.expect("an order"));
    for order in orders.take_while(|order| order != "leave") {
        obey(&cache, &order);
        println!("done");
    }
    drop(cache);
    println!("done");
    true
}

/// `store FROM TO LEN CONTEXT`, `get FROM TO CONTEXT`, `remove FROM TO CONTEXT`,
/// `take NUMBER CONTEXT`, `keys`, `fill`, `sweep`; `leave` ends it.
fn obey(cache: &Cache, order: &str) {
    let words: Vec<_> = order.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let context = Context::named(words[words.len() - 1]);
    match words[0] {
        "store" => (number(1)..number(2)).for_each(|n| store(cache, &context, n, number(3))),
        "get" => {
            (number(1)..number(2)).for_each(|n| drop(cache.get_session(&context, &id(n))));
        }
        "remove" => (number(1)..number(2)).for_each(|n| {
            assert!(cache.remove(&context, &id(n)).is_ok_and(|was_there| was_there));
        }),
        // As a handshake does, it looks whether there are newer ones.
        "keys" => drop(cache.keys().status()),
        "take" => drop(cache.take(&context, &id(number(1)))),
        "fill" => fill(cache),
        "sweep" => loop {
            let _ = cache.sweep();
        },
        other => panic!("no such order: {other}"),
    }
}

/// Even numbers are of TLS 1.3 and for a single use, odd ones of TLS 1.2.
fn store(cache: &Cache, context: &Context, n: u64, len: u64) {
    let expiry = Expiry::after(Duration::from_secs(600));
    let bytes = vec![n as u8; len as usize];
    let is_even = n.is_multiple_of(2);
    let protocol = if is_even { 0x0304 } else { 0x0303 };
    let session = NewSession::new(&bytes, expiry).protocol(protocol).single_use(is_even);
    assert!(cache.store(context, &id(n), &session).is_stored());
}

fn id(n: u64) -> SessionId {
    SessionId::new(&(n + 1000).to_le_bytes()).expect("8 bytes")
}

/// A small segment, so that who is at work in it is in a bucket most of the time.
pub(crate) fn small(name: &Name) -> Cache {
    let cache = Options::new().size(1 << 17).processes(8).create(name.get()).expect("a segment");
    let context = Context::named("example.org");
    (0..100).for_each(|n| store(&cache, &context, n, 150));
    cache
}

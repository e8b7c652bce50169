//! A server example as the child of a test: started with everything it needs, gone
//! with all of its workers when the test ends, however it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) const WORKERS: u16 = 4;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    child: Child,
    port: u16,
    output: Output,
    /// The certificate, and a place for the clients' session files.
    dir: TempDir,
}

/// Lines of standard output and standard error, as they come.
type Output = Arc<Mutex<Vec<String>>>;

impl Server {
    /// A `prefork_server` on a segment of its own, with a certificate that clients can verify.
    pub(crate) fn start(args: &[&str]) -> Server {
        Self::start_example("prefork_server", args)
    }

    /// The same of any example that takes its options.
    pub(crate) fn start_example(example: &str, args: &[&str]) -> Server {
        Self::launch(example, certificate(), &[&["--segment", "memfd"], args].concat())
    }

    /// A `prefork_server` with the certificate in `dir`, and with the segment that `args` name.
    pub(crate) fn start_in(dir: TempDir, args: &[&str]) -> Server {
        Self::launch("prefork_server", dir, args)
    }

    fn launch(example: &str, dir: TempDir, args: &[&str]) -> Server {
        let port = free_ports(1 + WORKERS);
        let mut command = Command::new(binary(example));
        command
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"))
            .args(["--worker-ports", &(port + 1).to_string()])
            .args(["--workers", &WORKERS.to_string()])
            .arg("--cert")
            .arg(dir.path().join("cert.pem"))
            .arg("--key")
            .arg(dir.path().join("key.pem"))
            .args(args)
            // Whatever goes wrong it tells at length.
            .env("RUST_BACKTRACE", "full")
            // A group of its own, so that one signal reaches the workers too.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the example starts");

        let output = Output::default();
        collect(child.stdout.take().expect("piped"), &output);
        collect(child.stderr.take().expect("piped"), &output);
        let mut server = Server { child, port, output, dir };
        eventually("the server is ready", || {
            let exited = server.child.try_wait().expect("a child of ours");
            assert!(exited.is_none(), "the server ended: {exited:?}\n{}", server.output());
            server.has_said("ready").then_some(())
        });
        server
    }

    /// The port that all workers share.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The port that only this worker listens on.
    pub(crate) fn worker_port(&self, worker: u16) -> u16 {
        assert!(worker < WORKERS);
        self.port + 1 + worker
    }

    pub(crate) fn worker_ports(&self) -> Vec<u16> {
        (0..WORKERS).map(|worker| self.worker_port(worker)).collect()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.dir().join("cert.pem")
    }

    /// Everything the server has printed so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().join("\n")
    }

    pub(crate) fn has_said(&self, line: &str) -> bool {
        self.output.lock().unwrap().iter().any(|said| said == line)
    }

    /// Asks it to read its files again, and waits until it says what it says.
    pub(crate) fn hang_up(&self, said: &str) {
        kill(self.pid(), Signal::SIGHUP).expect("the server is running");
        eventually(said, || self.output().contains(said).then_some(()));
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        kill(self.pid(), Signal::SIGTERM).expect("the server is running");
        eventually("the server has ended", || self.child.try_wait().expect("a child of ours"))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a pid"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The group outlives its leader for as long as a worker lives.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- the server said:\n{}\n----", self.output());
        }
    }
}

/// What the server says about one connection, in the body of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) pid: i32,
    pub(crate) worker: u16,
    pub(crate) proto: String,
    pub(crate) reused: bool,
    pub(crate) early: bool,
    pub(crate) id: String,
}

impl Reply {
    /// The replies in a client's output, whatever the client prints around them.
    pub(crate) fn all_in(output: &str) -> Vec<Reply> {
        let bodies = output.lines().filter_map(|line| line.find("pid=").map(|at| &line[at..]));
        bodies
            .map(|body| Reply::parse(body).unwrap_or_else(|| panic!("an odd body: {body:?}")))
            .collect()
    }

    fn parse(body: &str) -> Option<Reply> {
        let mut words = body.split_whitespace();
        let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Reply {
            pid: field("pid")?.parse().ok()?,
            worker: field("worker")?.parse().ok()?,
            proto: field("proto")?.to_string(),
            reused: field("reused")? == "1",
            early: field("early")? == "1",
            id: field("id")?.to_string(),
        })
    }
}

/// Waits for something that has to happen, and fails the test if it does not.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(outcome) = attempt() {
            return outcome;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A self-signed certificate for localhost, made by the program whose client will check it.
pub(crate) fn certificate() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
                -keyout key.pem -out cert.pem";
    let made = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(dir.path())
        .output()
        .expect("openssl is not installed; `make setup` installs it");
    assert!(made.status.success(), "openssl req: {}", String::from_utf8_lossy(&made.stderr));
    dir
}

/// `cargo test` builds the examples beside the tests, but has no variable that names them.
fn binary(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let binary = profile.join("examples").join(example);
    assert!(binary.exists(), "no {}: cargo build --all-features --examples", binary.display());
    binary
}

/// The first of `count` neighbouring ports that nobody listens on, below the range from which the
/// kernel serves connections that go out.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 1000).expect("small") * 16;
    loop {
        let first = 12_000 + (spread + NEXT.fetch_add(count, Ordering::Relaxed)) % 20_000;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + count).all(is_free) {
            return first;
        }
    }
}

fn collect(pipe: impl Read + Send + 'static, output: &Output) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            output.lock().unwrap().push(line);
        }
    });
}

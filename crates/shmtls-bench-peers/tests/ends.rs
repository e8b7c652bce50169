//! However a run ends, nothing that it has started goes on.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

#[test]
fn a_killed_run_leaves_no_process() {
    // Not those with files in /dev/shm, which nobody could remove then.
    let run = Run::start(&["--stores", "redis,memcached,httpd,dashmap"]);
    run.signal(Signal::SIGKILL);
    run.wait_until_alone();
}

/// And its files are gone as well.
#[test]
fn an_interrupted_run_leaves_nothing() {
    let run = Run::start(&[]);
    run.signal(Signal::SIGTERM);
    let folder = run.wait_until_alone();
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A run in the midst of its rounds.
struct Run {
    child: Child,
    /// Where its files are; that path is also in the environment of all that it starts.
    folder: TempDir,
}

impl Run {
    fn start(stores: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        // The children of httpd may be another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("it is ours");
        let mut child = Command::new(env!("CARGO_BIN_EXE_shmtls-bench-peers"))
            .args(["--quick", "--rounds", "1000", "--mixes", "get"])
            .args(stores)
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let is_at_work = lines.any(|line| line.is_ok_and(|line| line.contains("round 2")));
        assert!(is_at_work, "it has ended: {:?}", child.wait());
        thread::spawn(move || lines.for_each(drop));
        let run = Self { child, folder };
        assert!(run.processes() > 5, "{} processes", run.processes());
        run
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    fn wait_until_alone(mut self) -> TempDir {
        self.child.wait().expect("it is ours");
        let start = Instant::now();
        while self.processes() > 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "{} left", self.processes());
            thread::sleep(Duration::from_millis(10));
        }
        self.folder
    }

    /// It, and what it has started and is no zombie: those have no environment.
    fn processes(&self) -> usize {
        let mark = format!("TMPDIR={}", self.folder.path().display());
        let is_marked = |environment: &Vec<u8>| {
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let environments = all.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        environments.filter(is_marked).count()
    }
}

//! Real processes for tests: forked children that end by `_exit` and never run the harness's exit
//! paths. A child that panics says so in shared memory, ends, and its parent panics with its words.
//!
//! No child outlives its parent, and none hangs: an alarm ends it, and the parent then says so.
#![allow(unsafe_code)]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::io::Write;
use std::panic;
use std::process::abort;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm};

use super::scoreboard::{Shared, Zeroed};

/// Seconds after which a child counts as hanging.
const ALARM_SECS: u32 = 100;
/// Exit status of a child that panicked.
const PANICKED: i32 = 101;

/// A forked child; killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    report: Arc<Report>,
    reaped: bool,
}

/// Where children write what they died of. The first one's words are kept.
#[derive(Debug)]
pub(crate) struct Report(Shared<Text>);

impl Report {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Shared::new()))
    }

    /// What a child said.
    pub(crate) fn text(&self) -> String {
        let len = (self.0.len.load(SeqCst) as usize).min(self.0.bytes.len());
        let bytes: Vec<u8> = self.0.bytes[..len].iter().map(|byte| byte.load(SeqCst)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn write(&self, text: &str) {
        if self.0.writer.compare_exchange(0, 1, SeqCst, SeqCst).is_ok() {
            for (to, from) in self.0.bytes.iter().zip(text.bytes()) {
                to.store(from, SeqCst);
            }
            self.0.len.store(text.len() as u32, SeqCst);
        }
    }
}

#[repr(C)]
#[derive(Debug)]
struct Text {
    writer: AtomicU32,
    len: AtomicU32,
    bytes: [AtomicU8; 3000],
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Text {}

/// Forks a child that does `work` and exits with 0.
pub(crate) fn fork(work: impl FnOnce()) -> Child {
    fork_reporting(&Report::new(), work)
}

/// As [`fork`], for many children with one place for their last words.
pub(crate) fn fork_reporting(report: &Arc<Report>, work: impl FnOnce()) -> Child {
    // SAFETY: the child goes on with this thread alone. It takes no lock that another thread of
    // the harness may have held, but for malloc's, which libc looks after.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        ForkResult::Parent { child } => Child { pid: child, report: report.clone(), reaped: false },
        ForkResult::Child => run(report.clone(), work),
    }
}

/// Ends this process at once, as a worker that was told to stop would not.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: _exit runs no code of this process.
    unsafe { libc::_exit(status) }
}

fn run(report: Arc<Report>, work: impl FnOnce()) -> ! {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    alarm::set(ALARM_SECS);
    panic::set_hook(Box::new(move |info| {
        report.write(&format!("process {}: {info}", std::process::id()));
        exit(PANICKED)
    }));
    // The hook ends the process, so nothing unwinds from here.
    let Ok(()) = panic::catch_unwind(panic::AssertUnwindSafe(work)) else { abort() };
    exit(0)
}

impl Child {
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("a child of ours");
    }

    /// SIGKILL, and waits until it is dead.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        assert!(self.wait_killed(), "the child was killed, but: {}", self.report.text());
    }

    /// Waits until it has ended, and leaves it unreaped.
    pub(crate) fn wait_zombie(&self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(self.pid), flags).expect("a child of ours");
    }

    /// Waits for its death by SIGKILL; `false` if it died of something else.
    pub(crate) fn wait_killed(&mut self) -> bool {
        matches!(self.wait(), WaitStatus::Signaled(_, Signal::SIGKILL, _))
    }

    /// Stops it, and waits until it stands still.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let status = waitpid(self.pid, Some(WaitPidFlag::WUNTRACED)).expect("a child of ours");
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?} {}", self.report.text());
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Whether it sleeps: in the kernel, and not for want of a core.
    pub(crate) fn is_asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("/proc");
        // The command before it may hold anything but is in parentheses.
        stat.rsplit(')').next().is_some_and(|fields| fields.starts_with(" S"))
    }

    /// Waits for its end; `None` if that was a signal.
    pub(crate) fn exit_status(mut self) -> Option<i32> {
        match self.wait() {
            WaitStatus::Exited(_, status) => Some(status),
            _ => None,
        }
    }

    /// Waits for its end; `None` if it was not a signal.
    pub(crate) fn end_signal(mut self) -> Option<Signal> {
        match self.wait() {
            WaitStatus::Signaled(_, signal, _) => Some(signal),
            _ => None,
        }
    }

    /// Panics with its words if it is not at work any more.
    #[track_caller]
    pub(crate) fn assert_running(&mut self) {
        let status = self.poll();
        assert!(status == WaitStatus::StillAlive, "{status:?}\n{}", self.report.text());
    }

    /// Waits until it has done its work. Panics with its words if it did not.
    #[track_caller]
    pub(crate) fn join(mut self) {
        let status = self.wait();
        self.assert_done(status);
    }

    #[track_caller]
    fn assert_done(&self, status: WaitStatus) {
        assert!(
            matches!(status, WaitStatus::Exited(_, 0)),
            "a child failed: {status:?}\n{}",
            self.report.text()
        );
    }

    fn wait(&mut self) -> WaitStatus {
        let status = waitpid(self.pid, None).expect("a child of ours");
        self.reaped = true;
        status
    }

    fn poll(&mut self) -> WaitStatus {
        let status = waitpid(self.pid, Some(WaitPidFlag::WNOHANG)).expect("a child of ours");
        self.reaped = status != WaitStatus::StillAlive;
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// Runs `work` as the first process of a PID namespace of its own, where /proc shows that
/// namespace and no process ID of the machine is touched, for as long as it takes. `None` where
/// that is not allowed, or in a chroot, whose mounts cannot be kept from the rest of the machine.
#[must_use]
pub(crate) fn fork_in_pid_namespace(work: impl FnOnce()) -> Option<Child> {
    let none: Option<&str> = None;
    let keep_mounts = || mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    let namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    fork_in_namespaces(namespaces, keep_mounts, || {
        keep_mounts().expect("mounts of our own");
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).expect("/proc");
        work();
    })
}

/// As [`fork_in_pid_namespace`], but /proc goes on showing the namespace from which it came.
#[must_use]
pub(crate) fn fork_under_a_strange_proc(work: impl FnOnce()) -> Option<Child> {
    fork_in_namespaces(CloneFlags::CLONE_NEWPID, || Ok(()), work)
}

fn fork_in_namespaces(
    namespaces: CloneFlags,
    prepare: impl Fn() -> nix::Result<()>,
    work: impl FnOnce(),
) -> Option<Child> {
    const NOT_ALLOWED: i32 = 77;
    let is_possible = || unshare(namespaces).and_then(|()| prepare()).is_ok();
    let probe = fork(|| exit(if is_possible() { 0 } else { NOT_ALLOWED }));
    if probe.exit_status() == Some(NOT_ALLOWED) {
        notice("SKIPPED: this user may not make a PID namespace");
        return None;
    }
    Some(fork(|| {
        alarm::cancel();
        unshare(namespaces).expect("allowed");
        let first = fork(|| {
            alarm::cancel();
            work();
        });
        first.join();
    }))
}

/// The next process of this PID namespace gets this ID, if it is free.
pub(crate) fn ask_for_pid(pid: Pid) {
    let before = (pid.as_raw() - 1).to_string();
    std::fs::write("/proc/sys/kernel/ns_last_pid", before).expect("root in this PID namespace");
}

/// One test at a time: they need the cores, and a fork while another test panics would inherit
/// the lock of its panic hook.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line that is seen although the test passes.
pub(crate) fn notice(line: &str) {
    // Unlike eprintln!, this is not captured.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Waits for all of them, once all are there. The first that fails ends the others.
#[track_caller]
pub(crate) fn join_all(children: impl IntoIterator<Item = Child>) {
    let mut children: Vec<Child> = children.into_iter().collect();
    while !children.is_empty() {
        children.retain_mut(|child| match child.poll() {
            WaitStatus::StillAlive => true,
            status => {
                child.assert_done(status);
                false
            }
        });
        thread::sleep(Duration::from_millis(1));
    }
}

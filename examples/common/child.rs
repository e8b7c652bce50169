//! Worker processes: fork one, end one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};

/// Runs `work` in a child that dies with its parent. Call it only from a process of one thread.
#[allow(unsafe_code, reason = "fork has no safe form")]
pub(crate) fn spawn(work: impl FnOnce() -> Result<(), String>) -> Result<Pid, String> {
    let parent = getpid();
    // SAFETY: the caller has one thread, so no other thread can leave a lock held in the child.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(child),
        // The child never returns into its copy of the caller, not even by a panic.
        Ok(ForkResult::Child) => {
            let end = catch_unwind(AssertUnwindSafe(|| die_with(parent).and_then(|()| work())));
            exit(match end {
                Ok(Ok(())) => 0,
                Ok(Err(why)) => {
                    eprintln!("worker {}: {why}", getpid());
                    1
                }
                Err(_panic) => 101,
            })
        }
        Err(errno) => Err(format!("cannot fork: {errno}")),
    }
}

/// Kills the child and waits until it is gone.
pub(crate) fn end(child: Pid, signal: Signal) -> Result<(), String> {
    match kill(child, signal).and_then(|()| waitpid(child, None)) {
        Ok(_) | Err(Errno::ESRCH | Errno::ECHILD) => Ok(()),
        Err(errno) => Err(format!("cannot end the worker {child}: {errno}")),
    }
}

fn die_with(parent: Pid) -> Result<(), String> {
    set_pdeathsig(Signal::SIGKILL).map_err(|errno| format!("cannot follow the parent: {errno}"))?;
    // It may have died before the line above.
    if getppid() == parent { Ok(()) } else { Err("the parent is gone".into()) }
}

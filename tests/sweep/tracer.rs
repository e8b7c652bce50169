//! A child that is driven by ptrace: stopped before an operation, led any number of instructions
//! into it, and killed there.

use std::ptr;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::procs::{Child, Report, exit, fork, fork_reporting};
use super::trace::Trace;

/// The type of libc's requests.
#[cfg(target_env = "gnu")]
type Request = libc::c_uint;
#[cfg(not(target_env = "gnu"))]
type Request = libc::c_int;

pub(crate) struct Traced {
    child: Child,
    report: Arc<Report>,
}

/// Where a child came to a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Behind an instruction, or at a breakpoint.
    Trapped,
    /// At a mark: the operation is about to begin, or over.
    Marked,
}

/// Whether this machine lets a process drive its child.
pub(crate) fn is_allowed() -> bool {
    const REFUSED: i32 = 77;
    let child = fork(|| {
        if trace_me().is_err() {
            exit(REFUSED);
        }
        mark();
    });
    let status = waitpid(child.pid(), None).expect("a child of ours");
    let allowed = matches!(status, WaitStatus::Stopped(_, Signal::SIGSTOP))
        && ptrace(libc::PTRACE_SINGLESTEP, child.pid(), 0, 0).is_ok();
    if matches!(status, WaitStatus::Exited(..)) {
        std::mem::forget(child);
    }
    allowed
}

impl Traced {
    /// Forks a child that does `act`, and returns when it calls what it is given. Another mark
    /// follows the end of `act`.
    pub(crate) fn start(report: &Arc<Report>, act: impl FnOnce(fn())) -> Self {
        let child = fork_reporting(report, || {
            trace_me().expect("traced");
            act(mark);
            mark();
        });
        let traced = Self { child, report: report.clone() };
        assert_eq!(traced.wait(), Stop::Marked);
        traced
    }

    /// One instruction; a repeated string instruction, which traps after each piece, as a whole.
    pub(crate) fn step(&self) -> Stop {
        let before = self.address();
        loop {
            let stop = self.resume(libc::PTRACE_SINGLESTEP);
            if stop == Stop::Marked || before.is_none() || self.address() != before {
                return stop;
            }
        }
    }

    /// Full speed to the next mark or breakpoint.
    pub(crate) fn run(&self) -> Stop {
        self.resume(libc::PTRACE_CONT)
    }

    /// Goes to where the traced run was after `k` instructions. `false`: this run is elsewhere.
    pub(crate) fn go_to(&self, trace: &Trace, k: usize) -> bool {
        let way = trace.way_to(k);
        let mut stop = Stop::Trapped;
        for anchor in way.anchors.iter().filter(|anchor| anchor.hits > 0) {
            self.set_breakpoint(Some(anchor.address));
            for _ in 0..anchor.hits {
                stop = self.run();
                if stop == Stop::Marked {
                    return false;
                }
            }
        }
        self.set_breakpoint(None);
        for _ in 0..way.steps {
            stop = self.step();
            if stop == Stop::Marked {
                break;
            }
        }
        stop == Stop::Trapped && trace.address(k) == self.address()
    }

    /// SIGKILL; returns when it is dead and reaped.
    pub(crate) fn kill(self) {
        self.child.kill();
    }

    /// Its memory at `address`; `None` where it has none.
    pub(crate) fn memory(&self, address: usize, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        let local = &mut [std::io::IoSliceMut::new(&mut bytes)];
        let read = process_vm_readv(self.child.pid(), local, &[RemoteIoVec { base: address, len }]);
        (read == Ok(len)).then_some(bytes)
    }

    fn resume(&self, how: Request) -> Stop {
        ptrace(how, self.child.pid(), 0, 0).expect("a child that stands still");
        self.wait()
    }

    fn wait(&self) -> Stop {
        match waitpid(self.child.pid(), None).expect("a child of ours") {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Stop::Trapped,
            WaitStatus::Stopped(_, Signal::SIGSTOP) => Stop::Marked,
            other => panic!("the traced child: {other:?} {}", self.report.text()),
        }
    }
}

/// Where the machine tells addresses and has breakpoints of its own.
#[cfg(target_arch = "x86_64")]
impl Traced {
    /// Of the next instruction.
    pub(crate) fn address(&self) -> Option<u64> {
        const RIP: usize = std::mem::offset_of!(libc::user_regs_struct, rip);
        Some(peek_user(self.child.pid(), RIP))
    }

    fn set_breakpoint(&self, address: Option<u64>) {
        // Bit 0 of the control register: breakpoint 0, for execution.
        let settings = [(DEBUG_ADDRESS, address.unwrap_or(0)), (DEBUG_CONTROL, 1)];
        let off = [(DEBUG_CONTROL, 0)];
        let settings = if address.is_some() { &settings[..] } else { &off[..] };
        for (register, value) in settings {
            ptrace(libc::PTRACE_POKEUSER, self.child.pid(), *register, *value as usize)
                .expect("a breakpoint");
        }
    }
}

#[cfg(target_arch = "x86_64")]
const DEBUG_ADDRESS: usize = std::mem::offset_of!(libc::user, u_debugreg);
#[cfg(target_arch = "x86_64")]
const DEBUG_CONTROL: usize = DEBUG_ADDRESS + 7 * size_of::<u64>();

/// Elsewhere every way is gone step by step.
#[cfg(not(target_arch = "x86_64"))]
impl Traced {
    pub(crate) fn address(&self) -> Option<u64> {
        None
    }

    fn set_breakpoint(&self, _: Option<u64>) {}
}

fn trace_me() -> Result<(), Errno> {
    ptrace(libc::PTRACE_TRACEME, Pid::from_raw(0), 0, 0)
}

/// Stops this process; its tracer sees that, and lets it go on.
fn mark() {
    raise(Signal::SIGSTOP).expect("a signal to itself");
}

fn ptrace(request: Request, pid: Pid, address: usize, data: usize) -> Result<(), Errno> {
    let (address, data) = (ptr::without_provenance_mut(address), ptr::without_provenance_mut(data));
    let (address, data): (*mut libc::c_void, *mut libc::c_void) = (address, data);
    // SAFETY: these requests change the child alone; `address` and `data` are numbers to them.
    Errno::result(unsafe { libc::ptrace(request, pid.as_raw(), address, data) }).map(drop)
}

#[cfg(target_arch = "x86_64")]
fn peek_user(pid: Pid, offset: usize) -> u64 {
    let offset: *mut libc::c_void = ptr::without_provenance_mut(offset);
    let none: *mut libc::c_void = ptr::null_mut();
    // SAFETY: libc returns a word of the child's registers; nothing of ours is written.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, pid.as_raw(), offset, none) };
    word as u64
}

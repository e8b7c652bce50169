//! System calls that do not happen: seccomp filters, written by hand. A filter cannot be taken
//! back, so they are for forked children only.
#![allow(unsafe_code)]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::ffi::{c_int, c_long};
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicPtr, AtomicU32};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::procs::{exit, fork, notice};

/// Whether this machine lets a process filter its own calls; if not, says what goes unchecked.
pub(crate) fn is_available(what: &str) -> bool {
    let probe = fork(|| exit(if try_deny(libc::SYS_acct, libc::EPERM).is_ok() { 0 } else { 1 }));
    let available = probe.exit_status() == Some(0);
    if !available {
        notice(&format!("SKIPPED: no seccomp filters here: {what}"));
    }
    available
}

/// From now on this process gets `errno` for the system call `number`.
pub(crate) fn deny(number: c_long, errno: c_int) {
    try_deny(number, errno).expect("filters are available");
}

fn try_deny(number: c_long, errno: c_int) -> nix::Result<()> {
    let refuse = libc::SECCOMP_RET_ERRNO | errno as u32;
    install(&[
        load(offset_of!(libc::seccomp_data, nr)),
        go_on_if(number as u32, 1),
        answer(refuse),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

/// From now on this process stands still where it would wake a sleeper of `word`, for ever, after
/// it has raised `reached`. It is as if it had been stopped at just this instruction.
pub(crate) fn stand_still_at_wake(word: &AtomicU32, reached: &AtomicU32) {
    trap(word, libc::FUTEX_WAKE, reached);
}

/// From now on this process sleeps on `word` without a timeout, and once it has been woken raises
/// `reached` and stands still.
pub(crate) fn stand_still_once_woken(word: &AtomicU32, reached: &AtomicU32) {
    trap(word, libc::FUTEX_WAIT, reached);
}

static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
static REACHED: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
static OPERATION: AtomicU32 = AtomicU32::new(0);

/// Raises SIGSYS in place of `operation` on `word`, private or not.
fn trap(word: &AtomicU32, operation: c_int, reached: &AtomicU32) {
    WORD.store(ptr::from_ref(word).cast_mut(), SeqCst);
    REACHED.store(ptr::from_ref(reached).cast_mut(), SeqCst);
    OPERATION.store(operation as u32, SeqCst);
    let action = SigAction::new(SigHandler::Handler(on_trap), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler uses atomics and system calls only, and never returns.
    unsafe { sigaction(Signal::SIGSYS, &action) }.expect("a handler");
    let address = word.as_ptr() as u64;
    let argument = |nth: usize| offset_of!(libc::seccomp_data, args) + 8 * nth;
    install(&[
        load(offset_of!(libc::seccomp_data, nr)),
        go_on_if(libc::SYS_futex as u32, 8),
        load(low(argument(0))),
        go_on_if(address as u32, 6),
        load(high(argument(0))),
        go_on_if((address >> 32) as u32, 4),
        load(low(argument(1))),
        and(!(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME) as u32),
        go_on_if(operation as u32, 1),
        answer(libc::SECCOMP_RET_TRAP),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
    .expect("filters are available");
}

extern "C" fn on_trap(_: c_int) {
    // SAFETY: `trap` stored a pointer to a board, which this process keeps mapped.
    let word = unsafe { &*WORD.load(SeqCst) };
    // SAFETY: as above.
    let reached = unsafe { &*REACHED.load(SeqCst) };
    if OPERATION.load(SeqCst) == libc::FUTEX_WAIT as u32 {
        sleep_on(word);
    }
    reached.store(1, SeqCst);
    loop {
        nix::unistd::pause();
    }
}

/// The same sleep by another name, which the filter lets through.
fn sleep_on(word: &AtomicU32) {
    // SAFETY: the reference proves the word valid; without a timeout nothing else is read.
    #[allow(clippy::disallowed_methods)]
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            word.load(SeqCst),
            ptr::null::<libc::timespec>(),
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
}

fn install(program: &[libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        // The kernel only reads it.
        filter: program.as_ptr().cast_mut(),
    };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the program is a live slice of that length, and the kernel checks what it says.
    let result =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    Errno::result(result).map(drop)
}

// ---- instructions -------------------------------------------------------------------------------

fn instruction(code: u32, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf, k }
}

/// A word of `seccomp_data`.
fn load(offset: usize) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset as u32)
}

fn and(mask: u32) -> libc::sock_filter {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, mask)
}

/// Goes on if that is what was loaded, and otherwise behind the next `skip` instructions.
fn go_on_if(value: u32, skip: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, value)
}

fn answer(value: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, value)
}

/// Where the lower half of a word of 8 bytes lies.
fn low(offset: usize) -> usize {
    offset + if cfg!(target_endian = "big") { 4 } else { 0 }
}

fn high(offset: usize) -> usize {
    offset + if cfg!(target_endian = "big") { 0 } else { 4 }
}

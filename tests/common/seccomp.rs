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
    trap(libc::SYS_futex, &futex(word, libc::FUTEX_WAKE), None, reached);
}

/// From now on this process sleeps on `word` without a timeout, and once it has been woken raises
/// `reached` and stands still.
pub(crate) fn stand_still_once_woken(word: &AtomicU32, reached: &AtomicU32) {
    trap(libc::SYS_futex, &futex(word, libc::FUTEX_WAIT), Some(word), reached);
}

/// From now on this thread stands still where it would give that advice to the kernel, after it has
/// raised `reached`.
pub(crate) fn stand_still_at_advice(advice: c_int, reached: &AtomicU32) {
    trap(libc::SYS_madvise, &[argument(2, advice as u64)], None, reached);
}

static SLEEP_ON: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
static REACHED: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// `operation` on the futex at `word`, private or not.
fn futex(word: &AtomicU32, operation: c_int) -> [Condition; 2] {
    let flags = libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME;
    let operation = Condition { mask: !flags as u32 as u64, ..argument(1, operation as u64) };
    [argument(0, word.as_ptr() as u64), operation]
}

/// Raises SIGSYS in place of the system call `number` if all conditions hold.
fn trap(
    number: c_long,
    conditions: &[Condition],
    sleep_on: Option<&AtomicU32>,
    reached: &AtomicU32,
) {
    SLEEP_ON.store(sleep_on.map_or(ptr::null_mut(), |word| ptr::from_ref(word).cast_mut()), SeqCst);
    REACHED.store(ptr::from_ref(reached).cast_mut(), SeqCst);
    let action = SigAction::new(SigHandler::Handler(on_trap), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler uses atomics and system calls only, and never returns.
    unsafe { sigaction(Signal::SIGSYS, &action) }.expect("a handler");
    let mut program = vec![answer(libc::SECCOMP_RET_TRAP), answer(libc::SECCOMP_RET_ALLOW)];
    // Each check is put before what follows it, which it may have to skip.
    let mut go_on_if = |offset: usize, mask: u32, value: u32| {
        let skip = program.len() as u8 - 1;
        program.splice(0..0, [load(offset), and(mask), go_on_if(value, skip)]);
    };
    for Condition { offset, mask, value } in conditions {
        go_on_if(high(*offset), (mask >> 32) as u32, (value >> 32) as u32);
        go_on_if(low(*offset), *mask as u32, *value as u32);
    }
    go_on_if(offset_of!(libc::seccomp_data, nr), u32::MAX, number as u32);
    install(&program).expect("filters are available");
}

/// What an argument of a system call must be.
#[derive(Debug, Clone, Copy)]
struct Condition {
    offset: usize,
    mask: u64,
    value: u64,
}

fn argument(nth: usize, value: u64) -> Condition {
    Condition { offset: offset_of!(libc::seccomp_data, args) + 8 * nth, mask: u64::MAX, value }
}

extern "C" fn on_trap(_: c_int) {
    // SAFETY: null, or `trap` stored a pointer to a word that this process keeps mapped.
    if let Some(word) = unsafe { SLEEP_ON.load(SeqCst).as_ref() } {
        sleep_on(word);
    }
    // SAFETY: as above; this one is never null.
    let reached = unsafe { &*REACHED.load(SeqCst) };
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

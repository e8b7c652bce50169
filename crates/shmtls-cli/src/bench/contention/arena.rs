//! What all processes of one burst share besides the cache: the start signal, the two global
//! locks, and a line for each worker.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::ffi::{RobustMutex, Shared, futex_wait, futex_wake};

/// More than that no burst has.
pub(super) const WORKERS_MAX: usize = 256;

#[repr(C)]
#[derive(Debug)]
pub(super) struct Arena {
    phase: Phase,
    pub(super) mutex: RobustMutex,
    pub(super) futex: FutexWord,
    /// The worker that has the global lock, plus 1.
    pub(super) holder: AtomicU32,
    lines: [Line; WORKERS_MAX],
}

/// 0: wait, 1: work, 2: end.
#[repr(C, align(128))]
#[derive(Debug)]
struct Phase(AtomicU32);

#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct FutexWord(pub(super) AtomicU32);

/// What one worker says of itself, also after it was killed.
#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct Line {
    /// How many processes of this line have come to the start.
    ready: AtomicU32,
    /// The key of its operation, for whoever measures how long its lock stays.
    pub(super) doing: AtomicU32,
    pub(super) operations: AtomicU64,
    pub(super) lookups: AtomicU64,
    pub(super) hits: AtomicU64,
    /// Sessions that were not what was stored.
    pub(super) wrong: AtomicU64,
    /// Waits for a global lock.
    pub(super) waits: AtomicU64,
    /// Global locks whose owner had died.
    pub(super) recoveries: AtomicU64,
}

const WORK: u32 = 1;
const END: u32 = 2;

/// An unnamed file with an arena that nothing has happened in.
pub(super) fn create(priority_inheritance: bool) -> io::Result<(File, Shared)> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create("shmtls-bench", flags)?);
    file.set_len(size_of::<Arena>() as u64)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    let shared = Shared::map(&file)?;
    shared.arena().mutex.init(priority_inheritance);
    Ok((file, shared))
}

impl Arena {
    pub(super) fn line(&self, worker: usize) -> &Line {
        &self.lines[worker]
    }

    pub(super) fn lines(&self, workers: usize) -> &[Line] {
        &self.lines[..workers]
    }

    /// A worker is at the start; returns when the burst begins.
    pub(super) fn wait_for_start(&self, worker: usize) {
        self.line(worker).ready.fetch_add(1, Release);
        while self.phase.0.load(Acquire) == 0 {
            futex_wait(&self.phase.0, 0);
        }
    }

    pub(super) fn are_ready(&self, workers: usize) -> bool {
        self.lines(workers).iter().all(|line| line.ready.load(Acquire) > 0)
    }

    pub(super) fn start(&self) {
        self.go_to(WORK);
    }

    pub(super) fn end(&self) {
        self.go_to(END);
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.phase.0.load(Relaxed) == END
    }

    fn go_to(&self, phase: u32) {
        self.phase.0.store(phase, Release);
        futex_wake(&self.phase.0, i32::MAX);
    }
}

impl Line {
    /// Adds to a counter that only this worker writes.
    #[inline]
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Relaxed) + n, Relaxed);
    }
}

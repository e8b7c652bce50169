//! What a storm asks of the kernel: priorities, process IDs, and a process's memory back.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::unistd::{Pid, setpgid};

/// This process is to run after whoever kills it. It leads a process group, for [`hasten`]'s sake.
pub(crate) fn step_back() {
    const NICE: i32 = 5;
    let own = Pid::from_raw(0);
    // Where this fails the storm is slower.
    let _ = setpgid(own, own);
    set_priority(libc::PRIO_PROCESS as i32, own, NICE);
}

/// This thread is not to wait for a core behind its workers, where root says so.
pub(crate) fn step_forward() {
    set_priority(libc::PRIO_PROCESS as i32, Pid::from_raw(0), HASTE);
}

/// Who has been killed needs a core to die on. It executes nothing of its own any more, so where
/// it dies does not change.
pub(crate) fn hasten(victim: Pid) {
    set_priority(libc::PRIO_PGRP as i32, victim, HASTE);
}

const HASTE: i32 = -10;

fn set_priority(which: i32, who: Pid, nice: i32) {
    // SAFETY: takes numbers only. May fail: only root may have more than others.
    unsafe { libc::setpriority(which as _, who.as_raw() as _, nice) };
}

pub(crate) fn pidfd_open(pid: Pid) -> OwnedFd {
    // SAFETY: takes numbers only.
    #[allow(clippy::disallowed_methods)]
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    assert!(fd >= 0, "pidfd_open of a child: {}", std::io::Error::last_os_error());
    // SAFETY: a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Frees a dying process's memory. It may have gone by itself meanwhile.
pub(crate) fn process_mrelease(pidfd: &OwnedFd) {
    // SAFETY: takes numbers only.
    #[allow(clippy::disallowed_methods)]
    unsafe {
        libc::syscall(libc::SYS_process_mrelease, pidfd.as_raw_fd(), 0)
    };
}

/// From here on this PID namespace gives the same sixteen IDs again and again: 300 to 315.
/// `false` where the limit is one for the whole machine, which is left alone.
pub(crate) fn few_pids() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.trim().parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 14) && fs::write("/proc/sys/kernel/pid_max", "316").is_ok()
}

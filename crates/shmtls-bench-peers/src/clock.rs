//! Time that all processes of the machine agree on.

use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC.
#[inline]
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has that clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Sleeps for the most part, and spins at the end: all that wait for one time go on together.
pub(crate) fn wait_until(time: u64) {
    let rest = Duration::from_nanos(time.saturating_sub(now()));
    thread::sleep(rest.saturating_sub(Duration::from_millis(1)));
    while now() < time {
        std::hint::spin_loop();
    }
}

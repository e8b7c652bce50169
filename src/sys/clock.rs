//! The wall clock, as cheap as a few loads.

use nix::time::{ClockId, clock_gettime};

/// A moment on the wall clock, as of the kernel's last tick: up to 10 ms late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    unix_millis: u64,
}

impl Now {
    /// CLOCK_REALTIME_COARSE (clock_gettime(2)): no system call, and a quarter of the price of the
    /// fine clock. A clock before 1970 reads 0.
    #[inline]
    pub(crate) fn read() -> Self {
        #[cfg(all(shmtls_battery, not(test)))]
        if let Some(now) = set::now() {
            return now;
        }
        let unix_millis = clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(0, |time| {
            let secs = u64::try_from(time.tv_sec()).unwrap_or(0);
            secs * 1000 + time.tv_nsec().unsigned_abs() / 1_000_000
        });
        Self { unix_millis }
    }

    /// Seconds since 1970, at most those of the year 2106.
    #[inline]
    pub(crate) fn secs(self) -> u32 {
        u32::try_from(self.unix_millis / 1000).unwrap_or(u32::MAX)
    }

    /// Milliseconds since 1970.
    #[inline]
    pub(crate) fn unix_millis(self) -> u64 {
        self.unix_millis
    }
}

/// For the batteries: a clock that goes as fast as they want.
#[cfg(all(shmtls_battery, not(test)))]
pub(crate) mod set {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::Now;

    /// 0: the kernel's clock.
    static UNIX_MILLIS: AtomicU64 = AtomicU64::new(0);

    /// From now on it is this time, in this process.
    pub fn set_clock(unix_millis: u64) {
        UNIX_MILLIS.store(unix_millis, Relaxed);
    }

    pub(super) fn now() -> Option<Now> {
        let unix_millis = UNIX_MILLIS.load(Relaxed);
        (unix_millis != 0).then_some(Now { unix_millis })
    }
}

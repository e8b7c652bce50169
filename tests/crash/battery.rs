//! What a build with `scripts/rustc-battery` adds: wider windows, and a mistake if one is asked
//! for.
//!
//! Between any two steps of the library a worker may sleep for a while, in the lock too, so most
//! kills find somebody there; and who enters a section sees to it that nobody else is in it.

/// Whether the windows of this build are wide.
pub(crate) const IS_WIDE: bool = cfg!(shmtls_battery);

/// Widens the windows of this worker. `SHMTLS_FAULT` names a known-bad protocol.
#[cfg(shmtls_battery)]
pub(crate) fn begin(seed: u64) {
    use shmtls::battery::{commit, widen};

    const ONE_IN: u32 = 60;
    widen(ONE_IN, std::time::Duration::from_micros(300), seed);
    if let Ok(name) = std::env::var("SHMTLS_FAULT") {
        let fault = FAULTS.iter().find(|fault| format!("{fault:?}") == name);
        commit(*fault.expect("SHMTLS_FAULT: one of src/fault.rs"));
    }
}

#[cfg(not(shmtls_battery))]
pub(crate) fn begin(_seed: u64) {}

#[cfg(shmtls_battery)]
const FAULTS: [shmtls::battery::Fault; 13] = {
    use shmtls::battery::Fault::*;
    [
        UnlockStoresZero,
        PrivateFutex,
        NoPending,
        PendingClearedBeforeWake,
        WaitersForgotten,
        NoTakeOver,
        HastyTakeOver,
        NoDeadline,
        CopyBeforeTombstone,
        SlotBeforeRecord,
        NoJournal,
        TrustingRepair,
        NoWipe,
    ]
};

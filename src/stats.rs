//! What is counted. Each process counts in its own line of the process table; readers add the
//! lines and the retired total. Nothing here is ever shared hot.

/// Declares the counters once: their index in a line, their place in [`Stats`], their meaning.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $field:ident,)*) => {
        /// Index of a counter in a process's line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum Counter { $($name,)* }

        impl Counter {
            /// How many there are.
            pub(crate) const COUNT: usize = [$(Counter::$name,)*].len();
        }

        /// Counters of one process, or the sum over all processes that ever attached.
        ///
        /// ```
        /// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
        /// assert_eq!(cache.stats().lookups(), 0);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Stats { $($(#[$doc])* pub $field: u64,)* }

        impl Stats {
            pub(crate) fn from_counters(value: impl Fn(Counter) -> u64) -> Self {
                Self { $($field: value(Counter::$name),)* }
            }

            /// Every counter with its name, in their order in the segment.
            pub fn fields(&self) -> [(&'static str, u64); Counter::COUNT] {
                [$((stringify!($field), self.$field),)*]
            }

            /// What was counted since `earlier`. The largest session refused is that of all time.
            pub fn since(&self, earlier: &Self) -> Self {
                Self {
                    largest_refused: self.largest_refused,
                    ..Self { $($field: self.$field.wrapping_sub(earlier.$field),)* }
                }
            }
        }
    };
}

counters! {
    /// Lookups that found the session.
    Hits = hits,
    /// Hits on a session that another process stored: full handshakes that sharing saved.
    ForeignHits = foreign_hits,
    /// Lookups of an ID that is not there.
    MissesAbsent = misses_absent,
    /// Lookups that found a session past its expiry.
    MissesExpired = misses_expired,
    /// Lookups of an ID that is there under another context only.
    MissesContext = misses_context,
    /// Lookups that found another library's bytes.
    MissesLibrary = misses_library,
    /// Lookups that gave up at the lock's deadline.
    MissesBusy = misses_busy,
    /// Lookups that found bytes which fail their check.
    MissesDamaged = misses_damaged,
    /// Lookups whose bytes the TLS library could not decode.
    MissesUndecodable = misses_undecodable,
    /// Lookups of an ID that is empty or longer than 32 bytes.
    MissesInvalidId = misses_invalid_id,
    /// Sessions stored under a new ID.
    StoredNew = stored_new,
    /// Sessions stored in place of an earlier one.
    StoredReplaced = stored_replaced,
    /// Stores of a session that was there already, byte for byte.
    StoredUnchanged = stored_unchanged,
    /// Sessions refused for their size.
    RefusedTooLarge = refused_too_large,
    /// Size in bytes of the largest session refused.
    LargestRefused = largest_refused,
    /// Sessions refused because they had expired.
    RefusedExpired = refused_expired,
    /// Sessions dropped at the lock's deadline.
    RefusedBusy = refused_busy,
    /// Live sessions that had to go for a new one.
    Evicted = evicted,
    /// Sessions cleared away after their expiry.
    Expired = expired,
    /// Sessions removed by a caller.
    Removed = removed,
    /// Sessions taken, by a caller or by a resumption.
    Taken = taken,
    /// Removals that gave up at the lock's deadline.
    RemovesBusy = removes_busy,
    /// Locks that somebody else had at first.
    LockWaits = lock_waits,
    /// Locks given up at the deadline.
    LockDeadlines = lock_deadlines,
    /// Calls from a signal handler that interrupted a call of the same thread.
    LockReentered = lock_reentered,
    /// Sleeps that ended by their slice although the lock was free.
    LockLateWakes = lock_late_wakes,
    /// Locks taken without a robust list, so without the kernel's help at a death.
    LocksWithoutKernel = locks_without_kernel,
    /// Locks whose owner died in them, freed by the kernel.
    OwnerDiedKernel = owner_died_kernel,
    /// Locks taken over from an owner found dead.
    OwnerDiedStolen = owner_died_stolen,
    /// Locks found held by a dead thread of the caller's own ID.
    OwnerDiedSelf = owner_died_self,
    /// Buckets repaired.
    Repairs = repairs,
    /// Sessions that were whole in a repaired bucket.
    RepairKept = repair_kept,
    /// Sessions that were lost in a repair.
    RepairLost = repair_lost,
    /// Hooks that panicked.
    HookPanics = hook_panics,
    /// Stateless tickets made under the ring's keys.
    TicketsIssued = tickets_issued,
    /// Tickets shown that the current key decrypts.
    TicketsCurrentKey = tickets_current_key,
    /// Tickets shown that an older or newer key of the ring decrypts.
    TicketsOldKey = tickets_old_key,
    /// Tickets shown whose key is not in the ring: full handshakes.
    TicketsUnknownKey = tickets_unknown_key,
    /// Tickets shown that were issued under another context: full handshakes.
    TicketsOtherContext = tickets_other_context,
    /// Ticket keys that left the ring while their tickets may have been alive.
    KeysDropped = keys_dropped,
    /// Lookups that found bytes which no holder of the sealing key made for this entry.
    MissesForged = misses_forged,
    /// Sessions dropped because the kernel had no random bytes to seal them with.
    RefusedUnsealed = refused_unsealed,
    /// Lookups of an ID whose session had to go for others a short while ago.
    MissesEvicted = misses_evicted,
    /// Of these, lookups that a segment of twice the size would have answered.
    HitsAtTwiceTheSize = hits_at_twice_the_size,
    /// Ages in seconds of the live sessions that had to go, summed up.
    EvictedAgeSecs = evicted_age_secs,
    /// Sessions removed by a caller within a second of being stored.
    RemovedAtOnce = removed_at_once,
    /// Nanoseconds spent waiting for locks.
    LockWaitNanos = lock_wait_nanos,
    /// Waits for a lock of less than 1 us.
    LockWaits1us = lock_waits_1us,
    /// Waits for a lock of 1 us to less than 4 us.
    LockWaits4us = lock_waits_4us,
    /// Waits for a lock of 4 us to less than 16 us.
    LockWaits16us = lock_waits_16us,
    /// Waits for a lock of 16 us to less than 64 us.
    LockWaits64us = lock_waits_64us,
    /// Waits for a lock of 64 us to less than 256 us.
    LockWaits256us = lock_waits_256us,
    /// Waits for a lock of 256 us to less than 1,024 us.
    LockWaits1ms = lock_waits_1ms,
    /// Waits for a lock of 1,024 us to less than 4,096 us.
    LockWaits4ms = lock_waits_4ms,
    /// Waits for a lock of 4,096 us to less than 16,384 us.
    LockWaits16ms = lock_waits_16ms,
    /// Waits for a lock of 16,384 us and more.
    LockWaitsLonger = lock_waits_longer,
}

impl Stats {
    /// Lookups that found nothing usable.
    pub fn misses(&self) -> u64 {
        sum([
            self.misses_absent,
            self.misses_expired,
            self.misses_context,
            self.misses_library,
            self.misses_busy,
            self.misses_damaged,
            self.misses_undecodable,
            self.misses_invalid_id,
            self.misses_forged,
            self.misses_evicted,
        ])
    }

    /// All lookups.
    pub fn lookups(&self) -> u64 {
        sum([self.hits, self.misses()])
    }

    /// Waits for a lock by length: an upper bound in microseconds (none for the last) and how many
    /// were shorter than that, but not shorter than the bound before.
    pub fn lock_wait_histogram(&self) -> [(Option<u64>, u64); 9] {
        [
            (Some(1), self.lock_waits_1us),
            (Some(4), self.lock_waits_4us),
            (Some(16), self.lock_waits_16us),
            (Some(64), self.lock_waits_64us),
            (Some(256), self.lock_waits_256us),
            (Some(1024), self.lock_waits_1ms),
            (Some(4096), self.lock_waits_4ms),
            (Some(16_384), self.lock_waits_16ms),
            (None, self.lock_waits_longer),
        ]
    }

    /// Locks whose owner died in them and that are in use again.
    pub fn recoveries(&self) -> u64 {
        sum([self.owner_died_kernel, self.owner_died_stolen, self.owner_died_self])
    }
}

/// Wraps: counters come from shared memory, where anything may stand.
fn sum<const N: usize>(counters: [u64; N]) -> u64 {
    counters.into_iter().fold(0, u64::wrapping_add)
}

impl Counter {
    /// The counter of a wait of that length.
    pub(crate) fn of_wait(nanos: u64) -> Self {
        const BY_LENGTH: [Counter; 9] = [
            Counter::LockWaits1us,
            Counter::LockWaits4us,
            Counter::LockWaits16us,
            Counter::LockWaits64us,
            Counter::LockWaits256us,
            Counter::LockWaits1ms,
            Counter::LockWaits4ms,
            Counter::LockWaits16ms,
            Counter::LockWaitsLonger,
        ];
        let micros = nanos / 1000;
        let power_of_four = micros.checked_ilog2().map_or(0, |log| log as usize / 2 + 1);
        BY_LENGTH[power_of_four.min(BY_LENGTH.len() - 1)]
    }

    /// How two values of a counter become one.
    pub(crate) fn merge(index: usize, a: u64, b: u64) -> u64 {
        if index == Self::LargestRefused as usize { a.max(b) } else { a.wrapping_add(b) }
    }
}

const _: () = assert!(Counter::COUNT <= crate::layout::COUNTERS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_since_a_moment_and_the_largest_of_all_time() {
        let of = |hits, misses_absent| Stats {
            hits,
            misses_absent,
            largest_refused: 900,
            ..Stats::default()
        };
        assert_eq!(of(10, 1).since(&of(3, u64::MAX)), of(7, 2));
    }
}

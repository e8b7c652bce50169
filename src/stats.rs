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
        ])
    }

    /// All lookups.
    pub fn lookups(&self) -> u64 {
        sum([self.hits, self.misses()])
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
    /// How two values of a counter become one.
    pub(crate) fn merge(index: usize, a: u64, b: u64) -> u64 {
        if index == Self::LargestRefused as usize { a.max(b) } else { a.wrapping_add(b) }
    }
}

const _: () = assert!(Counter::COUNT <= crate::layout::COUNTERS);

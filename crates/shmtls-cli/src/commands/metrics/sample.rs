//! All that is read of one segment.

use std::time::{Duration, Instant};

use shmtls::{Inspector, KeyStatus, SegmentInfo, Stats};

use crate::failure::Failure;
use crate::segment::Segment;
use crate::system::ProcessState;

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) info: SegmentInfo,
    pub(super) stats: Stats,
    pub(super) sessions: usize,
    pub(super) used_bytes: usize,
    pub(super) keys: Option<KeyStatus>,
    pub(super) alive: usize,
    pub(super) dead: usize,
    /// Those of another PID namespace.
    pub(super) unknown: usize,
    /// Those that use ticket keys, and are not known to be dead.
    pub(super) with_keys: usize,
    /// Those of them that use the ring of this moment.
    pub(super) with_current_keys: usize,
    pub(super) took: Duration,
}

impl Sample {
    pub(super) fn of(segment: &Segment) -> Result<Self, Failure> {
        let start = Instant::now();
        let sample = Self::read(&segment.inspect_among_others()?);
        Ok(Self { took: start.elapsed(), ..sample })
    }

    fn read(inspector: &Inspector) -> Self {
        let (info, keys) = (inspector.info(), inspector.keys());
        let (mut sessions, mut used_bytes) = (0, 0);
        for bucket in inspector.buckets() {
            sessions += bucket.sessions();
            used_bytes += bucket.used_bytes();
        }
        let processes = inspector.processes();
        let epoch = keys.as_ref().map_or(0, |keys| keys.epoch);
        let states: Vec<_> =
            processes.iter().map(|it| (ProcessState::of(it, &info), it.key_epoch())).collect();
        let count = |of: &dyn Fn(ProcessState, u64) -> bool| {
            states.iter().filter(|(state, epoch)| of(*state, *epoch)).count()
        };
        Self {
            sessions,
            used_bytes,
            alive: count(&|state, _| state.is_alive()),
            dead: count(&|state, _| state.is_dead()),
            unknown: count(&|state, _| state == ProcessState::Unknown),
            with_keys: count(&|state, used| used != 0 && !state.is_dead()),
            with_current_keys: count(&|state, used| used != 0 && used == epoch && !state.is_dead()),
            took: Duration::ZERO,
            stats: inspector.stats(),
            info,
            keys,
        }
    }
}

//! Whether the sweep would find something: it fails for every mistake that it can see.

use nix::sys::wait::{WaitStatus, waitpid};
use shmtls::battery::{Fault, commit};

use super::operations::{EVICT, INSERT, Operation, REMOVE, REPAIR_MOVE, TAKE};
use super::procs::{Report, fork_reporting, notice};
use super::sweeper::sweep;
use super::{is_possible, room};

/// Each mistake, the operation in which it shows, and what the survivor says of it.
const SEEN: [(Fault, &Operation, &str); 6] = [
    (Fault::NoPending, &INSERT, "the kernel did not free"),
    (Fault::CopyBeforeTombstone, &TAKE, "is in hand and there"),
    (Fault::NoJournal, &EVICT, "None, not Some(1) or Some(1)"),
    (Fault::TrustingRepair, &INSERT, "but not wiped"),
    (Fault::TrustingRepair, &REPAIR_MOVE, "still being changed"),
    (Fault::NoWipe, &REMOVE, "but not wiped"),
];

#[test]
fn the_sweep_fails_for_every_mistake_that_it_can_see() {
    let Some(_turn) = is_possible() else { return };
    for (fault, operation, words) in SEEN {
        let said = failure(fault, operation);
        let name = operation.name;
        notice(&format!("sweep: {fault:?} in {name}: {}", said.as_deref().unwrap_or("unseen")));
        assert!(said.is_some_and(|said| said.contains(words)), "{fault:?} in {name}");
    }
}

/// What the sweep says of an operation with a mistake; `None` if it has not seen any.
fn failure(fault: Fault, operation: &Operation) -> Option<String> {
    let (report, room) = (Report::new(), room());
    let child = fork_reporting(&report, || {
        commit(fault);
        sweep(operation, 1, room.path());
    });
    let status = waitpid(child.pid(), None).expect("a child of ours");
    // It is reaped: nobody is to wait for it, or signal its ID, any more.
    std::mem::forget(child);
    (!matches!(status, WaitStatus::Exited(_, 0))).then(|| report.text())
}

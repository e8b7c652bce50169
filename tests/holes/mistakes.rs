//! The tests of the tests: with a known-bad protocol the holes are open, and the tests of this
//! crate fall into them. That of the two schedules is in `src/robust/tests/stranding.rs`.

use std::env;
use std::process::Command;

use shmtls::battery::{Fault, commit};

use crate::procs::alone;

const MISTAKE: &str = "SHMTLS_TEST_MISTAKE";

const MISTAKES: [(Fault, &str); 6] = [
    (Fault::NoPending, "owners::an_owner_that_execs_lets_go"),
    (Fault::NoPending, "owners::a_robust_list_without_an_end_ends"),
    (Fault::NoTakeOver, "owners::an_owner_that_execs_beside_the_leader_is_found_dead"),
    (Fault::NoTakeOver, "owners::a_zombie_whose_robust_list_is_wild_is_found_dead"),
    (Fault::NoTakeOver, "owners::a_zombie_that_used_a_robust_mutex_is_found_dead"),
    (Fault::NoDeadline, "interrupted::a_wait_in_a_storm_of_signals_ends_at_its_deadline"),
];

/// In a run that is to fail: makes the mistake that it is to fail of.
pub(crate) fn commit_as_told() {
    let told = env::var(MISTAKE).ok().and_then(|number| number.parse::<usize>().ok());
    if let Some(number) = told {
        commit(MISTAKES[number].0);
    }
}

/// These tests are no use if they pass whatever the lock does.
#[test]
fn each_mistake_fails_the_test_that_is_there_for_it() {
    let _turn = alone();
    for (number, (mistake, test)) in MISTAKES.iter().enumerate() {
        let run = |number: Option<usize>| {
            let mut command = Command::new("timeout");
            command.arg("20").arg(env::current_exe().expect("this test")).args(["--exact", test]);
            command.envs(number.map(|number| (MISTAKE, number.to_string())));
            command.output().expect("it starts")
        };
        assert!(run(None).status.success(), "{test} does not pass without {mistake:?}");
        assert!(!run(Some(number)).status.success(), "{test} passes with {mistake:?}");
    }
}

use super::super::memory::{mode, swap};
use super::super::processes::{died, stuck_locks, table};
use super::*;

#[test]
fn a_lock_whose_owner_does_not_go_on() {
    let held = |state| move |it: &mut Picture| it.locks = vec![lock(state)];
    for (state, expected) in [
        (ProcessState::Stopped, Problem),
        (ProcessState::Dead, Advice),
        (ProcessState::Zombie, Advice),
        (ProcessState::Running, Fine),
        (ProcessState::Unknown, Fine),
    ] {
        assert_eq!(severity(stuck_locks, held(state)), Some(expected), "{state:?}");
    }
    assert_says(&said(stuck_locks, held(ProcessState::Stopped)), &["bucket 7", "kill -CONT 2"]);
    assert_says(&said(stuck_locks, held(ProcessState::Dead)), &["shmtls check web --repair"]);
}

#[test]
fn processes_that_died() {
    let dead = |it: &mut Picture| it.members[2].state = ProcessState::Dead;
    assert_eq!(severity(died, dead), Some(Advice));
    assert_says(&said(died, dead), &["1 process died", "pid 3 (nginx)", "coredumpctl"]);
    let recovered = |it: &mut Picture| {
        (it.stats.owner_died_kernel, it.stats.repair_lost) = (2, 1);
    };
    assert_eq!(severity(died, recovered), Some(Advice));
    assert_says(&said(died, recovered), &["2 processes died in a bucket", "1 session lost"]);
    assert_eq!(severity(died, |_| {}), Some(Fine));
    assert_eq!(severity(died, |it| it.knows_pids = false), Some(Unknown));
}

#[test]
fn more_processes_than_lines() {
    assert_eq!(severity(table, |it| it.chosen.processes = 4), Some(Advice));
    assert_says(&said(table, |it| it.chosen.processes = 4), &["--processes 8"]);
    assert_eq!(severity(table, |it| it.chosen.processes = 5), None);
}

#[test]
fn a_file_that_others_may_open() {
    let of = |mode| move |it: &mut Picture| it.access.as_mut().expect("a file").mode = mode;
    for (bits, expected) in [(0o604, Problem), (0o602, Problem), (0o660, Fine), (0o600, Fine)] {
        assert_eq!(severity(mode, of(bits)), Some(expected), "{bits:o}");
    }
    assert_says(&said(mode, of(0o644)), &["mode 0644", "chmod o= /dev/shm/shmtls.web"]);
    assert_says(&said(mode, of(0o660)), &["group tls may open it"]);
    assert_eq!(severity(mode, |it| it.access = None), Some(Unknown));
}

#[test]
fn memory_that_may_go_to_a_disk() {
    for (answer, expected) in [
        (Swap::Possible, Advice),
        (Swap::Unknown("reasons"), Unknown),
        (Swap::LockedBy(7), Fine),
        (Swap::NeverOfMount, Fine),
        (Swap::None, Fine),
    ] {
        assert_eq!(severity(swap, |it| it.swap = answer.clone()), Some(expected), "{answer:?}");
    }
    assert_says(&said(swap, |it| it.swap = Swap::Possible), &["lock_memory(true)", "noswap"]);
}

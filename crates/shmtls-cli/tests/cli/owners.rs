//! What `locks` and `check` say of the owner of a lock: at work, stopped, dead, or somebody else.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json as value};
use shmtls::{Cache, LockState, Options};

use crate::support::{Name, json, stdout, wait_for, with};
use crate::workers::{Worker, small, work_if_told};

/// A worker that stands still in a bucket, and then dies there.
#[test]
fn an_owner_that_is_stopped_and_one_that_died() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    let cache = small(&name);
    let inspector = Options::new().inspect(name.get()).expect("a look");
    let test = "owners::an_owner_that_is_stopped_and_one_that_died";
    let mut worker = Worker::start(test, &name);
    let bucket = worker.stop_in_a_bucket(&inspector);
    let held = only_held(&name);
    assert_eq!((&held["place"], &held["bucket"]), (&value!("bucket"), &value!(bucket.index())));
    assert_eq!((&held["lock"], &held["state"]), (&value!("held"), &value!("stopped")));
    let pid = value!(worker.pid());
    assert_eq!((&held["pid"], &held["attached"]), (&pid, &value!(true)));
    // The lock has the ID of a thread.
    assert!(Path::new(&format!("/proc/{pid}/task/{}", held["tid"])).exists(), "{held}");
    assert_eq!(held["changing"], bucket.is_changing());
    // Watched for 200 ms, and it was there all the time.
    assert!(held["held_millis"].as_u64() >= Some(150), "{held}");
    assert_row(
        &name,
        &[&format!("bucket {}", bucket.index()), &worker.pid().to_string(), "stopped"],
    );

    worker.kill();
    let held = only_held(&name);
    assert_eq!((&held["lock"], &held["state"]), (&value!("owner died"), &value!("dead")));
    assert_eq!((&held["pid"], &held["tid"]), (&Value::Null, &Value::Null));
    assert_row(&name, &["owner died", "dead"]);

    assert!(cache.repair(bucket.index()).is_ok());
    assert_eq!(held_by(&name), [Value::Null; 0]);
    let recoveries = json(&["locks", name.get()])["recent_recoveries"].clone();
    assert_eq!(recoveries[0]["bucket"], bucket.index());
    assert_eq!(recoveries[0]["how"], "marked by the kernel");
    assert_eq!(recoveries[0]["pid"], std::process::id());
}

/// Where the kernel's help is lost, a lock keeps the ID of a thread that is gone, until somebody
/// wants the lock and finds that out: `check` says so, and `check --repair` is somebody.
#[test]
fn an_owner_whose_death_nobody_marked() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    let cache = small(&name);
    let mut worker = Worker::start("owners::an_owner_whose_death_nobody_marked", &name);
    worker.kill();
    set_owner(&cache, &name, 0, worker.pid());
    let held = only_held(&name);
    assert_eq!((&held["lock"], &held["state"]), (&value!("held"), &value!("dead")));
    assert_eq!((&held["pid"], &held["attached"]), (&value!(worker.pid()), &value!(true)));
    assert_row(&name, &["bucket 0", &worker.pid().to_string(), "cli", "dead"]);

    let check = with(&["check", name.get()]);
    let found = format!("its lock is held by thread {}, which is dead", worker.pid());
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.stdout.contains("I6") && check.stdout.contains(&found), "{check:?}");
    let healed = stdout(&["check", name.get(), "--repair"]);
    assert!(
        healed.contains("repaired 1 bucket: ") && healed.contains("nothing is wrong"),
        "{healed}"
    );
    assert_eq!(held_by(&name), [Value::Null; 0]);
    assert_eq!((cache.stats().owner_died_stolen, cache.stats().repairs), (1, 1));
}

/// Where an owner dies before it has changed anything, or behind its last store, only its lock
/// tells. `check` found nothing wrong, and `--repair` left it, though `doctor` said to use it.
#[test]
fn an_owner_that_died_and_left_all_right() {
    const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
    let name = Name::new();
    let cache = small(&name);
    set_owner(&cache, &name, 1, FUTEX_OWNER_DIED);
    assert_eq!(only_held(&name)["lock"], value!("owner died"));
    let healed = stdout(&["check", name.get(), "--repair"]);
    assert!(healed.contains("repaired 1 bucket: "), "{healed}");
    assert_eq!(held_by(&name), [Value::Null; 0]);
    assert_eq!(cache.stats().owner_died_kernel, 1);
    let again = stdout(&["check", name.get(), "--repair"]);
    assert!(!again.contains("repaired"), "{again}");
}

/// The ID of a dead owner may be given to a process that has nothing to do with the segment.
#[test]
fn an_owners_id_that_somebody_else_has() {
    let name = Name::new();
    let cache = small(&name);
    let mut other = Command::new("sleep").arg("60").spawn().expect("sleep");
    set_owner(&cache, &name, 1, other.id());
    wait_for("it sleeps", || only_held(&name)["command"] == "sleep");
    let held = only_held(&name);
    let text = stdout(&["locks", name.get()]);
    other.kill().and_then(|()| other.wait()).expect("killed");
    assert_eq!((&held["state"], &held["attached"]), (&value!("running"), &value!(false)));
    assert!(text.contains("sleep") && text.contains("running, not attached"), "{text}");
}

/// Of a lock with waiters the tool says so.
#[test]
fn a_lock_that_others_wait_for() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    let cache = small(&name);
    let inspector = Options::new().inspect(name.get()).expect("a look");
    let mut worker = Worker::start("owners::a_lock_that_others_wait_for", &name);
    let bucket = worker.stop_in_a_bucket(&inspector);
    assert!(cache.repair(bucket.index()).is_err(), "it waits until its deadline");
    let LockState::Held { waiters: true, .. } = inspector.bucket(bucket.index()).lock() else {
        panic!("{bucket:?}")
    };
    assert_eq!(only_held(&name)["waiters"], true);
    worker.signal(Signal::SIGCONT);
}

fn held_by(name: &Name) -> Vec<Value> {
    json(&["locks", name.get()])["held"].as_array().expect("locks").clone()
}

#[track_caller]
fn only_held(name: &Name) -> Value {
    let held = held_by(name);
    assert_eq!(held.len(), 1, "{held:?}");
    held[0].clone()
}

/// The text says all of this in the row of the one lock that is held.
#[track_caller]
fn assert_row(name: &Name, cells: &[&str]) {
    let text = stdout(&["locks", name.get()]);
    let row = text.lines().nth(2).unwrap_or_default();
    assert!(text.starts_with("1 lock held at the last of "), "{text}");
    assert!(cells.iter().all(|cell| row.contains(cell)), "{cells:?} is not in {row:?}");
}

/// Writes an owner into the lock of a bucket, as nobody does: shm-layout.md, section 2.2.
fn set_owner(cache: &Cache, name: &Name, bucket: u64, tid: u32) {
    let file = OpenOptions::new().read(true).write(true).open(name.path()).expect("the segment");
    let mut offset = [0; 8];
    file.read_exact_at(&mut offset, 40).expect("buckets_offset");
    let at = u64::from_ne_bytes(offset) + bucket * (32 << 10);
    assert!(at < cache.segment_bytes());
    file.write_all_at(&tid.to_ne_bytes(), at).expect("written");
}

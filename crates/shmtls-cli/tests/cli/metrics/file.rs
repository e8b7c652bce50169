//! `--output FILE`: whole at any moment, or as it was.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::format::Exposition;
use crate::support::{Name, busy, run, shmtls, wait_for, with};

#[test]
fn it_is_written_once_for_all_to_read() {
    let (name, directory) = (Name::created(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("shmtls.prom");
    let script = format!(
        "umask 077; exec {} metrics {} --output {}",
        env!("CARGO_BIN_EXE_shmtls"),
        name.get(),
        file.display()
    );
    let run = run(Command::new("sh").args(["-c", &script]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(Exposition::of(&read(&file)).value("shmtls_up", &[]), 1.0);
    let mode = fs::metadata(&file).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(names(directory.path()), ["shmtls.prom"]);
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let (name, directory) = (Name::created(), tempfile::tempdir().expect("a directory"));
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, "old").expect("written");
    symlink(&file, &link).expect("a link");
    assert_eq!(output(&name, &link).code, Some(0));
    assert!(link.is_symlink());
    Exposition::of(&read(&file));
}

/// Also readers that ask all the time see all of it.
#[test]
fn it_is_written_again_and_again() {
    let (name, directory) = (Name::new(), tempfile::tempdir().expect("a directory"));
    let cache = busy(&name);
    let file = directory.path().join("shmtls.prom");
    let mut command = shmtls();
    command.args(["metrics", name.get(), "-w", "100ms", "--output"]).arg(&file);
    let mut child = command.spawn().expect("the program");
    wait_for("it is there", || file.exists());
    let value =
        |metric: &str| Exposition::of(&read(&file)).value(metric, &[("segment", name.get())]);
    assert_eq!(value("shmtls_up"), 1.0);
    let _ = cache.clear();
    wait_for("it is written again", || value("shmtls_sessions") == 0.0);
    fs::remove_file(name.path()).expect("removed");
    wait_for("the segment is gone", || value("shmtls_up") == 0.0);
    assert_eq!(child.try_wait().expect("a child"), None);

    // Where it can be no longer, it goes on until it can.
    let aside = directory.path().with_extension("aside");
    fs::rename(directory.path(), &aside).expect("renamed");
    thread::sleep(Duration::from_millis(400));
    assert_eq!(child.try_wait().expect("a child"), None);
    fs::rename(&aside, directory.path()).expect("renamed");
    fs::remove_file(&file).expect("removed");
    wait_for("it is there again", || file.exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("a signal");
    assert_eq!(child.wait().expect("its end").code(), Some(130));
}

#[test]
fn what_fails_leaves_the_old_one() {
    let (name, directory) = (Name::created(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("shmtls.prom");
    fs::write(&file, "old").expect("written");
    // The first KiB has room, the rest has not.
    let script = format!(
        "ulimit -f 1; trap '' XFSZ; exec {} metrics {} --output {}",
        env!("CARGO_BIN_EXE_shmtls"),
        name.get(),
        file.display()
    );
    let full = run(Command::new("sh").args(["-c", &script]));
    assert_eq!(full.code, Some(3), "{full:?}");
    let error = format!("error: cannot write {}: File too large", file.display());
    assert!(full.stderr.starts_with(&error) && full.stderr.contains("tip: "), "{full:?}");
    assert_eq!(read(&file), "old");
    assert_eq!(names(directory.path()), ["shmtls.prom"]);
}

#[test]
fn where_no_file_can_be() {
    let (name, directory) = (Name::created(), tempfile::tempdir().expect("a directory"));
    for (path, text) in [
        (directory.path(), "is not a plain file"),
        (Path::new("/dev/null"), "is not a plain file"),
        (Path::new("/nowhere/shmtls.prom"), "cannot write /nowhere/shmtls.prom: No such file"),
    ] {
        let run = output(&name, path);
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
        assert!(run.stderr.contains(text) && run.stderr.contains("tip: "), "{run:?}");
    }
    assert!(names(directory.path()).is_empty());
}

fn output(name: &Name, file: &Path) -> crate::support::Run {
    with(&["metrics", name.get(), "--output", file.to_str().expect("UTF-8")])
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("the file")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect()
}

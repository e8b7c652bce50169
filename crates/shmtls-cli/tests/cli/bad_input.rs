//! Each mistake has its exit code, says what was found, and what to do.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Group, geteuid};
use tempfile::TempDir;

use crate::support::{Name, Run, run, shmtls, stdout, with};

#[track_caller]
fn assert_fails(run: &Run, code: i32, texts: &[&str]) {
    assert_eq!(run.code, Some(code), "{run:?}");
    assert!(run.stdout.is_empty(), "{run:?}");
    assert!(run.stderr.starts_with("error: "), "{run:?}");
    for text in texts {
        assert!(run.stderr.contains(text), "{text:?} is not in:\n{}", run.stderr);
    }
}

#[test]
fn an_unknown_name() {
    let name = Name::created();
    let typo = name.get().replace("test", "tset");
    let texts =
        [&format!("no segment '{typo}' in /dev/shm (found: "), "tip: did you mean 'cli-test"];
    assert_fails(&with(&["procs", &typo]), 3, &texts);
    assert_fails(&with(&["procs", "nothing-like-it"]), 3, &[name.get(), "tip: shmtls list"]);
    assert_fails(&with(&["keys", "/dev/shm/nowhere"]), 3, &["no segment /dev/shm/nowhere", "tip:"]);
    assert_fails(&with(&["purge", "no/where", "--all"]), 3, &["no segment no/where"]);
}

#[test]
fn a_name_that_is_none() {
    let texts = ["\"a b\" is no segment name", "tip: use letters"];
    assert_fails(&with(&["procs", "a b"]), 2, &texts);
    assert_fails(&with(&["create", "a b"]), 2, &texts);
    let long = "x".repeat(250);
    for command in ["create", "procs"] {
        let texts = ["at most 248 characters, this one has 250", "tip: use letters"];
        assert_fails(&with(&[command, &long]), 2, &texts);
    }
}

#[test]
fn no_permission() {
    let name = Name::created();
    let home = tempfile::tempdir().expect("a directory");
    if !geteuid().is_root() {
        fs::set_permissions(name.path(), Permissions::from_mode(0o000)).expect("chmod");
    }
    let denied = format!("{}: permission denied (owner ", name.path().display());
    let texts = [&denied, ", mode 0", ", you are ", "tip: sudo -u ", "--group"];
    assert_fails(&run(without_rights(&home).args(["keys", name.get()])), 3, &texts);
}

/// The tip was to check the directory, which is not what hinders.
#[test]
fn a_group_that_is_not_ones_own() {
    let name = Name::new();
    let home = tempfile::tempdir().expect("a directory");
    let args = ["create", name.get(), "--size", "1MiB", "--group", "0"];
    let texts = ["cannot give the group", "tip: be a member of that group, or root"];
    assert_fails(&run(without_rights(&home).args(args)), 3, &texts);
    assert!(!name.path().exists());
}

/// The program as somebody who is not root.
fn without_rights(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmtls"));
    if geteuid().is_root() {
        let nobody = 65_534;
        // Where this was built need not be open to everyone.
        let copy = home.path().join("shmtls");
        fs::copy(env!("CARGO_BIN_EXE_shmtls"), &copy).expect("a copy");
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).expect("chmod");
        command = Command::new(copy);
        command.uid(nobody).gid(nobody).current_dir("/");
    }
    command.env_clear().stdin(Stdio::null());
    command
}

#[test]
fn something_else() {
    let link = with(&["procs", "/proc/self/exe"]);
    assert_fails(&link, 3, &["not a plain file of one name: a symbolic link", "tip: somebody put"]);
    let program = env!("CARGO_BIN_EXE_shmtls");
    let copy = tempfile::NamedTempFile::new().expect("a file");
    fs::copy(program, copy.path()).expect("a copy");
    let path = copy.path().to_str().expect("UTF-8");
    let text = format!("{path} is not a shmtls segment (magic 7f 45 4c 46 ");
    assert_fails(&with(&["procs", path]), 3, &[&text, "tip: check the name"]);
    let empty = tempfile::NamedTempFile::new().expect("a file");
    let path = empty.path().to_str().expect("UTF-8");
    assert_fails(&with(&["procs", path]), 3, &[&format!("{path} is empty")]);
}

#[test]
fn another_layout() {
    let name = Name::created();
    write(&name, 8, &99_u32.to_ne_bytes());
    let text = format!("segment '{}' has layout 99, this build reads layout ", name.get());
    assert_fails(&with(&["procs", name.get()]), 4, &[&text, "tip: use the shmtls program of"]);
}

#[test]
fn another_fingerprint() {
    let name = Name::created();
    write(&name, 16, &[0xAB; 8]);
    assert_fails(&with(&["keys", name.get()]), 4, &["fingerprint is 0xabababababababab", "tip:"]);
}

#[test]
fn a_damaged_header() {
    let name = Name::created();
    write(&name, 64, &u32::MAX.to_ne_bytes());
    assert_fails(&with(&["purge", name.get(), "--all"]), 4, &["header field", "tip: the file"]);
}

#[test]
fn a_truncated_segment() {
    let name = Name::created();
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    file.set_len(512 << 10).expect("truncated");
    let text = format!("segment '{}' is 524,288 bytes long but its header", name.get());
    assert_fails(&with(&["procs", name.get()]), 4, &[&text, "describes 1,0", "(truncated)"]);
    file.set_len(4).expect("truncated");
    assert_eq!(with(&["procs", name.get()]).code, Some(3));
}

#[test]
fn no_room() {
    let run = with(&["create", Name::new().get(), "--size", "1TiB"]);
    let texts = ["cannot reserve 1024.0 GiB in /dev/shm: ", " total, ", " free", "--shm-size="];
    let texts = if run.stderr.contains("1.0 TiB") {
        [&["cannot reserve 1.0 TiB in /dev/shm: "], &texts[1..]].concat()
    } else {
        texts.to_vec()
    };
    assert_fails(&run, 3, &texts);
}

#[test]
fn a_disk_is_no_place() {
    let run = with(&["create", "/proc/shmtls"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("/proc is not on a tmpfs"), "{run:?}");
}

#[test]
fn one_that_exists() {
    let name = Name::created();
    let create = |more: &[&str]| with(&[&["create", name.get()], more].concat());
    assert_fails(&create(&[]), 3, &["exists already", "tip: --if-missing"]);
    assert_eq!(create(&["--if-missing"]).code, Some(0));
    let texts = ["the options ask for 2097152", "tip: the segment's creator decides"];
    assert_fails(&create(&["--if-missing", "--size", "2MiB"]), 1, &texts);
}

/// `create --if-missing` looked at the size alone: it told of the mode and group that were asked
/// for as if the file had them, and took a file that others may write.
#[test]
fn one_that_exists_with_another_mode_or_group() {
    let name = Name::created();
    let create = |more: &[&str]| with(&[&["create", name.get(), "--if-missing"], more].concat());
    let texts = ["has mode 0600, --mode asks for 0660", "tip: drop --mode"];
    assert_fails(&create(&["--mode", "0660"]), 1, &texts);
    let texts = ["--group asks for 4294967294", "tip: drop --group"];
    assert_fails(&create(&["--group", "4294967294"]), 1, &texts);
    assert_eq!(create(&["--mode", "0600"]).code, Some(0));
    let mode = |bits| fs::set_permissions(name.path(), Permissions::from_mode(bits));
    mode(0o666).expect("permissions");
    assert_fails(&create(&[]), 3, &["0666", "tip: "]);
    mode(0o660).expect("permissions");
    let same = create(&["--mode", "0660", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&same.stdout).expect("JSON");
    let gid = fs::metadata(name.path()).expect("a file").gid();
    let group = Group::from_gid(Gid::from_raw(gid)).expect("groups");
    let group = group.map_or(gid.to_string(), |group| group.name);
    assert_eq!((&report["mode"], &report["group"]), (&"0660".into(), &group.as_str().into()));
    assert!(create(&["--mode", "0660"]).stdout.ends_with(&format!("group {group}\n")));
}

#[test]
fn options_without_sense() {
    let name = Name::new();
    let create = |more: &[&str]| with(&[&["create", name.get()], more].concat());
    assert_fails(&create(&["--size", "huge"]), 2, &["invalid value 'huge' for '--size"]);
    assert_fails(&create(&["--size", "1k"]), 2, &["1024 bytes is too small", "tip: change --size"]);
    assert_fails(&create(&["--size", "2TiB"]), 2, &["too large", "tip: change --size"]);
    assert_fails(&create(&["--max-session", "1MiB"]), 2, &["out of range: 256 to 49152"]);
    assert_fails(&create(&["--processes", "0"]), 2, &["out of range: 1 to 4096", "--processes"]);
    assert_fails(&create(&["--events", "3"]), 2, &["3 events for each", "tip: change --events"]);
    assert_fails(&create(&["--lifetime", "30d"]), 2, &["2592000 seconds is out of range"]);
    let texts = ["invalid value '100ms' for '--lifetime", "at least 1s"];
    assert_fails(&create(&["--lifetime", "100ms"]), 2, &texts);
    #[cfg(feature = "probe")]
    assert_fails(&with(&["probe", "127.0.0.1:9", "--sni", ""]), 2, &["'--sni <NAME>'"]);
    assert_fails(&create(&["--mode", "999"]), 2, &["octal"]);
    assert_fails(&create(&["--group", "no such group"]), 2, &["no group 'no such group'"]);
    assert_fails(&create(&["--group", "4294967295"]), 2, &["no group '4294967295'"]);
    assert_fails(&create(&["--size", "1MiB", "--sessions", "9"]), 2, &["cannot be used with"]);
    assert_fails(&with(&["list", "-w", "1ms"]), 2, &["at least 100ms"]);
    assert_fails(&with(&["list", "--format", "xml"]), 2, &["invalid value 'xml'"]);
    assert_fails(&with(&["purge", "web"]), 2, &["--all|--expired|--context"]);
    assert_fails(&with(&["purge", "web", "--all", "--expired"]), 2, &["cannot be used with"]);
    assert_fails(&with(&["porcs"]), 2, &["unrecognized subcommand 'porcs'", "'procs'"]);
    assert!(!name.path().exists());
}

#[test]
fn nothing_that_was_handed_over() {
    assert_fails(&with(&["keys", "fd:web"]), 3, &["no descriptor named 'web'", "tip: systemd"]);
    assert_fails(&with(&["keys", "fd:987"]), 3, &["no descriptor 987", "tip: "]);
    assert_fails(&with(&["keys", "pid:x"]), 2, &["'pid:x' names no process", "tip: pid:PID"]);
    assert_fails(&with(&["keys", "pid:4194305"]), 3, &["no process 4194305"]);
    let me = format!("pid:{}:999999", std::process::id());
    assert_fails(&with(&["keys", &me]), 3, &["has no segment open"]);
}

/// Who passed a socket was told to become the user of a process.
#[test]
fn a_descriptor_that_is_no_file() {
    let (socket, _other) = UnixStream::pair().expect("a socket");
    let (pipe, _writer) = std::io::pipe().expect("a pipe");
    for (stdin, what) in [(OwnedFd::from(socket), "socket:["), (pipe.into(), "pipe:[")] {
        let run = run(shmtls().args(["stat", "fd:0"]).stdin(stdin));
        assert_fails(&run, 3, &[&format!("'fd:0' is {what}"), "no file, hence no segment", "tip:"]);
    }
}

/// A sick segment is a row of its own, not the end of the list.
#[test]
fn the_list_shows_the_sick_too() {
    let (sick, well) = (Name::created(), Name::created());
    write(&sick, 8, &99_u32.to_ne_bytes());
    let list = stdout(&["list"]);
    let row = |name: &Name| {
        let start = format!("{} ", name.get());
        list.lines().find(|line| line.starts_with(&start)).expect("a row")
    };
    assert!(row(&sick).contains("has layout 99"), "{list}");
    assert!(row(&well).ends_with("ok"), "{list}");
}

fn write(name: &Name, at: u64, bytes: &[u8]) {
    let file: File = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    file.write_all_at(bytes, at).expect("written");
}

//! What who only looks asks of the kernel, as strace sees it: it opens a segment to read, maps it
//! to read, and sleeps on no word of it.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use shmtls::Options;

use crate::support::{Name, fill, looks, run};

/// All by which a file can be changed, or its memory, or a lock in it be waited for.
const CALLS: &str = "trace=open,openat,creat,mmap,mremap,mprotect,futex,futex_waitv,write,pwrite64,\
                     writev,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,\
                     fchmod,chmod,unlink,unlinkat,rename,renameat,renameat2,link,linkat";

#[test]
fn who_looks_writes_nothing_and_waits_for_nobody() {
    let Some(strace) = Strace::new() else {
        eprintln!("not tested: this machine lets no process trace its child, or has no strace");
        return;
    };
    let name = Name::new();
    // Long-lived and at rest: a lock that were taken would be free.
    let cache = Options::new().size(1 << 20).create(name.get()).expect("a segment");
    fill(&cache);
    for command in looks() {
        let calls = strace.calls(&[command, name.get()]);
        assert_only_looks(command, &calls, &name.path());
    }
    assert_only_looks("list", &strace.calls(&["list"]), &name.path());
}

/// The test sees what it looks for: who purges opens to write, maps to write.
#[test]
fn who_purges_is_seen_to_write() {
    let Some(strace) = Strace::new() else { return };
    let name = Name::created();
    let calls = strace.calls(&["purge", name.get(), "--all"]);
    let seen = Seen::of(&calls, &name.path());
    assert!(seen.opens.iter().any(|call| !is_read_only(call)), "{seen:#?}");
    assert!(seen.maps.iter().any(|call| call.contains("PROT_WRITE")), "{seen:#?}");
}

struct Strace(tempfile::TempDir);

impl Strace {
    fn new() -> Option<Self> {
        let strace = Self(tempfile::tempdir().expect("a directory"));
        let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
        traced.is_ok_and(|output| output.status.success()).then_some(strace)
    }

    /// The calls of all threads and children, with the paths of descriptors.
    fn calls(&self, args: &[&str]) -> Vec<String> {
        let log = self.0.path().join("log");
        let traced = run(Command::new("strace")
            .args(["--follow-forks", "--decode-fds=path", "--seccomp-bpf", "-e", CALLS, "-o"])
            .arg(&log)
            .arg(env!("CARGO_BIN_EXE_shmtls"))
            .args(args));
        assert!(matches!(traced.code, Some(0 | 1)), "{args:?}: {traced:?}");
        let text = std::fs::read_to_string(&log).expect("a log");
        text.lines().map(String::from).collect()
    }
}

#[track_caller]
fn assert_only_looks(command: &str, calls: &[String], segment: &Path) {
    let seen = Seen::of(calls, segment);
    assert!(!seen.opens.is_empty() && !seen.maps.is_empty(), "{command}: {calls:#?}");
    assert!(seen.opens.iter().all(is_read_only), "{command}: {seen:#?}");
    for map in &seen.maps {
        assert!(map.contains(", PROT_READ, MAP_SHARED, "), "{command}: {map}");
    }
    assert!(seen.others.is_empty(), "{command}: {seen:#?}");
}

fn is_read_only(call: &&String) -> bool {
    call.contains("O_RDONLY") && !call.contains("O_TRUNC") && !call.contains("O_CREAT")
}

/// The calls that mean a segment, by its path or by an address in it.
#[derive(Debug, Default)]
struct Seen<'a> {
    opens: Vec<&'a String>,
    maps: Vec<&'a String>,
    /// None is as it should be.
    others: Vec<&'a String>,
}

impl<'a> Seen<'a> {
    fn of(calls: &'a [String], segment: &Path) -> Self {
        let path = segment.to_str().expect("UTF-8");
        let mut seen = Self::default();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for call in calls.iter().filter(|call| !call.contains(" resumed>")) {
            let is_of_path = call.contains(path);
            let name = call.split('(').next().and_then(|head| head.split(' ').next_back());
            match name.unwrap_or_default() {
                "open" | "openat" if is_of_path => seen.opens.push(call),
                "mmap" if is_of_path => {
                    seen.maps.push(call);
                    ranges.extend(mapped(call));
                }
                "write" | "writev" if is_of_path && !writes_to(call, path) => {}
                _ if is_of_path => seen.others.push(call),
                "futex" | "futex_waitv" | "mprotect" | "mremap" => {
                    let is_in = |at: u64| ranges.iter().any(|range| range.contains(&at));
                    seen.others.extend(first_number(call).is_some_and(is_in).then_some(call));
                }
                _ => {}
            }
        }
        seen
    }
}

/// Whether the file is what is written to, and not what is written of.
fn writes_to(call: &str, path: &str) -> bool {
    call.split(',').next().is_some_and(|descriptor| descriptor.contains(path))
}

/// `mmap(NULL, 1048576, PROT_READ, MAP_SHARED, 3</dev/shm/x>, 0) = 0x7f0000000000`.
fn mapped(call: &str) -> Option<Range<u64>> {
    let len: u64 = call.split(", ").nth(1)?.parse().ok()?;
    let start = call.rsplit("= 0x").next()?;
    let start = u64::from_str_radix(start.trim(), 16).ok()?;
    Some(start..start + len)
}

fn first_number(call: &str) -> Option<u64> {
    let at = call.split_once("(0x")?.1;
    let digits = at.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    u64::from_str_radix(digits, 16).ok()
}

#[test]
fn calls_are_read_as_strace_writes_them() {
    let calls = [
        "12 openat(AT_FDCWD, \"/s\", O_RDONLY|O_NOFOLLOW|O_CLOEXEC) = 3</s>",
        "12 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</s>, 0) = 0x7f0000001000",
        "12 futex(0x7f0000000ffc, FUTEX_WAIT, 0, NULL) = 0",
        "12 futex(0x7f0000001ffc, FUTEX_WAIT, 5, NULL) = 0",
        "12 mprotect(0x7f0000001000, 4096, PROT_READ|PROT_WRITE) = 0",
        "12 write(1<pipe:[7]>, \"/s\", 2) = 2",
        "12 ftruncate(3</s>, 0) = 0",
    ];
    let calls = calls.map(String::from);
    let seen = Seen::of(&calls, Path::new("/s"));
    assert_eq!((seen.opens.len(), seen.maps.len()), (1, 1));
    assert_eq!(seen.others, [&calls[3], &calls[4], &calls[6]]);
}

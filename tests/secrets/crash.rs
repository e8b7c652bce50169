//! What a process that crashes leaves on disk: the kernel's own core dump, where its pattern is a
//! plain file name, and everywhere what the kernel would dump, read from the stopped process.
//!
//! The stand-in takes more than the kernel does: every mapping but those that ask to be left out
//! (MADV_DONTDUMP) and the unchanged pages of files.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Once;

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::procs::notice;
use super::server::eventually;

/// Private and shared memory of every kind, but no program text: more than is dumped by default.
const FILTER: &str = "0x1b";

/// Where the dumps of some processes go.
pub(crate) struct Morgue(TempDir);

/// The two dumps of one process.
pub(crate) struct Dumps {
    pub(crate) stand_in: Vec<Region>,
    pub(crate) kernel: Option<Vec<u8>>,
}

impl Morgue {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    /// A file for whatever the processes need.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("file")
    }

    /// Forgets the dead.
    pub(crate) fn clear(&self, who: &str) {
        fs::remove_dir_all(self.of(who)).expect("our own directory");
        fs::remove_file(self.note(who)).expect("our own file");
    }

    fn of(&self, who: &str) -> PathBuf {
        self.0.path().join(who)
    }

    /// Ends the calling process as `who`: it stands still until somebody has looked at it, and
    /// then crashes.
    pub(crate) fn crash(&self, who: &str) -> ! {
        let place = self.of(who);
        fs::create_dir(&place).expect("a place for the core");
        std::env::set_current_dir(&place).expect("our own directory");
        raise_core_limit();
        fs::write("/proc/self/coredump_filter", FILTER).expect("our own filter");
        fs::write(self.note(who), std::process::id().to_string()).expect("our own directory");
        raise(Signal::SIGSTOP).expect("it stops");
        std::process::abort()
    }

    /// Waits for the crash of `who`, a descendant of this process that nobody reaps, and looks at
    /// what it leaves.
    pub(crate) fn dumps(&self, who: &str) -> Dumps {
        let pid = eventually(&format!("{who} crashes"), || {
            let pid: i32 = fs::read_to_string(self.note(who)).ok()?.parse().ok()?;
            (state(pid)? == 'T').then_some(pid)
        });
        let stand_in = memory_of(pid);
        kill(Pid::from_raw(pid), Signal::SIGCONT).expect("it is there");
        eventually(&format!("{who} is dead"), || {
            matches!(state(pid), None | Some('Z')).then_some(())
        });
        Dumps { stand_in, kernel: self.core_of(who) }
    }

    fn note(&self, who: &str) -> PathBuf {
        self.0.path().join(format!("{who}.pid"))
    }

    fn core_of(&self, who: &str) -> Option<Vec<u8>> {
        if let Err(why) = kernel_dumps_here() {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| notice(&format!("SKIPPED: the kernel's own core dumps: {why}")));
            return None;
        }
        let mut files = fs::read_dir(self.of(who)).expect("our own directory");
        let core = files.next().expect("the kernel wrote a core").expect("an entry");
        Some(fs::read(core.path()).expect("our own core"))
    }
}

/// Whether a core comes to lie in the directory of the process that crashes.
fn kernel_dumps_here() -> Result<(), String> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").map_err(|e| e.to_string())?;
    if pattern.contains(['|', '/', '@']) {
        return Err(format!("they go to {}", pattern.trim()));
    }
    match core_limit().rlim_max {
        libc::RLIM_INFINITY => Ok(()),
        bytes => Err(format!("no more than {bytes} bytes of them may be written")),
    }
}

fn core_limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit to where there is one.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    assert_eq!(got, 0, "every process has this limit");
    limit
}

/// As far as this process may.
fn raise_core_limit() {
    let limit = core_limit();
    let limit = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the kernel reads one rlimit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    assert_eq!(set, 0, "the soft limit is ours");
}

/// `T` is stopped, `Z` dead but not reaped; `None` gone.
pub(crate) fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// All of a process's memory that it has not asked to be left out.
pub(crate) fn memory_of(pid: i32) -> Vec<Region> {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("a process of ours");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("a process of ours");
    let dumped = mappings(&smaps).filter(Mapping::is_dumped);
    let regions = dumped.filter_map(|mapping| {
        let mut bytes = vec![0; mapping.len];
        let is_read = memory.read_exact_at(&mut bytes, mapping.start).is_ok();
        // The kernel's own pages (vvar) cannot be read, nor can they hold anything of ours.
        assert!(is_read || mapping.path.starts_with('['), "unreadable: {}", mapping.path);
        is_read.then(|| Region { start: mapping.start, path: mapping.path.into(), bytes })
    });
    regions.collect()
}

/// A mapping's content.
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// One entry of smaps.
#[derive(Default)]
struct Mapping<'a> {
    start: u64,
    len: usize,
    path: &'a str,
    flags: &'a str,
    /// Has pages that are not the file's.
    is_changed: bool,
}

impl Mapping<'_> {
    fn is_dumped(&self) -> bool {
        let asks_not_to_be = self.flags.split(' ').any(|flag| matches!(flag, "dd" | "io"));
        let is_shared = self.flags.split(' ').any(|flag| flag == "sh");
        let is_file = self.path.starts_with('/');
        !asks_not_to_be && (!is_file || is_shared || self.is_changed)
    }
}

fn mappings(smaps: &str) -> impl Iterator<Item = Mapping<'_>> {
    let mut lines = smaps.lines().peekable();
    std::iter::from_fn(move || {
        let mut mapping = lines.next().map(header)?;
        while let Some(line) = lines.next_if(|line| !is_header(line)) {
            match line.split_once(':') {
                Some(("VmFlags", flags)) => mapping.flags = flags.trim(),
                Some(("Anonymous", size)) => mapping.is_changed = size.trim() != "0 kB",
                _ => {}
            }
        }
        Some(mapping)
    })
}

/// `FROM-TO ACCESS OFFSET DEVICE INODE PATH`.
fn header(line: &str) -> Mapping<'_> {
    let range = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
    let [from, to] = [range.0, range.1].map(|hex| u64::from_str_radix(hex, 16).expect("hex"));
    let path = line.split_whitespace().nth(5).unwrap_or_default();
    Mapping { start: from, len: (to - from) as usize, path, ..Mapping::default() }
}

fn is_header(line: &str) -> bool {
    line.split(' ').next().is_some_and(|word| !word.ends_with(':'))
}

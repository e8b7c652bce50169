//! Who else is there: liveness of a thread, identity of a process, of its PID namespace and of
//! this boot. All from /proc and `kill(tid, 0)`.
//!
//! What an operation may ask allocates nothing: it may be the process's first, or wait for a lock.
//! The rest of an operation does allocate: no handler that may interrupt malloc looks up or stores.

use std::fs::{self, File};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::stat::stat;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::thread::fork_stamp;

/// Whether no thread of this ID is alive in our PID namespace. When in doubt it is alive.
///
/// A zombie still answers a signal: its state in /proc tells.
pub(crate) fn is_dead(tid: u32) -> bool {
    let Ok(pid) = i32::try_from(tid) else { return true };
    match kill(Pid::from_raw(pid), None) {
        Err(Errno::ESRCH) => true,
        _ => Stat::read(tid).is_some_and(|stat| stat.thread_has_ended()),
    }
}

/// Whether no thread of this process is left, or the ID is another's, which started at another
/// time (0 is unknown). When in doubt (/proc shows only one's own) it is there.
///
/// A first thread that ends before the others is a zombie until they end.
pub(crate) fn is_gone(pid: u32, start_ticks: u64) -> bool {
    let Some(stat) = Stat::read(pid) else { return is_dead(pid) };
    let is_another = start_ticks != 0 && stat.start_ticks != start_ticks;
    is_another || stat.thread_has_ended() && stat.threads <= 1
}

/// Start time of a process in clock ticks since boot; 0 if it cannot be read.
pub(crate) fn start_ticks(pid: u32) -> u64 {
    Stat::read(pid).map_or(0, |stat| stat.start_ticks)
}

/// The first 16 bytes of this process's command, zero padded.
pub(crate) fn own_command() -> [u8; 16] {
    let mut command = [0; 16];
    let mut buf = [0; 64];
    let comm = read_start("/proc/self/comm", &mut buf).unwrap_or_default().trim_ascii_end();
    let len = comm.len().min(command.len());
    command[..len].copy_from_slice(&comm[..len]);
    command
}

/// Inode of this process's PID namespace; 0 without /proc.
pub(crate) fn pid_namespace() -> io::Result<u64> {
    let status = stat("/proc/self/ns/pid").map_err(io::Error::from);
    known_or(0, status.map(|status| status.st_ino))
}

/// The kernel's random ID of this boot; zeroes without /proc.
pub(crate) fn boot_id() -> io::Result<[u64; 2]> {
    let text = known_or(String::new(), fs::read_to_string("/proc/sys/kernel/random/boot_id"))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|hex| u64::from_str_radix(hex, 16).ok());
    Ok([half(0..16).unwrap_or(0), half(16..32).unwrap_or(0)])
}

/// What /proc says, or `unknown` where it is not to be seen. Who lacks a descriptor or a system
/// call is told so: what he could not read he must not take for something else.
fn known_or<T>(unknown: T, answer: io::Result<T>) -> io::Result<T> {
    answer.or_else(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES) => Ok(unknown),
        _ => Err(error),
    })
}

/// Milliseconds since boot, suspended time included: a clock that nobody sets.
pub(crate) fn uptime_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        time.tv_sec().unsigned_abs() * 1000 + time.tv_nsec().unsigned_abs() / 1_000_000
    })
}

/// RLIMIT_FSIZE: how long a file may become.
#[allow(unsafe_code)]
pub(crate) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: getrlimit writes to the live local.
    let _ = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    limit.rlim_cur
}

/// What `/proc/TID/stat` says of a thread.
struct Stat {
    state: u8,
    /// Threads of its process that have not ended, and the first one until it is reaped.
    threads: u64,
    start_ticks: u64,
}

impl Stat {
    fn thread_has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    fn read(tid: u32) -> Option<Self> {
        if !proc_is_ours() {
            return None;
        }
        let mut path = [0; 24];
        let mut buf = [0; 512];
        Self::parse(read_start(stat_path(tid, &mut path)?, &mut buf)?)
    }

    /// The command in the second field may hold anything, so the fields count from its last ')'.
    fn parse(stat: &[u8]) -> Option<Self> {
        let after_command = &stat[stat.iter().rposition(|&b| b == b')')? + 1..];
        let mut fields = after_command.split(|&b| b == b' ').filter(|field| !field.is_empty());
        let state = *fields.next()?.first()?;
        let mut number = |skipped| std::str::from_utf8(fields.nth(skipped)?).ok()?.parse().ok();
        let (threads, start_ticks) = (number(16)?, number(1)?);
        Some(Self { state, threads, start_ticks })
    }
}

/// Whether /proc shows the PID namespace of this process. After `unshare --pid` without a new /proc
/// it shows that of the parent, where our IDs are those of strangers.
fn proc_is_ours() -> bool {
    /// Asked once in each process: its [`fork_stamp`], and the answer in the lowest bit.
    static ANSWER: AtomicU64 = AtomicU64::new(0);
    let (stamp, known) = (fork_stamp(), ANSWER.load(Relaxed));
    if known >> 1 == stamp {
        return known & 1 != 0;
    }
    let mut buf = [0; 4096];
    let status = read_start("/proc/self/status", &mut buf).unwrap_or_default();
    let is_ours = ids_in_proc(status).eq([std::process::id()]);
    ANSWER.store(stamp << 1 | u64::from(is_ours), Relaxed);
    is_ours
}

/// The IDs of a process from the PID namespace that its /proc shows down to its own.
fn ids_in_proc(status: &[u8]) -> impl Iterator<Item = u32> {
    let field = |name: &str| {
        let mut lines = status.split(|&byte| byte == b'\n');
        lines.find_map(|line| line.strip_prefix(name.as_bytes()))
    };
    // Kernels before 4.1 tell only the first.
    let ids = field("NSpid:").or_else(|| field("Pid:")).unwrap_or_default();
    let ids = std::str::from_utf8(ids).unwrap_or_default();
    ids.split_whitespace().map_while(|id| id.parse().ok())
}

/// The first bytes of a file, as many as `buf` holds.
fn read_start<'a>(path: &str, buf: &'a mut [u8]) -> Option<&'a [u8]> {
    let n = File::open(path).ok()?.read(buf).ok()?;
    Some(&buf[..n])
}

/// `/proc/TID/stat`, written into `buf`.
fn stat_path(tid: u32, buf: &mut [u8; 24]) -> Option<&str> {
    use std::io::Write;
    let mut rest = &mut buf[..];
    write!(rest, "/proc/{tid}/stat").ok()?;
    let unused = rest.len();
    let len = buf.len() - unused;
    std::str::from_utf8(&buf[..len]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_thread_lives_and_has_a_start_time() {
        let pid = std::process::id();
        assert!(!is_dead(pid));
        assert!(start_ticks(pid) > 0);
    }

    #[test]
    fn an_unused_id_is_dead() {
        assert!(is_dead(0x3fff_ffff));
        assert!(is_dead(u32::MAX));
    }

    /// A zombie answers `kill(pid, 0)`: a lock whose owner nobody has reaped looked owned for
    /// ever to a peer that asked no further.
    #[test]
    fn a_zombie_is_dead() {
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let pid = child.id();
        let dead = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            is_dead(pid) && is_gone(pid, start_ticks(pid))
        });
        assert!(dead, "unreaped child {pid} counts as alive");
        child.wait().expect("reap");
    }

    #[test]
    fn a_command_with_spaces_and_parentheses_parses() {
        let stat = b"42 (a) (b c) Z 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 3 0 777 0";
        let stat = Stat::parse(stat).expect("parses");
        assert_eq!((stat.state, stat.threads, stat.start_ticks), (b'Z', 3, 777));
    }

    /// In the /proc of an outer PID namespace a process has several IDs, of which the last is the
    /// one that it knows, and even if all are equal the others there are strangers.
    #[test]
    fn a_proc_that_shows_another_namespace_is_told_by_the_ids() {
        let ids = |status: &str| ids_in_proc(status.as_bytes()).collect::<Vec<_>>();
        assert_eq!(ids("Name:\tPid: 9\nPid:\t7\nNStgid:\t7\nNSpid:\t7\n"), [7]);
        assert_eq!(ids("Name:\tx\nPid:\t7\nNSpid:\t7\t7\n"), [7, 7]);
        assert_eq!(ids("Name:\tx\nPid:\t7\nPPid:\t1\n"), [7], "an old kernel");
        assert_eq!(ids(""), [], "no /proc");
        assert!(proc_is_ours());
    }
}

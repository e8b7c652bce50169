//! A segment that is scribbled over, cut short or removed under who looks: no crash, no hang, and
//! an exit code that says what it is.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shmtls::Options;

use crate::support::{Name, fill, looks, shmtls, stdout, wait_for, with};

/// Where that ends which must be as the creator wrote it: shm-layout.md, section 3.
const HEADER: u64 = 4096;

/// Of all parts that change any value is survived, and a look goes on: it is none that ends the
/// tool.
#[test]
fn whatever_stands_in_a_segment_is_shown() {
    let segment = Segment::new();
    let watchers = watchers(&segment);
    segment.while_it_is(
        |file| scribble(file, HEADER),
        || {
            thread::sleep(Duration::from_secs(2));
            for command in looks() {
                let run = with(&[command, segment.name.get()]);
                assert!(matches!(run.code, Some(0 | 1)), "{command}: {run:?}");
            }
        },
    );
    for watcher in watchers {
        watcher.interrupt();
    }
}

/// A header that is wrong is refused, also by who looks at it again and again.
#[test]
fn a_header_that_changes_ends_the_looks() {
    let segment = Segment::new();
    let watchers = watchers(&segment);
    scribble(&segment.file, 0);
    segment.file.write_all_at(&[0; HEADER as usize], 0).expect("written");
    for watcher in watchers {
        watcher.ends_with(&[3, 4]);
    }
}

/// The looks of this moment meet the end of the file in the midst of a bucket, those of the next
/// one a file that is too short.
#[test]
fn a_segment_that_is_cut_short_ends_the_looks() {
    let segment = Segment::new();
    let watchers = watchers(&segment);
    segment.file.set_len(20_000).expect("cut");
    for watcher in watchers {
        watcher.ends_with(&[4]);
    }
}

#[test]
fn a_segment_that_is_cut_and_grown_all_the_time() {
    let segment = Segment::new();
    let whole = segment.file.metadata().expect("stat").len();
    let cut_and_grow = |file: &File| {
        for len in [20_000, 0, 100_000, whole] {
            file.set_len(len).expect("cut or grown");
        }
    };
    segment.while_it_is(cut_and_grow, || {
        for command in looks().cycle().take(80) {
            let run = with(&[command, segment.name.get()]);
            // Not a segment, when it was grown again from nothing.
            assert!(matches!(run.code, Some(0 | 1 | 3 | 4)), "{command}: {run:?}");
        }
    });
}

#[test]
fn a_segment_that_is_removed_ends_the_looks() {
    let segment = Segment::new();
    let watchers = watchers(&segment);
    fs::remove_file(segment.name.path()).expect("removed");
    for watcher in watchers {
        watcher.ends_with(&[3]);
    }
}

/// One that was cut short while it was read once ended the list of all: exit code 4, and not a word
/// of the others. Later, if it was whole again at once, it was listed twice: as it had been read
/// until the tool began anew, and then without it.
#[test]
fn a_list_goes_on_whatever_becomes_of_one() {
    let (segment, other) = (Segment::new(), Name::created());
    let watcher = Watcher::start(&["list", "-w", "100ms"]);
    let whole = segment.file.metadata().expect("stat").len();
    let mut problems = 0;
    segment.while_it_is(
        |file| {
            file.set_len(20_000).expect("cut");
            file.set_len(whole).expect("grown");
        },
        || {
            for _ in 0..30 {
                let list = stdout(&["list"]);
                let row = |name: &Name| {
                    let is_its = |line: &&str| line.split(' ').next() == Some(name.get());
                    list.lines().find(is_its).unwrap_or_else(|| panic!("{list}")).to_owned()
                };
                assert!(row(&other).ends_with(" ok"), "{list}");
                problems += usize::from(!row(&segment.name).ends_with(" ok"));
            }
        },
    );
    assert!(problems > 0, "it was never met when it was short");
    segment.file.set_len(20_000).expect("cut");
    let list = stdout(&["list"]);
    assert!(list.contains("(truncated)"), "{list}");

    // As a fault would, whether or not one of those above was met in the midst of a bucket.
    let times = watcher.times_begun_anew();
    watcher.signal(Signal::SIGBUS);
    wait_for("it begins anew", || watcher.times_begun_anew() > times && watcher.is_ready());
    watcher.interrupt();
}

// ---- who looks ----------------------------------------------------------------------------------

/// One for each way to look again and again that there is. `metrics` goes on whatever becomes of a
/// segment: metrics/exporter.rs.
fn watchers(segment: &Segment) -> Vec<Watcher> {
    let name = segment.name.get();
    let ways = looks().filter(|command| *command != "metrics").filter_map(|command| {
        let help = stdout(&[command, "--help"]);
        let ways: [(&str, &[&str]); 2] = [("--watch", &["-w", "100ms"]), ("--follow", &["-f"])];
        let way = ways.into_iter().find(|(option, _)| help.contains(option))?;
        Some([&[command, name], way.1].concat())
    });
    let watchers: Vec<_> = ways.map(|args| Watcher::start(&args)).collect();
    assert!(watchers.len() >= 5);
    watchers
}

struct Watcher {
    what: String,
    child: Child,
}

impl Watcher {
    /// It has looked at least once.
    fn start(args: &[&str]) -> Self {
        let mut command = shmtls();
        command.args(args).args(["--format", "json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut watcher = Self { what: args.join(" "), child: child.expect("the program") };
        let mut stdout = watcher.child.stdout.take().expect("its stdout");
        stdout.read_exact(&mut [0]).expect("a report");
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        watcher
    }

    /// Each time one more segment is left out.
    fn times_begun_anew(&self) -> usize {
        let environment = self.file("environ");
        let cut = environment.split('\0').find_map(|it| it.strip_prefix("SHMTLS_CUT="));
        cut.unwrap_or_default().split_whitespace().count()
    }

    /// It has handlers for signals.
    fn is_ready(&self) -> bool {
        let status = self.file("status");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.expect("a mask").trim(), 16).expect("a mask");
        [Signal::SIGINT, Signal::SIGBUS].iter().all(|it| caught >> (*it as u32 - 1) & 1 == 1)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("of a child")
    }

    /// It is at work until it is told to end.
    #[track_caller]
    fn interrupt(mut self) {
        let early = self.child.try_wait().expect("a child");
        assert!(early.is_none(), "{} ended: {early:?} {}", self.what.clone(), self.said());
        self.signal(Signal::SIGINT);
        self.ends_with(&[130]);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
    }

    /// Soon, and by itself.
    #[track_caller]
    fn ends_with(mut self, codes: &[i32]) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{} hangs", self.what);
            thread::sleep(Duration::from_millis(10));
        };
        let said = self.said();
        let code = status.code().unwrap_or_else(|| panic!("{}: {status}: {said}", self.what));
        assert!(codes.contains(&code), "{}: {code}: {said}", self.what);
        assert!(!said.contains("panicked"), "{}: {said}", self.what);
        assert!(code == 130 || said.starts_with("error: "), "{}: {said:?}", self.what);
    }

    fn said(&mut self) -> String {
        let _ = self.child.kill();
        let mut said = String::new();
        let stderr = self.child.stderr.take();
        stderr.expect("its stderr").read_to_string(&mut said).expect("UTF-8");
        said
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- who spoils ---------------------------------------------------------------------------------

struct Segment {
    name: Name,
    file: File,
}

impl Segment {
    fn new() -> Self {
        let name = Name::new();
        fill(&Options::new().size(1 << 20).processes(8).create(name.get()).expect("a segment"));
        let file = OpenOptions::new().read(true).write(true).open(name.path());
        Self { name, file: file.expect("the segment") }
    }

    fn while_it_is(&self, spoiled: impl Fn(&File) + Sync, look: impl FnOnce()) {
        let (done, spoiled) = (AtomicBool::new(false), &spoiled);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    spoiled(&self.file);
                }
            });
            let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look));
            done.store(true, Relaxed);
            looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

/// A few words behind `from`, at random.
fn scribble(file: &File, from: u64) {
    let whole = file.metadata().expect("stat").len();
    for _ in 0..64 {
        let at = from + rand() % (whole - from - 8);
        file.write_all_at(&rand().to_ne_bytes(), at).expect("written");
    }
}

/// splitmix64.
fn rand() -> u64 {
    use std::sync::atomic::AtomicU64;
    static STATE: AtomicU64 = AtomicU64::new(1);
    let mut z = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

//! Segments with names of their own, and the program run over them.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use std::{env, fs, thread};

use serde_json::Value;
use shmtls::{Cache, Context, Expiry, Options, SessionId, TicketKey};

pub(crate) const COMMANDS: &[&str] = &[
    "create",
    "list",
    "stat",
    "ls",
    "procs",
    "locks",
    "keys",
    "events",
    "check",
    "doctor",
    "metrics",
    #[cfg(feature = "top")]
    "top",
    #[cfg(feature = "probe")]
    "probe",
    #[cfg(feature = "bench")]
    "bench",
    "purge",
    "completions",
    "man",
];

/// Those that do not just look at a segment.
const OTHERS: [&str; 7] = ["create", "list", "probe", "bench", "purge", "completions", "man"];

/// The ways to look at a segment that there are, without its name: each command that only reads.
pub(crate) fn looks() -> impl Iterator<Item = &'static str> + Clone {
    COMMANDS.iter().copied().filter(|command| !OTHERS.contains(command))
}

/// The program, in an environment that says nothing of segments or colours.
pub(crate) fn shmtls() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmtls"));
    for variable in
        ["SHMTLS_SEGMENT", "LISTEN_FDS", "LISTEN_FDNAMES", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"]
    {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(command: &mut Command) -> Run {
    // A program that a test has just written is busy while another test's child, forked meanwhile,
    // still has it open.
    let output = loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            output => break output.expect("the program starts"),
        }
    };
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    };
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

/// Runs it with `args`.
pub(crate) fn with(args: &[&str]) -> Run {
    run(shmtls().args(args))
}

/// Runs it and expects success; its stdout.
pub(crate) fn stdout(args: &[&str]) -> String {
    let run = with(args);
    assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
    run.stdout
}

/// The report of a run as JSON.
pub(crate) fn json(args: &[&str]) -> Value {
    let text = stdout(&[args, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A name that nobody else has; the segment is removed at the end.
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!("cli-test-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed)))
    }

    /// With a segment of 1 MiB.
    pub(crate) fn created() -> Self {
        let name = Self::new();
        stdout(&["create", name.get(), "--size", "1MiB"]);
        name
    }

    pub(crate) fn get(&self) -> &str {
        &self.0
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/dev/shm/shmtls.{}", self.0).into()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}

/// A segment of 1 MiB in use by this process: three sessions of `example.org`, one of them
/// expired, one of another context, two hits, and two ticket keys.
pub(crate) fn busy(name: &Name) -> Cache {
    let cache = Options::new().size(1 << 20).create(name.get()).expect("a segment");
    fill(&cache);
    cache
}

pub(crate) fn fill(cache: &Cache) {
    let hour = Expiry::after(Duration::from_secs(3600));
    let soon = Expiry::after(Duration::from_secs(2));
    let (org, net) = (Context::named("example.org"), Context::named("example.net"));
    let id = |n: u8| SessionId::new(&[n; 32]).expect("32 bytes");
    for (context, n, expiry) in [(&org, 1, hour), (&org, 2, hour), (&org, 3, soon), (&net, 4, hour)]
    {
        assert!(cache.insert(context, &id(n), &[n; 200], expiry).is_stored());
    }
    for n in [1, 2] {
        cache.get_session(&org, &id(n)).expect("a hit");
    }
    let key = |n: u8| TicketKey::aes256([n; 16], &[n; 32], &[n; 32]).expect("a key");
    cache.keys().publish(vec![key(1), key(2)]).expect("published");
}

/// Waits until `condition` holds, which takes a moment but not for ever.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("10 s are over: {what}");
}

/// Compares with a file in tests/cli/golden; writes it when SHMTLS_BLESS is set.
pub(crate) fn assert_golden(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden").join(name);
    if env::var_os("SHMTLS_BLESS").is_some() {
        let mut file = fs::File::create(&path).expect("a golden file");
        file.write_all(found.as_bytes()).expect("written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, found, "{name}: SHMTLS_BLESS=1 takes the new one");
}

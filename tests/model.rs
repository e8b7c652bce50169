//! The model of the lock in `models/`, held against the lock itself. A model proves something of
//! the code only as long as it says what the code says: after a change of `src/robust.rs` the old
//! model would go on passing, and prove a lock that nobody runs.

use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

const MODEL: &str = include_str!("../models/lock.pml");
const LOCK: &str = "robust.rs";

/// What touches the word, the queue or another thread. A line of the lock with one of these is a
/// step, so the model quotes it.
const OPERATIONS: [&str; 12] = [
    ".compare_exchange(",
    ".compare_exchange_weak(",
    ".fetch_",
    ".load(",
    ".store(",
    ".swap(",
    ".is_dead(",
    ".withdraw(",
    "K::announce(",
    "K::is_dead(",
    "K::wait(",
    "K::wake_one(",
];

#[test]
fn the_models_constants_are_the_locks() {
    let lock = source(LOCK);
    assert_clean(wrong_constants(MODEL, &lock));

    assert_offends(wrong_constants(&MODEL.replace("WAITERS 128", "WAITERS 64"), &lock));
    assert_offends(wrong_constants(MODEL, &lock.replace("0x4000_0000", "0x2000_0000")));
    assert_offends(wrong_constants(&MODEL.replace("define TID_MASK", "define MASK"), &lock));
}

#[test]
fn every_step_of_the_model_stands_for_a_line_of_source() {
    assert_clean(unfounded_steps(MODEL));

    let offences = [
        ("fn take_free: ", "fn take_freely: "),
        ("fn take_free: ", "fn take_over: "),
        ("sys/thread.rs: fn withdraw", "sys/threads.rs: fn withdraw"),
        ("{ 0 } else { WAITERS }`", "{ WAITERS } else { 0 }`"),
    ];
    for (founded, offence) in offences {
        assert_offends(unfounded_steps(&altered(MODEL, founded, offence)));
    }
    assert_offends(unfounded_steps(&format!("{MODEL}\nunexplained:\n")));
}

#[test]
fn every_step_of_the_lock_is_in_the_model() {
    let lock = source(LOCK);
    assert_clean(unmodelled(MODEL, &lock));

    let offences = [
        ("self.word.store(handing_over, Release)", "self.word.store(0, Release)"),
        ("K::wake_one(self.word);", "K::wake_one(self.word);\nself.word.swap(0, Relaxed);"),
        ("_ => None,", "_ if self.is_dead(0) => None,\n_ => None,"),
    ];
    for (modelled, offence) in offences {
        assert_offends(unmodelled(MODEL, &altered(&lock, modelled, offence)));
    }
    assert_offends(unmodelled(&altered(MODEL, "`K::wake_one(", "`K::wake_all("), &lock));
}

/// The known-bad protocols have to fail there, too, each in its way: else the search is blind.
#[test]
fn the_model_holds_and_the_broken_protocols_do_not() {
    if let Some(missing) = ["spin", "cc", "python3"].into_iter().find(|tool| !has(tool)) {
        notice(&format!("SKIPPED: the model of the lock is not checked without {missing}"));
        return;
    }
    let (as_expected, table) = check(&repository().join("models"), "quick");
    assert!(as_expected, "\n{table}");

    // And the check of that: an unlock that stores 0, passed off as the model.
    let forged = tempfile::tempdir().expect("a temporary directory");
    let stores_zero = altered(MODEL, "#define RELEASED WAITERS", "#define RELEASED 0");
    fs::write(forged.path().join("lock.pml"), stores_zero).expect("written");
    fs::copy(repository().join("models/run"), forged.path().join("run")).expect("copied");
    let (as_expected, table) = check(forged.path(), "kernels");
    assert!(!as_expected, "a lock that strands sleepers went unnoticed:\n{table}");
}

// ---- the rules --------------------------------------------------------------------------------

/// The model's word is the highest byte of the real one.
fn wrong_constants(model: &str, lock: &str) -> Vec<String> {
    let of_model = |name| number_after(model, &format!("\n#define {name} "));
    let of_lock = |name| number_after(lock, &format!("\npub(crate) const {name}: u32 = "));
    ["WAITERS", "OWNER_DIED", "TID_MASK"]
        .into_iter()
        .map(|name| (name, of_model(name), of_lock(name)))
        .filter(|(_, model, lock)| model.is_none() || *model != lock.map(|value| value >> 24))
        .map(|(name, model, lock)| format!("{name}: {model:?} in the model, {lock:x?} in source"))
        .collect()
}

/// Each label has a comment, and what comments quote is there, once.
fn unfounded_steps(model: &str) -> Vec<String> {
    let mut complaints: Vec<String> = quotes(model)
        .into_iter()
        .filter(|quote| quote.occurrences() != 1)
        .map(|quote| {
            format!("src/{}: fn {}: not once `{}`", quote.file, quote.function, quote.text)
        })
        .collect();
    let lines: Vec<&str> = model.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let is_label = line.strip_suffix(':').is_some_and(|l| l.chars().all(is_of_a_name));
        let explained = at > 0 && lines[at - 1].ends_with("*/");
        if is_label && *line != "end:" && !explained {
            complaints.push(format!("models/lock.pml:{}: what does {line} stand for?", at + 1));
        }
    }
    complaints
}

/// Operations of the lock that no quote covers.
fn unmodelled(model: &str, lock: &str) -> Vec<String> {
    let quotes = quotes(model);
    let lines = lines_of_functions(lock);
    assert!(!lines.is_empty(), "a lock without functions");
    let mut complaints = Vec::new();
    for (function, line) in lines {
        let covered: Vec<_> = quotes
            .iter()
            .filter(|quote| quote.file == LOCK && quote.function == function)
            .flat_map(|quote| line.match_indices(quote.text))
            .map(|(start, text)| start..start + text.len())
            .collect();
        let operations = OPERATIONS.iter().flat_map(|operation| line.match_indices(operation));
        if operations.into_iter().any(|(at, _)| !covered.iter().any(|span| span.contains(&at))) {
            complaints.push(format!("fn {function} is not in the model: {}", line.trim()));
        }
    }
    complaints
}

// ---- reading ----------------------------------------------------------------------------------

/// What a comment of the model says of the source: file: fn function: `text`.
struct Quote<'a> {
    file: &'a str,
    function: &'a str,
    text: &'a str,
}

impl Quote<'_> {
    /// How often the source says that in that function.
    fn occurrences(&self) -> usize {
        let source = source(self.file);
        let lines = lines_of_functions(&source).into_iter();
        lines
            .filter(|(function, _)| *function == self.function)
            .map(|(_, line)| line.matches(self.text).count())
            .sum()
    }
}

fn quotes(model: &str) -> Vec<Quote<'_>> {
    let quotes: Vec<Quote<'_>> = model
        .lines()
        .filter_map(|line| {
            let (head, rest) = line.split_once(".rs: fn ")?;
            let (function, rest) = rest.split_once(": `")?;
            let (text, _) = rest.rsplit_once('`')?;
            let file = &line[head.rfind(' ')? + 1..head.len() + ".rs".len()];
            Some(Quote { file, function, text })
        })
        .collect();
    assert!(quotes.len() > 10, "the model quotes next to nothing");
    quotes
}

/// The lines of code in functions, each with its function's name.
fn lines_of_functions(source: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut function: Option<(&str, &str)> = None;
    for line in source.lines() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if let Some((_, rest)) = code.split_once("fn ").filter(|(before, _)| is_visibility(before))
        {
            let name = rest.split(|c: char| !is_of_a_name(c)).next().expect("a first part");
            function = Some((name, indent));
        }
        if let Some((name, its_indent)) = function {
            found.extend((!code.starts_with("//")).then_some((name, line)));
            if code == "}" && indent == its_indent {
                function = None;
            }
        }
    }
    found
}

fn is_visibility(before: &str) -> bool {
    ["", "pub ", "pub(crate) "].contains(&before)
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn number_after(text: &str, name: &str) -> Option<u32> {
    let digits = text.split_once(name)?.1.split([';', '\n', ' ']).next()?.replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

fn source(file: &str) -> String {
    fs::read_to_string(repository().join("src").join(file)).unwrap_or_default()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn altered(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not there to be altered");
    text.replace(from, to)
}

// ---- running ----------------------------------------------------------------------------------

fn has(tool: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|folder| folder.join(tool).is_file())
}

/// Whether all verdicts of a run are the expected ones, and its table.
fn check(models: &Path, mode: &str) -> (bool, String) {
    let output = Command::new(models.join("run")).arg(mode).output().expect("models/run starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A line that is seen although the test passes.
fn notice(line: &str) {
    // Unlike eprintln!, this is not captured.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[track_caller]
fn assert_clean(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[track_caller]
fn assert_offends(complaints: Vec<String>) {
    assert!(!complaints.is_empty(), "an offence went unnoticed: this rule cannot fail");
}

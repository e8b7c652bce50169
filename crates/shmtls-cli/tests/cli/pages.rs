//! Completions that shells can read, and manual pages with examples.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{COMMANDS, run, stdout, with};

#[test]
fn completions_know_all_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

/// Bash is everywhere; the others say what they think where they are.
#[test]
fn completions_parse() {
    let directory = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish"] {
        let script = directory.path().join(shell);
        fs::write(&script, stdout(&["completions", shell])).expect("written");
        if shell == "bash" || is_installed(shell) {
            let parsed = run(Command::new(shell).arg("-n").arg(&script));
            assert_eq!((parsed.code, parsed.stderr.as_str()), (Some(0), ""), "{shell}");
        }
    }
}

#[test]
fn every_command_has_a_page_with_examples() {
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("man1");
    stdout(&["man", "--output", pages.to_str().expect("UTF-8")]);
    for command in COMMANDS {
        let page = fs::read_to_string(pages.join(format!("shmtls-{command}.1"))).expect("a page");
        let examples = page.split_once(".SH EXAMPLES").map(|(_, after)| after).unwrap_or_default();
        assert!(examples.contains(&format!("shmtls {command}")), "{command}: {page}");
        assert!(page.contains(".SH OPTIONS") && page.contains("\n.SH NAME\n"), "{command}: {page}");
    }
    // One that has subcommands has their pages, but not those of what nobody types.
    let is_there = |name: &str| pages.join(name).exists();
    assert_eq!(is_there("shmtls-bench-contention.1"), cfg!(feature = "bench"));
    assert!(!is_there("shmtls-bench-worker.1"));
    let page = fs::read_to_string(pages.join("shmtls.1")).expect("a page");
    for section in ["EXIT CODES", "ENVIRONMENT", "SUBCOMMANDS"] {
        assert!(page.contains(section), "{section}: {page}");
    }
    assert_eq!(page, stdout(&["man"]));
}

#[test]
fn a_place_where_no_page_can_be() {
    let run = with(&["man", "--output", "/proc/pages"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.starts_with("error: cannot write to /proc/pages: "), "{run:?}");
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(program).exists())
}

//! Signals that end the tool: an interrupt, and a segment that is cut short under the mapping.

use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::sync::{Mutex, PoisonError};
use std::{env, fs, thread};

use nix::sys::signal::{Signal, raise};
use signal_hook::consts::{SIGBUS, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::fault;

/// From now on a signal ends the tool with a message and the exit code that it has.
///
/// A read past the end of a truncated segment is SIGBUS. Nothing can be put right then: who reads
/// meets the same fault again, until the thread that waits here has told why and ended both.
pub(crate) fn handle() {
    drop_handler_of_std();
    // Without handlers the signals end the tool as they always do.
    let Ok(mut signals) = Signals::new([SIGINT, SIGBUS]) else { return };
    let _ = signal_hook::flag::register(SIGBUS, fault::flag());
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end(signal);
        }
    });
}

/// From now on SIGTERM ends the tool also where it is the first process of a container, to which
/// signals without a handler do nothing.
pub(crate) fn end_on_terminate() {
    let Ok(mut signals) = Signals::new([SIGTERM]) else { return };
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            if process::id() != 1 {
                let _ = emulate_default_handler(SIGTERM);
            }
            process::exit(128 + SIGTERM);
        }
    });
}

/// The standard library looks for stack overflows in SIGBUS. For any other it restores the default
/// action, which would end the tool before it has said why. One that is no fault makes it let go.
fn drop_handler_of_std() {
    if is_caught(SIGBUS) {
        let _ = raise(Signal::SIGBUS);
    }
}

/// Whether this process has a handler for a signal (proc_pid_status(5), `SigCgt`).
fn is_caught(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn end(signal: i32) -> ! {
    #[cfg(feature = "top")]
    crate::screen::give_back_for_ever();
    if signal == SIGINT {
        process::exit(Exit::Interrupted as i32);
    }
    begin_anew_if_one_of_many();
    let _ = cut_short().tell();
    process::exit(Exit::Incompatible as i32);
}

pub(crate) fn cut_short() -> Failure {
    Failure::new(Exit::Incompatible, "the segment was cut short while it was read")
        .tip("somebody truncated its file: remove it and restart the workers")
}

/// The segment that is being read, if the tool has others to tell of.
static ONE_OF_MANY: Mutex<Option<String>> = Mutex::new(None);
/// Those that were cut short while this tool read them.
const CUT: &str = "SHMTLS_CUT";

/// From now on a segment of this identity is read. If it is cut short, the tool begins anew without
/// it: a thread that meets the end of a file goes nowhere else.
pub(crate) fn reading_one_of_many(identity: &str) {
    *ONE_OF_MANY.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.into());
}

/// Whether that is why the tool has begun anew.
pub(crate) fn was_cut(identity: &str) -> bool {
    env::var(CUT).is_ok_and(|cut| cut.split(' ').any(|one| one == identity))
}

/// This very program, also after an update has put another into its place.
pub(crate) fn itself() -> Command {
    let mut tool = Command::new("/proc/self/exe");
    tool.arg0(env::args_os().next().unwrap_or_else(|| "shmtls".into()));
    tool
}

/// Returns if this is not possible either.
fn begin_anew_if_one_of_many() {
    let reading = ONE_OF_MANY.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(identity) = reading {
        let cut = format!("{} {identity}", env::var(CUT).unwrap_or_default());
        let _ = itself().args(env::args_os().skip(1)).env(CUT, cut).exec();
    }
}

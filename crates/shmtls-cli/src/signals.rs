//! Signals that end the tool: an interrupt, and a segment that is cut short under the mapping.

use std::process;
use std::thread;

use signal_hook::consts::{SIGBUS, SIGINT};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::Failure;

/// From now on a signal ends the tool with a message and the exit code that it has.
///
/// A read past the end of a truncated segment is SIGBUS. Nothing can be put right then: who reads
/// meets the same fault again, until the thread that waits here has told why and ended both.
pub(crate) fn handle() {
    // Without handlers the signals end the tool as they always do.
    let Ok(mut signals) = Signals::new([SIGINT, SIGBUS]) else { return };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end(signal);
        }
    });
}

fn end(signal: i32) -> ! {
    if signal == SIGINT {
        process::exit(Exit::Interrupted as i32);
    }
    let text = "the segment was cut short while it was read";
    let failure = Failure::new(Exit::Incompatible, text)
        .tip("somebody truncated its file: remove it and restart the workers");
    let _ = failure.tell();
    process::exit(Exit::Incompatible as i32);
}

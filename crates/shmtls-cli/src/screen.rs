//! The terminal while a view has all of it: taken over, and given back as it was however the tool
//! ends.

use std::io::{self, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

pub(crate) type Terminal = ratatui::Terminal<CrosstermBackend<io::Stdout>>;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes it over. Who fails must give it back nevertheless.
pub(crate) fn take() -> io::Result<Terminal> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        give_back_on_panic();
        give_back_on_signals();
    });
    TAKEN.store(true, SeqCst);
    enable_raw_mode()?;
    // Not `Terminal::clear`: that asks where the cursor is, and not every terminal answers.
    execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All))?;
    Terminal::new(CrosstermBackend::new(stdout()))
}

/// Gives it back, if it was taken.
pub(crate) fn give_back() -> io::Result<()> {
    if !TAKEN.swap(false, SeqCst) {
        return Ok(());
    }
    let modes = disable_raw_mode();
    execute!(stdout(), LeaveAlternateScreen, Show)?;
    modes
}

/// Gives it back in a thread that is about to end the tool: whoever still draws waits for a lock
/// that is not let go. A terminal that takes no bytes any more is left as it is.
pub(crate) fn give_back_for_ever() {
    if !TAKEN.load(SeqCst) {
        return;
    }
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let held = stdout().lock();
        let _ = give_back();
        let _ = done.send(());
        std::mem::forget(held);
    });
    let _ = is_done.recv_timeout(Duration::from_secs(1));
}

fn give_back_on_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let _ = give_back();
        before(info);
    }));
}

/// Those that end the tool. Only here: a report may run on without its terminal (`nohup`).
fn give_back_on_signals() {
    let Ok(mut signals) = Signals::new([SIGTERM, SIGHUP]) else { return };
    thread::spawn(move || {
        for signal in signals.forever() {
            give_back_for_ever();
            let _ = emulate_default_handler(signal);
        }
    });
}

//! The loop: looks at the segment at each tick, draws what changed, and obeys keys at once.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use ratatui::crossterm::event::{self, Event};

use super::app::{App, Next, View};
use super::look::Watcher;
use super::{input, view};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::{self, Terminal};

/// Runs until the user has seen enough. The terminal is as it was before then.
pub(crate) fn run(watcher: &mut Watcher, app: &mut App, delay: Duration) -> Result<Exit, Failure> {
    let end = screen::take().and_then(|mut terminal| go(watcher, app, delay, &mut terminal));
    screen::give_back()?;
    Ok(end?)
}

fn go(
    watcher: &mut Watcher,
    app: &mut App,
    delay: Duration,
    terminal: &mut Terminal,
) -> io::Result<Exit> {
    let mut due = Instant::now();
    loop {
        if Instant::now() >= due {
            look(watcher, app);
            due = Instant::now() + delay;
        }
        terminal.draw(|frame| view::draw(frame, app))?;
        match obey(watcher, app, due)? {
            Next::GoOn => {}
            Next::Resized => terminal.resize(terminal.size()?.into())?,
            Next::Quit => return Ok(Exit::Fine),
            Next::Interrupted => return Ok(Exit::Interrupted),
            Next::Suspend => {
                screen::give_back()?;
                let _ = raise(Signal::SIGTSTP);
                *terminal = screen::take()?;
            }
        }
    }
}

fn look(watcher: &mut Watcher, app: &mut App) {
    if !app.paused {
        watcher.look(&mut app.model, app.view == View::Events);
        app.follow_events();
    }
}

/// How long to wait for the next of several keys: with no time at all none is looked for.
const NEXT_KEY: Duration = Duration::from_millis(1);

/// Takes all keys that are there, after waiting for one until `due`.
fn obey(watcher: &mut Watcher, app: &mut App, due: Instant) -> io::Result<Next> {
    let mut wait = due.saturating_duration_since(Instant::now()).max(NEXT_KEY);
    while event::poll(wait)? {
        let (before, event) = (app.view, event::read()?);
        if matches!(event, Event::Resize(..)) {
            return Ok(Next::Resized);
        }
        if let Some(action) = input::action(&event) {
            let next = app.act(action);
            if next != Next::GoOn {
                return Ok(next);
            }
        }
        // The events of a segment are read only while they are shown: now is the first look.
        if app.view == View::Events && before != View::Events {
            watcher.look_at_events(&mut app.model);
            app.follow_events();
        }
        wait = NEXT_KEY;
    }
    Ok(Next::GoOn)
}

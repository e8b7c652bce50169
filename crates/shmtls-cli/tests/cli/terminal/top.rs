//! A terminal that a program writes to and reads from, and what it would show.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use rustix::termios::tcsetwinsize;
use vt100::{Parser, Screen};

use crate::support::{Name, shmtls, wait_for};

/// The program on a terminal of its own, which answers no question.
pub(crate) struct Top {
    child: Child,
    keys: File,
    screen: Arc<Mutex<Parser>>,
    /// Keeps the terminal when the program has gone.
    terminal: OwnedFd,
}

impl Top {
    pub(crate) fn start(name: &Name, size: (u16, u16)) -> Self {
        Self::start_with(name, size, &[])
    }

    pub(crate) fn start_with(name: &Name, (rows, columns): (u16, u16), args: &[&str]) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        assert!(is_cooked(&pty.slave));
        let end = || pty.slave.try_clone().expect("a descriptor");
        let mut command = shmtls();
        command
            .args(["top", name.get(), "--delay", "250ms"])
            .args(args)
            .env("TERM", "xterm-256color");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the program");
        let screen = Arc::new(Mutex::new(Parser::new(some(rows), some(columns), 0)));
        let keys = File::from(pty.master);
        watch(keys.try_clone().expect("a descriptor"), screen.clone());
        Self { child, keys, screen, terminal: pty.slave }
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads");
    }

    /// Types, and sees what comes of it.
    #[track_caller]
    pub(crate) fn press(&mut self, keys: &str, texts: &[&str]) {
        self.type_in(keys);
        self.see(texts);
    }

    #[track_caller]
    pub(crate) fn see(&mut self, texts: &[&str]) {
        for text in texts {
            self.until(text, |screen| screen.contents().contains(text));
        }
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Screen) -> bool) {
        for _ in 0..1000 {
            if condition(&self.screen()) {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{what:?} is not on the screen:\n{}", self.contents());
    }

    pub(crate) fn screen(&self) -> Screen {
        self.screen.lock().expect("no panic").screen().clone()
    }

    pub(crate) fn contents(&self) -> String {
        self.screen().contents()
    }

    pub(crate) fn resize(&mut self, (rows, columns): (u16, u16)) {
        self.screen.lock().expect("no panic").screen_mut().set_size(some(rows), some(columns));
        let size =
            rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).expect("a size");
        self.signal(Signal::SIGWINCH);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
    }

    #[track_caller]
    pub(crate) fn end_by_key(&mut self, key: &str) -> ExitStatus {
        self.assert_taken();
        self.type_in(key);
        self.ended()
    }

    #[track_caller]
    pub(crate) fn end_by(&mut self, signal: Signal) -> ExitStatus {
        self.assert_taken();
        self.signal(signal);
        self.ended()
    }

    #[track_caller]
    fn assert_taken(&self) {
        assert!(!is_cooked(&self.terminal), "keys would wait for a line's end");
        self.until("another screen", |screen| screen.alternate_screen() && screen.hide_cursor());
    }

    /// It ends soon, and the terminal is as it was before.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        wait_for("its end", || self.child.try_wait().expect("a child").is_some());
        self.until("the screen of before", |screen| {
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        assert!(is_cooked(&self.terminal));
        self.child.wait().expect("ended")
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn some(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("no terminal is without a cell")
}

/// Shows what the program writes.
fn watch(mut output: File, screen: Arc<Mutex<Parser>>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = output.read(&mut bytes) {
            screen.lock().expect("no panic").process(&bytes[..len]);
        }
    });
}

/// As a shell has it: lines, shown as they are typed, and an interrupt that is a signal.
fn is_cooked(terminal: &OwnedFd) -> bool {
    let flags = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
    tcgetattr(terminal).expect("a terminal").local_flags.contains(flags)
}

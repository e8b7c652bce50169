//! Tools that look on while a burst lasts, as those of a worried operator would: one asks for the
//! figures ten times a second, one looks at everything, again and again.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Watchers {
    is_over: Arc<AtomicBool>,
    loops: Vec<JoinHandle<io::Result<u64>>>,
}

/// The commands of each loop, and how often it begins anew.
const LOOPS: [(&[&str], Duration); 2] =
    [(&["stat"], Duration::from_millis(100)), (&["ls", "check", "events"], Duration::ZERO)];
/// Between two looks whether a tool has ended.
const NAP: Duration = Duration::from_millis(1);

impl Watchers {
    /// Tools look at `segment` from now on.
    pub(super) fn start(segment: &str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let loops = LOOPS.map(|(commands, period)| {
            let (segment, is_over) = (segment.to_owned(), Arc::clone(&is_over));
            thread::spawn(move || watch(commands, period, &segment, &is_over))
        });
        Self { is_over, loops: loops.into() }
    }

    /// No tool runs any more. How often one of them looked, or why one could not.
    pub(super) fn end(mut self) -> io::Result<u64> {
        self.is_over.store(true, Relaxed);
        let looks = self.loops.drain(..).map(|it| it.join().expect("nothing here panics"));
        looks.sum()
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
    }
}

fn watch(
    commands: &[&str],
    period: Duration,
    segment: &str,
    is_over: &AtomicBool,
) -> io::Result<u64> {
    let mut looks = 0;
    for command in commands.iter().cycle() {
        let start = Instant::now();
        let mut tool = Command::new("/proc/self/exe")
            .args([command, segment])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if !ends_before(&mut tool, is_over)? {
            break;
        }
        looks += 1;
        while start.elapsed() < period && !is_over.load(Relaxed) {
            thread::sleep(NAP);
        }
    }
    Ok(looks)
}

/// Whether a tool came to its end before the burst did; then it must have been a good one.
fn ends_before(tool: &mut Child, is_over: &AtomicBool) -> io::Result<bool> {
    loop {
        if let Some(status) = tool.try_wait()? {
            let failed = || io::Error::other(format!("a tool that looked on ended with {status}"));
            return status.success().then_some(true).ok_or_else(failed);
        }
        if is_over.load(Relaxed) {
            tool.kill()?;
            tool.wait()?;
            return Ok(false);
        }
        thread::sleep(NAP);
    }
}

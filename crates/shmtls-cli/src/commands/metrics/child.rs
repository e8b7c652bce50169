//! A look by a process of its own. A segment that is cut short under who reads it ends the reader
//! (SIGBUS); an exporter, which maps nothing, outlives that.

use std::io::{self, Read};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::signals;

/// Prometheus waits that long, if it is not told otherwise. A look takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a look had to say.
#[derive(Debug)]
pub(super) struct Said {
    /// `None` if it was killed.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// `shmtls metrics` of these segments, by this very program.
pub(super) fn look(names: &[String]) -> io::Result<Said> {
    let end = Instant::now() + DEADLINE;
    let mut child = signals::itself()
        .args(["metrics", "--color", "never", "--"])
        .args(names)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let all = [stdout, stderr].map(|pipe| pipe.map_or(Ok(String::new()), |pipe| until(end, &pipe)));
    if all.iter().any(Result::is_err) {
        child.kill()?;
    }
    let code = child.wait()?.code();
    let [stdout, stderr] = all;
    Ok(Said { code, stdout: stdout?, stderr: stderr? })
}

fn read(mut pipe: impl Read + Send + 'static) -> Receiver<io::Result<String>> {
    let (done, all) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = done.send(pipe.read_to_string(&mut text).map(|_| text));
    });
    all
}

fn until(end: Instant, pipe: &Receiver<io::Result<String>>) -> io::Result<String> {
    match pipe.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(text) => text,
        Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Ok(String::new()),
    }
}

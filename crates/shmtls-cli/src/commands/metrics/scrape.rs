//! One look, by a process of its own.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::failure::Failure;

/// What Prometheus waits by default. A segment of a million sessions takes a thirtieth of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What this tool, run once, says of the segments. That some of them cannot be read is no failure:
/// the text says it.
pub(super) fn in_a_process(segments: &[String]) -> Result<String, Failure> {
    // The program as it runs, whatever its file has become.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("shmtls").args(["metrics", "--color", "never", "--"]).args(segments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(format!("cannot start: {error}")))?;
    let mut stdout = child.stdout.take().expect("it is piped");
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = done.send(stdout.read_to_string(&mut text).map(|_| text));
    });
    let text = is_done.recv_timeout(PATIENCE);
    if text.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    match text {
        Ok(Ok(text)) if !text.is_empty() => Ok(text),
        Ok(_) => Err(failed(format!("it said nothing ({status})"))),
        Err(_) => Err(failed(format!("it took longer than {} s", PATIENCE.as_secs()))),
    }
}

fn failed(why: String) -> Failure {
    Failure::cannot_open(format!("a look at the segments failed: {why}"))
        .tip("shmtls metrics, run once, says more")
}

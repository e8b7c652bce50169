//! A server of Debian's, started for this run on a Unix socket in a folder of its own, and ended with
//! it, however the run ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use tempfile::TempDir;

use crate::fault::Fault;

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    socket: String,
    _folder: TempDir,
}

/// A server that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    /// `options` are for a server at that socket. The error says what is missing.
    pub(crate) fn start(
        program: &str,
        options: impl FnOnce(&str) -> Vec<String>,
    ) -> Result<Self, Fault> {
        let path = find(program).ok_or_else(|| format!("{program} is not installed"))?;
        let folder = TempDir::with_prefix("shmtls-bench-peers-")?;
        let socket = folder.path().join("socket");
        let socket = socket.to_str().ok_or("a path that is no UTF-8")?.to_owned();
        let log = folder.path().join("log");
        let child = Command::new("/proc/self/exe")
            .args(["serve", &std::process::id().to_string()])
            .arg(path)
            .args(options(&socket))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()?;
        let mut server = Self { child, socket, _folder: folder };
        server.wait_until_there(&log).map_err(|fault| format!("{program}: {fault}"))?;
        Ok(server)
    }

    pub(crate) fn socket(&self) -> &str {
        &self.socket
    }

    fn wait_until_there(&mut self, log: &Path) -> Result<(), Fault> {
        let start = Instant::now();
        while UnixStream::connect(&self.socket).is_err() {
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read_to_string(log).unwrap_or_default();
                let last = said.lines().last().unwrap_or("nothing");
                return Err(format!("{status}, and it said: {last}").into());
            }
            if start.elapsed() > PATIENCE {
                return Err("it does not listen".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This process becomes the server, and does not outlive its parent.
pub(crate) fn become_one(parent: i32, command: &[String]) -> Result<(), Fault> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() != parent {
        return Err("this is for a run, which has gone".into());
    }
    let (program, options) = command.split_first().ok_or("no command")?;
    Err(Command::new(program).args(options).exec().into())
}

/// Servers live in sbin, which is not in everybody's PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/bin", "/usr/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(OsStr::new(program))).find(|it| it.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let missing = Server::start("no-such-server", |_| Vec::new()).expect_err("there is none");
        assert_eq!(missing.to_string(), "no-such-server is not installed");
        assert!(find("sh").is_some());
    }
}

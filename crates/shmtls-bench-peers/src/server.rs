//! A server of Debian's, started for this run in a folder of its own, and ended with it, however
//! the run ends.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
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
    program: &'static str,
    child: Child,
    folder: TempDir,
}

/// A server that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    /// `options` are for a server that listens at that Unix socket. The error says what is missing.
    pub(crate) fn at_socket(
        program: &'static str,
        options: impl FnOnce(&str) -> Vec<String>,
    ) -> Result<(Self, String), Fault> {
        let folder = TempDir::with_prefix("shmtls-bench-peers-")?;
        let socket = path_in(&folder, "socket")?;
        let mut server = Self::start(program, folder, options(&socket))?;
        server.wait_for(|| UnixStream::connect(&socket).ok())?;
        Ok((server, socket))
    }

    /// It says what it has to say to the file `log` in that folder.
    pub(crate) fn start(
        program: &'static str,
        folder: TempDir,
        options: Vec<String>,
    ) -> Result<Self, Fault> {
        let path = find(program).ok_or_else(|| format!("{program} is not installed"))?;
        let log = File::options().create(true).append(true).open(folder.path().join("log"))?;
        let child = Command::new("/proc/self/exe")
            .args(["serve", &std::process::id().to_string()])
            .arg(path)
            .args(options)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { program, child, folder })
    }

    /// What shows that it is there.
    pub(crate) fn wait_for<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Result<T, Fault> {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                let said = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let last = said.lines().last().unwrap_or("nothing");
                let end = ended.map_or("it does not listen".into(), |status| status.to_string());
                return Err(format!("{}: {end}, and it said: {last}", self.program).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
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
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/bin", "/usr/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|it| it.is_file())
}

pub(crate) fn path_in(folder: &TempDir, name: &str) -> Result<String, Fault> {
    let path = folder.path().join(name);
    Ok(path.to_str().ok_or("a path that is no UTF-8")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let missing =
            Server::at_socket("no-such-server", |_| Vec::new()).expect_err("there is none");
        assert_eq!(missing.to_string(), "no-such-server is not installed");
        assert!(find("sh").is_some());
    }
}

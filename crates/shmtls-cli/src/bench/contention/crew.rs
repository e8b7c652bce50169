//! The processes of a burst: started, stopped, killed, replaced, and heard at the end.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::arena::Arena;
use super::plan::Task;
use super::worker::Seen;

#[derive(Debug)]
pub(super) struct Crew {
    /// Of worker 0.
    task: Task,
    cores: Vec<usize>,
    started: u64,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    child: Child,
    /// Reads what it says, so that it is never kept from ending by a full pipe.
    seen: Option<JoinHandle<Seen>>,
    is_stopped: bool,
}

/// All workers have to come to the start within this time.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// More than any deadline of the library.
const END_PATIENCE: Duration = Duration::from_secs(2);

impl Crew {
    /// Starts `n` workers, each on a core of its own if there are enough.
    pub(super) fn start(n: usize, task: Task, cores: &[usize], arena: &Arena) -> io::Result<Self> {
        let cores = if n <= cores.len() { cores.to_vec() } else { Vec::new() };
        let mut crew = Self { task, cores, started: 0, members: Vec::new() };
        for worker in 0..n {
            let member = crew.spawn(worker)?;
            crew.members.push(member);
        }
        crew.wait_until_ready(arena)?;
        Ok(crew)
    }

    fn spawn(&mut self, worker: usize) -> io::Result<Member> {
        self.started += 1;
        let seed = self.task.seed ^ self.started << 32;
        let core = self.cores.get(worker).copied();
        let task = Task { worker, seed, core, ..self.task.clone() };
        let mut child = Command::new("/proc/self/exe")
            .args(["bench", "worker", &serde_json::to_string(&task).expect("plain data")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let seen = thread::spawn(move || {
            let mut text = String::new();
            // A killed one has said nothing.
            let _ = stdout.map(|mut stdout| stdout.read_to_string(&mut text));
            serde_json::from_str(&text).unwrap_or_default()
        });
        Ok(Member { child, seen: Some(seen), is_stopped: false })
    }

    fn wait_until_ready(&mut self, arena: &Arena) -> io::Result<()> {
        let start = Instant::now();
        while !arena.are_ready(self.members.len()) {
            for member in &mut self.members {
                if let Some(status) = member.child.try_wait()? {
                    return Err(io::Error::other(format!("a worker ended early: {status}")));
                }
            }
            if start.elapsed() > START_PATIENCE {
                return Err(io::Error::other("the workers do not come to the start"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Those that run, by number.
    pub(super) fn running(&self) -> Vec<usize> {
        let members = self.members.iter().enumerate();
        members.filter(|(_, it)| !it.is_stopped).map(|(worker, _)| worker).collect()
    }

    pub(super) fn pid(&self, worker: usize) -> Pid {
        Pid::from_raw(self.members[worker].child.id() as i32)
    }

    /// Returns when it does nothing any more.
    pub(super) fn stop(&mut self, worker: usize) -> io::Result<()> {
        let pid = self.pid(worker);
        kill(pid, Signal::SIGSTOP)?;
        waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
        self.members[worker].is_stopped = true;
        Ok(())
    }

    pub(super) fn go_on(&mut self, worker: usize) -> io::Result<()> {
        self.members[worker].is_stopped = false;
        Ok(kill(self.pid(worker), Signal::SIGCONT)?)
    }

    pub(super) fn kill(&self, worker: usize) -> io::Result<()> {
        Ok(kill(self.pid(worker), Signal::SIGKILL)?)
    }

    /// Another process in place of one that was killed.
    pub(super) fn replace(&mut self, worker: usize) -> io::Result<()> {
        let mut other = self.spawn(worker)?;
        std::mem::swap(&mut other, &mut self.members[worker]);
        other.child.wait()?;
        Ok(())
    }

    /// What they have seen, once the burst is over; `None` if one of them does not end.
    pub(super) fn finish(mut self) -> io::Result<Option<Vec<Seen>>> {
        let start = Instant::now();
        for member in &mut self.members {
            while member.child.try_wait()?.is_none() {
                if start.elapsed() > END_PATIENCE {
                    return Ok(None);
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        let seen = self.members.iter_mut().filter_map(|it| it.seen.take()?.join().ok());
        Ok(Some(seen.collect()))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

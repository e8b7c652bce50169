//! A store and the processes that work on it, from their start to their end.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::clock;
use crate::fault::Fault;
use crate::plan::{Case, Kind, Mix, Scale};
use crate::stores::{self, Host};
use crate::worker::{Burst, READY, Seen, Task};

#[derive(Debug)]
pub(crate) struct Crew {
    // Ended before the store goes.
    members: Vec<Member>,
    _host: Host,
}

#[derive(Debug)]
struct Member {
    child: Child,
    orders: Option<ChildStdin>,
    /// What it says, a line each; closed when it has ended.
    answers: Receiver<String>,
}

/// To fill a store through a socket takes seconds.
const FILL_PATIENCE: Duration = Duration::from_secs(600);
/// Beyond the end of a burst.
const BURST_PATIENCE: Duration = Duration::from_secs(30);
/// Until then all have read when to start.
const LEAD: Duration = Duration::from_millis(20);

impl Crew {
    /// Makes the store, starts the workers, each on a core of its own if there are enough, and
    /// returns when they have filled it.
    pub(crate) fn start(
        case: Case,
        (mix, scale): (Mix, Scale),
        cores: &[usize],
    ) -> Result<Self, Fault> {
        let host = stores::host(case.peer, scale)?;
        let (processes, threads) = match case.kind {
            Kind::Processes => (case.workers, 1),
            Kind::Threads => (1, case.workers),
        };
        let suffice = case.workers as usize <= cores.len();
        let mut task = Task {
            peer: case.peer,
            place: host.place.clone(),
            mix,
            scale,
            worker: 0,
            workers: case.workers,
            threads,
            cores: if suffice { cores.to_vec() } else { Vec::new() },
        };
        let mut members = Vec::new();
        for worker in 0..processes {
            task.worker = worker;
            members.push(Member::start(&task)?);
        }
        for member in &members {
            match member.hear(FILL_PATIENCE)?.as_str() {
                READY => {}
                other => return Err(format!("a worker says {other:?}").into()),
            }
        }
        Ok(Self { members, _host: host })
    }

    /// All work at the same time, for so long.
    pub(crate) fn burst(&mut self, duration: Duration) -> Result<Vec<Seen>, Fault> {
        let from = clock::now() + LEAD.as_nanos() as u64;
        let order = Burst { from, until: from + duration.as_nanos() as u64 };
        let order = serde_json::to_string(&order)? + "\n";
        for member in &mut self.members {
            let orders = member.orders.as_mut().ok_or("a worker has been dismissed")?;
            orders.write_all(order.as_bytes())?;
        }
        let mut all = Vec::new();
        for member in &self.members {
            let seen: Vec<Seen> = serde_json::from_str(&member.hear(duration + BURST_PATIENCE)?)?;
            all.extend(seen);
        }
        Ok(all)
    }
}

impl Member {
    fn start(task: &Task) -> Result<Self, Fault> {
        let mut child = Command::new("/proc/self/exe")
            .args(["worker", &serde_json::to_string(task)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, answers) = mpsc::channel();
        let (orders, stdout) = (child.stdin.take(), child.stdout.take());
        // Ends with the worker.
        thread::spawn(move || {
            let lines = stdout.map(|stdout| BufReader::new(stdout).lines());
            let whole = lines.into_iter().flatten().map_while(io::Result::ok);
            whole.for_each(|line| drop(sender.send(line)));
        });
        Ok(Self { child, orders, answers })
    }

    fn hear(&self, patience: Duration) -> Result<String, Fault> {
        self.answers.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => "a worker does not answer".into(),
            RecvTimeoutError::Disconnected => "a worker has ended early (above)".into(),
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A store and the processes that work on it, from their start to their end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::clock;
use crate::fault::Fault;
use crate::plan::{Case, Kind, Mix, Scale};
use crate::stores::{self, Host};
use crate::worker::{Burst, READY, Seen, Task};

pub(crate) struct Crew {
    // Ended before the store goes.
    members: Vec<Member>,
    _host: Host,
}

struct Member {
    /// Of this process; the children of a server are the server's.
    child: Option<Child>,
    orders: Box<dyn Write>,
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
        let mut host = stores::host(case.peer, scale, case.workers)?;
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
            let mut member = match host.waiting.pop() {
                Some(stream) => Member::at(stream)?,
                None => Member::start()?,
            };
            member.tell(&task)?;
            members.push(member);
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
        for member in &mut self.members {
            member.tell(&order)?;
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
    fn start() -> Result<Self, Fault> {
        let mut child = Command::new("/proc/self/exe")
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("a worker without stdin")?;
        let answers = child.stdout.take().ok_or("a worker without stdout")?;
        Ok(Self { child: Some(child), orders: Box::new(orders), answers: lines_of(answers) })
    }

    fn at(stream: UnixStream) -> Result<Self, Fault> {
        let answers = lines_of(stream.try_clone()?);
        Ok(Self { child: None, orders: Box::new(stream), answers })
    }

    fn tell(&mut self, order: &impl Serialize) -> Result<(), Fault> {
        let line = serde_json::to_string(order)? + "\n";
        Ok(self.orders.write_all(line.as_bytes())?)
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
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Read by a thread that ends with them.
fn lines_of(answers: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(answers).lines().map_while(io::Result::ok);
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

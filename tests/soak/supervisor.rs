//! The supervisor: forks everybody, and in a storm kills and stops them. It has one thread.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::getpid;
use shmtls::Cache;

use crate::aftermath::Aftermath;
use crate::board::Board;
use crate::client::{Client, PATIENCE};
use crate::health::Patient;
use crate::payload::{Named, Rng};
use crate::plan::{CLIENTS, ELDERS, Plan, SLICE, WORKERS, Weather, capacity, options};
use crate::procs::{Child, Report, alone, fork_reporting, join_all, notice};
use crate::scoreboard::Shared;
use crate::tools;
use crate::worker::{Identity, Listeners, work};

/// A moment that comes again and again.
struct Clock(Instant);

impl Clock {
    fn in_ms(millis: u64) -> Self {
        Self(Instant::now() + Duration::from_millis(millis))
    }

    fn has_struck(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// What the storm has done.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    pub(crate) kills: u64,
    pub(crate) kills_of_tools: u64,
    pub(crate) stops: u64,
    pub(crate) executed: u64,
}

struct Supervisor<'a> {
    plan: &'a Plan,
    name: &'a str,
    cache: &'a Cache,
    board: &'a Board,
    identity: &'a Identity,
    listeners: &'a Listeners,
    report: Arc<Report>,
    workers: Vec<Child>,
    others: Vec<Child>,
    patients: Vec<Patient>,
    /// Who stands still, and until when.
    stopped: Option<(usize, Clock)>,
    damage: Damage,
    rng: Rng,
    start: Instant,
    slices: u32,
    last_visits: u64,
    next_sample: Clock,
    next_news: Clock,
}

pub(crate) fn run(plan: &Plan) {
    let _turn = alone();
    let name = Named::new("soak");
    let cache = options().create(&name.0).expect("a new name");
    let board = Shared::<Board>::new();
    let (identity, start) = (Identity::new(), Instant::now());
    let first = cache.keys().rotate_if_due(&plan.rotation()).expect("random bytes");
    assert!(first.is_some());
    let listeners = Listeners::new();
    let mut supervisor = Supervisor {
        plan,
        name: &name.0,
        cache: &cache,
        board: &board,
        identity: &identity,
        listeners: &listeners,
        report: Report::new(),
        workers: Vec::new(),
        others: Vec::new(),
        patients: vec![Patient::new("supervisor", getpid())],
        stopped: None,
        damage: Damage::default(),
        rng: Rng::new(plan.seed),
        start,
        slices: 0,
        last_visits: 0,
        next_sample: Clock::in_ms(1000),
        next_news: Clock::in_ms(plan.between_news().as_millis() as u64),
    };
    let clients = supervisor.people();
    supervisor.spend(Weather::WarmUp);
    let mut pairs = 0;
    while !plan.is_over(pairs, start.elapsed()) {
        supervisor.spend(Weather::Calm);
        supervisor.spend(Weather::Storm);
        pairs += 1;
    }
    supervisor.await_all();
    board.end();
    join_all(clients);
    let Supervisor { workers, others, patients, damage, .. } = supervisor;
    let alive: Vec<u32> = workers.iter().map(|worker| worker.pid().as_raw() as u32).collect();
    let after = Aftermath { plan, cache: &cache, board: &board, patients, damage, start };
    after.assert_all_are_listed(&alive);
    workers.into_iter().chain(others).for_each(Child::kill);
    after.look_around(&name.0);
}

impl Supervisor<'_> {
    /// Forks all who are there from the beginning; returns the clients.
    fn people(&mut self) -> Vec<Child> {
        let (name, board) = (self.name, self.board);
        self.workers = (0..WORKERS).map(|place| self.enlist(place)).collect();
        let attacher = fork_reporting(&self.report, || tools::attach_for_ever(name, board));
        let inspector = fork_reporting(&self.report, || tools::inspect_for_ever(name, board));
        let elders = ["first elder", "second elder"].into_iter().zip(&self.workers[..ELDERS]);
        let patients = elders.chain([("attacher", &attacher), ("inspector", &inspector)]);
        self.patients.extend(patients.map(|(name, child)| Patient::new(name, child.pid())));
        self.others = vec![attacher, inspector];
        let supervisor = std::process::id();
        let client = |number| {
            let seed = self.rng.next();
            fork_reporting(&self.report, || Client::new(board, supervisor, number, seed).run())
        };
        (0..CLIENTS).map(client).collect()
    }

    fn enlist(&self, place: usize) -> Child {
        let served = &self.board.served[place];
        served.store(0, SeqCst);
        fork_reporting(&self.report, || {
            work(self.cache, self.identity, self.plan.rotation(), self.listeners, served);
        })
    }

    /// Spends one slice.
    fn spend(&mut self, weather: Weather) {
        self.slices += 1;
        self.board.begin(self.slices, weather);
        let end = self.board.all_visits() + SLICE;
        if weather == Weather::Storm {
            self.storm(end);
        }
        while self.board.all_visits() < end {
            self.look(weather);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Until there have been so many visits.
    fn storm(&mut self, end: u64) {
        let (name, board, plan) = (self.name, self.board, self.plan);
        let report = self.report.clone();
        let new_sweeper = || fork_reporting(&report, || tools::sweep_for_ever(name, board));
        let mut sweeper = new_sweeper();
        let mut kill = self.rng.clock(plan.between_kills());
        let mut kill_tool = self.rng.clock(plan.between_kills());
        let mut stop = self.rng.clock(plan.between_stops());
        let mut visit = self.rng.clock(plan.between_visits());
        while self.board.all_visits() < end {
            if kill.has_struck() {
                self.kill();
                kill = self.rng.clock(plan.between_kills());
            }
            if kill_tool.has_struck() {
                sweeper.kill();
                sweeper = new_sweeper();
                self.damage.kills_of_tools += 1;
                kill_tool = self.rng.clock(plan.between_kills());
            }
            if stop.has_struck() && self.stopped.is_none() {
                self.stop();
                stop = self.rng.clock(plan.between_stops());
            }
            if visit.has_struck() {
                tools::execute(name);
                self.damage.executed += 1;
                visit = self.rng.clock(plan.between_visits());
            }
            if self.stopped.as_ref().is_some_and(|(_, until)| until.has_struck()) {
                self.let_go_on();
            }
            sweeper.assert_running();
            self.look(Weather::Storm);
            thread::sleep(Duration::from_millis(2));
        }
        self.let_go_on();
        sweeper.kill();
        self.damage.kills_of_tools += 1;
    }

    /// A worker dies, at whatever it is doing, and another takes its place.
    fn kill(&mut self) {
        let place = self.rng.within(ELDERS as u64, WORKERS as u64) as usize;
        if self.stopped.as_ref().is_some_and(|(stopped, _)| *stopped == place) {
            self.stopped = None;
        }
        self.board.doomed.fetch_add(1, SeqCst);
        self.workers[place].signal(Signal::SIGKILL);
        assert!(self.workers[place].wait_killed(), "a worker: {}", self.report.text());
        self.board.dead.fetch_add(1, SeqCst);
        self.workers[place] = self.enlist(place);
        self.damage.kills += 1;
    }

    fn stop(&mut self) {
        let place = self.rng.below(WORKERS as u64) as usize;
        self.workers[place].stop();
        self.stopped = Some((place, self.rng.clock(self.plan.stop())));
        self.damage.stops += 1;
    }

    fn let_go_on(&mut self) {
        if let Some((place, _)) = self.stopped.take() {
            self.workers[place].resume();
        }
    }

    /// Waits until the youngest has served somebody, too.
    fn await_all(&mut self) {
        let start = Instant::now();
        while self.board.served.iter().any(|served| served.load(SeqCst) == 0) {
            assert!(start.elapsed() < PATIENCE, "a worker does nothing: {:?}", self.board.served);
            self.look(Weather::Calm);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Is everybody there, and as large as before?
    fn look(&mut self, weather: Weather) {
        self.workers.iter_mut().chain(&mut self.others).for_each(Child::assert_running);
        assert_eq!(self.report.text(), "", "somebody has panicked");
        if self.next_sample.has_struck() {
            self.patients.iter_mut().for_each(Patient::look);
            assert!(self.cache.len() <= capacity());
            self.next_sample = Clock(Instant::now() + self.plan.between_samples());
        }
        if self.next_news.has_struck() {
            self.tell(weather);
            self.next_news = Clock(Instant::now() + self.plan.between_news());
        }
    }

    fn tell(&mut self, weather: Weather) {
        let visits = self.board.all_visits();
        assert!(visits > self.last_visits, "no client gets through any more");
        let (since, damage) = (visits - self.last_visits, &self.damage);
        self.last_visits = visits;
        notice(&format!(
            "soak: {:4.0} s, {weather:?}: {since} handshakes, {} sessions, epoch {}, \
             {} kills, {} stops",
            self.start.elapsed().as_secs_f64(),
            self.cache.len(),
            self.cache.keys().epoch(),
            damage.kills + damage.kills_of_tools,
            damage.stops,
        ));
    }
}

impl Rng {
    fn clock(&mut self, millis: std::ops::Range<u64>) -> Clock {
        Clock::in_ms(self.within(millis.start, millis.end))
    }
}

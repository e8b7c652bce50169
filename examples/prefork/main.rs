//! Workers that share their TLS sessions, seen from the outside.
//!
//! Forks workers with a TLS context each, connects as clients that reach them at random, kills
//! some of them, replays a captured 0-RTT flight, and ends with OK and status 0 only if every
//! claim held. It takes well under a minute and needs nothing but loopback.

#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../common/rate.rs"]
mod rate;
#[path = "../common/child.rs"]
mod child;
mod client;
mod context;
mod crash;
mod fleet;
#[path = "../common/identity.rs"]
mod identity;
mod progress;
mod random;
mod rates;
mod replay;
mod sharing;
mod tickets;

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use openssl::ssl::SslVersion;
use shmtls::Cache;

use crate::client::Client;
use crate::fleet::Fleet;
use crate::identity::Identity;
use crate::progress::Progress;
use crate::rates::PAIRS;
use crate::replay::COPIES;
use crate::sharing::{Kind, Sharing};

const FLEETS: [u32; 3] = [2, 4, 8];
/// Pairs of visits between two rotations of the ticket keys.
const ROTATE_AFTER: u32 = 50;
const REPLAY_ROUNDS: u32 = 8;
const SHARED_PERCENT_MIN: f64 = 99.0;

fn main() -> ExitCode {
    let started = Instant::now();
    let broken = Demo::new().map_or_else(|why| vec![why], Demo::run);
    for claim in &broken {
        eprintln!("FAILED: {claim}");
    }
    if broken.is_empty() {
        println!("\nOK in {:.1} s", started.elapsed().as_secs_f32());
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Demo {
    identity: Identity,
    /// In a memfd that every worker inherits.
    cache: Cache,
    progress: Progress,
    /// The claims that did not hold.
    broken: Vec<String>,
}

impl Demo {
    fn new() -> Result<Demo, String> {
        Ok(Demo {
            identity: Identity::self_made()
                .map_err(|e| format!("cannot make a certificate: {e}"))?,
            cache: shmtls::Options::new()
                .create_memfd()
                .map_err(|e| format!("no segment: {e}\nhint: {}", e.hint()))?,
            progress: Progress::new(),
            broken: Vec::new(),
        })
    }

    /// Says which claims did not hold.
    fn run(mut self) -> Vec<String> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let library = openssl::version::version().split(' ').take(2).collect::<Vec<_>>().join(" ");
        print!("N workers with a TLS context each, {PAIRS} reconnects to a random one");
        println!(" · {library} · {cores} cores");

        let parts = [Demo::resumption, Demo::straggler, Demo::recovery, Demo::early_data];
        if let Err(why) = parts.iter().try_for_each(|part| part(&mut self)) {
            self.broken.push(why);
        }
        self.broken
    }

    fn resumption(&mut self) -> Result<(), String> {
        let heads = FLEETS.map(|n| format!("{:18}", format!("N = {n}")));
        println!("\nresumed                 {}", heads.concat().trim_end());
        println!("  own cache per worker");
        self.row(Sharing::Own(Kind::Id))?;
        self.row(Sharing::Own(Kind::Stateful))?;
        self.row(Sharing::Own(Kind::Ticket(SslVersion::TLS1_2)))?;
        self.row(Sharing::Own(Kind::Ticket(SslVersion::TLS1_3)))?;
        println!("  shmtls");
        self.row(Sharing::Shmtls(Kind::Id))?;
        self.row(Sharing::Shmtls(Kind::Stateful))?;
        self.row(Sharing::Shmtls(Kind::Ticket(SslVersion::TLS1_2)))?;
        self.row(Sharing::Shmtls(Kind::Ticket(SslVersion::TLS1_3)))?;
        let saved = self.cache.stats().foreign_hits;
        let epoch = self.cache.keys().epoch();
        println!("  rotations of the ticket keys meanwhile: {}", epoch.saturating_sub(1));
        println!("  full handshakes saved, because another worker had stored the session: {saved}");
        Ok(())
    }

    fn row(&mut self, sharing: Sharing) -> Result<(), String> {
        let (kind, version) = (sharing.kind(), sharing.kind().version());
        let client = Client::of(&self.identity, version)?;
        let mut line = format!("    {:20}", kind.name());
        if sharing.rotates() {
            tickets::publish_first(&self.cache)?;
        }
        for workers in FLEETS {
            let fleet = Fleet::fork(workers, || sharing.context(&self.identity, &self.cache))?;
            let who = format!("{}, {}, N = {workers}", kind.name(), sharing.name());
            let (progress, cache) = (&mut self.progress, &self.cache);
            let mut rotated = Ok(());
            let rate = rates::measure(&fleet, &client, |done| {
                progress.say(|| format!("{who}: {done} of {PAIRS}"));
                if sharing.rotates() && done % ROTATE_AFTER == 0 {
                    rotated = rotated.clone().and_then(|()| tickets::rotate(cache));
                }
            });
            rotated?;
            line += &format!("{}  ", rate.cell());

            let percent = rate.percent();
            let as_claimed = match sharing {
                _ if rate.failure.is_some() => false,
                Sharing::Shmtls(_) => percent >= SHARED_PERCENT_MIN,
                Sharing::Own(_) => rate.is_about_one_in(workers),
            };
            let why = rate.failure.unwrap_or(format!("{percent:.1} % is not as it should be"));
            self.claim(as_claimed, || format!("{who}: {why}"));
        }
        self.progress.print(line.trim_end());
        Ok(())
    }

    /// A worker that sleeps through rotations must not turn clients away when it wakes up.
    fn straggler(&mut self) -> Result<(), String> {
        let sharing = Sharing::Shmtls(Kind::Ticket(SslVersion::TLS1_3));
        let fleet = Fleet::fork(2, || sharing.context(&self.identity, &self.cache))?;
        let client = Client::of(&self.identity, SslVersion::TLS1_3)?;
        let end = tickets::stop_through_rotations(&self.cache, &fleet, &client)?;
        println!("  a worker stopped through {} rotations of the ticket keys:", end.rotations);
        println!("    before it {}, after it {}", resumed(end.old), resumed(end.new));
        self.claim(end.old && end.new, || "a straggler turned a client away".into());
        Ok(())
    }

    fn recovery(&mut self) -> Result<(), String> {
        let progress = &mut self.progress;
        let end = crash::kill_workers(&self.cache, |so_far| {
            progress.say(|| format!("workers killed while they store: {}", so_far.kills));
        })?;
        let crash::Outcome { kills, first, recoveries, whole, bystanders, lost, wrong, .. } = end;
        let gone = kills - whole - wrong - end.stuck;
        self.progress.print("\nworkers killed with SIGKILL while they store a session");
        println!(
            "  {kills} killed, {recoveries} of them in a bucket lock (the first was no. {first})"
        );
        println!("  the next lookup recovered it, in {} µs at most", end.slowest.as_micros());
        println!(
            "  the session under way: whole after {whole} kills, lost after {gone}; wrong: {wrong}"
        );
        println!("  other sessions lost or wrong: {lost} of {bystanders}");

        self.claim(bystanders > 0, || "no session was there to be lost".into());
        self.claim(end.recoveries > 0, || "no worker died in a bucket lock".into());
        self.claim(end.stuck == 0, || format!("{} lookups waited for the dead", end.stuck));
        self.claim(end.wrong == 0, || format!("{} sessions have wrong bytes", end.wrong));
        self.claim(end.lost == 0, || format!("{} bystanders are lost or wrong", end.lost));
        Ok(())
    }

    fn early_data(&mut self) -> Result<(), String> {
        let client = Client::of(&self.identity, SslVersion::TLS1_3)?;
        let workers = FLEETS[FLEETS.len() - 1];
        let shmtls = Fleet::fork(workers, || context::shared_early(&self.identity, &self.cache))?;
        // Made before the fork, so that the workers share its ticket key.
        let context = context::replayable(&self.identity)?;
        let tickets = Fleet::fork(workers, || Ok(context.clone()))?;

        let elsewhere = replay::is_accepted_elsewhere(&shmtls, &client)?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for round in 1..=REPLAY_ROUNDS {
            with.push(replay::send_copies(&shmtls, &client)?);
            without.push(replay::send_copies(&tickets, &client)?);
            self.progress.say(|| format!("{round} of {REPLAY_ROUNDS} flights replayed"));
        }
        let title = "one captured 0-RTT flight, sent to all workers at once";
        self.progress.print(&format!("\n{title}, {COPIES} copies to {workers}"));
        let honest = if elsewhere { "accepted" } else { "refused" };
        println!("  honest early data, another worker:      {honest}");
        println!("  copies accepted by shmtls:              {}", flights(&with));
        println!("    by tickets under a key all share:     {}", flights(&without));

        self.claim(elsewhere, || "another worker refuses an honest client's early data".into());
        self.claim(with.iter().all(|&n| n == 1), || format!("copies accepted: {with:?}"));
        // Otherwise the first claim would prove nothing.
        self.claim(without.iter().all(|&n| n > 1), || format!("no true replays: {without:?}"));
        Ok(())
    }

    fn claim(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }
}

fn resumed(resumed: bool) -> &'static str {
    if resumed { "a ticket made resumes" } else { "a ticket made does NOT resume" }
}

/// How many copies of each flight were accepted.
fn flights(accepted: &[usize]) -> String {
    accepted.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

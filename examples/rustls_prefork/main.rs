//! rustls workers that share their TLS sessions, or the keys of their tickets.
//!
//! Without arguments: forks workers with a `ServerConfig` each, connects as clients that reach them
//! at random, with OpenSSL's client too where it is installed, changes the ticket keys in mid-run,
//! and ends with OK and status 0 only if every claim held. With `--listen` it is a server for
//! clients that nobody here wrote; `--help` tells the rest.

#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../common/child.rs"]
mod child;
mod client;
mod connection;
mod fleet;
mod identity;
mod listen;
#[path = "../prefork/progress.rs"]
mod progress;
#[path = "../prefork/random.rs"]
#[allow(dead_code, reason = "that example needs more of it")]
mod random;
#[path = "../common/rate.rs"]
mod rate;
mod rates;
mod tls;

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use shmtls::rustls::Tickets;
use shmtls::{Cache, TicketKey};

use crate::client::{Client, SClient};
use crate::fleet::Fleet;
use crate::identity::Identity;
use crate::progress::Progress;
use crate::random::Random;
use crate::rates::PAIRS;
use crate::tls::Sharing;

const FLEETS: [u32; 3] = [2, 4, 8];
const SHARED_PERCENT_MIN: f64 = 99.0;
/// In so many pairs one has the keys changed between its two visits.
const ROTATION_EVERY: u32 = 5;
const KEYS_KEPT: usize = 4;
const S_CLIENT_VISITS: u32 = 12;
const VERSIONS: [(&str, &SupportedProtocolVersion); 2] = [("TLS 1.2", &TLS12), ("TLS 1.3", &TLS13)];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if !args.is_empty() {
        return listen::main(&args);
    }
    let started = Instant::now();
    let broken = Demo::new().and_then(Demo::run).unwrap_or_else(|why| vec![why]);
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
    keys: Keys,
    progress: Progress,
    /// The claims that did not hold.
    broken: Vec<String>,
}

impl Demo {
    fn new() -> Result<Demo, String> {
        let cache = shmtls::Options::new()
            .create_memfd()
            .map_err(|e| format!("no segment: {e}\nhint: {}", e.hint()))?;
        let mut keys = Keys::default();
        keys.rotate(&cache)?;
        Ok(Demo {
            identity: Identity::self_made()
                .map_err(|e| format!("cannot make a certificate: {e}"))?,
            cache,
            keys,
            progress: Progress::new(),
            broken: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Vec<String>, String> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        println!(
            "N rustls workers with a ServerConfig each, {PAIRS} reconnects to a random one · \
             {cores} cores"
        );
        let heads = FLEETS.map(|n| format!("{:18}", format!("N = {n}")));
        println!("\nresumed                 {}", heads.concat().trim_end());
        self.group("own session store per worker", Sharing::OwnStore, false)?;
        self.group("own ticket keys per worker", Sharing::OwnKeys, false)?;
        self.group("shmtls, sessions in the segment", Sharing::Shmtls(Tickets::Stateful), false)?;
        let saved = self.cache.stats().foreign_hits;
        self.group("shmtls, one ring of keys", Sharing::Shmtls(Tickets::SharedKeys), false)?;
        let before = self.cache.keys().epoch();
        self.group("the same, changed in mid-run", Sharing::Shmtls(Tickets::SharedKeys), true)?;
        let rotations = self.cache.keys().epoch() - before;
        println!("  full handshakes saved, because another worker had stored the session: {saved}");
        println!("  new rings between two visits of a client: {rotations}");
        self.other_client()?;
        Ok(self.broken)
    }

    /// Two rows of the table.
    fn group(&mut self, title: &str, sharing: Sharing, rotates: bool) -> Result<(), String> {
        println!("  {title}");
        for (name, version) in VERSIONS {
            let client = Client::of(&self.identity, version)?;
            let mut line = format!("    {name:20}");
            for workers in FLEETS {
                let fleet = Fleet::fork(workers, || {
                    tls::server(&self.identity, version, sharing, &self.cache)
                })?;
                let who = format!("{title}, {name}, N = {workers}");
                let (progress, keys, cache) = (&mut self.progress, &mut self.keys, &self.cache);
                let rate = rates::measure(&fleet, &client, |pair| {
                    progress.say(|| format!("{who}: {pair} of {PAIRS}"));
                    let rotates_now = rotates && pair % ROTATION_EVERY == 0;
                    if rotates_now { keys.rotate(cache) } else { Ok(()) }
                });
                line += &format!("{}  ", rate.cell());

                let percent = rate.percent();
                let as_claimed = match sharing {
                    _ if rate.failure.is_some() => false,
                    Sharing::Shmtls(_) => percent >= SHARED_PERCENT_MIN,
                    Sharing::OwnStore | Sharing::OwnKeys => rate.is_about_one_in(workers),
                };
                let why = rate.failure.unwrap_or(format!("{percent:.1} % is not as it should be"));
                self.claim(as_claimed, || format!("{who}: {why}"));
            }
            self.progress.print(line.trim_end());
        }
        Ok(())
    }

    /// A client with no code in common with the server.
    fn other_client(&mut self) -> Result<(), String> {
        let Some(version) = SClient::version() else {
            println!("\nopenssl is not installed: not asked for its opinion");
            return Ok(());
        };
        println!("\n{version}, `openssl s_client` at one of 8 workers, reconnects that resumed");
        let modes = [
            ("sessions in the segment", Tickets::Stateful),
            ("one ring of keys", Tickets::SharedKeys),
        ];
        let mut random = Random::seeded(2);
        for (title, tickets) in modes {
            for (name, version) in VERSIONS {
                let sharing = Sharing::Shmtls(tickets);
                let make = || tls::server(&self.identity, version, sharing, &self.cache);
                let fleet = Fleet::fork(8, make)?;
                let mut client = SClient::new(version)?;
                client.visit(*random.pick(&fleet.ports))?;
                let mut resumed = 0;
                for _ in 0..S_CLIENT_VISITS {
                    resumed += u32::from(client.visit(*random.pick(&fleet.ports))?);
                }
                println!("  {title:26} {name}   {resumed} of {S_CLIENT_VISITS}");
                let all = resumed == S_CLIENT_VISITS;
                self.claim(all, || format!("s_client, {title}, {name}: {resumed} resumed"));
            }
        }
        Ok(())
    }

    fn claim(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }
}

/// What an operator's program might do: the newest key first, and the last few to open tickets.
#[derive(Default)]
struct Keys(Vec<TicketKey>);

impl Keys {
    fn rotate(&mut self, cache: &Cache) -> Result<(), String> {
        let failed = |e| format!("cannot rotate the ticket keys: {e}");
        self.0.insert(0, TicketKey::random().map_err(failed)?);
        self.0.truncate(KEYS_KEPT);
        cache.keys().publish(self.0.clone()).map_err(failed)?;
        Ok(())
    }
}

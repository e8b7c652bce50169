//! The library's cache among the contestants, and what a full one holds.

use std::time::Duration;

use shmtls::battery::set_clock;
use shmtls::{Cache as Segment, Context, Expiry, Options, SessionId};

use crate::clients::{ALIVE, Cache, LIFETIME, Rng, session_len};

pub(crate) struct Shm {
    cache: Segment,
    context: Context,
    session: Vec<u8>,
    lifetime: Duration,
}

/// The day begins then: any time will do.
const MORNING_MILLIS: u64 = 1_800_000_000_000;

impl Shm {
    /// All of the bytes: header, tables and buckets.
    pub(crate) fn new(bytes: u64, lifetime: f64, max_session: usize) -> Self {
        set_clock(MORNING_MILLIS);
        let lifetime = Duration::from_secs_f64(lifetime);
        let options = Options::new().size(bytes).lifetime(lifetime).populate(false);
        let options = options.max_session(max_session as u32);
        let cache = options.create_memfd().expect("a segment");
        Self { cache, context: Context::named("traces"), session: vec![7; max_session], lifetime }
    }

    /// The library's own limit.
    pub(crate) fn of(bytes: u64) -> Self {
        Self::new(bytes, LIFETIME, 10_240)
    }
}

fn id_of(number: u64) -> SessionId {
    let mut rng = Rng(number);
    let mut bytes = [0; 32];
    bytes.as_chunks_mut().0.iter_mut().for_each(|word| *word = rng.next().to_le_bytes());
    SessionId::new(&bytes).expect("32 bytes")
}

impl Cache for Shm {
    fn set_time(&mut self, seconds: f64) {
        set_clock(MORNING_MILLIS + (seconds * 1000.0) as u64);
    }

    fn store(&mut self, id: u64, len: usize) {
        let expiry = Expiry::after(self.lifetime);
        let stored = self.cache.insert(&self.context, &id_of(id), &self.session[..len], expiry);
        assert!(stored.is_stored(), "{stored:?}");
    }

    fn find(&mut self, id: u64, take: bool) -> bool {
        let found = match take {
            true => self.cache.take(&self.context, &id_of(id)),
            false => self.cache.get_session(&self.context, &id_of(id)),
        };
        found.is_ok()
    }
}

/// Bytes of the sessions that are alive at a time, and of their IDs.
pub(crate) fn bytes_alive(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    (0..ALIVE).map(|_| session_len(&mut rng) as u64 + 32).sum()
}

/// A segment for as many sessions, filled four times over.
pub(crate) fn print_density(seed: u64) {
    let mixes: [(&str, fn(&mut Rng) -> usize); 2] = [
        ("with client certificates", session_len),
        ("without", |rng| 140 + (rng.next() % 121) as usize),
    ];
    for (name, len_of) in mixes {
        let bytes = u64::from(ALIVE) * 640;
        let mut shm = Shm::of(bytes);
        let (mut rng, mut written, mut number) = (Rng(seed), 0, 0);
        while written < 4 * bytes {
            let len = len_of(&mut rng);
            shm.store(number, len);
            (written, number) = (written + len as u64 + 32, number + 1);
        }
        let (mut held, mut sessions) = (0, 0_u64);
        shm.cache.for_each(|entry, session| {
            held += session.len() + entry.id().as_bytes().len();
            sessions += 1;
        });
        let segment = shm.cache.segment_bytes();
        println!(
            "full, {name}: {sessions} sessions, {:.4} of the bytes are sessions and IDs",
            held as f64 / segment as f64
        );
        print_newest(&shm, &mut Rng(seed), len_of, (number, sessions));
    }
}

/// Which of the newest eighth are there, by class of size: nobody may be dropped for being large.
fn print_newest(
    shm: &Shm,
    rng: &mut Rng,
    len_of: fn(&mut Rng) -> usize,
    (stored, held): (u64, u64),
) {
    let (mut there, mut all) = ([0_u64; 3], [0_u64; 3]);
    for number in 0..stored {
        let len = len_of(rng);
        if number < stored - held / 8 {
            continue;
        }
        let class = usize::from(len > 260) + usize::from(len > 900);
        all[class] += 1;
        there[class] += u64::from(shm.cache.size_of(&shm.context, &id_of(number)).is_ok());
    }
    let share = |class: usize| match all[class] {
        0 => "-".into(),
        all => format!("{:.4}", there[class] as f64 / all as f64),
    };
    let (small, medium, large) = (share(0), share(1), share(2));
    println!("  of the newest eighth: small {small}, medium {medium}, large {large}");
}

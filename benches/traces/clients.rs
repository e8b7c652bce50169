//! Clients of a made-up day. What a client does depends on the seed and its number alone, so every
//! cache sees the same clients.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Sessions whose lifetime is not over, at any time.
pub(crate) const ALIVE: u32 = 100_000;
/// Of a session, in seconds.
pub(crate) const LIFETIME: f64 = 300.0;
/// Until the cache is as it will be, and until the end.
const WARM: f64 = 3.0 * LIFETIME;
const END: f64 = 6.0 * LIFETIME;

/// Who comes, and what a resumption does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everybody comes back twice on average, a minute apart.
    Plain,
    /// The same, and a resumption takes the session and brings a new one (TLS 1.3).
    SingleUse,
    /// Three of five never come back, the others five times.
    Mixed,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Plain, Kind::SingleUse, Kind::Mixed];

/// What a cache must do to take part.
pub(crate) trait Cache {
    fn set_time(&mut self, seconds: f64);
    fn store(&mut self, id: u64, len: usize);
    /// Whether it is there; `take` removes it.
    fn find(&mut self, id: u64, take: bool) -> bool;
}

/// What came of it: attempts to resume and hits, by class of size.
#[derive(Default)]
pub(crate) struct Day {
    attempts: [u64; 3],
    hits: [u64; 3],
}

impl Day {
    pub(crate) fn count(&mut self, len: usize, hit: bool) {
        self.attempts[class_of(len)] += 1;
        self.hits[class_of(len)] += u64::from(hit);
    }

    pub(crate) fn rate(&self) -> f64 {
        self.hits.iter().sum::<u64>() as f64 / self.attempts.iter().sum::<u64>() as f64
    }

    pub(crate) fn rate_of(&self, class: usize) -> f64 {
        self.hits[class] as f64 / self.attempts[class] as f64
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::SingleUse => "single-use",
            Kind::Mixed => "mixed",
        }
    }

    /// The share that comes back, how often on average, and seconds between.
    fn habits(self) -> (f64, f64, f64) {
        match self {
            Kind::Plain | Kind::SingleUse => (1.0, 2.0, 60.0),
            Kind::Mixed => (0.4, 5.0, 45.0),
        }
    }
}

/// Random numbers that a seed repeats (splitmix64).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Above 0, below 1.
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn waiting_time(&mut self, mean: f64) -> f64 {
        -self.fraction().ln() * mean
    }
}

/// Without client certificates, with an EC one, with an RSA one.
pub(crate) fn session_len(rng: &mut Rng) -> usize {
    let (low, high) = match rng.next() % 10 {
        0..6 => (170, 260),
        6..9 => (300, 900),
        _ => (1536, 4096),
    };
    (low + rng.next() % (high - low + 1)) as usize
}

fn class_of(len: usize) -> usize {
    usize::from(len > 260) + usize::from(len > 900)
}

struct Client {
    rng: Rng,
    id: u64,
    len: usize,
    issued: f64,
    visits_left: u32,
}

/// Lets everybody come, and counts.
pub(crate) fn day(kind: Kind, seed: u64, cache: &mut impl Cache) -> Day {
    let (share, visits, gap) = kind.habits();
    let (mut arrivals, mut ids) = (Rng(seed), Rng(!seed));
    // So that the sessions of those who came within a lifetime are as many as said.
    let between_arrivals = LIFETIME / f64::from(ALIVE);
    let mut next_arrival = arrivals.waiting_time(between_arrivals);
    let mut coming = BinaryHeap::new();
    let mut clients: Vec<Client> = Vec::new();
    let mut day = Day::default();
    loop {
        let returning = coming.peek().map_or(f64::MAX, |Reverse((at, _))| f64::from_bits(*at));
        let now = returning.min(next_arrival);
        if now > END {
            return day;
        }
        cache.set_time(now);
        let index = if next_arrival <= returning {
            next_arrival += arrivals.waiting_time(between_arrivals);
            let mut rng = Rng(seed.wrapping_mul(31) ^ (clients.len() as u64) << 20);
            let len = session_len(&mut rng);
            let returns = rng.fraction() < share;
            let visits_left = if returns { geometric(&mut rng, visits) } else { 0 };
            clients.push(Client { rng, id: ids.next(), len, issued: now, visits_left });
            cache.store(clients[clients.len() - 1].id, len);
            clients.len() - 1
        } else {
            let Some(Reverse((_, index))) = coming.pop() else { unreachable!("peeked") };
            let client: &mut Client = &mut clients[index];
            let takes = kind == Kind::SingleUse;
            let hit = cache.find(client.id, takes);
            if now > WARM {
                day.count(client.len, hit);
            }
            if takes || !hit {
                (client.id, client.issued) = (ids.next(), now);
                cache.store(client.id, client.len);
            }
            index
        };
        let client = &mut clients[index];
        let at = now + client.rng.waiting_time(gap);
        // A client forgets a session that is over, and this one has no other.
        if client.visits_left > 0 && at - client.issued < LIFETIME {
            client.visits_left -= 1;
            coming.push(Reverse((at.to_bits(), index)));
        }
    }
}

fn geometric(rng: &mut Rng, mean: f64) -> u32 {
    (0..).take_while(|_| rng.fraction() < mean / (1.0 + mean)).count() as u32
}

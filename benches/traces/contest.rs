//! The same day for each cache, and what came of it.

use crate::cache::{self, Shm};
use crate::clients::{self, Cache, Day, KINDS, LIFETIME, day};
use crate::oracle::{Oracle, Order};
use crate::recorded::Recorded;

/// Percent of the bytes that are alive.
const CAPACITIES: [u64; 4] = [10, 30, 50, 100];

/// All kinds of made-up days.
pub(crate) fn made_up(seed: u64) {
    let alive = cache::bytes_alive(seed);
    println!("{} sessions alive, {} KiB of them", clients::ALIVE, alive >> 10);
    let mut least = f64::MAX;
    print_head();
    for kind in KINDS {
        let days = CAPACITIES.map(|percent| {
            let bytes = alive * percent / 100;
            let oracle = |order| run(&mut Oracle::new(order, bytes, LIFETIME), kind, seed);
            [oracle(Order::Fifo), oracle(Order::Lru), run(&mut Shm::of(bytes), kind, seed)]
        });
        least = least.min(print_days(kind.name(), &days));
    }
    println!("the least ratio: {least:.3}");
    cache::print_density(seed);
}

fn run(cache: &mut impl Cache, kind: clients::Kind, seed: u64) -> Day {
    day(kind, seed, cache)
}

/// One day that happened.
pub(crate) fn recorded(day: &Recorded, lifetime: f64) {
    let alive = day.bytes_alive(lifetime);
    println!("{} KiB of sessions alive at most, for {lifetime} s", alive >> 10);
    println!("(of a segment's bytes the default tables of processes and events take some 200 KiB)");
    print_head();
    let largest = day.largest().max(256);
    let days = CAPACITIES.map(|percent| {
        // A segment has a bucket at least.
        let bytes = (alive * percent / 100).max(256 << 10);
        let oracle = |order| day.replay(&mut Oracle::new(order, bytes, lifetime));
        let ours = day.replay(&mut Shm::new(bytes, lifetime, largest));
        [oracle(Order::Fifo), oracle(Order::Lru), ours]
    });
    print_days("recorded", &days);
}

fn print_head() {
    println!("for 10, 30, 50 and 100 % of these bytes: FIFO, LRU, shmtls, shmtls / LRU");
}

/// FIFO, LRU and ours for each capacity; the least ratio of ours to LRU's.
fn print_days(name: &str, days: &[[Day; 3]; 4]) -> f64 {
    let mut least = f64::MAX;
    print!("{name:<14}");
    for [fifo, lru, ours] in days {
        let ratio = ours.rate() / lru.rate();
        least = least.min(ratio);
        print!("   {:.3} {:.3} {:.3} {ratio:.3}", fifo.rate(), lru.rate(), ours.rate());
    }
    print!("\n  small, medium, large:");
    for (percent, [_, lru, ours]) in CAPACITIES.iter().zip(days) {
        print!("  {percent} %: {} (LRU {})", by_class(ours), by_class(lru));
    }
    println!();
    least
}

fn by_class(day: &Day) -> String {
    let rate = |class| match day.rate_of(class) {
        rate if rate.is_nan() => "-".into(),
        rate => format!("{rate:.2}"),
    };
    [0, 1, 2].map(rate).join(" ")
}

//! How many of the sessions that come back are still there: the library's own cache on made-up days,
//! in made-up time, against a fully associative LRU that may fill all of the same bytes and has no
//! overhead. Also how much of a full segment is sessions, and which of them.
//!
//! `make traces`. All numbers are the same in each run with one seed (`SHMTLS_SEED`, 1), but for the
//! segment's own.

#[cfg(shmtls_battery)]
mod cache;
#[cfg(shmtls_battery)]
mod clients;
#[cfg(shmtls_battery)]
mod lru;

#[cfg(not(shmtls_battery))]
fn main() {
    println!("the library's clock cannot be set in this build: make traces");
}

#[cfg(shmtls_battery)]
fn main() {
    use cache::Shm;
    use clients::{Day, KINDS, day};
    use lru::Lru;

    let seed = std::env::var("SHMTLS_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let alive = cache::bytes_alive(seed);
    println!("{} sessions alive, {} KiB of them", clients::ALIVE, alive >> 10);
    println!("for 10, 30, 50 and 100 % of these bytes: LRU, shmtls, ratio");
    let mut least = f64::MAX;
    for kind in KINDS {
        print!("{:<14}", kind.name());
        let mut by_class = String::new();
        for percent in [10, 30, 50, 100] {
            let bytes = alive * percent / 100;
            let oracle: Day = day(kind, seed, &mut Lru::new(bytes));
            let ours: Day = day(kind, seed, &mut Shm::new(bytes));
            let ratio = ours.rate() / oracle.rate();
            least = least.min(ratio);
            print!("   {:.3} {:.3} {ratio:.3}", oracle.rate(), ours.rate());
            let classes = |day: &Day| (0..3).map(|c| format!("{:.2}", day.rate_of(c))).collect();
            let (a, b): (Vec<String>, Vec<String>) = (classes(&ours), classes(&oracle));
            by_class += &format!("  {percent} %: {} (LRU {})", a.join(" "), b.join(" "));
        }
        println!("\n  small, medium, large:{by_class}");
    }
    println!("the least ratio: {least:.3}");
    cache::print_density(seed);
}

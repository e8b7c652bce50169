//! How many of the sessions that come back are still there: the library's own cache on made-up
//! days, or on one that was recorded, in made-up time, against fully associative ones (LRU and
//! FIFO) that may fill all of the same bytes and have no overhead. Also how much of a full segment
//! is sessions, and which of them.
//!
//! `make traces`, or `make traces TRACE=day.tsv` (recorded.rs says how to record one;
//! `SHMTLS_LIFETIME` are its sessions' seconds, 3600). All numbers are the same in each run with
//! one seed (`SHMTLS_SEED`, 1), but for the segment's own.

#[cfg(shmtls_battery)]
mod cache;
#[cfg(shmtls_battery)]
mod clients;
#[cfg(shmtls_battery)]
mod contest;
#[cfg(shmtls_battery)]
mod oracle;
#[cfg(shmtls_battery)]
mod recorded;

#[cfg(not(shmtls_battery))]
fn main() {
    println!("the library's clock cannot be set in this build: make traces");
}

#[cfg(shmtls_battery)]
fn main() {
    let number = |name, default| match std::env::var(name) {
        Ok(value) => {
            value.parse().unwrap_or_else(|_| fail(&format!("{name}={value}: not a number")))
        }
        Err(_) => default,
    };
    match std::env::var("SHMTLS_TRACE") {
        Ok(path) if !path.is_empty() => {
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|e| fail(&format!("{path}: {e}")));
            let day = recorded::Recorded::parse(&text);
            let day = day.unwrap_or_else(|e| fail(&format!("{path}: {e}")));
            contest::recorded(&day, number("SHMTLS_LIFETIME", 3600) as f64);
        }
        _ => contest::made_up(number("SHMTLS_SEED", 1)),
    }
}

#[cfg(shmtls_battery)]
fn fail(why: &str) -> ! {
    eprintln!("traces: {why}");
    std::process::exit(2)
}

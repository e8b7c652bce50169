//! Sessions that went too soon, or never came in.

use std::time::Duration;

use super::super::advice::{self, Change};
use super::super::finding::{Finding, Severity};
use super::super::picture::Picture;
use super::sessions::stored;
use super::{HIT_RATE, SIZING, of_lookups, share};
use crate::output::units;

/// Of all lookups, those that a segment of twice the size would have answered. A twentieth is what
/// docs/monitoring.md wakes people for.
const TOO_SMALL_PROBLEM: f64 = 0.05;
const TOO_SMALL_ADVICE: f64 = 0.01;

/// Each bucket remembers which sessions had to go last.
pub(super) fn too_small(picture: &Picture) -> Option<Finding> {
    let stats = &picture.stats;
    let gain = stats.hits_at_twice_the_size;
    let weight = of_lookups(picture, gain)?;
    let severity = Severity::of_share(weight, TOO_SMALL_PROBLEM, TOO_SMALL_ADVICE);
    let seen = match severity {
        Severity::Fine => format!(
            "large enough: {} evicted before their expiry, {} of lookups missed one of them",
            units::plural(stats.evicted, "session", "sessions"),
            units::percent(stats.misses_evicted, stats.lookups()),
        ),
        _ => format!(
            "{} of lookups miss a session that had to go for others; {}",
            units::percent(stats.misses_evicted, stats.lookups()),
            gain_of_twice_the_size(picture),
        ),
    };
    let bytes = picture.chosen.bytes.saturating_mul(2);
    let finding = Finding::new("too-small", severity, seen)
        .figure("evicted", stats.evicted)
        .figure("misses_evicted", stats.misses_evicted)
        .figure("hits_at_twice_the_size", gain)
        .weight(weight)
        .means(means_of_evictions(picture));
    let change = Change { bytes: Some(bytes), ..Change::default() };
    Some(create_anew(picture, finding, &change, &format!("Options::size({bytes})")).see(SIZING))
}

fn gain_of_twice_the_size(picture: &Picture) -> String {
    let (gain, hits) = (picture.stats.hits_at_twice_the_size, picture.stats.hits);
    match hits {
        0 => format!("twice the size would find {} of them", units::count(gain)),
        _ => format!("twice the size would find {} more", units::percent(gain, hits)),
    }
}

fn means_of_evictions(picture: &Picture) -> String {
    let stats = &picture.stats;
    let lifetime = units::span(picture.chosen.lifetime);
    let age = stats.evicted_age_secs.checked_div(stats.evicted).map(Duration::from_secs);
    let age = age.map_or_else(String::new, |age| format!(", {} old on average", units::span(age)));
    format!(
        "The segment ({}) is too small for all clients that come back: {} of stores evict a live \
         session{age}. They could live for {lifetime}.",
        units::bytes(picture.chosen.bytes),
        units::percent(stats.evicted, stored(picture)),
    )
}

/// The size and all else is fixed when a segment is made.
fn create_anew(picture: &Picture, finding: Finding, change: &Change, option: &str) -> Finding {
    match advice::create(picture, change) {
        Some(command) => finding
            .run("Make a larger one under a new name, and restart the workers with it:", command),
        None => finding.step(format!("{option} in the server, and restart it.")),
    }
}

/// Some clients always come back too late. A tenth of all is more than some.
const EXPIRED_PROBLEM: f64 = 0.10;
const EXPIRED_ADVICE: f64 = 0.03;
/// RFC 8446, section 4.6.1.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn expired(picture: &Picture) -> Option<Finding> {
    let stats = &picture.stats;
    let weight = of_lookups(picture, stats.misses_expired)?;
    let severity = Severity::of_share(weight, EXPIRED_PROBLEM, EXPIRED_ADVICE);
    let percent = units::percent(stats.misses_expired, stats.lookups());
    let seen = match severity {
        Severity::Fine => format!("live long enough: {percent} of lookups came after the expiry"),
        _ => format!("{percent} of lookups come after the session's lifetime"),
    };
    let finding = Finding::new("expired", severity, seen)
        .figure("misses_expired", stats.misses_expired)
        .figure("lookups", stats.lookups())
        .figure("lifetime_secs", picture.chosen.lifetime.as_secs())
        .weight(weight);
    Some(lengthen(picture, finding).see(HIT_RATE))
}

/// A session ends when its server says so, and when the segment says so at the latest.
fn lengthen(picture: &Picture, finding: Finding) -> Finding {
    let allowed = picture.chosen.lifetime;
    let worth = "if a stolen session may be of use for as long";
    match picture.longest_lifetime {
        Some(given) if given + Duration::from_secs(1) < allowed => finding
            .means(format!(
                "Clients come back later than that. The server lets sessions live for {}, the \
                 segment would let them live for {}.",
                units::span(given),
                units::span(allowed),
            ))
            .step(format!("A longer Config::lifetime in the server, {worth}.")),
        _ if allowed >= LIFETIME_MAX => {
            finding.means("Clients come back after seven days, the longest that TLS 1.3 allows.")
        }
        _ => {
            let lifetime = (allowed * 2).min(LIFETIME_MAX);
            let change = Change { lifetime: Some(lifetime), ..Change::default() };
            let option = format!("Options::lifetime of {}", units::span(lifetime));
            let finding = finding
                .means(format!(
                    "Clients come back later than that; the segment lets no session live for more \
                     than {}.",
                    units::span(allowed),
                ))
                .step(format!("A longer Config::lifetime in the server as well, {worth}."));
            match advice::create(picture, &change) {
                Some(command) => finding.run(
                    "Make one that lets them live longer, and restart the workers with it:",
                    command,
                ),
                None => finding.step(format!("{option} in the server, and restart it.")),
            }
        }
    }
}

/// Of all sessions that were to be stored. One in a hundred is a kind of client, not a freak.
const TOO_LARGE_PROBLEM: f64 = 0.01;
/// No segment takes larger ones.
const SESSION_MAX: u64 = 48 << 10;

pub(super) fn too_large(picture: &Picture) -> Option<Finding> {
    let stats = &picture.stats;
    let (refused, limit) = (stats.refused_too_large, picture.chosen.max_session);
    let all = stored(picture).saturating_add(refused);
    let severity = match share(refused, all) {
        _ if all == 0 => return None,
        share => Severity::of_share(share, TOO_LARGE_PROBLEM, f64::MIN_POSITIVE),
    };
    let (count, percent) = (units::count(refused), units::percent(refused, all));
    let seen = match severity {
        Severity::Fine => format!("no session was larger than {}", units::bytes(limit)),
        _ => format!(
            "{count} sessions ({percent}) were too large to be stored: the largest has {}, the \
             limit is {}",
            units::bytes(stats.largest_refused),
            units::bytes(limit),
        ),
    };
    let finding = Finding::new("too-large", severity, seen)
        .figure("refused_too_large", refused)
        .figure("largest_refused", stats.largest_refused)
        .figure("max_session_bytes", limit)
        .weight(share(refused, all))
        .means("These clients never resume. Mostly long client certificates are in them.");
    Some(raise_limit(picture, finding).see(SIZING))
}

fn raise_limit(picture: &Picture, finding: Finding) -> Finding {
    let largest = picture.stats.largest_refused;
    if largest > SESSION_MAX {
        return finding.step(format!(
            "The largest would not fit into any segment ({}): shorter certificate chains of the \
             clients.",
            units::bytes(SESSION_MAX),
        ));
    }
    let limit = largest.next_multiple_of(1024);
    let change = Change { max_session: Some(limit), ..Change::default() };
    let option = format!("Options::max_session({limit})");
    match advice::create(picture, &change) {
        Some(command) => finding.run(
            "Make a segment that takes them, under a new name, and restart the workers with it:",
            command,
        ),
        None => finding.step(format!("{option} in the server, and restart it.")),
    }
}

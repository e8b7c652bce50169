//! Each rule over made-up pictures: sick ones, healthy ones, and those just under the threshold.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use shmtls::Stats;

use super::super::events::Recent;
use super::super::finding::{Finding, Severity};
use super::super::picture::{Access, Chosen, Keys, Lock, Member, Picture};
use super::super::swap::Swap;
use super::{Rule, apply};
use crate::system::ProcessState;
use Severity::{Advice, Fine, Problem, Unknown};

mod keys;
mod misses;
mod processes;
mod room;
mod sessions;

const DAY: Duration = Duration::from_secs(86_400);

/// Four workers that share well: 10,000 lookups, of which nine in ten hit.
fn healthy() -> Picture {
    let now = SystemTime::now();
    let mut stats = Stats::default();
    (stats.hits, stats.foreign_hits, stats.misses_absent) = (9_000, 6_750, 1_000);
    (stats.stored_new, stats.taken, stats.tickets_current_key) = (10_000, 500, 1_000);
    Picture {
        now,
        label: "web".into(),
        created: now - 3 * DAY,
        chosen: Chosen {
            by_command: true,
            bytes: 32 << 20,
            max_session: 10 << 10,
            lifetime: Duration::from_secs(3600),
            processes: 128,
            events: 32,
        },
        window: None,
        stats,
        members: (1..=4).map(|pid| worker(pid, now)).collect(),
        knows_pids: true,
        keys: Some(Keys {
            epoch: 7,
            published: now - Duration::from_secs(7200),
            source: "rotation",
            encrypts_since: Some(now - Duration::from_secs(7200)),
            knows_start: true,
        }),
        recent: Recent { odd_runs: 40, ..Recent::default() },
        locks: Vec::new(),
        longest_lifetime: Some(Duration::from_secs(3600)),
        access: Some(Access {
            path: "/dev/shm/shmtls.web".into(),
            mode: 0o600,
            group: "tls".into(),
        }),
        swap: Swap::None,
    }
}

fn worker(pid: u32, now: SystemTime) -> Member {
    Member {
        pid,
        command: "nginx".into(),
        state: ProcessState::Running,
        last_seen: Some(now),
        lookups: 2_500,
        key_epoch: 7,
    }
}

fn lock(state: ProcessState) -> Lock {
    Lock { place: "bucket 7".into(), pid: Some(2), state }
}

fn found(rule: Rule, edit: impl FnOnce(&mut Picture)) -> Option<Finding> {
    let mut picture = healthy();
    edit(&mut picture);
    rule(&picture)
}

/// What the rule says of a healthy picture that was changed.
fn severity(rule: Rule, edit: impl FnOnce(&mut Picture)) -> Option<Severity> {
    found(rule, edit).map(|finding| finding.severity)
}

/// All that is said, in one text.
fn said(rule: Rule, edit: impl FnOnce(&mut Picture)) -> String {
    let finding = found(rule, edit).expect("a finding");
    let steps = finding.steps.iter();
    let steps = steps.flat_map(|step| [step.text.as_str(), step.command.as_deref().unwrap_or("")]);
    let parts = [finding.seen.as_str(), finding.means.as_deref().unwrap_or("")];
    parts.into_iter().chain(steps).map(|part| format!("{part}\n")).collect()
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn of_a_healthy_segment_all_is_fine() {
    let findings = apply(&healthy());
    let others: Vec<_> = findings.iter().filter(|it| it.severity != Fine).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(findings.len() > 12, "{findings:#?}");
    // Of what is fine there is nothing to do.
    assert!(findings.iter().all(|it| it.steps.is_empty() && it.means.is_none()), "{findings:#?}");
}

/// By severity, and of the problems what spoils most lookups.
#[test]
fn the_worst_comes_first() {
    let mut picture = healthy();
    picture.stats.misses_expired = 3_000;
    picture.stats.misses_context = 2_000;
    picture.stats.refused_too_large = 1;
    picture.recent.removed_by_api = 1;
    picture.keys = None;
    picture.access.as_mut().expect("a file").mode = 0o644;
    let findings = apply(&picture);
    let order: Vec<_> =
        findings.iter().filter(|it| it.severity != Fine).map(|it| it.rule).collect();
    assert_eq!(order, ["expired", "other-context", "loose-mode", "too-large"]);
    let mut severities: Vec<_> = findings.iter().map(|it| it.severity).collect();
    severities.dedup();
    assert_eq!(severities, [Problem, Advice, Fine]);
}

/// Each has a name of its own, and says what to do.
#[test]
fn every_problem_has_a_remedy_and_a_page() {
    let mut picture = healthy();
    let stats = &mut picture.stats;
    (stats.misses_damaged, stats.misses_forged, stats.removed_at_once) = (10, 10, 5_000);
    (stats.misses_context, stats.misses_library, stats.misses_expired) = (3_000, 3_000, 3_000);
    (stats.hits_at_twice_the_size, stats.misses_evicted, stats.evicted) = (3_000, 3_000, 9_000);
    (stats.misses_busy, stats.refused_too_large, stats.largest_refused) = (900, 900, 12_000);
    (stats.tickets_unknown_key, stats.owner_died_kernel) = (900, 3);
    picture.locks = vec![lock(ProcessState::Stopped)];
    picture.keys.as_mut().expect("keys").encrypts_since = Some(picture.now - 2 * DAY);
    picture.keys.as_mut().expect("keys").epoch = 8;
    picture.access.as_mut().expect("a file").mode = 0o666;
    picture.recent.even_runs = 1_000;
    picture.swap = Swap::Possible;
    let findings = apply(&picture);
    let names: BTreeSet<_> = findings.iter().map(|it| it.rule).collect();
    assert_eq!(names.len(), findings.len(), "{names:?}");
    for finding in findings.iter().filter(|it| it.severity != Fine) {
        let is_whole = finding.means.is_some() && !finding.steps.is_empty();
        assert!(is_whole && finding.see.is_some(), "{finding:#?}");
    }
    let problems = findings.iter().filter(|it| it.severity == Problem).count();
    assert!(problems >= 12, "{findings:#?}");
}

/// In a segment anything may stand.
#[test]
fn whatever_is_counted_is_survived() {
    for value in [u64::MAX, u64::MAX / 2, 1 << 63] {
        let mut picture = healthy();
        let stats = &mut picture.stats;
        (stats.hits, stats.foreign_hits, stats.misses_absent) = (value, value, value);
        (stats.stored_new, stats.stored_replaced, stats.removed_at_once) = (value, value, value);
        (stats.evicted, stats.evicted_age_secs, stats.largest_refused) = (1, value, value);
        (stats.hits_at_twice_the_size, stats.refused_too_large) = (value, value);
        (stats.misses_busy, stats.refused_busy, stats.removes_busy) = (value, value, value);
        (stats.tickets_current_key, stats.tickets_unknown_key) = (value, value);
        (stats.misses_library, stats.misses_undecodable) = (value, value);
        picture.created = picture.now + DAY;
        assert!(!apply(&picture).is_empty());
    }
}

//! Who died, who stands still, who is not seen.

use super::super::advice::{self, Change};
use super::super::finding::{Finding, Severity};
use super::super::picture::{Lock, Picture};
use super::{DEAD_WORKERS, SIZING};
use crate::output::units;
use crate::system::ProcessState;

/// A lock whose owner does not go on: a running one has let go of it by now.
pub(super) fn stuck_locks(picture: &Picture) -> Option<Finding> {
    let in_state = |is: fn(ProcessState) -> bool| {
        let locks = picture.locks.iter().filter(move |lock| is(lock.state));
        locks.collect::<Vec<_>>()
    };
    let stopped = in_state(|state| state == ProcessState::Stopped);
    let dead = in_state(ProcessState::is_dead);
    let places = |locks: &[&Lock]| {
        let places: Vec<_> = locks.iter().take(4).map(|lock| lock.place.as_str()).collect();
        let more = if locks.len() > places.len() { ", ..." } else { "" };
        format!("{}{more}", places.join(", "))
    };
    let finding = match (stopped.first(), dead.first()) {
        (Some(first), _) => {
            let pid = first.pid.map_or_else(|| "PID".into(), |pid| pid.to_string());
            let seen = format!("a stopped process holds a lock: {} (pid {pid})", places(&stopped));
            Finding::new("stuck-locks", Severity::Problem, seen)
                .means(
                    "It was stopped in the midst of a change, by SIGSTOP, a debugger, or a frozen \
                     cgroup. Who needs that place waits until the deadline, and goes without.",
                )
                .run(
                    "Let it go on, or kill it: then the lock is freed.",
                    format!("kill -CONT {pid}"),
                )
        }
        (None, Some(_)) => {
            let seen = format!("a dead process holds a lock: {}", places(&dead));
            Finding::new("stuck-locks", Severity::Advice, seen)
                .means("Whoever needs it next takes it over, and repairs what was left half done.")
                .run("Or now:", format!("shmtls check {} --repair", picture.label))
        }
        (None, None) => {
            Finding::new("stuck-locks", Severity::Fine, "nobody stands still with a lock")
        }
    };
    let finding = finding
        .figure("held_by_stopped", stopped.len() as u64)
        .figure("held_by_dead", dead.len() as u64);
    Some(finding.see(DEAD_WORKERS))
}

/// They harm nobody, but should not die.
pub(super) fn died(picture: &Picture) -> Option<Finding> {
    const RULE: &str = "dead-processes";
    let dead: Vec<_> = picture.dead().collect();
    let (recoveries, lost) = (picture.stats.recoveries(), picture.stats.repair_lost);
    if !picture.knows_pids && recoveries == 0 {
        let seen =
            "which processes are alive cannot be told: their PIDs are of another PID namespace";
        return Some(Finding::new(RULE, Severity::Unknown, seen));
    }
    let is_fine = dead.is_empty() && recoveries == 0;
    let severity = if is_fine { Severity::Fine } else { Severity::Advice };
    let names: Vec<_> = dead.iter().take(4).map(|member| member.name()).collect();
    let more = if dead.len() > names.len() { ", ..." } else { "" };
    let seen = match (dead.len() as u64, recoveries) {
        (0, 0) => "no process has died in it".into(),
        (0, n) => format!("{n} died in a bucket", n = units::plural(n, "process", "processes")),
        (n, _) => format!(
            "{} died without taking leave: {}{more}; {} in a bucket",
            units::plural(n, "process", "processes"),
            names.join(", "),
            units::count(recoveries),
        ),
    };
    let finding = Finding::new(RULE, severity, seen)
        .figure("dead", dead.len() as u64)
        .figure("recoveries", recoveries)
        .figure("sessions_lost", lost)
        .means(format!(
            "The others carry on: buckets are repaired ({} lost), counters stay in the sums, and a \
             dead process's line is used again.",
            units::plural(lost, "session", "sessions"),
        ))
        .run("Find out why a worker dies.", "dmesg; coredumpctl")
        .run("Where, and when?", format!("shmtls locks {}", picture.label));
    Some(finding.see(DEAD_WORKERS))
}

/// No table has more.
const LINES_MAX: usize = 4096;

/// Who finds no line in the table works, but is not listed.
pub(super) fn table(picture: &Picture) -> Option<Finding> {
    let (live, lines) = (picture.live().count(), picture.chosen.processes);
    if live < lines {
        return None;
    }
    let seen = format!(
        "the process table is full: {} for {live} processes",
        units::plural(lines as u64, "line", "lines")
    );
    let more = lines.saturating_mul(2).min(LINES_MAX);
    let change = Change { processes: Some(more), ..Change::default() };
    let finding = Finding::new("table-full", Severity::Advice, seen)
        .figure("processes", live as u64)
        .figure("lines", lines as u64)
        .means("Any more of them work, but are neither listed nor counted here.");
    let finding = match advice::create(picture, &change) {
        Some(command) => finding.run("Make a segment with more lines:", command),
        None => finding.step(format!("Options::processes({}) in the server.", more)),
    };
    Some(finding.see(SIZING))
}

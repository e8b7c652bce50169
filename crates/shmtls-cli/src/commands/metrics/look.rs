//! One look at all segments that are exported.

use std::collections::BTreeSet;
use std::time::Instant;

use super::text::{Exposition, Page};
use super::{counters, state};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::segment::Segment;

/// Of the segments that are named, or of all. An error is a mistake in a name.
pub(super) fn exposition(names: &[String]) -> Result<String, Failure> {
    let mut exposition = Exposition::default();
    state::of_program(&mut exposition);
    for (label, found) in segments(names) {
        let mut page = Page::new(&mut exposition, &label);
        let told = found.and_then(|segment| match tell(&mut page, &segment) {
            Err(failure) if names.is_empty() && is_none(&segment, &failure) => Ok(()),
            told => told,
        });
        match told {
            Ok(()) => {}
            Err(mistake) if mistake.exit() == Exit::Usage => return Err(mistake),
            Err(failure) => {
                state::is_up(&mut page, false);
                note(&format!("'{label}' is not up: {}", failure.text()));
            }
        }
    }
    Ok(exposition.into())
}

/// What looked like a segment, but went away since it was found, or has a name that none can have.
fn is_none(segment: &Segment, failure: &Failure) -> bool {
    segment.is_gone() || failure.exit() == Exit::Usage
}

/// Each with its label, which no other has.
fn segments(names: &[String]) -> Vec<(String, Result<Segment, Failure>)> {
    if names.is_empty() {
        let all = Segment::all().into_iter();
        return all.map(|segment| (segment.label().to_owned(), Ok(segment))).collect();
    }
    let mut seen = BTreeSet::new();
    let distinct = names.iter().filter(|name| seen.insert(*name));
    distinct.map(|name| (name.clone(), Segment::parse(name))).collect()
}

/// All or nothing: it fails where the segment cannot be opened.
fn tell(page: &mut Page<'_>, segment: &Segment) -> Result<(), Failure> {
    let start = Instant::now();
    let inspector = segment.inspect_one_of_many()?;
    state::is_up(page, true);
    state::of_segment(page, segment, &inspector);
    counters::of_all_processes(page, &inspector.stats());
    state::look_took(page, start.elapsed());
    Ok(())
}

//! Looks for all who ask, one at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::child::{self, Said};
use super::remarks::Remarks;
use crate::exit::Exit;
use crate::failure::Failure;

/// The exposition.
pub(super) type Found = Result<Arc<str>, Failure>;

#[derive(Debug)]
pub(super) struct Scraper {
    names: Vec<String>,
    /// When the last look began, and what it found.
    last: Mutex<Option<(Instant, Found)>>,
    remarks: Remarks,
}

impl Scraper {
    /// Looks once, and fails if the names make no sense. What only is not there yet may come.
    pub(super) fn new(names: &[String]) -> Result<Self, Failure> {
        let scraper =
            Self { names: names.to_vec(), last: Mutex::default(), remarks: Remarks::default() };
        match scraper.scrape() {
            Err(mistake) if mistake.exit() == Exit::Usage => Err(mistake),
            _ => Ok(scraper),
        }
    }

    /// What is there now, by a look that began after the call. Of many who call at once the first
    /// has one, and all others share the next.
    pub(super) fn scrape(&self) -> Found {
        let called = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((began, found)) if *began >= called => found.clone(),
            _ => {
                let (began, found) = (Instant::now(), self.look());
                *last = Some((began, found.clone()));
                found
            }
        }
    }

    fn look(&self) -> Found {
        let said = child::look(&self.names).map_err(|error| failed(&error.to_string()))?;
        match said.code {
            Some(0) => {
                self.remarks.tell(said.stderr);
                Ok(said.stdout.into())
            }
            Some(code) if code == Exit::Usage as i32 => Err(mistake(&said)),
            _ => Err(failed(&last_words(&said))),
        }
    }
}

fn failed(why: &str) -> Failure {
    Failure::cannot_open(format!("cannot read the segments: {why}"))
        .tip("shmtls metrics, without more, shows what is the matter")
}

/// As the child has told it.
fn mistake(said: &Said) -> Failure {
    let words = last_words(said);
    match words.split_once("\n  tip: ") {
        Some((text, tip)) => Failure::usage(text).tip(tip),
        None => Failure::usage(words),
    }
}

fn last_words(said: &Said) -> String {
    match (said.stderr.split("error: ").last(), said.code) {
        (Some(words), Some(_)) if !words.trim().is_empty() => words.trim().into(),
        (_, Some(code)) => format!("exit code {code}"),
        (_, None) => "the process that did was killed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_child_are_taken_over() {
        let said = |code, stderr: &str| Said { code, stdout: String::new(), stderr: stderr.into() };
        let told = said(Some(2), "note: x\nerror: 'pid:x' names no process\n  tip: pid:PID\n");
        let failure = mistake(&told);
        assert_eq!((failure.text(), failure.exit()), ("'pid:x' names no process", Exit::Usage));
        assert_eq!(last_words(&said(Some(4), "")), "exit code 4");
        assert_eq!(last_words(&said(None, "note: x\n")), "the process that did was killed");
    }
}

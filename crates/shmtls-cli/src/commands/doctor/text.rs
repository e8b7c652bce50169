//! For people: the worst first, and what is fine in a line each.

use anstyle::Style;

use super::Diagnosis;
use super::finding::{Finding, Severity};
use crate::exit::Exit;
use crate::output::{Report, page::Page, style, units};

/// Text is broken before it gets wider than that; commands are not, so that they can be copied.
const WIDTH: usize = 100;
const INDENT: &str = "    ";

impl Report for Diagnosis {
    const NAME: &'static str = "doctor";

    fn text(&self, page: &mut Page) {
        page.line(self.heading());
        for finding in &self.findings {
            finding.text(page);
        }
        page.line(self.summary());
    }

    fn outcome(&self) -> Exit {
        if self.problems == 0 { Exit::Fine } else { Exit::NotMet }
    }
}

impl Diagnosis {
    fn heading(&self) -> String {
        let hits = match self.lookups {
            0 => "no lookups".into(),
            lookups => {
                let hit = units::percent(self.hits, lookups);
                format!("hit {hit} of {}", units::plural(lookups, "lookup", "lookups"))
            }
        };
        let name = style::paint(style::HEAD, &self.segment);
        format!("{name}  {hits} {}", self.period())
    }

    fn period(&self) -> String {
        let secs = std::time::Duration::from_secs;
        match self.window_millis {
            Some(millis) => format!("in {}", units::span(secs(millis.div_ceil(1000)))),
            None => {
                let created = std::time::UNIX_EPOCH + secs(self.created_unix_secs);
                format!("since it was made {} ago", units::age(created))
            }
        }
    }

    fn summary(&self) -> String {
        match self.problems {
            0 => style::paint(style::GOOD, "no problem"),
            n => style::paint(style::BAD, &units::plural(n as u64, "problem", "problems")),
        }
    }
}

impl Finding {
    fn text(&self, page: &mut Page) {
        let (style, mark) = self.severity.mark();
        let mut lines = wrapped(&self.seen, WIDTH - 5).into_iter();
        let first = lines.next().unwrap_or_default();
        page.line(format_args!("{} {first}", style::paint(style, mark)));
        lines.for_each(|line| page.line(format_args!("{INDENT}{line}")));
        for line in self.means.iter().flat_map(|text| wrapped(text, WIDTH - INDENT.len())) {
            page.line(format_args!("{INDENT}{line}"));
        }
        for step in &self.steps {
            let mut start = "> ";
            for line in wrapped(&step.text, WIDTH - INDENT.len() - start.len()) {
                page.line(format_args!("{INDENT}{start}{line}"));
                start = "  ";
            }
            if let Some(command) = &step.command {
                page.line(format_args!("{INDENT}    $ {}", style::plain(command)));
            }
        }
        if let Some(see) = self.see {
            page.line(format_args!("{INDENT}{}", style::paint(style::DIM, &format!("see {see}"))));
        }
    }
}

impl Severity {
    fn mark(self) -> (Style, &'static str) {
        match self {
            Self::Problem => (style::BAD, "[!]"),
            Self::Advice => (style::WARN, "[i]"),
            Self::Unknown => (style::DIM, "[?]"),
            Self::Fine => (style::GOOD, "[ok]"),
        }
    }
}

/// Broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let text = style::plain(text);
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        match line.chars().count() {
            0 => *line = word.into(),
            used if used + 1 + word.chars().count() <= width => *line += &format!(" {word}"),
            _ => lines.push(word.into()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible é", 4), ["incomprehensible", "é"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}

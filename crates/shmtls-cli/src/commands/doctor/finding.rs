//! What a rule has found.

use std::collections::BTreeMap;

use serde::Serialize;

/// How bad it is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Costs handshakes or safety: exit code 1.
    Problem,
    /// Could be better.
    Advice,
    /// The segment does not tell.
    Unknown,
    Fine,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) rule: &'static str,
    pub(super) severity: Severity,
    /// With its figures.
    pub(super) seen: String,
    /// Null if it goes without saying.
    pub(super) means: Option<String>,
    #[serde(rename = "do")]
    pub(super) steps: Vec<Step>,
    /// The page that tells more.
    pub(super) see: Option<&'static str>,
    /// What it was judged by.
    pub(super) figures: BTreeMap<&'static str, u64>,
    /// The part of all lookups that it spoils, for the order among equals.
    #[serde(skip)]
    pub(super) weight: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) text: String,
    /// Null if it is none for a shell.
    pub(super) command: Option<String>,
}

impl Severity {
    /// Of a part that should be small.
    pub(super) fn of_share(share: f64, problem: f64, advice: f64) -> Self {
        match share {
            _ if share >= problem => Self::Problem,
            _ if share >= advice => Self::Advice,
            _ => Self::Fine,
        }
    }
}

impl Finding {
    pub(super) fn new(rule: &'static str, severity: Severity, seen: impl Into<String>) -> Self {
        let (means, steps, see, figures) = (None, Vec::new(), None, BTreeMap::new());
        Self { rule, severity, seen: seen.into(), means, steps, see, figures, weight: 0.0 }
    }

    pub(super) fn figure(mut self, name: &'static str, value: u64) -> Self {
        self.figures.insert(name, value);
        self
    }

    pub(super) fn weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// Of what is fine nothing more is said.
    pub(super) fn means(self, text: impl Into<String>) -> Self {
        match self.severity {
            Severity::Fine => self,
            _ => Self { means: Some(text.into()), ..self },
        }
    }

    pub(super) fn step(self, text: impl Into<String>) -> Self {
        self.push(text.into(), None)
    }

    /// What is to be done with a command.
    pub(super) fn run(self, text: impl Into<String>, command: impl Into<String>) -> Self {
        self.push(text.into(), Some(command.into()))
    }

    fn push(mut self, text: String, command: Option<String>) -> Self {
        if self.severity != Severity::Fine {
            self.steps.push(Step { text, command });
        }
        self
    }

    pub(super) fn see(self, page: &'static str) -> Self {
        match self.severity {
            Severity::Fine => self,
            _ => Self { see: Some(page), ..self },
        }
    }
}

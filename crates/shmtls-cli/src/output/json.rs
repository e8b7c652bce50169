//! The envelope of every JSON report: `"schema": "shmtls.NAME/1"`, then the report's own fields.

use serde::Serialize;

use super::Report;

#[derive(Serialize)]
struct Envelope<'a, R> {
    schema: String,
    #[serde(flatten)]
    report: &'a R,
}

/// One object on one line.
pub(crate) fn line<R: Report>(report: &R) -> String {
    object(R::NAME, report) + "\n"
}

/// `{"schema":"shmtls.NAME/1",...}`.
pub(crate) fn object(name: &str, report: &impl Serialize) -> String {
    plain(&Envelope { schema: format!("shmtls.{name}/1"), report })
}

/// Without an envelope: a part of a report.
pub(crate) fn plain(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("reports are plain data")
}

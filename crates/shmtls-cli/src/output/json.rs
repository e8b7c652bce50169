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
    let envelope = Envelope { schema: format!("shmtls.{}/1", R::NAME), report };
    let json = serde_json::to_string(&envelope).expect("reports are plain data");
    json + "\n"
}

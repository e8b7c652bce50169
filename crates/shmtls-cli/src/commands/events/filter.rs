//! Which events are shown.

use shmtls::PastEvent;

use super::What;

#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only such; `hit` is any hit
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    only: Vec<What>,
    /// Only of this session: 8 hex digits, as `shmtls ls` and `shmtls events` show them
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    session: Option<String>,
}

impl Filter {
    pub(super) fn accepts(&self, event: &PastEvent) -> bool {
        let what = What::of(event.happening());
        let is_wanted = self.only.is_empty() || self.only.iter().any(|only| only.includes(what));
        let is_of_session =
            |wanted: &String| event.digest().is_some_and(|digest| digest.to_string() == *wanted);
        is_wanted && self.session.as_ref().is_none_or(is_of_session)
    }
}

fn digest(text: &str) -> Result<String, String> {
    let is_digest = text.len() == 8 && text.bytes().all(|c| c.is_ascii_hexdigit());
    if is_digest {
        Ok(text.to_lowercase())
    } else {
        Err("a session is named by the 8 hex digits that shmtls ls shows".into())
    }
}

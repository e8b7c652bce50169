//! No command shows a byte of a session, of its ID, of a context beyond its start, or of a ticket
//! key: in no format, in no encoding, and not of damaged ones either.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use shmtls::{Cache, Context, Expiry, Options, SessionId, TicketKey};

use crate::support::{COMMANDS, Name, Run, with};

/// So many bytes of a secret do not come about by chance; of a context, four are shown.
const PIECE: usize = 8;
/// Nine bytes are twelve characters of base64, and of any nine one triple begins at each offset.
const TRIPLES: usize = 9;

const SESSION: &[u8] = b"nD6uR1pQ9xWzK3vLtB7mY0cHsE5gAjFo2iN8qXbU4dVrZkTyPwMhJlGeSaCfOi1R";
const ID: &[u8] = b"Hq7ZbX2mWv9TkR4cYpL8sNdJ6gFaE3uQ";
const CONTEXT: &[u8] = b"Vw5KzN8yTb3RmX6pQs1LgJ9dCf4HuA7e";
const HMAC: &[u8] = b"aP2xLk7VtD5nQz8WmR3yCj6BsG9fHu4E";
const AES: &[u8] = b"Sj4NcY9wGk2XbT7qLe5RvM8zPd3FhU6A";

#[test]
fn no_command_shows_a_secret() {
    let (name, forms) = (Name::new(), Forms::of_all());
    let cache = Options::new().size(1 << 17).processes(8).create(name.get()).expect("a segment");
    store(&cache);
    let segment = fs::read(name.path()).expect("the segment");
    for secret in [SESSION, ID, &CONTEXT[..PIECE], HMAC, AES] {
        assert!(segment.windows(secret.len()).any(|bytes| bytes == secret), "it is stored nowhere");
    }
    assert_silent(&name, &forms);
    spoil(&name, &segment);
    assert_silent(&name, &forms);
    fs::write(name.path(), &segment[..segment.len() / 2]).expect("written");
    assert_silent(&name, &forms);
}

/// The search finds what there is to be found.
#[test]
fn a_secret_is_found_in_every_form() {
    let forms = Forms::of_all();
    assert_eq!(forms.found_in("nD6uR1p Hq7Zb Vw5KzN8 aP2xLk7 Sj4NcY9"), None);
    for secret in [SESSION, ID, &CONTEXT[..PIECE], HMAC, AES] {
        for piece in secret.windows(TRIPLES.min(secret.len())) {
            let text = String::from_utf8_lossy(piece).into_owned();
            let hex: String = piece.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            let apart: Vec<_> = piece.iter().map(|byte| format!("{byte:02X}")).collect();
            let tellings = [
                text,
                hex.to_uppercase(),
                hex,
                apart.join(":"),
                format!("{piece:?}"),
                STANDARD.encode(piece),
                URL_SAFE.encode(piece),
            ];
            for telling in tellings {
                assert!(forms.found_in(&format!("x{telling}y")).is_some(), "{telling}");
            }
        }
    }
}

/// Pieces of secrets, as they could be written.
pub(crate) struct Forms(BTreeSet<String>);

impl Forms {
    pub(crate) fn of_all() -> Self {
        let mut forms = BTreeSet::new();
        for secret in [SESSION, ID, &CONTEXT[..PIECE], HMAC, AES] {
            for piece in secret.windows(PIECE) {
                let hex: Vec<_> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
                forms.insert(String::from_utf8(piece.to_vec()).expect("ASCII"));
                forms.extend([hex.concat(), hex.concat().to_uppercase()]);
                forms.insert(format!("{piece:?}").trim_matches(['[', ']']).into());
            }
            for piece in secret.windows(TRIPLES.min(secret.len() / 3 * 3)) {
                forms.extend([STANDARD.encode(piece), URL_SAFE.encode(piece)]);
            }
        }
        Self(forms)
    }

    /// With and without what stands between two bytes.
    pub(crate) fn found_in(&self, text: &str) -> Option<&String> {
        let closed = text.replace([' ', ':'], "");
        self.0.iter().find(|form| text.contains(*form) || closed.contains(*form))
    }

    #[track_caller]
    fn assert_absent(&self, what: &[&str], run: &Run) {
        for text in [&run.stdout, &run.stderr] {
            assert_eq!(self.found_in(text), None, "{what:?} shows it:\n{text}");
        }
    }
}

pub(crate) fn store(cache: &Cache) {
    let digest = CONTEXT.try_into().expect("32 bytes");
    let (context, id) = (Context::from_digest(digest), SessionId::new(ID).expect("32 bytes"));
    let expiry = Expiry::after(Duration::from_secs(600));
    assert!(cache.insert(&context, &id, SESSION, expiry).is_stored());
    assert!(cache.get_session(&context, &id).is_ok());
    assert!(cache.get_session(&Context::named("other"), &id).is_err());
    let [hmac, aes] = [HMAC, AES].map(|key| key.try_into().expect("32 bytes"));
    let key = TicketKey::aes256(*b"the name of it: ", hmac, aes);
    cache.keys().publish(vec![key.expect("a key")]).expect("published");
}

/// Breaks the checks of the record and of the keys, and a lock, so that there is more to say.
fn spoil(name: &Name, segment: &[u8]) {
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    for secret in [SESSION, HMAC] {
        let at = segment.windows(secret.len()).position(|bytes| bytes == secret).expect("stored");
        file.write_all_at(b"!", (at + secret.len() - 1) as u64).expect("written");
    }
    let buckets = u64::from_ne_bytes(*segment[40..].first_chunk().expect("buckets_offset"));
    file.write_all_at(&0x4000_0000_u32.to_ne_bytes(), buckets).expect("written");
}

#[track_caller]
fn assert_silent(name: &Name, forms: &Forms) {
    for command in COMMANDS {
        for args in ways(command, name.get()) {
            for format in ["text", "json"] {
                let args = [&args[..], &["--format", format]].concat();
                forms.assert_absent(&args, &with(&args));
            }
        }
    }
}

/// How a command is run: one that is not named here looks at a segment.
fn ways<'a>(command: &'a str, name: &'a str) -> Vec<Vec<&'a str>> {
    let more: &[&[&str]] = match command {
        "list" | "man" => return vec![vec![command]],
        "completions" => return vec![vec![command, "bash"]],
        "probe" => return vec![vec![command, "127.0.0.1:9"]],
        "bench" => return vec![vec![command, "--help"]],
        "create" => &[&["--if-missing"]],
        "ls" => &[&[], &["--verbose", "--sort", "size"]],
        "purge" => &[&["--expired"], &["--context", "example.net"]],
        "check" => &[&[], &["--repair"]],
        _ => &[&[]],
    };
    more.iter().map(|more| [&[command, name], *more].concat()).collect()
}

//! In texts: what programs print of our types ends in logs, and logs are everybody's.

use std::fmt::{Debug, Display};
use std::fs;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use shmtls::{
    Context, KeyFiles, KeyFormat, KeySource, Library, NewSession, Options, Rotation, SessionId,
};

use super::canary::Canary;
use super::crash::Morgue;
use super::payload::{context, id, soon};
use super::procs::{alone, fork};

/// So many bytes in a row are told from chance.
const RUN: usize = 8;

/// The ways in which a text can show bytes.
pub(crate) struct Shown(Vec<(&'static str, Vec<String>)>);

impl Shown {
    pub(crate) fn of(secret: &[u8]) -> Self {
        let runs = || secret.windows(RUN);
        let each = |show: fn(&u8) -> String, between: &str| -> Vec<String> {
            runs().map(|run| run.iter().map(show).collect::<Vec<_>>().join(between)).collect()
        };
        // A third of all places each; what begins elsewhere shows there, too.
        let base64 = |engine: &dyn Fn(&[u8]) -> String| {
            secret.windows(RUN + 1).map(engine).collect::<Vec<String>>()
        };
        Self(vec![
            ("hex", each(|byte| format!("{byte:02x}"), "")),
            ("decimal", each(|byte| byte.to_string(), ",")),
            ("escaped", runs().map(|run| run.escape_ascii().to_string()).collect()),
            ("base64", base64(&|run| STANDARD_NO_PAD.encode(run))),
            ("base64 for URLs", base64(&|run| URL_SAFE_NO_PAD.encode(run))),
            ("raw", runs().map(|run| String::from_utf8_lossy(run).into_owned()).collect()),
        ])
    }

    /// In which of these ways `text` shows some of it.
    pub(crate) fn ways_in(&self, text: &str) -> Vec<&'static str> {
        // As hex is written: in either case, in pairs, with colons, commas and 0x.
        let dense: String = text.split([' ', ':', ',', '\n', '\t']).collect();
        let hex = dense.replace("0x", "").to_lowercase();
        let decimal: String = text.split_whitespace().collect();
        let texts = [hex.as_str(), decimal.as_str(), text, text, text, text];
        let ways = self.0.iter().zip(texts);
        let shown = ways.filter(|((_, runs), text)| runs.iter().any(|run| text.contains(run)));
        shown.map(|((way, _), _)| *way).collect()
    }
}

/// The search is worth something: it finds what careless code prints.
#[test]
fn every_way_to_print_bytes_is_found() {
    let secret = Canary::new(64).with(<[u8]>::to_vec);
    let shown = Shown::of(&secret);
    let part = &secret[5..40];
    let upper: Vec<String> = part.iter().map(|byte| format!("{byte:02X}")).collect();
    for (way, text) in [
        ("hex", format!("{part:02x?}")),
        ("hex", format!("{part:#04x?}")),
        ("hex", upper.join(":")),
        ("hex", upper.concat()),
        ("decimal", format!("key: {part:?}")),
        ("decimal", format!("key: {part:#?}")),
        ("escaped", format!("b\"{}\"", part.escape_ascii())),
        ("base64", STANDARD_NO_PAD.encode(&secret)),
        ("base64", STANDARD_NO_PAD.encode(part)),
        ("raw", String::from_utf8_lossy(part).into_owned()),
    ] {
        assert!(shown.ways_in(&text).contains(&way), "{way}: {text}");
    }
    assert_eq!(shown.ways_in("nothing 01020304 [1, 2, 3]"), [""; 0]);
}

fn texts(of: &dyn Debug) -> String {
    format!("{of:?} {of:#?} {of:02x?}")
}

fn error_texts(of: &(impl Debug + Display)) -> String {
    format!("{} {of} {of:#}", texts(of))
}

/// A derived Debug on one type shows the secrets of all types around it.
#[test]
fn no_type_shows_a_secret() {
    let _turn = alone();
    let (session, ticket, key) = (Canary::new(300), Canary::new(32), Canary::of_key());
    let cache = Options::new().size(1 << 20).create_memfd().expect("a segment");
    let ticket_id = ticket.with(|bytes| SessionId::new(bytes).expect("32 bytes"));
    let secret_context = Context::from_digest(&ticket.with(|b| *b.first_chunk().expect("32")));
    let heard = Arc::new(Mutex::new(String::new()));
    let hears = heard.clone();
    cache.hook(move |event| hears.lock().expect("no panic").push_str(&texts(event)));

    let mut said = String::new();
    session.with(|bytes| {
        let new = NewSession::new(bytes, soon()).single_use(true).library(Library::Raw);
        said += &texts(&new);
        said += &texts(&cache.store(&context(), &ticket_id, &new));
    });
    cache.for_each(|entry, _| said += &texts(entry));
    said += &texts(&cache.get_session(&context(), &ticket_id).expect("it is there"));
    let mut short = [0; 10];
    said += &texts(&cache.get(&context(), &ticket_id, &mut short));
    said += &error_texts(&cache.get(&secret_context, &ticket_id, &mut short).unwrap_err());
    let taken = cache.take(&context(), &ticket_id).expect("it is there");
    said += &texts(&(&taken, taken.clone(), &ticket_id, context()));
    said += &texts(&cache.remove(&context(), &ticket_id));

    let keys = cache.keys();
    let ring = vec![key.key(), Canary::of_key().key()];
    said += &texts(&ring);
    said += &texts(&keys.publish(ring).expect("valid"));
    said += &texts(&(&keys, keys.status()));
    let published = keys.publish(vec![Canary::of_key().key()]).expect("valid");
    published.warnings.iter().for_each(|warning| said += &error_texts(warning));
    said += &texts(&published);
    let refusals = [
        keys.publish(vec![key.key(), key.key()]),
        keys.publish(vec![]),
        keys.publish_over(0, vec![key.key()], KeySource::Api),
        key.with(|bytes| keys.ticket_key_update(&bytes[..47])),
        key.with(|bytes| keys.ticket_key_update(&[bytes, &[0; 32]].concat())),
    ];
    for refusal in refusals {
        let error = refusal.expect_err("refused");
        said += &format!("{} {}", error_texts(&error), error.hint());
    }
    said += &texts(&(&cache, cache.stats(), cache.processes(), Options::new()));
    let rotation = Rotation::every(std::time::Duration::from_secs(100));
    said += &texts(&(rotation, cache.rotate_keys(rotation).expect("a thread")));
    let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
    said += &texts(&Options::new().inspect_fd(fd).expect("a segment"));
    said += &heard.lock().expect("no panic");

    assert!(said.contains("TicketKey") && said.contains("SessionId(32 bytes)"), "{said}");
    for (what, canary) in [("session", session), ("ticket", ticket), ("key", key)] {
        // A context is no secret; it shows four bytes of what it is made of.
        let ways = canary.with(|bytes| Shown::of(bytes).ways_in(&said));
        assert_eq!(ways, [""; 0], "the {what} is shown");
    }
}

/// Bytes that are no key file are often a key file of another format.
#[test]
fn no_refusal_of_a_key_file_shows_what_is_in_it() {
    let _turn = alone();
    let file = Morgue::new();
    let path = file.file();
    let key = Canary::new(80);
    let line = key.with(|bytes| STANDARD_NO_PAD.encode(bytes));
    let contents: [Vec<u8>; 5] = [
        key.with(|bytes| bytes[..79].to_vec()),
        key.with(|bytes| [bytes, bytes].concat()),
        format!("{line}=\n{line}=\n").into_bytes(),
        format!("{line}*\n{line}=\n{line}=\n").into_bytes(),
        format!("{}\n{line}=\n{line}=\n", &line[..line.len() - 4]).into_bytes(),
    ];
    let mut said = String::new();
    for ((name, format), content) in
        KeyFormat::ALL.iter().flat_map(|format| contents.iter().map(move |c| (format, c)))
    {
        fs::write(&path, content).expect("our own directory");
        let mut files = KeyFiles::new(*format, [&path]);
        if let Err(error) = files.read() {
            said +=
                &format!("{name}: {} {} {}\n", error_texts(&error), error.hint(), texts(&files));
        }
    }
    assert!(said.lines().count() > 20, "{said}");
    let ways = key.with(|bytes| Shown::of(bytes).ways_in(&said));
    assert_eq!(ways, [""; 0], "{said}");
}

/// A hook that fails says with what: panics go to standard error, and from there to a log.
#[test]
fn no_panic_shows_a_secret() {
    let _turn = alone();
    let file = Morgue::new();
    let path = file.file();
    let (session, ticket, key) = (Canary::new(300), Canary::new(32), Canary::of_key());
    fork(|| {
        let cache = Options::new().size(1 << 20).create_memfd().expect("a segment");
        let id_of_ticket = ticket.with(|bytes| SessionId::new(bytes).expect("32 bytes"));
        let (to, said) = (path.clone(), Mutex::new(String::new()));
        std::panic::set_hook(Box::new(move |info| {
            let mut said = said.lock().expect("one panic at a time");
            *said += &format!("{info} {info:?}\n{}\n", std::backtrace::Backtrace::force_capture());
            fs::write(&to, &*said).expect("our own directory");
        }));
        let keeper = cache.clone();
        cache.hook(move |event| {
            let found = keeper.keys().status();
            panic!("a hook's: {event:?} {:?} {:?} {found:?}", event.id, event.context);
        });
        key.with(|_| cache.keys().publish(vec![key.key()])).expect("valid");
        session.with(|bytes| {
            let new = NewSession::new(bytes, soon());
            assert!(cache.store(&context(), &id_of_ticket, &new).is_stored());
        });
        let found = cache.take(&context(), &id_of_ticket);
        let careless = || found.as_ref().expect_err("a worker's");
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(careless)).is_err());
        let careless = || panic!("a publisher's: {:?}", key.key());
        assert!(std::panic::catch_unwind(careless).is_err());
        assert!(cache.stats().hook_panics >= 2);
        let _ = cache.remove(&context(), &id(1));
    })
    .join();
    let said = fs::read_to_string(&path).expect("there were panics");
    for from in ["a hook's: Event", "a worker's: Session", "a publisher's: TicketKey", "no_panic"] {
        assert!(said.contains(from), "{from}: {said}");
    }
    for (what, canary) in [("session", session), ("ticket", ticket), ("key", key)] {
        let ways = canary.with(|bytes| Shown::of(bytes).ways_in(&said));
        assert_eq!(ways, [""; 0], "the {what} is shown");
    }
}

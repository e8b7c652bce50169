//! What `ls` says of the sessions of several workers, against what those were told to store.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json as value};
use shmtls::{Context, Expiry, Options, SessionId};

use crate::support::{Name, busy, json, stdout, wait_for, with};
use crate::workers::{Worker, work_if_told};

/// Filters and orders together, over the sessions of two workers.
#[test]
fn sessions_are_filtered_and_sorted() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let start = || Worker::start("sessions::sessions_are_filtered_and_sorted", &name);
    let (mut one, mut two) = (start(), start());
    one.tell("store 0 4 200 a.example");
    one.tell("store 4 10 400 a.example");
    two.tell("store 10 14 300 a.example");
    two.tell("store 20 25 800 b.example");
    (0..2).for_each(|_| two.tell("get 4 6 a.example"));
    let (one, two) = (one.pid().to_string(), two.pid().to_string());
    let list = |args: &[&str]| -> Vec<Value> {
        let report = json(&[&["ls", name.get()], args].concat());
        let rows = report["sessions"].as_array().expect("rows").clone();
        assert_eq!(report["shown"], rows.len());
        rows
    };
    let sizes = |args: &[&str]| -> Vec<u64> {
        list(args).iter().map(|row| row["bytes"].as_u64().expect("a number")).collect()
    };
    let a = ["--context", "a.example"];
    assert_eq!(sizes(&[]).len(), 19);
    assert_eq!(
        sizes(&[&a[..], &["--sort", "size", "--limit", "8"]].concat()),
        [400, 400, 400, 400, 400, 400, 300, 300]
    );
    let smallest = ["--sort", "size", "--reverse", "--min-size", "250", "--limit", "5"];
    assert_eq!(sizes(&smallest), [300, 300, 300, 300, 400]);
    let of_one = ["--writer", &one, "--max-size", "300", "--single-use"];
    assert_eq!(sizes(&of_one), [200, 200]);
    let old = ["--protocol", "1.2", "--writer", &two, "--sort", "size", "--context", "b.example"];
    assert_eq!(sizes(&old), [800, 800]);
    assert_eq!(sizes(&["--older", "1h"]), [0; 0]);
    assert_eq!(sizes(&["--younger", "1h", "--min-size", "400", "--max-size", "400"]).len(), 6);
    for row in list(&["--sort", "hits", "--limit", "2"]) {
        assert_eq!((&row["hits"], &row["bytes"]), (&value!(2), &value!(400)), "{row}");
        assert_eq!((&row["pid"].to_string(), &row["library"]), (&one, &value!("raw")));
    }
    assert!(
        list(&["--sort", "hits", "--reverse", "--limit", "17"]).iter().all(|it| it["hits"] == 0)
    );
    let text = stdout(&["ls", name.get(), "--sort", "hits", "--limit", "1", "--verbose"]);
    let row = text.lines().nth(1).unwrap_or_default();
    assert!(row.contains(&one) && row.contains("400 B") && row.contains(" 2 "), "{text}");
}

/// Of sessions that are over and not cleared away yet.
#[test]
fn expired_sessions_are_told_apart() {
    let name = Name::created();
    let cache = Options::new().attach(name.get()).expect("the segment");
    let (context, id) =
        (Context::named("a.example"), |n| SessionId::new(&[n; 9]).expect("9 bytes"));
    let brief = Expiry::after(Duration::from_secs(1));
    assert!(cache.insert(&context, &id(1), &[1; 111], brief).is_stored());
    let long = Expiry::after(Duration::from_secs(500));
    assert!(cache.insert(&context, &id(2), &[2; 222], long).is_stored());
    wait_for("it is over", || brief.has_passed());
    let rows = json(&["ls", name.get(), "--expired", "--max-size", "150", "--sort", "left"]);
    let rows = rows["sessions"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["bytes"], &rows[0]["left_secs"]), (&value!(111), &value!(0)));
    let first = json(&["ls", name.get(), "--sort", "left", "--limit", "1"])["sessions"][0].clone();
    assert_eq!(first["bytes"], 222);
}

/// A session of just now was shown as idle for longer than it was there: the last use is kept in
/// ticks of a part of the lifetime, here 3 s.
#[test]
fn no_session_is_idle_for_longer_than_it_is_there() {
    let name = Name::new();
    let options = Options::new().size(1 << 20).lifetime(Duration::from_secs(3 * 128));
    let cache = options.create(name.get()).expect("a segment");
    let (context, hour) = (Context::named("a.example"), Expiry::after(Duration::from_secs(3600)));
    let id = SessionId::new(&[1; 9]).expect("9 bytes");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    wait_for("a tick is about to end", || now() % 3 == 2);
    assert!(cache.insert(&context, &id, &[1; 100], hour).is_stored());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        let row = json(&["ls", name.get()])["sessions"][0].clone();
        assert!(row["idle_secs"].as_u64() <= row["age_secs"].as_u64(), "{row}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// The contexts of openssl::attach and rustls::attach are digests, of which `ls` shows 8 digits:
/// `purge` took those for a name, so nobody could remove the sessions of such a context.
#[test]
fn contexts_are_named_as_ls_shows_them() {
    let name = Name::created();
    let cache = Options::new().attach(name.get()).expect("the segment");
    let digest = |last: u8| {
        let mut digest = [0x9f; 32];
        digest[7] = last;
        Context::from_digest(&digest)
    };
    let hour = Expiry::after(Duration::from_secs(3600));
    for n in 0..6 {
        let id = SessionId::new(&[n; 9]).expect("9 bytes");
        assert!(cache.insert(&digest(n / 2), &id, &[n; 100], hour).is_stored());
    }
    let shown = |context: &str| json(&["ls", name.get(), "--context", context])["shown"].clone();
    assert_eq!((shown("9f9f9f9f"), shown("9f9f9f9f9f9f9f01")), (value!(6), value!(2)));
    let purge = |context: &str| stdout(&["purge", name.get(), "--context", context]);
    let whole = purge("9f9f9f9f9f9f9f01");
    assert!(whole.starts_with("removed 2 sessions") && whole.ends_with("4 are left\n"), "{whole}");
    let rest = purge("9f9f9f9f");
    assert!(rest.starts_with("removed 4 sessions"), "{rest}");
}

/// Who gave the name of a host was told `removed 0 sessions` or shown an empty table, and not why.
#[test]
fn a_context_that_no_session_has_is_remarked_on() {
    let name = Name::new();
    let _cache = busy(&name);
    for command in ["ls", "purge"] {
        let run = with(&[command, name.get(), "--context", "www.example.org"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stderr.contains("no session has the context 'www.example.org'"), "{run:?}");
        assert!(run.stderr.contains("openssl::attach and rustls::attach"), "{run:?}");
    }
    let other_filter = with(&["ls", name.get(), "--context", "example.net", "--older", "1h"]);
    assert_eq!(other_filter.stderr, "", "{other_filter:?}");
}

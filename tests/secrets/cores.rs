//! In core dumps: a crash handler uploads them, and support reads them. Nobody who has had a secret
//! may still have it when it is of no more use, nor may anybody's keys be in there ever.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shmtls::{Cache, Expiry, KeyFiles, KeyFormat, Library, NewSession, Options, Rotation};
use zeroize::Zeroizing;

use super::canary::{Canary, PIECE, segment_bytes};
use super::crash::{Dumps, Morgue};
use super::payload::{Named, context, id, soon, with_buckets};
use super::procs::{alone, fork};

/// A segment with a name, and the secrets in it.
struct Play {
    name: Named,
    session: Canary,
    key: Canary,
    morgue: Morgue,
}

impl Play {
    fn new(what: &str) -> Self {
        let (session, key) = (Canary::new(1000), Canary::of_key());
        Self { name: Named::new(what), session, key, morgue: Morgue::new() }
    }

    fn create(&self) -> Cache {
        let options = with_buckets(Options::new().processes(16), 1, 16 << 10);
        options.create(&self.name.0).expect("a segment")
    }

    fn attach(&self) -> Cache {
        Cache::attach(&self.name.0).expect("it is there")
    }

    fn store(&self, cache: &Cache, single_use: bool) {
        let stored = self.session.with(|bytes| {
            let session = NewSession::new(bytes, soon()).single_use(single_use);
            cache.store(&context(), &id(1), &session)
        });
        assert!(stored.is_stored(), "{stored:?}");
    }

    fn publish(&self, cache: &Cache) {
        cache.keys().publish(vec![self.key.key()]).expect("valid");
    }

    /// A process that makes the segment with both secrets, and ends in peace.
    fn prepare(&self) {
        fork(|| {
            let cache = self.create();
            self.store(&cache, false);
            self.publish(&cache);
        })
        .join();
    }

    /// A process that does `work` and crashes.
    fn crash<R>(&self, who: &str, work: impl FnOnce() -> R) -> Dumps {
        let _child = fork(|| {
            let _alive = work();
            self.morgue.crash(who);
        });
        self.morgue.dumps(who)
    }

    /// In neither dump there is a piece of either secret.
    #[track_caller]
    fn assert_clean(&self, who: &str, dumps: &Dumps) {
        assert_eq!(dumps.count(self.session), [0, 0], "{who}: pieces of the session");
        assert_eq!(dumps.count(self.key), [0, 0], "{who}: pieces of the key");
    }
}

impl Dumps {
    /// How many pieces are in the stand-in, and how many in the kernel's dump.
    fn count(&self, canary: Canary) -> [usize; 2] {
        let needles = canary.needles(PIECE);
        let mut found = HashSet::new();
        for region in &self.stand_in {
            let places = needles.places_in(&region.bytes);
            if let Some((at, _)) = places.first() {
                let place = region.start + *at as u64;
                eprintln!("{} pieces at {place:#x} {}", places.len(), region.path);
            }
            found.extend(places.into_iter().map(|(_, piece)| piece));
        }
        let kernel = self.kernel.as_ref().map_or(0, |dump| needles.found_in(dump));
        [found.len(), kernel]
    }
}

/// The search finds what an ordinary program leaves: a copy that it still has. And it is not for
/// want of looking that there is nothing of the segment.
#[test]
fn a_copy_on_the_heap_is_found_in_both_dumps() {
    let _turn = alone();
    let play = Play::new("hoarder");
    let dumps = play.crash("hoarder", || {
        let cache = play.create();
        play.store(&cache, false);
        let session = cache.get_session(&context(), &id(1)).expect("it is there");
        let key = play.key.with(|bytes| bytes.to_vec());
        (cache, session, key)
    });
    for canary in [play.session, play.key] {
        let all = canary.needles(PIECE).len();
        let kernel = if dumps.kernel.is_some() { all } else { 0 };
        assert_eq!(dumps.count(canary), [all, kernel]);
    }
}

type Part = fn(&Play) -> Vec<Cache>;

/// What a worker does in its life, each part in a process of its own that crashes at the end, while
/// the segment is mapped and has both secrets.
#[test]
fn no_secret_is_in_the_core_dump_of_who_had_it() {
    let _turn = alone();
    let parts: [(&str, Part); 8] = [
        ("creator", |play| {
            let cache = play.create();
            play.store(&cache, false);
            play.publish(&cache);
            vec![cache]
        }),
        ("inserter", |play| {
            play.prepare();
            let cache = play.attach();
            let _ = cache.remove(&context(), &id(1));
            play.store(&cache, false);
            vec![cache]
        }),
        ("getter", |play| {
            play.prepare();
            let cache = play.attach();
            drop(cache.get_session(&context(), &id(1)).expect("it is there"));
            let mut own = Zeroizing::new(vec![0; 2000]);
            assert_eq!(cache.get(&context(), &id(1), &mut own), Ok(1000));
            vec![cache]
        }),
        ("taker", |play| {
            play.prepare();
            let cache = play.attach();
            let session = cache.take(&context(), &id(1)).expect("it is there");
            drop((session.clone(), session));
            vec![cache]
        }),
        ("resumer", |play| {
            play.prepare();
            let cache = play.attach();
            play.store(&cache, true);
            drop(cache.resume(&context(), &id(1), Library::Raw).expect("it is there"));
            play.store(&cache, true);
            vec![cache]
        }),
        ("attacher", |play| {
            play.prepare();
            vec![play.attach()]
        }),
        ("walker", |play| {
            play.prepare();
            let cache = play.attach();
            let mut seen = 0;
            cache.for_each(|_, bytes| seen += bytes.len());
            assert_eq!(seen, 1000);
            vec![cache]
        }),
        ("worker with the ring", |play| {
            play.prepare();
            let cache = play.attach();
            assert_eq!(cache.keys().status().map(|status| status.keys.len()), Some(1));
            vec![cache]
        }),
    ];
    for (who, part) in parts {
        let play = Play::new("part");
        let dumps = play.crash(who, || part(&play));
        play.assert_clean(who, &dumps);
        // They were there to be dumped.
        let segment = segment_bytes(&play.attach());
        let found = play.key.needles(PIECE).found_in(&segment);
        assert_eq!(found, play.key.needles(PIECE).len(), "{who}");
        let is_taken = who == "taker";
        let found = play.session.needles(PIECE).found_in(&segment);
        let all = play.session.needles(PIECE).len();
        assert_eq!(found, if is_taken { 0 } else { all }, "{who}");
    }
}

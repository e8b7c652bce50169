//! One segment with a canary session and a canary key, and processes that use it and crash.

use std::collections::HashSet;

use shmtls::{Cache, NewSession, Options};

use super::canary::{Canary, Needles, PIECE};
use super::crash::{Dumps, Morgue};
use super::payload::{Named, context, id, soon, with_buckets};
use super::procs::fork;

/// A segment with a name, and the secrets in it.
pub(crate) struct Play {
    pub(crate) name: Named,
    pub(crate) session: Canary,
    pub(crate) key: Canary,
    pub(crate) morgue: Morgue,
}

impl Play {
    pub(crate) fn new(what: &str) -> Self {
        let (session, key) = (Canary::new(1000), Canary::of_key());
        Self { name: Named::new(what), session, key, morgue: Morgue::new() }
    }

    pub(crate) fn create(&self) -> Cache {
        let options = with_buckets(Options::new().processes(16), 1, 32 << 10);
        options.create(&self.name.0).expect("a segment")
    }

    pub(crate) fn attach(&self) -> Cache {
        Cache::attach(&self.name.0).expect("it is there")
    }

    pub(crate) fn store(&self, cache: &Cache, single_use: bool) {
        let stored = self.session.with(|bytes| {
            let session = NewSession::new(bytes, soon()).single_use(single_use);
            cache.store(&context(), &id(1), &session)
        });
        assert!(stored.is_stored(), "{stored:?}");
    }

    pub(crate) fn publish(&self, cache: &Cache) {
        cache.keys().publish(vec![self.key.key()]).expect("valid");
    }

    /// A process that makes the segment with both secrets, and ends in peace.
    pub(crate) fn prepare(&self) {
        fork(|| {
            let cache = self.create();
            self.store(&cache, false);
            self.publish(&cache);
        })
        .join();
    }

    /// A process that does `work` and crashes.
    pub(crate) fn crash<R>(&self, who: &str, work: impl FnOnce() -> R) -> Dumps {
        let _child = fork(|| {
            let _alive = work();
            self.morgue.crash(who);
        });
        self.morgue.dumps(who)
    }

    /// In neither dump there is a piece of either secret.
    #[track_caller]
    pub(crate) fn assert_clean(&self, who: &str, dumps: &Dumps) {
        let needles = self.session.needles(PIECE).and(self.key.needles(PIECE));
        assert_eq!(dumps.count(&needles), [0, 0], "{who}: so many pieces of its secrets");
    }
}

impl Dumps {
    /// How many pieces are in the stand-in, and how many in the kernel's dump.
    pub(crate) fn count(&self, needles: &Needles) -> [usize; 2] {
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

//! The whole path from OpenSSL's callbacks, with real sessions: what a handshake pays for storing
//! one (`i2d_SSL_SESSION` and the store) and for finding one (the lookup and `d2i_SSL_SESSION`),
//! and what of it OpenSSL's coding alone takes, and the cache alone.

use criterion::Criterion;
use openssl::ssl::{SslSession, SslVersion};
use shmtls::{Cache, Context, Library, NewSession, Options, SessionId};

use crate::connection::Connection;
use crate::ffi;
use crate::sessions::{BATCH, expiry, id, unless_test};

pub(crate) fn groups(c: &mut Criterion) {
    for (version, name) in [(SslVersion::TLS1_2, "TLS 1.2"), (SslVersion::TLS1_3, "TLS 1.3")] {
        let lab = Lab::new(version);
        let mut group = c.benchmark_group(format!("OpenSSL, {name}"));
        lab.check();
        lab.store(&mut group);
        lab.find(&mut group);
        group.finish();
    }
}

struct Lab {
    cache: Cache,
    context: Context,
    connection: Connection,
    sessions: Vec<Entry>,
    single_use: bool,
}

impl Lab {
    fn new(version: SslVersion) -> Self {
        let cache = Options::new().size(16 << 20).create_memfd().expect("a segment");
        let connection = Connection::new(&cache, version);
        let context = shmtls::openssl::context(connection.ssl().ssl_context(), None);
        let context = context.expect("it is attached");
        let ids = (0..unless_test(2000)).map(id);
        let sessions = ids.map(|id| (id, connection.session(id.as_bytes()))).collect();
        Self { cache, context, connection, sessions, single_use: version == SslVersion::TLS1_3 }
    }

    fn store(&self, group: &mut Group<'_>) {
        let (mut next, der) = (self.rounds(), self.connection.der());
        let session =
            NewSession::new(der, expiry()).single_use(self.single_use).library(Library::OpenSsl);
        group.bench_function("i2d alone", |b| {
            b.iter_batched(&mut next, |(_, session)| session.to_der(), BATCH);
        });
        group.bench_function("store alone", |b| {
            b.iter_batched(
                || self.removed(next()),
                |(id, _)| self.cache.store(&self.context, id, &session),
                BATCH,
            );
        });
        group.bench_function("new callback", |b| {
            b.iter_batched(
                || self.removed(next()),
                |(_, session)| ffi::tell_new(self.connection.ssl(), session),
                BATCH,
            );
        });
    }

    fn find(&self, group: &mut Group<'_>) {
        let (mut next, der) = (self.rounds(), self.connection.der());
        group.bench_function("d2i alone", |b| b.iter(|| SslSession::from_der(der)));
        group.bench_function("lookup alone", |b| {
            b.iter_batched(
                || self.stored(next()),
                |(id, _)| self.cache.resume(&self.context, id, Library::OpenSsl).expect("stored"),
                BATCH,
            );
        });
        group.bench_function("get callback", |b| {
            b.iter_batched(
                || self.stored(next()),
                |(id, _)| ffi::ask_for(self.connection.ssl(), id.as_bytes()).expect("stored"),
                BATCH,
            );
        });
    }

    /// One session after the other, again and again.
    fn rounds<'a>(&'a self) -> impl FnMut() -> &'a Entry {
        let mut sessions = self.sessions.iter().cycle();
        move || sessions.next().expect("an endless round")
    }

    fn removed<'a>(&self, entry: &'a Entry) -> &'a Entry {
        self.cache.remove(&self.context, &entry.0).expect("nobody else is there");
        entry
    }

    fn stored<'a>(&self, entry: &'a Entry) -> &'a Entry {
        ffi::tell_new(self.connection.ssl(), &entry.1);
        entry
    }

    /// The callbacks do here what they do in a handshake.
    fn check(&self) {
        let (id, _) = self.stored(&self.sessions[0]);
        let found = ffi::ask_for(self.connection.ssl(), id.as_bytes());
        assert!(found.is_some_and(|session| session.id() == id.as_bytes()));
        let is_gone = self.cache.size_of(&self.context, id).is_err();
        assert_eq!(is_gone, self.single_use, "TLS 1.3 sessions are had once");
        let never_stored = ffi::ask_for(self.connection.ssl(), self.sessions[1].0.as_bytes());
        assert!(never_stored.is_none());
    }
}

type Entry = (SessionId, SslSession);
type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

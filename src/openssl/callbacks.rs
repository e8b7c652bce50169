//! What OpenSSL calls in a handshake, and what a connection remembers in between.

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    Ssl, SslContextBuilder, SslOptions, SslRef, SslSession, SslSessionRef, SslVerifyMode,
    SslVersion,
};

use super::context::Host;
use super::der::{self, TLS1_3};
use super::ffi::{self, InfoCallback, Progress};
use crate::{Cache, Context, Expiry, Library, Miss, NewSession, Session, SessionId};

/// An application that calls `SSL_new_session_ticket` without end does not make us remember more.
const MAX_ISSUED: usize = 16;

const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

pub(super) fn install(builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    Connection::index()?;
    ffi::set_new_callback(builder, store);
    ffi::set_get_callback(builder, resume);
    Ok(())
}

/// OpenSSL made a session: for TLS 1.2 after the handshake, for TLS 1.3 once for each ticket.
fn store(ssl: &mut SslRef, session: SslSession) {
    let Some(host) = Host::of(ssl.ssl_context()) else { return };
    let protocol = ffi::protocol(&session);
    if protocol == TLS1_3 && !is_stateful(ssl) {
        return; // The client gets the session itself in its ticket: nobody would look it up here.
    }
    begin_life(ssl, &session);
    let (Ok(id), Ok(bytes)) = (SessionId::new(session.id()), der::encode(&session)) else { return };

    let mut expiry = Expiry::after(host.lifetime);
    if let Some(resumed) = Connection::of(ssl).and_then(|c| c.resumed.as_ref())
        && ssl.session_reused()
    {
        expiry = expiry.min(resumed.expiry);
    }
    // With early data a second use is a replay, whatever the host's own settings say: the
    // connection may have come from a host with others.
    let single_use = protocol == TLS1_3 && (!host.reuse_tls13 || session.max_early_data() > 0);
    let new = NewSession::new(&bytes, expiry)
        .single_use(single_use)
        .library(Library::OpenSsl)
        .protocol(protocol);

    let entry = Entry { cache: host.cache.clone(), context: host.served_as(ssl), id };
    if entry.cache.store(&entry.context, &entry.id, &new).is_stored() {
        let issued = &mut Connection::of_mut(ssl).issued;
        issued.truncate(MAX_ISSUED - 1);
        issued.insert(0, entry);
    }
}

/// A session that a full handshake made lives as long as this host says: OpenSSL gave it the time
/// of the context that the connection was accepted with.
pub(super) fn begin_life(ssl: &SslRef, session: &SslSessionRef) {
    if let Some(host) = Host::of(ssl.ssl_context()).filter(|_| !ssl.session_reused()) {
        ffi::set_session_timeout(session, host.lifetime.as_secs() as u32);
    }
}

/// Whether tickets are IDs of sessions in the cache.
pub(super) fn is_stateful(ssl: &SslRef) -> bool {
    ffi::options(ssl).contains(SslOptions::NO_TICKET)
}

/// A client wants to resume.
fn resume(ssl: &mut SslRef, id: &[u8]) -> Option<SslSession> {
    let host = Host::of(ssl.ssl_context())?;
    let Ok(id) = SessionId::new(id) else {
        host.cache.count_miss(Miss::InvalidId);
        return None;
    };
    let entry = Entry { cache: host.cache.clone(), context: host.asked_for(ssl)?, id };
    let policy = Policy::of(host, ssl);

    let kept = Connection::of(ssl).and_then(|c| c.kept.as_ref());
    let stored = match kept.filter(|kept| kept.entry.is(&entry)) {
        Some(kept) => kept.session.clone(),
        None => entry.cache.resume(&entry.context, &entry.id, Library::OpenSsl).ok()?,
    };
    let Some(session) = der::decode(&stored, &entry.id) else {
        entry.cache.count_miss(Miss::Undecodable);
        return None;
    };

    let expiry = stored.expiry();
    let connection = Connection::of_mut(ssl);
    connection.kept =
        (stored.protocol() == TLS1_3).then(|| Kept { entry: entry.clone(), session: stored });
    connection.bound = Some(entry.context);
    connection.resumed = Some(Resumed { entry, expiry, policy, settled: false });
    Some(session)
}

/// What one connection remembers, in the ex_data of its `SSL`. Most have none: it comes with the
/// first session that is found or stored.
#[derive(Default)]
struct Connection {
    /// A ticket may be taken only once, but after a HelloRetryRequest OpenSSL asks for it again.
    kept: Option<Kept>,
    resumed: Option<Resumed>,
    /// A ticket was decrypted: the policy that its session was checked against.
    ticket: Option<Policy>,
    /// What the session was bound to that was found or decrypted.
    bound: Option<Context>,
    /// Newest first.
    issued: Vec<Entry>,
    replaced: Option<InfoCallback>,
}

struct Kept {
    entry: Entry,
    /// Wiped when it is dropped, at the end of the handshake.
    session: Session,
}

struct Resumed {
    entry: Entry,
    /// A chain of sessions dies with the full handshake that it began with.
    expiry: Expiry,
    policy: Policy,
    /// Whether the handshake has passed the point where servername callbacks run.
    settled: bool,
}

/// Where a session is in the cache.
#[derive(Clone)]
struct Entry {
    cache: Cache,
    context: Context,
    id: SessionId,
}

impl Entry {
    fn is(&self, other: &Entry) -> bool {
        (self.context, self.id) == (other.context, other.id)
    }

    /// A bucket that is busy until the deadline keeps the session; the cache counts that.
    fn forget(self) {
        let _ = self.cache.remove(&self.context, &self.id);
    }
}

/// What must not change between the lookup and the ServerHello.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Policy {
    host: [u8; 32],
    verify: SslVerifyMode,
}

impl Policy {
    fn of(host: &Host, ssl: &SslRef) -> Policy {
        Policy { host: host.digest, verify: ssl.verify_mode() }
    }
}

impl Connection {
    fn index() -> Result<Index<Ssl, Connection>, ErrorStack> {
        static INDEX: OnceLock<Index<Ssl, Connection>> = OnceLock::new();
        if let Some(index) = INDEX.get() {
            return Ok(*index);
        }
        let index = Ssl::new_ex_index()?;
        Ok(*INDEX.get_or_init(|| index))
    }

    fn of(ssl: &SslRef) -> Option<&Connection> {
        ssl.ex_data(Self::index().ok()?)
    }

    fn of_mut(ssl: &mut SslRef) -> &mut Connection {
        let index = Self::index().expect("install made the index");
        if ssl.ex_data(index).is_none() {
            let replaced = ffi::watch::<Connection>(ssl);
            ssl.set_ex_data(index, Connection { replaced, ..Connection::default() });
        }
        ssl.ex_data_mut(index).expect("it was set above")
    }
}

impl ffi::Watch for Connection {
    fn progress(ssl: &mut SslRef, progress: Progress) {
        match progress {
            Progress::HandshakeStart => {
                let connection = Connection::of_mut(ssl);
                (connection.kept, connection.resumed) = (None, None);
                (connection.ticket, connection.bound) = (None, None);
            }
            Progress::Step => settle(ssl),
            Progress::HandshakeDone => Connection::of_mut(ssl).kept = None,
            Progress::Alert { level, description } => {
                // In TLS 1.3 the level says nothing (RFC 8446, section 6).
                let error = is_tls13(ssl) && ![CLOSE_NOTIFY, USER_CANCELED].contains(&description);
                if level == FATAL || error {
                    forget_all(ssl);
                }
            }
        }
    }

    fn replaced(ssl: &SslRef) -> Option<InfoCallback> {
        Connection::of(ssl)?.replaced
    }
}

/// The client showed a ticket that we could decrypt, and that is bound to what it asks for.
pub(super) fn offered_ticket(ssl: &mut SslRef, bound: Context) {
    let policy = Host::of(ssl.ssl_context()).map(|host| Policy::of(host, ssl));
    let connection = Connection::of_mut(ssl);
    (connection.ticket, connection.bound) = (policy, Some(bound));
}

/// What a renewed ticket of TLS 1.2 is bound to: the same as the one before. OpenSSL knows the
/// server name of such a connection only if a servername callback had accepted it
/// (`SSL_get_servername(3)`).
pub(super) fn resumed_under(ssl: &SslRef) -> Option<Context> {
    let bound = Connection::of(ssl)?.bound;
    bound.filter(|_| ssl.session_reused() && !is_tls13(ssl))
}

/// The last look at a resumption before the ServerHello: a servername callback may have moved the
/// connection to another host, whose policy the session never met.
fn settle(ssl: &mut SslRef) {
    let now = Host::of(ssl.ssl_context()).map(|host| Policy::of(host, ssl));
    // Before OpenSSL gives the resumed session a new time.
    let session_expiry = ssl.session().map_or(Expiry::at(UNIX_EPOCH), der::expiry);
    let connection = Connection::of_mut(ssl);
    let ticket = connection.ticket.take();
    let resumed = connection.resumed.as_mut().filter(|resumed| !resumed.settled);
    let (then, expiry) = match (resumed, ticket) {
        (Some(resumed), _) => {
            resumed.settled = true;
            (resumed.policy, resumed.expiry)
        }
        (None, Some(policy)) => (policy, session_expiry),
        (None, None) => return,
    };

    if !ssl.session_reused() {
        return; // OpenSSL refused what it was given: a full handshake follows.
    }
    if now != Some(then) {
        forget_all(ssl);
        ffi::refuse(ssl);
    } else if is_tls13(ssl) {
        // The client is told what is left of the chain, not a lifetime that starts anew.
        // Not 0: OpenSSL reads that back as its default, and then finds that the ticket has grown.
        let remaining = expiry.remaining().as_secs().max(1);
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
        if let Some(session) = ssl.session() {
            ffi::set_session_timeout(session, remaining);
        }
    }
}

fn is_tls13(ssl: &SslRef) -> bool {
    ssl.version2() == Some(SslVersion::TLS1_3)
}

/// After a fatal alert no session of the connection may be resumed (RFC 5246, section 7.2.2; for
/// tickets RFC 8446, section 6).
fn forget_all(ssl: &mut SslRef) {
    let connection = Connection::of_mut(ssl);
    connection.kept = None;
    let resumed = connection.resumed.take().map(|resumed| resumed.entry);
    let entries = std::mem::take(&mut connection.issued).into_iter().chain(resumed);
    entries.for_each(Entry::forget);
}

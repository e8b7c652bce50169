//! What a ticket is bound to, whoever has its keys: the same that a session in the cache is found
//! under. It is written into the session that the ticket holds.

use std::time::Duration;

use openssl::ssl::{SslContextBuilder, SslRef, SslSessionRef};

use super::context::Host;
use super::ffi::ticket::{self, TicketBinding};
use super::{callbacks, der};
use crate::Context;
use crate::stats::Counter;

/// Has OpenSSL ask us about tickets (`SSL_CTX_set_session_ticket_cb(3)`).
pub(super) fn install(builder: &mut SslContextBuilder) {
    ticket::set_ticket_binding::<Binding>(builder);
}

struct Binding;

impl TicketBinding for Binding {
    fn binding(ssl: &mut SslRef) -> Option<Context> {
        callbacks::begin_life(ssl, ssl.session()?);
        if callbacks::is_stateful(ssl) {
            return None; // The ticket is an ID, and the cache knows what it is bound to.
        }
        let host = Host::of(ssl.ssl_context())?;
        Some(callbacks::resumed_under(ssl).unwrap_or_else(|| host.served_as(ssl)))
    }

    fn may_resume(ssl: &mut SslRef, session: &SslSessionRef, binding: &[u8]) -> bool {
        let Some(host) = Host::of(ssl.ssl_context()) else { return false };
        let asked_for = host.asked_for(ssl);
        let Some(context) = asked_for.filter(|context| context.as_bytes() == binding) else {
            host.cache.count(Counter::TicketsOtherContext);
            return false;
        };
        // The next ticket would get a whole second, and so might a client that comes each second.
        if der::expiry(session).remaining() < Duration::from_secs(1) {
            return false;
        }
        callbacks::offered_ticket(ssl, context);
        true
    }
}

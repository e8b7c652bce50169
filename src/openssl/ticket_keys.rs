//! Stateless tickets under the keys that all processes share: which key encrypts, which decrypts,
//! and when a client is given a new ticket.

use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use openssl::ssl::{SslContextBuilder, SslRef, SslVersion};

use super::context::Host;
use super::ffi::ticket::{self, Decision, TicketCrypto};
use crate::keyring::Ring;
use crate::session::now_secs;
use crate::stats::Counter;

/// Has OpenSSL ask us for ticket keys (`SSL_CTX_set_tlsext_ticket_key_evp_cb(3)`).
pub(super) fn install(builder: &mut SslContextBuilder) {
    ticket::set_ticket_keys::<SharedKeys>(builder);
}

struct SharedKeys;

impl ticket::TicketKeys for SharedKeys {
    /// A ticket is about to be made.
    fn encrypt(
        ssl: &mut SslRef,
        name: &mut [u8; 16],
        iv: &mut [u8; 16],
        mut crypto: TicketCrypto<'_>,
    ) -> Result<Decision, ErrorStack> {
        let Some((host, ring)) = keys(ssl) else { return Ok(Decision::Refuse) };
        let Some(key) = ring.keys.encrypting(now_secs()) else { return Ok(Decision::Refuse) };
        rand_bytes(iv)?;
        crypto.encrypt(key.cipher(), key.aes_key(), iv)?;
        crypto.authenticate(key.hmac_key())?;
        *name = *key.name();
        host.cache.count(Counter::TicketsIssued);
        Ok(Decision::Accept)
    }

    /// A client shows a ticket.
    fn decrypt(
        ssl: &mut SslRef,
        name: &[u8; 16],
        iv: &[u8; 16],
        mut crypto: TicketCrypto<'_>,
    ) -> Result<Decision, ErrorStack> {
        let Some((host, ring)) = keys(ssl) else { return Ok(Decision::Refuse) };
        let now = now_secs();
        let Some(key) = ring.keys.decrypting(name, now) else {
            host.cache.count(Counter::TicketsUnknownKey);
            return Ok(Decision::Refuse);
        };
        crypto.authenticate(key.hmac_key())?;
        crypto.decrypt(key.cipher(), key.aes_key(), iv)?;
        let is_current = ring.keys.encrypting(now).is_some_and(|k| k.name() == key.name());
        host.cache.count(if is_current {
            Counter::TicketsCurrentKey
        } else {
            Counter::TicketsOldKey
        });
        // A used TLS 1.3 ticket should not be used again (RFC 8446, appendix C.4), so the client
        // always gets another; before, it needs one only when the key is about to go.
        let is_tls13 = ssl.version2() == Some(SslVersion::TLS1_3);
        Ok(if is_tls13 || !is_current { Decision::AcceptAndRenew } else { Decision::Accept })
    }
}

/// The host that the connection is at, and the ring as this process has it: refreshed if the
/// epoch has moved.
fn keys(ssl: &SslRef) -> Option<(&Host, Arc<Ring>)> {
    let host = Host::of(ssl.ssl_context())?;
    Some((host, host.cache.keys().current()?))
}

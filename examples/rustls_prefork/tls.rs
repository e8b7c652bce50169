//! The server configs that are compared.

use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::{ServerConfig, SupportedProtocolVersion};
use shmtls::Cache;
use shmtls::rustls::{Config, Tickets, attach};

use crate::identity::Identity;

#[derive(Clone, Copy)]
pub(crate) enum Sharing {
    /// rustls as it comes: sessions in the memory of the process.
    OwnStore,
    /// Tickets as rustls makes them: with keys that it draws itself.
    OwnKeys,
    Shmtls(Tickets),
}

pub(crate) fn server(
    who: &Identity,
    version: &'static SupportedProtocolVersion,
    sharing: Sharing,
    cache: &Cache,
) -> Result<Arc<ServerConfig>, String> {
    let mut server = plain(who, &[version])?;
    match sharing {
        Sharing::OwnStore => {}
        Sharing::OwnKeys => {
            server.ticketer = Ticketer::new().map_err(|e| format!("no ticketer: {e}"))?;
        }
        Sharing::Shmtls(tickets) => share(&mut server, cache, tickets)?,
    }
    Ok(Arc::new(server))
}

pub(crate) fn plain(
    who: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, String> {
    let server = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
    server
        .with_single_cert(who.chain.clone(), who.key.clone_key())
        .map_err(|e| format!("cannot use this certificate with this key: {e}"))
}

/// The one call.
pub(crate) fn share(
    server: &mut ServerConfig,
    cache: &Cache,
    tickets: Tickets,
) -> Result<(), String> {
    attach(server, cache, &Config::new("localhost").tickets(tickets))
        .map_err(|e| format!("cannot attach the cache: {e}\nhint: {}", e.hint()))
}

//! The server contexts that are compared.

use openssl::error::ErrorStack;
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslOptions, SslVersion};
use shmtls::Cache;
use shmtls::openssl::{Config, Tickets, attach};

use crate::identity::Identity;

const EARLY_DATA_MAX: u32 = 1024;
/// `SSL_OP_NO_ANTI_REPLAY`, which the openssl crate does not name.
const NO_ANTI_REPLAY: SslOptions = SslOptions::from_bits_retain(1 << 24);

/// OpenSSL as it comes, with a session cache of its own.
pub(crate) fn own_cache(who: &Identity, version: SslVersion) -> Result<SslContext, String> {
    let mut builder = plain(who, version).map_err(failed)?;
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_session_id_context(b"localhost").map_err(failed)?;
    Ok(builder.build())
}

/// The same with one call more.
pub(crate) fn shared(
    who: &Identity,
    version: SslVersion,
    cache: &Cache,
) -> Result<SslContext, String> {
    let builder = plain(who, version).map_err(failed)?;
    attached(builder, cache)
}

/// OpenSSL as it comes, with a ticket key of its own.
pub(crate) fn own_key(who: &Identity, version: SslVersion) -> Result<SslContext, String> {
    let mut builder = plain(who, version).map_err(failed)?;
    builder.set_session_id_context(b"localhost").map_err(failed)?;
    Ok(builder.build())
}

/// The same with the keys that all workers share.
pub(crate) fn shared_keys(
    who: &Identity,
    version: SslVersion,
    cache: &Cache,
) -> Result<SslContext, String> {
    let mut builder = plain(who, version).map_err(failed)?;
    let config = Config::new("localhost").tickets(Tickets::SharedKeys);
    attach(&mut builder, cache, &config).map_err(|e| format!("cannot share ticket keys: {e}"))?;
    Ok(builder.build())
}

/// TLS 1.3 with early data.
pub(crate) fn shared_early(who: &Identity, cache: &Cache) -> Result<SslContext, String> {
    let mut builder = plain(who, SslVersion::TLS1_3).map_err(failed)?;
    builder.set_max_early_data(EARLY_DATA_MAX).map_err(failed)?;
    attached(builder, cache)
}

/// Stateless tickets under a key that all workers have, and early data: nobody can know that a
/// flight has been seen before. This is how nginx does it.
pub(crate) fn replayable(who: &Identity) -> Result<SslContext, String> {
    let mut builder = plain(who, SslVersion::TLS1_3).map_err(failed)?;
    builder.set_options(NO_ANTI_REPLAY);
    builder.set_session_id_context(b"localhost").map_err(failed)?;
    builder.set_max_early_data(EARLY_DATA_MAX).map_err(failed)?;
    Ok(builder.build())
}

fn attached(mut builder: SslContextBuilder, cache: &Cache) -> Result<SslContext, String> {
    attach(&mut builder, cache, &Config::new("localhost"))
        .map_err(|e| format!("cannot attach the cache: {e}"))?;
    Ok(builder.build())
}

fn plain(who: &Identity, version: SslVersion) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(version))?;
    builder.set_max_proto_version(Some(version))?;
    who.install(&mut builder)?;
    Ok(builder)
}

fn failed(e: ErrorStack) -> String {
    format!("cannot make a server context: {e}")
}

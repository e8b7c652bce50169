//! From the options to a TLS context.

use std::fs;
use std::path::Path;

use openssl::pkey::PKey;
use openssl::ssl::{SslContext, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use shmtls::Cache;
use shmtls::openssl::{Config, Tickets, attach};

use crate::identity::Identity;
use crate::options::{Options, Tls};

/// What the command line names, read once; each worker makes its context from it.
pub(crate) struct Setup<'a> {
    options: &'a Options,
    identity: Identity,
    client_authorities: Vec<X509>,
}

impl<'a> Setup<'a> {
    pub(crate) fn load(options: &'a Options) -> Result<Setup<'a>, String> {
        let identity = match &options.identity {
            Some((certificate, key)) => load_identity(certificate, key)?,
            None => Identity::self_made().map_err(|e| format!("cannot make a certificate: {e}"))?,
        };
        let client_authorities = options.client_ca.as_deref().map(load_certificates).transpose()?;
        let client_authorities = client_authorities.unwrap_or_default();
        Ok(Setup { options, identity, client_authorities })
    }

    /// A context of this process's own: what workers share is the cache.
    pub(crate) fn context(&self, cache: &Cache) -> Result<SslContext, String> {
        let failed = |e| format!("cannot make a TLS context: {e}");
        let mut builder = SslContext::builder(SslMethod::tls_server()).map_err(failed)?;
        let (min, max) = match self.options.tls {
            Tls::V1_2 => (SslVersion::TLS1_2, SslVersion::TLS1_2),
            Tls::V1_3 => (SslVersion::TLS1_3, SslVersion::TLS1_3),
            Tls::Both => (SslVersion::TLS1_2, SslVersion::TLS1_3),
        };
        builder.set_min_proto_version(Some(min)).map_err(failed)?;
        builder.set_max_proto_version(Some(max)).map_err(failed)?;
        self.identity
            .install(&mut builder)
            .map_err(|e| format!("cannot use this certificate with this key: {e}"))?;
        if self.options.client_ca.is_some() {
            builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
            for authority in &self.client_authorities {
                builder.add_client_ca(authority).map_err(failed)?;
                builder.cert_store_mut().add_cert(authority.clone()).map_err(failed)?;
            }
        }
        if self.options.early_data > 0 {
            builder.set_max_early_data(self.options.early_data).map_err(failed)?;
        }

        let tickets = if self.options.tickets { Tickets::SharedKeys } else { Tickets::Stateful };
        let mut config = Config::new(&self.options.context).tickets(tickets);
        if let Some(ttl) = self.options.ttl {
            config = config.lifetime(ttl);
        }
        attach(&mut builder, cache, &config).map_err(|e| {
            let hint = e.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            format!("cannot share sessions: {e}{hint}")
        })?;
        Ok(builder.build())
    }
}

fn load_identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let mut chain = load_certificates(certificate)?;
    // A passphrase is given so that OpenSSL never asks the terminal for one.
    let key = PKey::private_key_from_pem_passphrase(&read(key)?, b"")
        .map_err(|e| format!("no private key without a passphrase in {}: {e}", key.display()))?;
    Ok(Identity { certificate: chain.remove(0), chain, key })
}

/// One certificate at least.
fn load_certificates(path: &Path) -> Result<Vec<X509>, String> {
    match X509::stack_from_pem(&read(path)?) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("no certificate in {}", path.display())),
        Err(e) => Err(format!("cannot read the certificates in {}: {e}", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

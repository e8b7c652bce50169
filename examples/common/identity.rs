//! A server's certificate and key.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::x509::X509;
use openssl::x509::extension::BasicConstraints;

use crate::certificate;

pub(crate) struct Identity {
    pub(crate) certificate: X509,
    /// Intermediate certificates, in the order in which they are sent.
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
}

impl Identity {
    /// For a server that was given none: its own authority, so that clients can be told to trust
    /// it.
    pub(crate) fn self_made() -> Result<Identity, ErrorStack> {
        let (certificate, key) = certificate::self_made(BasicConstraints::new().critical().ca())?;
        Ok(Identity { certificate, chain: Vec::new(), key })
    }

    pub(crate) fn install(&self, builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        builder.set_certificate(&self.certificate)?;
        for intermediate in &self.chain {
            builder.add_extra_chain_cert(intermediate.clone())?;
        }
        builder.set_private_key(&self.key)?;
        builder.check_private_key()
    }
}

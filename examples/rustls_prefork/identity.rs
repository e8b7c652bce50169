//! A server's certificate and key, as rustls wants them.

use openssl::error::ErrorStack;
use openssl::x509::extension::BasicConstraints;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::certificate;

pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// For a server that was given none. Not an authority: rustls takes no authority for a server.
    pub(crate) fn self_made() -> Result<Identity, ErrorStack> {
        let (certificate, key) = certificate::self_made(BasicConstraints::new().critical())?;
        Ok(Identity {
            chain: vec![CertificateDer::from(certificate.to_der()?)],
            key: PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8()?).into(),
        })
    }

    /// For clients that trust this server and no other.
    pub(crate) fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.chain[0].clone())?;
        Ok(roots)
    }
}

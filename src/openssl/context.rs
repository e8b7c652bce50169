//! Which sessions a connection may resume: the digest of a virtual host, and the key context of
//! one connection to it.

use std::sync::OnceLock;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::hash::MessageDigest;
use openssl::sha::Sha256;
use openssl::ssl::{NameType, SslContext, SslContextBuilder, SslContextRef, SslRef, SslVerifyMode};
use openssl::x509::X509;
use openssl::x509::store::X509StoreRef;

use super::ffi;
use crate::{Cache, Context};

/// What [`attach`](super::attach) leaves in an `SSL_CTX`. The one of the context that a
/// connection uses *now* counts, not the one that it was accepted with.
pub(super) struct Host {
    /// With the origin `Handshake`.
    pub(super) cache: Cache,
    pub(super) digest: [u8; 32],
    pub(super) lifetime: Duration,
    pub(super) reuse_tls13: bool,
}

impl Host {
    pub(super) fn index() -> Result<Index<SslContext, Host>, ErrorStack> {
        static INDEX: OnceLock<Index<SslContext, Host>> = OnceLock::new();
        if let Some(index) = INDEX.get() {
            return Ok(*index);
        }
        // Of two threads that come here at once, one wastes an index.
        let index = SslContext::new_ex_index()?;
        Ok(*INDEX.get_or_init(|| index))
    }

    pub(super) fn of(ctx: &SslContextRef) -> Option<&Host> {
        ctx.ex_data(Self::index().ok()?)
    }

    /// The key context of a connection to this host.
    fn context(&self, verify: SslVerifyMode, server_name: Option<&[u8]>) -> Context {
        let mut hash = Sha256::new();
        hash.update(b"shmtls openssl connection 1\0");
        hash.update(&self.digest);
        hash.update(&verify.bits().to_be_bytes());
        // A host name is case-insensitive ASCII (RFC 6066, section 3).
        hash.update(&server_name.unwrap_or_default().to_ascii_lowercase());
        Context::from_digest(&hash.finish())
    }

    /// In the get callback, where only the raw ClientHello knows the server name.
    ///
    /// `None` is a malformed extension: OpenSSL fails the handshake when it comes to it.
    pub(super) fn asked_for(&self, ssl: &SslRef) -> Option<Context> {
        let extension = ffi::client_hello_server_name(ssl);
        let name = match extension.as_deref() {
            Some(body) => Some(server_name(body)?),
            None => None,
        };
        Some(self.context(ssl.verify_mode(), name))
    }

    /// In the new callback, once OpenSSL has read the server name.
    pub(super) fn served_as(&self, ssl: &SslRef) -> Context {
        self.context(ssl.verify_mode(), ssl.servername_raw(NameType::HOST_NAME))
    }
}

/// The context under which connections to a virtual host store and look up their sessions, for
/// calls such as [`session_insert`](super::session_insert).
///
/// `server_name` is the name that clients send (SNI), in any case; `None` stands for clients that
/// send none. The connections are taken to verify client certificates as `ctx` says: one on which
/// `SSL_set_verify` changed that has a context of its own, which hooks see in
/// [`Event::context`](crate::Event::context).
///
/// Returns `None` for a context without [`attach`](super::attach).
///
/// ```
/// # use openssl::{pkey::PKey, ssl::{SslContext, SslMethod}, x509::X509};
/// # let curve = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1)?;
/// # let key = PKey::from_ec_key(openssl::ec::EcKey::generate(&curve)?)?;
/// # let mut certificate = X509::builder()?;
/// # certificate.set_pubkey(&key)?;
/// # certificate.sign(&key, openssl::hash::MessageDigest::sha256())?;
/// # let certificate = certificate.build();
/// use shmtls::openssl::{Config, attach, context};
///
/// let cache = shmtls::Options::new().create_memfd()?;
/// let mut builder = SslContext::builder(SslMethod::tls_server())?;
/// builder.set_certificate(&certificate)?;
/// builder.set_private_key(&key)?;
/// attach(&mut builder, &cache, &Config::new("www"))?;
/// let ctx = builder.build();
///
/// assert_eq!(context(&ctx, Some("a.example")), context(&ctx, Some("A.Example")));
/// assert_ne!(context(&ctx, Some("a.example")), context(&ctx, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn context(ctx: &SslContextRef, server_name: Option<&str>) -> Option<Context> {
    Some(Host::of(ctx)?.context(ctx.verify_mode(), server_name.map(str::as_bytes)))
}

/// Everything that decides whether a session made here may be resumed here: the host's name, its
/// certificates, and whom it trusts to sign client certificates.
pub(super) fn digest(
    builder: &SslContextBuilder,
    name: &[u8],
    certificates: &[X509],
) -> Result<[u8; 32], ErrorStack> {
    let ctx = ffi::context(builder);
    let mut hash = Sha256::new();
    hash.update(b"shmtls openssl host 1\0");
    field(&mut hash, name);
    list(&mut hash, &fingerprints(certificates.iter())?);
    hash.update(&ctx.verify_mode().bits().to_be_bytes());
    let names = ffi::client_ca_names(builder).into_iter().flatten().map(|name| name.to_der());
    list(&mut hash, &names.collect::<Result<Vec<_>, _>>()?);
    list(&mut hash, &trusted(ctx.cert_store())?);
    if let Some(store) = ffi::verify_store(builder) {
        list(&mut hash, &trusted(store)?);
    }
    Ok(hash.finish())
}

/// OpenSSL sorts its store when it likes to.
fn trusted(store: &X509StoreRef) -> Result<Vec<Vec<u8>>, ErrorStack> {
    let mut trusted = fingerprints(store.all_certificates().iter())?;
    trusted.sort_unstable();
    Ok(trusted)
}

fn fingerprints<C: AsRef<openssl::x509::X509Ref>>(
    certificates: impl Iterator<Item = C>,
) -> Result<Vec<Vec<u8>>, ErrorStack> {
    let sha256 = MessageDigest::sha256();
    certificates.map(|c| c.as_ref().digest(sha256).map(|digest| digest.to_vec())).collect()
}

fn list(hash: &mut Sha256, items: &[Vec<u8>]) {
    hash.update(&(items.len() as u64).to_be_bytes());
    items.iter().for_each(|item| field(hash, item));
}

fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

/// The one name in the body of a server_name extension (RFC 6066, section 3). As OpenSSL does it:
/// one entry, of type host_name, and nothing after it.
fn server_name(body: &[u8]) -> Option<&[u8]> {
    let (list_len, list) = body.split_first_chunk::<2>()?;
    let (&[kind, high, low], name) = list.split_first_chunk::<3>()?;
    let whole = usize::from(u16::from_be_bytes(*list_len)) == list.len()
        && usize::from(u16::from_be_bytes([high, low])) == name.len();
    (kind == 0 && whole).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::server_name;

    #[test]
    fn a_server_name_extension_has_one_whole_host_name() {
        assert_eq!(server_name(b"\0\x06\0\0\x03abc"), Some(&b"abc"[..]));
        assert_eq!(server_name(b"\0\x03\0\0\0"), Some(&b""[..]));
        let malformed: [&[u8]; 7] = [
            b"",
            b"\0",
            b"\0\0",
            b"\0\x06\x01\0\x03abc",          // not a host name
            b"\0\x06\0\0\x02abc",            // a byte too many in the entry
            b"\0\x06\0\0\x04abc",            // a byte too few
            b"\0\x0c\0\0\x03abc\0\0\x03abc", // two names
        ];
        assert_eq!(malformed.map(server_name), [None; 7]);
    }
}

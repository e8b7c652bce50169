//! Ticket keys in other programs' formats. The caller names the format: the same 48 bytes are
//! different keys to nginx and to Apache, and the same 80 to nginx and to HAProxy.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::engine::general_purpose::STANDARD;
use base64::{Engine, decoded_len_estimate};
use zeroize::Zeroizing;

use crate::session::Expiry;
use crate::ticket_key::{KeyError, TicketCipher, TicketKey};

/// Whose key file it is.
///
/// | format | file | one key |
/// |---|---|---|
/// | `Ats48` | N x 48 bytes, newest first | name 16, HMAC 16, AES 16 |
/// | `Apache48` | 48 bytes | name 16, HMAC 16, AES 16 |
/// | `Nginx48` | 48 bytes, a file per key | name 16, AES 16, HMAC 16 |
/// | `Nginx80` | 80 bytes, a file per key | name 16, HMAC 32, AES 32 |
/// | `Haproxy48` | lines of base64, at least 3 | name 16, AES 16, HMAC 16 |
/// | `Haproxy80` | lines of base64, at least 3 | name 16, AES 32, HMAC 32 |
///
/// In HAProxy's files the last line but one encrypts, the last is the next to do so, and only the
/// last three decrypt, so a key is rotated by adding a line; in all others the first key encrypts.
///
/// ```
/// use shmtls::KeyFormat;
/// let keys = KeyFormat::Nginx48.parse(&[7; 48])?;
/// assert_eq!(keys.len(), 1);
/// assert!(KeyFormat::Nginx80.parse(&[7; 48]).is_err());
/// assert_eq!("haproxy80".parse(), Ok(KeyFormat::Haproxy80));
/// # Ok::<(), shmtls::KeyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyFormat {
    /// Apache Traffic Server, and `TSSslTicketKeyUpdate`.
    Ats48,
    /// Apache httpd's `SSLSessionTicketKeyFile`.
    Apache48,
    /// nginx's `ssl_session_ticket_key`, 48 bytes.
    Nginx48,
    /// nginx's `ssl_session_ticket_key`, 80 bytes.
    Nginx80,
    /// HAProxy's `tls-ticket-keys`, 48 bytes.
    Haproxy48,
    /// HAProxy's `tls-ticket-keys`, 80 bytes.
    Haproxy80,
}

impl KeyFormat {
    /// All formats, by the name that [`str::parse`] takes.
    pub const ALL: [(&str, Self); 6] = [
        ("ats48", Self::Ats48),
        ("apache48", Self::Apache48),
        ("nginx48", Self::Nginx48),
        ("nginx80", Self::Nginx80),
        ("haproxy48", Self::Haproxy48),
        ("haproxy80", Self::Haproxy80),
    ];

    /// The keys in one file's bytes, in the order of a ring: the newest first.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for bytes that are not of this format, and for all-zero keys.
    pub fn parse(self, bytes: &[u8]) -> Result<Vec<TicketKey>, KeyError> {
        match self {
            Self::Ats48 => self.parse_raw(bytes, usize::MAX),
            Self::Apache48 | Self::Nginx48 | Self::Nginx80 => self.parse_raw(bytes, 1),
            Self::Haproxy48 | Self::Haproxy80 => self.parse_lines(bytes),
        }
    }

    /// Bytes of one key.
    pub fn key_len(self) -> usize {
        NAME_LEN + 2 * self.cipher().key_len()
    }

    fn cipher(self) -> TicketCipher {
        match self {
            Self::Ats48 | Self::Apache48 | Self::Nginx48 | Self::Haproxy48 => TicketCipher::Aes128,
            Self::Nginx80 | Self::Haproxy80 => TicketCipher::Aes256,
        }
    }

    fn is_hmac_first(self) -> bool {
        match self {
            Self::Ats48 | Self::Apache48 | Self::Nginx80 => true,
            Self::Nginx48 | Self::Haproxy48 | Self::Haproxy80 => false,
        }
    }

    fn parse_raw(self, bytes: &[u8], most: usize) -> Result<Vec<TicketKey>, KeyError> {
        let unit = self.key_len();
        let count = bytes.len() / unit;
        if bytes.is_empty() || !bytes.len().is_multiple_of(unit) || count > most {
            return Err(KeyError::Length { found: bytes.len(), unit });
        }
        bytes.chunks_exact(unit).map(|key| self.key(key)).collect()
    }

    /// Oldest line first; the last but one encrypts, the last has yet to, and those before the last
    /// three have had their time.
    fn parse_lines(self, bytes: &[u8]) -> Result<Vec<TicketKey>, KeyError> {
        let mut keys = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if !line.is_empty() {
                keys.push(self.line(index + 1, line)?);
            }
        }
        if keys.len() < HAPROXY_KEYS {
            let found = format!("{} keys", keys.len());
            let expected = "at least 3 lines, as HAProxy does";
            return Err(KeyError::Format { line: keys.len() + 1, found, expected });
        }
        keys.reverse();
        keys.truncate(HAPROXY_KEYS);
        let never = Expiry::from_unix(u32::MAX - 1);
        let next = keys.remove(0).not_before(never);
        keys.insert(0, next);
        Ok(keys)
    }

    fn line(self, line: usize, text: &[u8]) -> Result<TicketKey, KeyError> {
        // Whole or not, what was decoded is wiped.
        let mut key = Zeroizing::new(vec![0; decoded_len_estimate(text.len())]);
        let len = STANDARD.decode_slice(text, &mut key).map_err(|_| KeyError::Format {
            line,
            found: format!("{} characters that are no base64", text.len()),
            expected: "one key in base64",
        })?;
        let key = &key[..len];
        if key.len() != self.key_len() {
            let expected = match self.cipher() {
                TicketCipher::Aes128 => "48 bytes in base64",
                TicketCipher::Aes256 => "80 bytes in base64",
            };
            let found = format!("{} bytes", key.len());
            return Err(KeyError::Format { line, found, expected });
        }
        self.key(key)
    }

    /// One key of exactly `key_len` bytes.
    fn key(self, bytes: &[u8]) -> Result<TicketKey, KeyError> {
        let (name, keys) = bytes.split_first_chunk::<NAME_LEN>().expect("the length was checked");
        let (first, second) = keys.split_at(keys.len() / 2);
        let (hmac, aes) = if self.is_hmac_first() { (first, second) } else { (second, first) };
        TicketKey::new(self.cipher(), *name, hmac, aes)
    }
}

impl std::str::FromStr for KeyFormat {
    type Err = UnknownKeyFormat;

    fn from_str(name: &str) -> Result<Self, UnknownKeyFormat> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, format)| *format).ok_or_else(|| UnknownKeyFormat { name: name.into() })
    }
}

/// A format name that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown key format {name:?}, expected one of ats48, apache48, nginx48, nginx80, haproxy48, \
     haproxy80"
)]
pub struct UnknownKeyFormat {
    /// The name given.
    pub name: String,
}

/// Key files to be read again when they change.
///
/// ```no_run
/// use shmtls::{KeyFiles, KeyFormat};
/// let cache = shmtls::Cache::attach("web")?;
/// let mut files = KeyFiles::new(KeyFormat::Nginx80, ["current.key", "previous.key"]);
/// cache.keys().load(&mut files)?;
/// // Later, from a timer or on SIGHUP:
/// if files.have_changed() {
///     cache.keys().load(&mut files)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyFiles {
    format: KeyFormat,
    paths: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

/// What tells one version of a file from another: its inode, the time of its last change of any
/// kind, to the nanosecond, and its length. Not the time of the last write: copies keep it.
type Stamp = (u64, i64, i64, u64);

impl KeyFiles {
    /// Files of one format. The first key of the first file encrypts, except for HAProxy's.
    pub fn new(format: KeyFormat, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        Self { format, seen: vec![None; paths.len()], paths }
    }

    /// Whether a file has been changed or replaced since its keys were last taken over.
    pub fn have_changed(&self) -> bool {
        self.paths.iter().zip(&self.seen).any(|(path, seen)| stamp(path) != *seen)
    }

    /// The keys of all files.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; then the files still count as changed.
    pub fn read(&mut self) -> Result<Vec<TicketKey>, KeyError> {
        let mut keys = Vec::new();
        let mut seen = Vec::new();
        for path in &self.paths {
            seen.push(stamp(path));
            let io = |source| KeyError::Io { path: path.clone(), source };
            let bytes = read_bounded(path).map_err(io)?;
            keys.extend(self.format.parse(&bytes)?);
        }
        self.seen = seen;
        Ok(keys)
    }

    /// What was read was of no use: it is to be read again.
    pub(crate) fn forget(&mut self) {
        self.seen.fill(None);
    }
}

/// A key file's bytes. Not of any length: /dev/zero is a file too.
fn read_bounded(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let limit = FILE_MAX + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    fs::File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_MAX {
        let text = format!("found more than {FILE_MAX} bytes, expected ticket keys");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.len()))
}

const NAME_LEN: usize = 16;
/// Bytes of the longest file: some 600 lines of HAProxy's, a new key each day for more than a year.
const FILE_MAX: usize = 64 << 10;
/// HAProxy's TLS_TICKETS_NO: so many lines there must be, and so many are used.
const HAPROXY_KEYS: usize = 3;

#[cfg(test)]
mod tests;

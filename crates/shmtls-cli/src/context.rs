//! How users name contexts: as tools show them, by a digest, or by a name of the server's.

use shmtls::Context;

use crate::output::note;

/// The contexts that a user means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All that start so: what tools show of one.
    Start(u32),
    Whole(Context),
}

impl Wanted {
    /// 8 hex digits as tools show them, the 16 of a whole context, the 32 or 64 of a digest, else a
    /// name.
    pub(crate) fn parse(text: &str) -> Self {
        if !matches!(text.len(), 8 | 16 | 32 | 64) || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Self::Whole(Context::named(text));
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..text.len()).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
        }
        let context = Context::from_digest(&digest);
        if text.len() == 8 { Self::Start(context.start()) } else { Self::Whole(context) }
    }

    pub(crate) fn is(self, context: &Context) -> bool {
        match self {
            Self::Start(start) => context.start() == start,
            Self::Whole(whole) => *context == whole,
        }
    }
}

/// `9f31c0aa`.
pub(crate) fn shown(start: u32) -> String {
    format!("{start:08x}")
}

/// For who names a host where an adapter has made the context.
pub(crate) fn note_that_none_has(text: &str) {
    note(&format!(
        "no session has the context '{text}': `shmtls ls` shows those that there are. \
         openssl::attach and rustls::attach make their own from certificates and policy, so the \
         name of a host is none"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_context_is_a_name_or_a_digest() {
        let bytes: [u8; 32] = std::array::from_fn(|at| at as u8 * 7);
        let hex = hex(&bytes);
        let digest = Wanted::Whole(Context::from_digest(&bytes));
        let named = |name: &str| Wanted::Whole(Context::named(name));
        assert_eq!(Wanted::parse(&hex), digest);
        assert_eq!(Wanted::parse(&hex[..32].to_uppercase()), digest);
        assert_eq!(Wanted::parse(&hex[..16]), digest);
        assert_eq!(Wanted::parse(&hex[..30]), named(&hex[..30]));
        // Not as tools show it, so it is a name.
        for name in ["example.org", "+1234567", "abc", &"é".repeat(16)] {
            assert_eq!(Wanted::parse(name), named(name));
        }
    }

    #[test]
    fn what_is_shown_is_understood() {
        let context = Context::named("example.org");
        let start = shown(context.start());
        for text in ["example.org", &start, &start.to_uppercase(), &hex(context.as_bytes())] {
            assert!(Wanted::parse(text).is(&context), "{text}");
            assert!(!Wanted::parse(text).is(&Context::named("example.net")), "{text}");
        }
    }
}

//! How users name contexts: by the server's name, or by what tools show of them.

use shmtls::Context;

/// A digest in 32 or 64 hex digits if it can be one, else a name.
pub(crate) fn parse(text: &str) -> Context {
    let mut digest = [0; 32];
    if !matches!(text.len(), 32 | 64) || !is_hex(text) {
        return Context::named(text);
    }
    for (byte, at) in digest.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    }
    Context::from_digest(&digest)
}

/// The first four bytes: 8 hex digits as tools show them, or those of what [`parse`] says.
pub(crate) fn parse_start(text: &str) -> u32 {
    let shown = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8 && is_hex(text));
    shown.unwrap_or_else(|| parse(text).start())
}

/// `9f31c0aa`.
pub(crate) fn shown(start: u32) -> String {
    format!("{start:08x}")
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_a_name_or_a_digest() {
        let bytes: [u8; 32] = std::array::from_fn(|at| at as u8 * 7);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(parse(&hex), Context::from_digest(&bytes));
        assert_eq!(parse(&hex[..32].to_uppercase()), Context::from_digest(&bytes));
        assert_eq!(parse(&hex[..30]), Context::named(&hex[..30]));
        assert_eq!(parse("example.org"), Context::named("example.org"));
        // Sixteen letters of two bytes each.
        assert_eq!(parse(&"é".repeat(16)), Context::named(&"é".repeat(16)));
    }

    #[test]
    fn what_is_shown_is_understood() {
        let context = Context::named("example.org");
        for text in ["example.org", &shown(context.start()), &format!("{:08X}", context.start())] {
            assert_eq!(parse_start(text), context.start(), "{text}");
        }
        // Not as tools show it, so it is a name.
        assert_eq!(parse_start("+1234567"), Context::named("+1234567").start());
        assert_eq!(parse_start("abc"), Context::named("abc").start());
    }
}

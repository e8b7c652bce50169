//! TLS and DTLS versions in six bits.

/// A version as a record has it: its place in [`VERSIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(u8);

/// Versions as on the wire, by code. Codes are part of the layout: they are added, never changed.
const VERSIONS: [u16; 9] = [0, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0xfeff, 0xfefd, 0xfefc];

impl Code {
    /// The code of a version; that of 0, "not known", for one that has none.
    pub(super) fn of(version: u16) -> Self {
        let code = VERSIONS.iter().position(|known| *known == version);
        Self(code.unwrap_or(0) as u8)
    }

    /// The lower six bits.
    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits & 0x3f)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// As on the wire; 0 where it is not known.
    pub(super) fn version(self) -> u16 {
        VERSIONS.get(usize::from(self.0)).copied().unwrap_or(0)
    }
}

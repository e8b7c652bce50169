//! What a lookup copied, and what it was to copy.

use std::time::Duration;

use super::*;
use crate::geometry::{Plan, Size};
use crate::record::Staged;
use crate::session::{Context, Expiry, NewSession, SessionId};

const EXPIRY: u32 = 2_000_000;

fn geometry() -> Geometry {
    let (size, lifetime) = (Size::Bytes(1 << 20), Duration::from_secs(3600));
    let (members, events) = (1, 0);
    let plan =
        Plan { size, max_session: 10 << 10, members, events, lifetime, seed: 42, sealing: 0 };
    Geometry::plan(&plan).expect("a valid plan")
}

fn key(context: &str, id: &[u8]) -> Key {
    Key { context: Context::named(context), id: SessionId::new(id).expect("1 to 32 bytes") }
}

fn stage(key: &Key, bytes: &[u8], expiry: u32) -> Staged {
    let session = NewSession::new(bytes, Expiry::from_unix(expiry));
    record::encode(geometry().seed, key, &session, 1, EXPIRY - 100, None).expect("no seal")
}

/// What a lookup of `wanted` makes of the bytes of `copied`.
fn outcome(wanted: (&Key, &Staged), copied: Staged) -> Result<Session, Miss> {
    let (key, staged) = wanted;
    let found = Copied { head: staged.head, library: Library::Raw, taken: false };
    found.into_session(copied.bytes, key, (geometry().seed, None), 1)
}

/// Somebody wrote a zero to a lock that was held. The next owner moved another session to where the
/// first had just found its own, and that got the other's bytes, whole and with a right check.
#[test]
fn a_record_that_is_not_the_one_that_was_found_is_damaged() {
    let (mine, bytes) = (key("a", b"mine"), b"bytes of mine");
    let wanted = stage(&mine, bytes, EXPIRY);
    let same = outcome((&mine, &wanted), stage(&mine, bytes, EXPIRY));
    assert_eq!(same.expect("the very record").bytes(), bytes);

    let others = [
        stage(&key("a", b"your"), bytes, EXPIRY),
        stage(&key("a", b"mine\0"), bytes, EXPIRY),
        stage(&key("b", b"mine"), bytes, EXPIRY),
        // As many words, another length; and another end.
        stage(&mine, b"bytes of min", EXPIRY),
        stage(&mine, bytes, EXPIRY + 1),
    ];
    for other in others {
        assert_eq!(outcome((&mine, &wanted), other).err(), Some(Miss::Damaged));
    }
}

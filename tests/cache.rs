//! The contracts of the operations, in one process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use shmtls::{
    Cache, Context, EventKind, Expiry, Inserted, Library, Lookup, Miss, NewSession, Options,
    Origin, Removal, SessionId, Stored,
};

fn small() -> Cache {
    Options::new().size(1 << 20).processes(4).create_memfd().expect("a memfd segment")
}

fn id(n: u64) -> SessionId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    SessionId::new(&bytes).expect("32 bytes")
}

fn ctx() -> Context {
    Context::named("example.org")
}

fn soon() -> Expiry {
    Expiry::after(Duration::from_secs(60))
}

#[test]
fn insert_get_take_remove() {
    let cache = small();
    assert_eq!(cache.insert(&ctx(), &id(1), b"one", soon()), Inserted::New);
    assert_eq!(cache.insert(&ctx(), &id(1), b"one", soon()), Inserted::Unchanged);
    assert_eq!(cache.insert(&ctx(), &id(1), b"uno", soon()), Inserted::Replaced);
    assert_eq!(cache.len(), 1);
    let mut buf = [0; 8];
    assert_eq!(cache.get(&ctx(), &id(1), &mut buf), Ok(3));
    assert_eq!(&buf[..3], b"uno");
    assert_eq!(cache.take(&ctx(), &id(1)).expect("there").bytes(), b"uno");
    assert_eq!(cache.take(&ctx(), &id(1)).unwrap_err(), Miss::Absent);
    assert_eq!(cache.remove(&ctx(), &id(1)), Ok(false));
    assert!(cache.insert(&ctx(), &id(1), b"", soon()).is_stored());
    assert_eq!(cache.get_session(&ctx(), &id(1)).expect("there").bytes(), b"");
    assert_eq!(cache.remove(&ctx(), &id(1)), Ok(true));
    assert!(cache.is_empty());
}

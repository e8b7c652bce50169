//! One TLS session cache for all worker processes on a Linux machine.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod backing;
mod bucket;
mod cache;
mod error;
mod geometry;
mod hash;
mod hook;
mod inspect;
mod layout;
mod lookup;
mod members;
mod miss;
mod options;
mod order;
mod record;
mod repair;
mod robust;
mod segment;
mod session;
mod snapshot;
mod stats;
mod sys;
mod step;
mod words;

#[cfg(feature = "openssl")]
pub mod openssl;

pub use cache::Cache;
pub use error::{AttachError, CreateError, OpenError, OptionsError};
pub use hook::{Event, EventKind, HookId, Lookup, Origin, Removal, Stored};
pub use inspect::Inspector;
pub use members::ProcessInfo;
pub use miss::{Busy, Inserted, Miss, Purged};
pub use options::Options;
pub use session::{Context, Expiry, InvalidSessionId, Library, NewSession, Session, SessionId};
pub use snapshot::EntryInfo;
pub use stats::Stats;

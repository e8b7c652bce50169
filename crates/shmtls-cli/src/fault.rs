//! A read of a segment that met the end of its file.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::thread;

/// The handler of the signal sets it, in the thread that reads: if the file has grown again
/// meanwhile, so that the read goes on, who read can know.
static FAULTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// To be set by the handler.
pub(crate) fn flag() -> Arc<AtomicBool> {
    FAULTED.clone()
}

/// Stays here if there was one: what was read is not shown, and another thread is about to end the
/// tool, or to begin it anew.
pub(crate) fn stay_if_any() {
    while FAULTED.load(SeqCst) {
        thread::park();
    }
}

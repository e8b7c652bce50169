//! What `stores/httpd.c` calls in a child of httpd: a worker like the others, but for the door at
//! which it gets its orders.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::io::BufReader;
use std::os::unix::net::UnixStream;

use crate::fault::Fault;
use crate::stores::{Cache, Httpd};
use crate::worker;

/// Works until the run is over; 0 if nothing went wrong.
///
/// # Safety
///
/// `door` is a string, and `cache` is one whose functions keep to `stores/httpd.c`; both stay as
/// they are for as long as this process lives.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn shmtls_bench_peers_work(
    door: *const c_char,
    cache: *const Cache,
) -> c_int {
    // SAFETY: a string, as the caller promises.
    let door = unsafe { CStr::from_ptr(door) };
    // SAFETY: valid and unchanged for the rest of the process, as the caller promises.
    let cache: &'static Cache = unsafe { &*cache };
    match work(door, cache) {
        Ok(()) => 0,
        Err(fault) => {
            eprintln!("a child: {fault}");
            1
        }
    }
}

fn work(door: &CStr, cache: &'static Cache) -> Result<(), Fault> {
    let stream = UnixStream::connect(door.to_str()?)?;
    let orders = BufReader::new(stream.try_clone()?);
    worker::serve(orders, stream, |_| Ok(vec![Box::new(Httpd::new(cache))]))
}

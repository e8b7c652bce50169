//! What huge pages are worth to whoever makes a segment, and to each worker that attaches. What they
//! are worth to a lookup, `shmtls bench contention --lines robust,small` says round by round.

use criterion::Criterion;
use nix::sys::prctl::set_thp_disable;
use shmtls::{Cache, Options};

use crate::sessions::unless_test;

pub(crate) fn groups(c: &mut Criterion) {
    for mib in [32, 512] {
        let mut group = c.benchmark_group(format!("pages, {mib} MiB"));
        group.sample_size(10);
        for (kind, huge) in [("small", false), ("huge", true)] {
            let cache = created(huge, mib);
            let fd = || cache.fd().try_clone_to_owned().expect("a descriptor");
            group.bench_function(format!("create, {kind}"), |b| b.iter(|| created(huge, mib)));
            group.bench_function(format!("attach, {kind}"), |b| {
                b.iter(|| Options::new().attach_fd(fd()).expect("it was made just now"));
            });
        }
        group.finish();
    }
}

/// The kernel makes no huge pages for a process that does not want any.
fn created(huge: bool, mib: u64) -> Cache {
    set_thp_disable(!huge).expect("Linux 3.15");
    let cache = Options::new().size(unless_test(mib).max(4) << 20).create_memfd();
    set_thp_disable(false).expect("Linux 3.15");
    cache.expect("a segment")
}

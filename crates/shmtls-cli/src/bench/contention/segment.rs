//! The segment of a burst: so many buckets, in huge pages or in small ones.

use std::io;

use nix::sys::prctl::{get_thp_disable, set_thp_disable};
use shmtls::{Cache, Inspector, Options};

use super::arena::WORKERS_MAX;
use super::plan::Lock;
use crate::failure::{Failure, chain};

/// A segment of so many buckets, as that line wants it.
pub(super) fn create(lock: Lock, buckets: u32) -> Result<Cache, Failure> {
    match lock {
        Lock::Small => in_small_pages(|| of_buckets(buckets)),
        _ => of_buckets(buckets),
    }
}

fn of_buckets(buckets: u32) -> Result<Cache, Failure> {
    let options = Options::new().processes(2 * WORKERS_MAX as u32);
    let create =
        |options: Options| options.create_memfd().map_err(|error| Failure::of_create(&error));
    // What is no bucket takes the same room in any segment of these options.
    let probe = create(Options::size(options.clone(), PROBE_BYTES))?;
    let info = inspect(&probe).map_err(failed)?.info();
    let bucket = info.bucket_bytes() as u64;
    let rest = probe.segment_bytes() - info.buckets() as u64 * bucket;
    create(options.size(rest + u64::from(buckets) * bucket))
}

const PROBE_BYTES: u64 = 4 << 20;

/// The kernel makes no huge pages for a process that does not want any.
fn in_small_pages<R>(create: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    let wanted_none = get_thp_disable().map_err(|errno| failed(errno.into()))?;
    set_thp_disable(true).map_err(|errno| failed(errno.into()))?;
    let created = create();
    // What it spawns inherits this.
    set_thp_disable(wanted_none).map_err(|errno| failed(errno.into()))?;
    created
}

pub(super) fn inspect(cache: &Cache) -> io::Result<Inspector> {
    let inspector = Options::new().inspect_fd(cache.fd().try_clone_to_owned()?);
    inspector.map_err(|error| io::Error::other(chain(&error)))
}

pub(super) fn failed(error: io::Error) -> Failure {
    Failure::cannot_open(format!("the benchmark: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// What is mapped of it in huge pages (proc_pid_smaps(5)).
    fn huge_kilobytes(cache: &Cache) -> u64 {
        let file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
        let inode = file.metadata().expect("it is open").ino().to_string();
        let smaps = fs::read_to_string("/proc/self/smaps").expect("proc");
        let (mut is_ours, mut sum) = (false, 0);
        for line in smaps.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["ShmemPmdMapped:", number, "kB"] if is_ours => {
                    sum += number.parse::<u64>().expect("a number");
                }
                [_, _, _, _, of, ..] => is_ours = of == inode,
                _ => {}
            }
        }
        sum
    }

    /// One test, as the setting is the whole process's. Where the kernel has no huge pages to give,
    /// the other segment has none either.
    #[test]
    fn one_line_only_has_small_pages() {
        let forbidden = || get_thp_disable().expect("Linux 3.15");
        let before = forbidden();
        let small = create(Lock::Small, 256).expect("memory");
        assert_eq!((huge_kilobytes(&small), forbidden()), (0, before));
        assert!(in_small_pages(|| Ok(forbidden())).expect("prctl"));
        assert!(in_small_pages(|| Err::<(), _>(Failure::usage("no"))).is_err());
        assert_eq!(forbidden(), before);
        let robust = create(Lock::Robust, 256).expect("memory");
        println!("{} kB of the other are in huge pages", huge_kilobytes(&robust));
    }
}

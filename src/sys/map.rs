//! Memory: the mapping of a segment, and one private word that fork wipes.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ptr;
use std::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{AcqRel, Acquire},
};

use memmap2::{Advice, MmapOptions, MmapRaw};

/// A whole file, mapped shared. Unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping(MmapRaw);

impl Mapping {
    /// Maps `len` bytes of `file` for reading and, unless `read_only`, for writing. The pages
    /// stay out of core dumps: a memfd's would be in them.
    pub(crate) fn new(file: &File, len: usize, read_only: bool) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.len(len);
        let map = match read_only {
            false => options.map_raw(file)?,
            true => options.map_raw_read_only(file)?,
        };
        map.advise(Advice::DontDump)?;
        Ok(Self(map))
    }

    /// Page aligned, and valid for `len` bytes as long as `self` lives.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps the pages out of swap. Fails where RLIMIT_MEMLOCK is small.
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.0.lock()
    }

    /// Maps every page now, so that no lookup pays for a first touch. Kernels before 5.14 refuse,
    /// and then lookups do pay.
    pub(crate) fn populate(&self) {
        let _ = self.0.advise(Advice::PopulateWrite);
    }
}

/// A word of this process that reads as zero in a forked child, however it was forked. `None` where
/// the kernel cannot (before 4.14).
///
/// Not a `OnceLock`: a fork in the midst of another thread's first call would leave the child
/// waiting for a thread that it does not have.
#[inline]
pub(crate) fn wiped_on_fork() -> Option<&'static AtomicU64> {
    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
    let mut page = PAGE.load(Acquire);
    if page.is_null() {
        page = keep_first(&PAGE, map_wiped_on_fork());
    }
    if page == NO_PAGE {
        return None;
    }
    // SAFETY: the page that was kept is mapped for ever, aligned, and only ever accessed as this
    // atomic; it held zeroes, as it does after being wiped.
    Some(unsafe { &*page })
}

/// Of those who map a page at once, all use the first one's.
#[cold]
fn keep_first(kept: &AtomicPtr<AtomicU64>, page: *mut AtomicU64) -> *mut AtomicU64 {
    match kept.compare_exchange(ptr::null_mut(), page, AcqRel, Acquire) {
        Ok(_) => page,
        Err(first) => {
            unmap_page(page);
            first
        }
    }
}

/// A page, or [`NO_PAGE`].
#[cold]
fn map_wiped_on_fork() -> *mut AtomicU64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that
    // exists.
    #[allow(clippy::disallowed_methods)]
    let page = unsafe {
        libc::mmap(ptr::null_mut(), PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    // SAFETY: the advice concerns this one page, which nobody uses yet; if there is none it fails.
    if unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) } != 0 {
        unmap_page(page.cast());
        return NO_PAGE;
    }
    page.cast()
}

fn unmap_page(page: *mut AtomicU64) {
    if page != NO_PAGE {
        // SAFETY: `map_wiped_on_fork` mapped this page, and nobody else was told of it.
        #[allow(clippy::disallowed_methods)]
        let _ = unsafe { libc::munmap(page.cast(), PAGE) };
    }
}

const PAGE: usize = 4096;
/// What mmap returns for none.
const NO_PAGE: *mut AtomicU64 = libc::MAP_FAILED.cast();

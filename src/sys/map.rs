//! Memory: the mapping of a segment, and one private word that fork wipes.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{AcqRel, Acquire},
};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::errno::Errno;

/// A whole file, mapped shared. Unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Invariant: the file, from its start, lies at `offset` in it, `len` bytes long. Around that
    /// is what it took to begin at a multiple of a huge page; nobody reads or writes it.
    reserved: MmapRaw,
    offset: usize,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes of `file` for reading and, unless `read_only`, for writing. The pages
    /// stay out of core dumps: a memfd's would be in them.
    pub(crate) fn new(file: &File, len: usize, read_only: bool) -> io::Result<Self> {
        let map = match read_only {
            true => Self::whole(MmapOptions::new().len(len).map_raw_read_only(file)?, len),
            false if len < HUGE_PAGE => {
                Self::whole(MmapOptions::new().len(len).map_raw(file)?, len)
            }
            false => Self::aligned(file, len)?,
        };
        map.reserved.advise(Advice::DontDump)?;
        Ok(map)
    }

    fn whole(reserved: MmapRaw, len: usize) -> Self {
        Self { reserved, offset: 0, len }
    }

    /// Writable, from a multiple of a huge page on: elsewhere the kernel maps small pages only.
    ///
    /// Nothing but the kernel chooses addresses, so it is asked for more, and the file is mapped
    /// again at the place inside that suits. What the first mapping has behind the file's end is
    /// an address, no memory.
    fn aligned(file: &File, len: usize) -> io::Result<Self> {
        let reserved = MmapOptions::new().len(len + HUGE_PAGE).map_raw(file)?;
        let offset = reserved.as_mut_ptr().align_offset(HUGE_PAGE);
        assert!(offset < HUGE_PAGE);
        if offset == 0 {
            return Ok(Self::whole(reserved, len));
        }
        // SAFETY: `offset` is less than a huge page, by which the mapping is longer than `len`.
        let start = unsafe { reserved.as_mut_ptr().add(offset) };
        // SAFETY: the `len` bytes that are mapped anew lie inside `reserved`, which nobody else
        // knows and which unmaps them as well.
        #[allow(clippy::disallowed_methods)]
        let again = unsafe {
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            libc::mmap(start.cast(), len, access, flags | libc::MAP_FIXED, file.as_raw_fd(), 0)
        };
        if again != start.cast() {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { reserved, offset, len })
    }

    /// Page aligned, and valid for `len` bytes as long as `self` lives.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        // SAFETY: the invariant: `offset` lies inside the mapping.
        unsafe { self.reserved.as_mut_ptr().add(self.offset) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Keeps the pages out of swap. Fails where RLIMIT_MEMLOCK is small.
    pub(crate) fn lock(&self) -> io::Result<()> {
        // SAFETY: locking changes no byte, and `as_ptr` is valid for `len`.
        Errno::result(unsafe { libc::mlock(self.as_ptr().cast(), self.len) })?;
        Ok(())
    }

    /// Maps every page now, so that no lookup pays for a first touch. Kernels before 5.14 refuse,
    /// and then lookups do pay.
    pub(crate) fn populate(&self) {
        let _ = self.reserved.advise_range(Advice::PopulateWrite, self.offset, self.len);
    }

    /// Offsets of the huge pages that lie in it whole.
    pub(crate) fn huge_pages(&self) -> impl Iterator<Item = usize> {
        (0..self.len / HUGE_PAGE).map(|index| index * HUGE_PAGE)
    }

    /// Makes a huge page of the small ones from `start` on, one of `huge_pages`, whether or not the
    /// tmpfs asks for such. Fails where no memory is left in one piece, before Linux 6.1, and where
    /// `PR_SET_THP_DISABLE` forbids it (prctl(2), madvise(2)).
    pub(crate) fn collapse(&self, start: usize) -> io::Result<()> {
        assert!(start + HUGE_PAGE <= self.len);
        // SAFETY: `start` lies inside the mapping, by the assertion.
        let first = unsafe { self.as_ptr().add(start) };
        // SAFETY: what the pages hold stays as it is, and all lie inside the mapping.
        let done = unsafe { libc::madvise(first.cast(), HUGE_PAGE, libc::MADV_COLLAPSE) };
        Errno::result(done)?;
        Ok(())
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
/// What a page table of the second level maps with one entry: on x86-64, and on ARM where small
/// pages have 4 KiB.
const HUGE_PAGE: usize = 2 << 20;
/// What mmap returns for none.
const NO_PAGE: *mut AtomicU64 = libc::MAP_FAILED.cast();

#[cfg(test)]
mod tests;

//! Memory: the mapping of a segment, a private page that fork wipes, and pages for keys.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ptr;
use std::sync::atomic::AtomicU64;

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

/// A private page that holds one key: out of core dumps, out of swap where RLIMIT_MEMLOCK allows,
/// inherited over fork. A move of it copies no key. Wiped when dropped.
#[cfg(feature = "sealing")]
pub(crate) struct KeyPage(memmap2::MmapMut);

#[cfg(feature = "sealing")]
impl KeyPage {
    const LEN: usize = 32;

    /// A page with what `fill` writes there.
    pub(crate) fn filled(
        fill: impl FnOnce(&mut [u8; Self::LEN]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut page = Self(MmapOptions::new().len(4096).map_anon()?);
        page.0.advise(Advice::DontDump)?;
        let _ = page.0.lock();
        fill(page.0.first_chunk_mut().expect("a page is longer than a key"))?;
        Ok(page)
    }

    pub(crate) fn bytes(&self) -> &[u8; Self::LEN] {
        self.0.first_chunk().expect("a page is longer than a key")
    }
}

#[cfg(feature = "sealing")]
impl Drop for KeyPage {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0[..Self::LEN]);
    }
}

/// A private page that reads as zeroes in a forked child, however it was forked.
#[derive(Debug)]
pub(crate) struct WipedOnFork(*mut AtomicU64);

// SAFETY: the page is never unmapped, and all that is ever reached through the pointer is an
// atomic.
unsafe impl Send for WipedOnFork {}
// SAFETY: as above.
unsafe impl Sync for WipedOnFork {}

impl WipedOnFork {
    /// `None` where the kernel cannot (before 4.14).
    pub(crate) fn new() -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let len = 4096;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing
        // that exists.
        #[allow(clippy::disallowed_methods)]
        let page = unsafe {
            libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if page == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the page was mapped above and holds zeroes, as it will after being wiped.
        let wiped = unsafe { libc::madvise(page, len, libc::MADV_WIPEONFORK) };
        (wiped == 0).then_some(Self(page.cast()))
    }

    pub(crate) fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped for ever, aligned, and only ever accessed as this atomic.
        unsafe { &*self.0 }
    }
}

//! Memory for keys: in no core dump, out of swap where the kernel lets us, wiped when given back.
//!
//! Pages of cells. A page's first word says which of its cells are in use, so that to take one is
//! one atomic operation, and a child that was forked in between inherits no lock that somebody
//! holds. Pages are never unmapped: there are as few as the most keys that were alive at a time
//! needed.
//!
//! A forked child inherits the keys, as it must to go on with its handshakes, and wipes its copies
//! itself. The kernel keeps them out of core dumps as well, but no longer out of swap: locks are
//! not inherited.
#![allow(unsafe_code)]

use std::alloc::{Layout, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64};

use zeroize::optimization_barrier;

/// Bytes of a cell, and so the most that a secret can have.
pub(crate) const CELL_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;
/// The first cell is the page's head.
const CELLS: usize = PAGE_BYTES / CELL_BYTES - 1;
const ALL_USED: u64 = (1 << CELLS) - 1;

/// A secret of at most [`CELL_BYTES`] bytes, wiped when dropped. To move it copies none of them.
pub(crate) struct Hidden {
    page: &'static Page,
    cell: usize,
    len: usize,
}

/// A page of its own mapping.
#[repr(C, align(64))]
struct Page {
    /// One bit for each cell.
    used: AtomicU64,
    next: AtomicPtr<Page>,
    _head: [u64; 6],
    cells: [UnsafeCell<[u8; CELL_BYTES]>; CELLS],
}

const _: () = assert!(size_of::<Page>() == PAGE_BYTES);

// SAFETY: a cell is only ever reached through the one `Hidden` that has claimed its bit; the rest
// is atomics.
unsafe impl Sync for Page {}

/// The page that came last; each knows the one before it.
static NEWEST: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

impl Hidden {
    /// Room for `len` bytes, all zero. `len` is at most [`CELL_BYTES`].
    pub(crate) fn zeroed(len: usize) -> Self {
        assert!(len <= CELL_BYTES, "{len} bytes do not fit a cell");
        let newest = NEWEST.load(Acquire);
        let mut place = newest;
        // SAFETY: null, or a page that was whole before it got into the list, and stays for ever.
        while let Some(page) = unsafe { place.as_ref() } {
            if let Some(cell) = page.claim() {
                return Self { page, cell, len };
            }
            place = page.next.load(Relaxed);
        }
        let page = Page::map();
        page.publish(newest);
        Self { page, cell: 0, len }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the cell is this value's own; nobody writes to it while `self` is borrowed.
        let cell = unsafe { &*self.page.cells[self.cell].get() };
        &cell[..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the cell is this value's own, which is borrowed exclusively.
        let cell = unsafe { &mut *self.page.cells[self.cell].get() };
        &mut cell[..self.len]
    }
}

impl Clone for Hidden {
    fn clone(&self) -> Self {
        let mut clone = Self::zeroed(self.len);
        clone.bytes_mut().copy_from_slice(self.bytes());
        clone
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        self.bytes_mut().fill(0);
        optimization_barrier(self.bytes());
        self.page.used.fetch_and(!(1 << self.cell), Release);
    }
}

impl Page {
    /// Takes a free cell, which holds zeroes.
    fn claim(&self) -> Option<usize> {
        let mut used = self.used.load(Relaxed);
        while used != ALL_USED {
            let cell = used.trailing_ones();
            let claimed = used | 1 << cell;
            match self.used.compare_exchange_weak(used, claimed, Acquire, Relaxed) {
                Ok(_) => return Some(cell as usize),
                Err(now) => used = now,
            }
        }
        None
    }

    /// A new page whose first cell is taken. Where there is no memory this ends as it does for
    /// every other allocation.
    fn map() -> &'static Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing
        // that exists.
        #[allow(clippy::disallowed_methods)]
        let start = unsafe { libc::mmap(ptr::null_mut(), PAGE_BYTES, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            handle_alloc_error(Layout::new::<Self>());
        }
        // SAFETY: the page was mapped above. A kernel that refuses leaves it as it is: that is no
        // reason to have no keys.
        let _ = unsafe { libc::madvise(start, PAGE_BYTES, libc::MADV_DONTDUMP) };
        // SAFETY: as above; RLIMIT_MEMLOCK may be used up.
        let _ = unsafe { libc::mlock(start, PAGE_BYTES) };
        // SAFETY: mapped for ever, page aligned, and zeroes are a Page.
        let page = unsafe { &*start.cast::<Self>() };
        page.used.store(1, Relaxed);
        page
    }

    /// Makes the page known to all threads; `newest` is what the list began with just now.
    fn publish(&'static self, newest: *mut Self) {
        let this = ptr::from_ref(self).cast_mut();
        let mut newest = newest;
        loop {
            self.next.store(newest, Relaxed);
            match NEWEST.compare_exchange_weak(newest, this, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => newest = now,
            }
        }
    }
}

#[cfg(test)]
mod tests;

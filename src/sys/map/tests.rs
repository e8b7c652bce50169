//! Where mappings begin and end, and what is left of them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::sys::file;

/// A file of so many bytes, all reserved.
fn file_of(bytes: usize) -> File {
    let file = file::memfd().expect("memory");
    file::set_len(&file, bytes as u64).expect("a length");
    file::reserve(&file, 0..bytes as u64).expect("memory");
    file
}

/// How often it is mapped.
fn mappings(file: &File) -> usize {
    let inode = file.metadata().expect("it is open").ino().to_string();
    let maps = fs::read_to_string("/proc/self/maps").expect("proc");
    maps.lines().filter(|line| line.split_ascii_whitespace().nth(4) == Some(&inode)).count()
}

fn fill(map: &Mapping, byte: impl Fn(usize) -> u8) {
    (0..map.len()).for_each(|at| {
        let here = map.as_ptr().wrapping_add(at);
        // SAFETY: it lies inside the mapping, which is writable and this test's alone.
        unsafe { here.write(byte(at)) }
    });
}

#[test]
fn a_writable_mapping_begins_with_a_huge_page_and_goes_as_a_whole() {
    for bytes in [HUGE_PAGE, HUGE_PAGE + PAGE, 3 * HUGE_PAGE - PAGE] {
        let file = file_of(bytes);
        let maps: Vec<_> =
            (0..5).map(|_| Mapping::new(&file, bytes, false).expect("addresses")).collect();
        for map in &maps {
            assert_eq!((map.as_ptr().addr() % HUGE_PAGE, map.len()), (0, bytes));
            fill(map, |at| at as u8);
            assert_eq!(map.huge_pages().count(), bytes / HUGE_PAGE);
        }
        drop(maps);
        assert_eq!(mappings(&file), 0);
    }
}

#[test]
fn what_is_small_or_only_read_is_mapped_once() {
    for (bytes, read_only) in [(PAGE, false), (HUGE_PAGE - PAGE, false), (HUGE_PAGE, true)] {
        let file = file_of(bytes);
        let map = Mapping::new(&file, bytes, read_only).expect("addresses");
        assert_eq!((map.len(), mappings(&file)), (bytes, 1));
        drop(map);
        assert_eq!(mappings(&file), 0);
    }
}

/// Whether the kernel makes a huge page or not, nothing is lost, and nothing is where it was not.
#[test]
fn a_huge_page_holds_what_the_small_ones_held() {
    let bytes = 2 * HUGE_PAGE + PAGE;
    let file = file_of(bytes);
    let map = Mapping::new(&file, bytes, false).expect("addresses");
    let byte = |at: usize| ((at / 3) ^ (at >> 13)) as u8;
    fill(&map, byte);
    let made = map.huge_pages().filter(|start| map.collapse(*start).is_ok()).count();
    println!("{made} huge pages");
    let held = fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("it is open");
    assert_eq!(held.len(), bytes);
    assert!((0..bytes).all(|at| held[at] == byte(at)));
}

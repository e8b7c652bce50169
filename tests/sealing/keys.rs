//! Where the key itself is, and where it is not.

use std::fs;
use std::os::unix::fs::FileExt;

use shmtls::{Inserted, Options, SealingKey};
use zeroize::Zeroizing;

use crate::lab::{Intruder, key, options};
use crate::payload::{context, id, payload, soon};
use crate::procs::{alone, fork, notice};

/// A key that the search for it does not contain: each byte stands there inverted.
const INVERTED: [u8; 32] = *b"the key of these tests, inverted";

fn make_key() -> SealingKey {
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.iter_mut().zip(INVERTED).for_each(|(byte, inverted)| *byte = !inverted);
    SealingKey::from_bytes(&bytes)
}

/// How often the key lies in the memory that this process can write to; `None` where it may not
/// look. What is found goes to one buffer, which is passed over, and wiped at the end.
fn copies_in_memory() -> Option<usize> {
    const STEP: usize = 1 << 20;
    let memory = fs::File::open("/proc/self/mem").ok()?;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let mut window = Zeroizing::new(vec![0; STEP + INVERTED.len()]);
    let own = window.as_ptr() as usize..window.as_ptr() as usize + window.len();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let (from, to) = (address(from)?, address(to)?);
        for at in (from..to).step_by(STEP) {
            let len = (to - at).min(window.len());
            if memory.read_exact_at(&mut window[..len], at as u64).is_ok() {
                let starts = starts_of_key(&window[..len]).into_iter();
                found += starts.filter(|i| *i < STEP && !own.contains(&(at + i))).count();
            }
        }
    }
    Some(found)
}

fn starts_of_key(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(next) = find_byte(&bytes[at..], !INVERTED[0]) {
        at += next;
        let is_key = |here: &[u8]| here.iter().zip(INVERTED).all(|(a, b)| *a == !b);
        starts.extend(bytes[at..].get(..INVERTED.len()).filter(|here| is_key(here)).map(|_| at));
        at += 1;
    }
    starts
}

/// Fast in a debug build too.
fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: the pointer and the length are those of one live slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

/// A key that stays behind in freed memory is in the next core dump.
#[test]
fn a_key_is_in_memory_once_and_gone_with_its_last_user() {
    let _turn = alone();
    let child = fork(|| {
        let key = make_key();
        let Some(copies) = copies_in_memory() else {
            return notice("SKIPPED: this process may not read its own memory");
        };
        assert_eq!(copies, 1, "the page of the key, which the search finds");
        let options = options(1).sealed(&key);
        let cache = options.create_memfd().expect("a sealed segment");
        drop(key);
        assert!(cache.insert(&context(), &id(1), &payload(1, 2, 100), soon()).is_stored());
        assert!(cache.clone().get_session(&context(), &id(1)).is_ok());
        assert_eq!(copies_in_memory(), Some(1), "the options share it");
        drop(options);
        assert_eq!(copies_in_memory(), Some(0), "the cache has a key of its own, made from it");
        assert!(cache.get_session(&context(), &id(1)).is_ok());
    });
    child.join();
}

/// The page of a key is one that core dumps leave out ("dd" in its flags).
#[test]
fn keys_stay_out_of_core_dumps() {
    let key = key();
    let address = key.as_bytes().as_ptr() as usize;
    let smaps = fs::read_to_string("/proc/self/smaps").expect("our mappings");
    let mut holds_it = false;
    let mut flags = Vec::new();
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = range.map(|(from, to)| (usize::from_str_radix(from, 16), to));
        if let Some((Ok(from), to)) = ends {
            holds_it =
                (from..usize::from_str_radix(to, 16).expect("an address")).contains(&address);
        } else if let Some(found) = line.strip_prefix("VmFlags:").filter(|_| holds_it) {
            flags.push(found.to_string());
        }
    }
    assert_eq!(flags.len(), 1);
    assert!(flags[0].split(' ').any(|flag| flag == "dd"), "{flags:?}");
}

#[test]
fn nothing_that_can_be_printed_shows_the_key_and_the_segment_has_it_not() {
    let key = make_key();
    let options = options(1).sealed(&key);
    let cache = options.create_memfd().expect("a sealed segment");
    let wrong = Options::new().sealed(&crate::lab::key());
    let error = wrong.attach_fd(cache.fd().try_clone_to_owned().expect("a descriptor"));
    let printed = format!("{key:?} {options:?} {cache:?} {wrong:?} {error:?}");
    let bytes = key.as_bytes();
    let decimal = format!("{}, {}", bytes[1], bytes[2]);
    let hexadecimal = format!("{:02x}{:02x}", bytes[1], bytes[2]);
    assert!(printed.contains("SealingKey(..)"), "{printed}");
    assert!(!printed.contains(&decimal) && !printed.contains(&hexadecimal), "{printed}");
    let all = Intruder::at(&cache).all();
    assert!(!all.windows(4).any(|window| bytes.windows(4).any(|piece| piece == window)));
}

/// Without random bytes a session is dropped and counted: never stored plain, nor under a salt that
/// was there before.
#[test]
fn without_random_bytes_nothing_is_stored() {
    let _turn = alone();
    let cache = options(1).sealed(&key()).create_memfd().expect("a sealed segment");
    assert!(cache.insert(&context(), &id(1), b"before", soon()).is_stored());
    let child = fork(|| {
        deny_random_bytes();
        let mut byte = [0_u8];
        // SAFETY: the pointer and the length are those of one live, exclusively borrowed array.
        if unsafe { libc::getrandom(byte.as_mut_ptr().cast(), 1, 0) } == 1 {
            return notice("SKIPPED: libc has random bytes without asking the kernel");
        }
        assert_eq!(cache.insert(&context(), &id(2), b"after", soon()), Inserted::Unsealed);
        assert_eq!(cache.insert(&context(), &id(1), b"after", soon()), Inserted::Unsealed);
        assert!(!Inserted::Unsealed.is_stored());
        let kept = cache.get_session(&context(), &id(1)).expect("lookups need none");
        assert_eq!(kept.bytes(), b"before");
        assert_eq!((cache.len(), cache.stats().refused_unsealed), (1, 2));
        assert!(SealingKey::random().is_err());
    });
    child.join();
}

/// From here on getrandom is EPERM in this process.
fn deny_random_bytes() {
    let load_number = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let is_getrandom =
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: libc::SYS_getrandom as u32 };
    let answer = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let mut filter = [
        load_number,
        is_getrandom,
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: takes numbers only.
    let no_new = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(no_new, 0);
    // SAFETY: the program is live for the call, and the kernel checks it.
    let set =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

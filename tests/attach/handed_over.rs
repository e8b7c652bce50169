//! Segments by file descriptor: what a memfd is made of, and which descriptors are refused.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, seteuid};
use shmtls::{AttachError, Cache, Options};

use crate::lab::{Place, SMALL_BYTES, assert_tells, assert_works, is_root_for, refused, small};
use crate::procs;

fn fd_of(cache: &Cache) -> OwnedFd {
    cache.fd().try_clone_to_owned().expect("a descriptor")
}

#[test]
fn a_memfd_segment_cannot_be_cut_short() {
    let cache = small().create_memfd().expect("a segment");
    let file = File::from(fd_of(&cache));
    for len in [0, 4096, SMALL_BYTES - 1, SMALL_BYTES + 1] {
        let error = file.set_len(len).expect_err("sealed");
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "length {len}");
    }
    let seals = fcntl(&file, FcntlArg::F_GET_SEALS).expect("a memfd");
    let length = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    assert!(SealFlag::from_bits_retain(seals).contains(length), "{seals:#x}");
    assert_works(&cache);
}

#[test]
fn a_memfd_segment_is_private_to_its_user_and_all_there() {
    let cache = small().create_memfd().expect("a segment");
    let file = File::from(fd_of(&cache));
    let stat = file.metadata().expect("fstat");
    assert_eq!(stat.mode() & 0o7777, 0o600, "a memfd has 0777 by itself");
    assert_eq!(stat.len(), SMALL_BYTES);
    assert!(stat.blocks() * 512 >= SMALL_BYTES, "every page is reserved");
    let flags = fcntl(cache.fd(), FcntlArg::F_GETFD).expect("a descriptor");
    assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
}

#[test]
fn a_named_segment_is_all_there() {
    let place = Place::new();
    let cache = small().create(&place.path("s")).expect("a segment");
    let stat = fs::metadata(place.path("s")).expect("there");
    assert_eq!((stat.len(), stat.nlink(), stat.mode() & 0o7777), (SMALL_BYTES, 1, 0o600));
    assert!(stat.blocks() * 512 >= SMALL_BYTES, "every page is reserved");
    assert_eq!(cache.path().and_then(|path| path.to_str()), Some(place.path("s").as_str()));
}

/// A memfd's pages are in core dumps unless they are kept out; so are those of a file that was
/// removed.
#[test]
fn sessions_stay_out_of_core_dumps() {
    let place = Place::new();
    let named = small().create(&place.path("s")).expect("a segment");
    let memfd = small().create_memfd().expect("a segment");
    let reader = small().create_memfd().expect("a segment");
    let fd = fd_of(&reader);
    drop(reader);
    for fd in [fd_of(&named), fd_of(&memfd)] {
        assert!(vm_flags(&fd).contains("dd"), "{:?}", vm_flags(&fd));
    }
    let inspector = Options::new().inspect_fd(fd.try_clone().expect("a descriptor"));
    let inspector = inspector.expect("a segment");
    let flags = vm_flags(&fd);
    assert!(flags.contains("dd") && !flags.split(' ').any(|flag| flag == "wr"), "{flags}");
    assert_eq!(inspector.len(), 0);
}

/// `VmFlags` of this process's mapping of a file.
fn vm_flags(fd: impl AsFd) -> String {
    let inode = nix::sys::stat::fstat(fd).expect("fstat").st_ino.to_string();
    let smaps = fs::read_to_string("/proc/self/smaps").expect("/proc");
    let of_mapping = smaps.lines().skip_while(|line| {
        // Address, access, offset, device, inode, path.
        line.split_whitespace().nth(4) != Some(inode.as_str())
    });
    let flags = of_mapping.skip(1).find_map(|line| line.strip_prefix("VmFlags: "));
    flags.expect("the file is mapped").to_string()
}

/// The option asks; the kernel may refuse, and the cache works all the same and says so.
#[test]
fn what_is_said_of_locked_memory_is_the_kernels_answer() {
    let check = |options: Options| {
        let cache = options.create_memfd().expect("a segment");
        let is_locked = vm_flags(cache.fd()).split(' ').any(|flag| flag == "lo");
        assert_eq!(cache.is_memory_locked(), is_locked);
        assert_works(&cache);
        is_locked
    };
    assert!(!check(small()), "not asked for");
    let is_allowed = locked_bytes_max() >= SMALL_BYTES;
    assert!(check(small().lock_memory(true)) || !is_allowed);
    if is_root_for("mlock without the privilege") {
        procs::fork(move || {
            seteuid(Uid::from_raw(65_534)).expect("root may");
            assert!(check(small().lock_memory(true).populate(false)) || !is_allowed);
            let is_allowed = locked_bytes_max() >= 32 << 20;
            assert_eq!(check(Options::new().lock_memory(true)), is_allowed);
        })
        .join();
    }
}

/// RLIMIT_MEMLOCK.
fn locked_bytes_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").expect("/proc");
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let soft = limit.and_then(|limit| limit.split_whitespace().next()).expect("a limit");
    soft.parse().unwrap_or(u64::MAX)
}

/// A memfd that its creator can cut short ends in SIGBUS for everybody who trusted it.
#[test]
fn a_memfd_that_is_not_sealed_is_refused() {
    let place = Place::new();
    small().create(&place.path("s")).expect("a segment");
    let bytes = fs::read(place.path("s")).expect("readable");
    let (none, shrink) = (SealFlag::empty(), SealFlag::F_SEAL_SHRINK);
    for seals in [none, shrink, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_SEAL | shrink] {
        let fd = memfd_with(&bytes, seals);
        let error = refused(Options::new().attach_fd(fd.try_clone().expect("a descriptor")));
        let AttachError::NotSealed { found } = error else { panic!("{error:?}") };
        assert_eq!(found, seals.bits());
        assert_tells(&error, &[&format!("{:#x}", seals.bits()), "shrinking and growing"]);
        let error = refused(Options::new().inspect_fd(fd));
        assert!(matches!(error, AttachError::NotSealed { .. }), "{error:?}");
    }
    let fd = memfd_with(&bytes, shrink | SealFlag::F_SEAL_GROW);
    assert_works(&Options::new().attach_fd(fd).expect("sealed enough"));
}

fn memfd_with(bytes: &[u8], seals: SealFlag) -> OwnedFd {
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
    let fd = memfd_create(c"test", flags).expect("a memfd");
    nix::sys::stat::fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).expect("our file");
    let mut file = File::from(fd);
    file.write_all(bytes).expect("memory");
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("our file");
    file.into()
}

/// Its file is gone from the directory, so it is as unsealed as any other.
#[test]
fn a_named_segment_that_was_removed_is_not_handed_over() {
    let (_place, path) = Place::with_segment("s");
    let file = crate::lab::open(&path);
    fs::remove_file(&path).expect("our file");
    let error = refused(Options::new().attach_fd(file.into()));
    assert!(matches!(error, AttachError::NotSealed { .. }), "{error:?}");
}

#[test]
fn a_named_segment_can_be_handed_over() {
    let (_place, path) = Place::with_segment("s");
    let cache = Options::new().attach_fd(crate::lab::open(&path).into()).expect("a segment");
    assert_works(&cache);
    assert_eq!(cache.path(), None);
}

#[test]
fn a_descriptor_of_something_else_is_refused() {
    let (reader, _writer) = io::pipe().expect("a pipe");
    let (socket, _other) = UnixStream::pair().expect("sockets");
    let directory = File::open("/dev/shm").expect("a directory");
    let device = crate::lab::open("/dev/zero");
    for fd in [OwnedFd::from(reader), socket.into(), directory.into(), device.into()] {
        for error in [
            refused(Options::new().attach_fd(fd.try_clone().expect("a descriptor"))),
            refused(Options::new().inspect_fd(fd.try_clone().expect("a descriptor"))),
        ] {
            let plain = matches!(error, AttachError::NotPlain { .. });
            let not_ours = matches!(error, AttachError::WrongOwner { .. });
            assert!(plain || not_ours, "{error:?}");
        }
    }
}

/// A descriptor that was passed on read-only lets its holder look, and no more.
#[test]
fn a_read_only_descriptor_lets_one_look() {
    let cache = small().create_memfd().expect("a segment");
    assert_works(&cache);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&cache.fd()));
    let fd = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    let fd = fd.expect("our own");
    let error = refused(Options::new().attach_fd(fd.try_clone().expect("a descriptor")));
    let AttachError::Io { action, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*action, source.raw_os_error()), ("map", Some(Errno::EACCES as i32)));
    assert_eq!(Options::new().inspect_fd(fd).expect("may look").stats().stored_new, 1);
    // By path it is a link, and links are not followed.
    let error = refused(Options::new().inspect(&path));
    assert!(matches!(error, AttachError::NotPlain { .. }), "{error:?}");
}

#[test]
fn a_wish_holds_for_a_descriptor_too() {
    let cache = small().create_memfd().expect("a segment");
    let error = refused(small().processes(5).attach_fd(fd_of(&cache)));
    assert!(matches!(error, AttachError::Differs { found: 4, wanted: 5, .. }), "{error:?}");
    assert_works(&small().attach_fd(fd_of(&cache)).expect("the same"));
}

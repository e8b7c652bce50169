//! Files that are no segment, not a whole one, or not one to be believed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::{Uid, alarm, geteuid, mkfifo, seteuid};
use shmtls::{AttachError, CreateError, OpenError, Options};

use crate::lab::{
    Place, SMALL_BYTES, assert_tells, assert_works, is_root_for, notice, open, read, refused,
    refused_to_all, small, write,
};
use crate::procs;

#[test]
fn what_is_not_there_is_not_found_and_what_is_there_is_told() {
    let place = Place::new();
    let error = refused_to_all(&place.path("none"));
    assert!(matches!(error, AttachError::NotFound { .. }), "{error:?}");
    assert_tells(&error, &["none", "found:"]);
    let error = refused_to_all(&place.path("no/such/directory"));
    assert!(matches!(error, AttachError::NotFound { .. }), "{error:?}");
    let error = refused(small().create(&place.path("no/such/directory")));
    assert!(matches!(error, CreateError::Io { .. }), "{error:?}");
    let (_other, path) = Place::with_segment("s");
    let error = refused_to_all(&format!("{path}/below-a-file"));
    assert!(matches!(error, AttachError::Io { .. }), "{error:?}");
    assert!(place.files().is_empty());
}

/// Lengths at, before and after every page, and odd ones. A mapping of such a file would end in
/// SIGBUS.
#[test]
fn a_segment_of_any_wrong_length_is_refused() {
    let (_place, path) = Place::with_segment("s");
    let file = open(&path);
    let pages = (0..=SMALL_BYTES / 4096).flat_map(|page| [page * 4096, page * 4096 + 1]);
    let before = (1..=SMALL_BYTES / 4096).map(|page| page * 4096 - 1);
    let odd = [2, 7, 8, 9, 127, 128, 135, 136, 4095, 4097, 12_345, SMALL_BYTES * 2, 1 << 40];
    for len in pages.chain(before).chain(odd).filter(|len| *len != SMALL_BYTES) {
        let header = read(&file, 0, 4096);
        file.set_len(len).expect("ftruncate");
        let error = refused_to_all(&path);
        let expected = if len < 4096 { 4096 } else { SMALL_BYTES };
        match error {
            AttachError::NotASegment { found } if len < 8 => {
                assert_eq!(found[len as usize..], [0; 8][len as usize..]);
            }
            AttachError::WrongLength { found, expected: told } => {
                assert_eq!((found, told), (len, expected), "length {len}");
                assert_tells(&error, &[&len.to_string(), &expected.to_string()]);
            }
            other => panic!("length {len}: {other:?}"),
        }
        file.set_len(SMALL_BYTES).expect("ftruncate");
        write(&file, 0, &header);
    }
    assert_works(&Options::new().attach(&path).expect("all is as it was"));
}

#[test]
fn a_foreign_file_is_told_by_its_first_bytes() {
    let place = Place::new();
    let path = place.path("foreign");
    let foreign: [(&str, Vec<u8>); 6] = [
        ("empty", vec![]),
        ("zeroes", vec![0; 1 << 16]),
        ("text", b"shmtls is what this text is about.\n".repeat(300)),
        ("a program", fs::read(std::env::current_exe().expect("this test")).expect("readable")),
        ("the other byte order", b"\x1a\rsltmhs".repeat(1 << 13)),
        ("noise", (0..1_u32 << 16).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
    ];
    for (what, bytes) in foreign {
        fs::write(&path, &bytes).expect("our directory");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our file");
        let error = refused_to_all(&path);
        let AttachError::NotASegment { found } = error else { panic!("{what}: {error:?}") };
        assert!(bytes.is_empty() || bytes.starts_with(&found), "{what}");
        let first = format!("{:02x}", bytes.first().unwrap_or(&0));
        assert_tells(&error, &[&first]);
        let error = refused(small().open_or_create(&path));
        assert!(matches!(error, OpenError::Attach(AttachError::NotASegment { .. })), "{what}");
        assert!(matches!(refused(small().create(&path)), CreateError::AlreadyExists { .. }));
        assert!(fs::read(&path).expect("readable") == bytes, "{what} was changed");
        fs::remove_file(&path).expect("our file");
    }
}

#[test]
fn a_symbolic_link_is_never_followed() {
    let (place, target) = Place::with_segment("target");
    let (link, dangling) = (place.path("link"), place.path("dangling"));
    symlink(&target, &link).expect("a link");
    symlink(place.path("elsewhere"), &dangling).expect("a link");
    for path in [&link, &dangling] {
        let error = refused_to_all(path);
        assert!(matches!(error, AttachError::NotPlain { found: "a symbolic link" }), "{error:?}");
        assert_tells(&error, &["plain file", "symbolic link"]);
        assert!(matches!(refused(small().create(path)), CreateError::AlreadyExists { .. }));
        assert!(matches!(refused(small().open_or_create(path)), OpenError::Attach(_)));
    }
    assert!(!Path::new(&place.path("elsewhere")).exists(), "created through a dangling link");
}

/// None of them may block either: opening a FIFO waits for its other end.
#[test]
fn what_is_no_regular_file_is_refused() {
    let place = Place::new();
    let names = ["directory", "fifo", "socket"].map(|name| place.path(name));
    fs::create_dir(&names[0]).expect("a directory");
    mkfifo(names[1].as_str(), Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
    let _socket = UnixListener::bind(&names[2]).expect("a socket");
    procs::fork(|| {
        alarm::set(10);
        for path in names.iter().map(String::as_str).chain(["/dev/null"]) {
            let (writer, reader) = (Options::new().attach(path), Options::new().inspect(path));
            for error in [refused(writer), refused(reader)] {
                assert!(matches!(error, AttachError::NotPlain { .. }), "{path}: {error:?}");
                assert_tells(&error, &["not a plain file of one name"]);
            }
            assert!(matches!(refused(small().create(path)), CreateError::AlreadyExists { .. }));
        }
    })
    .join();
}

/// With a second name, whoever may remove the first cannot take the segment out of the world.
#[test]
fn a_file_of_two_names_is_refused() {
    let (place, path) = Place::with_segment("s");
    let second = place.path("second");
    fs::hard_link(&path, &second).expect("a link");
    for path in [&path, &second] {
        let error = refused_to_all(path);
        assert!(matches!(error, AttachError::NotPlain { .. }), "{error:?}");
        assert_tells(&error, &["several names"]);
    }
    fs::remove_file(&second).expect("our file");
    assert_works(&Options::new().attach(&path).expect("one name again"));
}

#[test]
fn a_segment_that_others_may_touch_is_refused() {
    let (_place, path) = Place::with_segment("s");
    for mode in [0o640, 0o604, 0o602, 0o620, 0o606, 0o666, 0o660, 0o644, 0o777, 0o700, 0o610] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our file");
        let error = refused_to_all(&path);
        let AttachError::TooOpen { found, allowed } = error else { panic!("{mode:o}: {error:?}") };
        assert_eq!((found, allowed), (mode, 0o600));
        assert_tells(&error, &[&format!("{mode:04o}"), "0600"]);
        assert_works(&Options::new().mode(mode).attach(&path).expect("allowed on purpose"));
        let less = mode & !(mode & mode.wrapping_neg());
        let error = refused(Options::new().mode(less).attach(&path));
        assert!(matches!(error, AttachError::TooOpen { .. }), "{mode:o} under {less:o}");
    }
}

#[test]
fn a_segment_has_the_mode_that_was_asked_for_whatever_the_umask() {
    let place = Place::new();
    procs::fork(|| {
        nix::sys::stat::umask(Mode::S_IRWXU | Mode::S_IRWXG | Mode::S_IRWXO);
        for mode in [0o600, 0o660, 0o666, 0o640] {
            let path = place.path(&format!("{mode:o}"));
            small().mode(mode).create(&path).expect("a segment");
            assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, mode);
        }
    })
    .join();
}

#[test]
fn another_users_segment_is_refused_unless_he_is_named() {
    if !is_root_for("segments that belong to another user") {
        return;
    }
    let (_place, path) = Place::with_segment("s");
    chown(&path, Some(12_345), None).expect("root may");
    let error = refused(Options::new().attach(&path));
    assert!(matches!(error, AttachError::WrongOwner { found: 12_345, expected: 0 }), "{error:?}");
    assert_tells(&error, &["12345", "expected 0"]);
    let error = refused(Options::new().owner(54_321).attach(&path));
    assert!(
        matches!(error, AttachError::WrongOwner { found: 12_345, expected: 54_321 }),
        "{error:?}"
    );
    assert_works(&Options::new().owner(12_345).attach(&path).expect("named on purpose"));
    assert_eq!(Options::new().inspect(&path).expect("root may look at anybody's").len(), 0);
}

#[test]
fn an_unprivileged_user_believes_himself_and_root_only() {
    if !is_root_for("what a user without privileges may attach") {
        return;
    }
    let place = Place::new();
    procs::fork(|| {
        let path = place.path("s");
        let dir = Path::new(&path).parent().expect("a directory").to_path_buf();
        fs::set_permissions(&dir, Permissions::from_mode(0o777)).expect("our directory");
        small().create(&path).expect("a segment of root's");
        let become_user = |uid| {
            seteuid(Uid::from_raw(0)).expect("its real user is root");
            seteuid(Uid::from_raw(uid)).expect("root may");
        };

        become_user(1000);
        let error = refused_to_all(&path);
        let AttachError::Permission { owner: 0, mode: 0o600, euid: 1000, .. } = error else {
            panic!("{error:?}")
        };
        assert_tells(&error, &["permission denied", "owner 0", "0600", "you are 1000"]);
        become_user(0);
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("root may");
        become_user(1000);
        assert_works(&Options::new().mode(0o666).attach(&path).expect("root is believed"));

        let own = place.path("own");
        small().create(&own).expect("a segment of the user's");
        assert_works(&Options::new().attach(&own).expect("his own"));
        become_user(2000);
        let error = refused_to_all(&own);
        assert!(matches!(error, AttachError::Permission { owner: 1000, .. }), "{error:?}");
        become_user(0);
        fs::set_permissions(&own, Permissions::from_mode(0o666)).expect("root may");
        become_user(2000);
        let error = refused(Options::new().mode(0o666).attach(&own));
        assert!(
            matches!(error, AttachError::WrongOwner { found: 1000, expected: 2000 }),
            "{error:?}"
        );

        // A reader needs no more than to read; a writer is told that he cannot write.
        become_user(0);
        fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("root may");
        become_user(1000);
        let reader = Options::new().mode(0o444);
        assert_eq!(reader.inspect(&path).expect("readable").len(), 0);
        let error = refused(reader.attach(&path));
        assert!(matches!(error, AttachError::Permission { mode: 0o444, .. }), "{error:?}");
        become_user(0);
    })
    .join();
}

/// The owner may take his own write permission away: then he cannot attach, but can look.
#[test]
fn a_read_only_file_can_be_looked_at() {
    let (_place, path) = Place::with_segment("s");
    fs::set_permissions(&path, Permissions::from_mode(0o400)).expect("our file");
    assert_eq!(Options::new().inspect(&path).expect("readable").len(), 0);
    if geteuid().is_root() {
        assert_works(&Options::new().attach(&path).expect("root writes anywhere"));
    } else {
        let error = refused(Options::new().attach(&path));
        assert!(matches!(error, AttachError::Permission { mode: 0o400, .. }), "{error:?}");
    }
}

/// The file systems here are no place for sessions, whoever may write to them.
#[test]
fn a_segment_is_made_in_memory_only() {
    let on_disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let dirs = [Path::new("/proc"), Path::new("/sys"), on_disk.path()];
    for dir in dirs.into_iter().filter(|dir| is_on_disk(dir)) {
        let path = dir.join("s").into_os_string().into_string().expect("UTF-8");
        for error in [
            refused(small().create(&path)),
            match refused(small().open_or_create(&path)) {
                OpenError::Create(error) => error,
                other => panic!("{other:?}"),
            },
        ] {
            let CreateError::NotInMemory { path: told, found } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(told, dir);
            assert_tells(&error, &[dir.to_str().expect("UTF-8"), &format!("{found:#x}")]);
        }
    }
    assert_eq!(fs::read_dir(on_disk.path()).expect("our directory").count(), 0);
}

/// A segment that somebody copied to a disk (a backup, `cp -a`) passed every check, and whoever
/// attached to it wrote sessions to the disk from then on.
#[test]
fn a_copy_on_a_disk_is_only_looked_at() {
    let (_place, path) = Place::with_segment("s");
    let on_disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    if !is_on_disk(on_disk.path()) {
        return;
    }
    let copy = on_disk.path().join("copy").into_os_string().into_string().expect("UTF-8");
    fs::copy(&path, &copy).expect("a copy");
    let error = refused(Options::new().attach(&copy));
    let AttachError::NotInMemory { found } = error else { panic!("{error:?}") };
    assert_tells(&error, &[&format!("{found:#x}")]);
    let error = refused(Options::new().attach_fd(open(&copy).into()));
    assert!(matches!(error, AttachError::NotInMemory { .. }), "{error:?}");
    assert_eq!(Options::new().inspect(&copy).expect("a reader writes nothing").len(), 0);
}

/// Whether files there go to a disk; if not, says what goes unchecked.
fn is_on_disk(dir: &Path) -> bool {
    let file = File::open(dir).expect("the directory is there");
    let kind = nix::sys::statfs::fstatfs(&file).expect("fstatfs").filesystem_type();
    let on_disk = kind != nix::sys::statfs::TMPFS_MAGIC;
    if !on_disk {
        notice(&format!("{} is in memory: a segment there", dir.display()));
    }
    on_disk
}

//! Options that describe no segment, names that name none, and wishes that the segment does not
//! meet.

use std::time::Duration;

use shmtls::{AttachError, Cache, CreateError, OpenError, Options, OptionsError};

use crate::lab::{Place, SMALL_BYTES, assert_tells, assert_works, refused, small};

#[track_caller]
fn refused_options(options: &Options) -> OptionsError {
    let place = Place::new();
    let error = refused(options.create(&place.path("s")));
    assert!(place.files().is_empty(), "something was left behind");
    let as_memfd = refused(options.create_memfd());
    assert_eq!(error.to_string(), as_memfd.to_string());
    let on_open = refused(options.open_or_create(&place.path("s")));
    assert!(matches!(on_open, OpenError::Create(CreateError::Options(_))), "{on_open:?}");
    match error {
        CreateError::Options(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_size_below_one_bucket_is_too_small() {
    for (options, min) in [
        (Options::new().processes(8), 32_768 + (32 << 10)),
        (Options::new(), 16_384 + 128 * (640 + 32 * 32) + (32 << 10)),
        (Options::new().max_session(40 << 10).processes(1), 24_576 + (64 << 10)),
        (Options::new().processes(1).events(0), 20_480 + (32 << 10)),
        (
            Options::new().max_session(48 << 10).processes(4096),
            16_384 + 4096 * (640 + 32 * 32) + (64 << 10),
        ),
    ] {
        for size in [0, 1, 4096, min - 1] {
            let error = refused_options(&options.clone().size(size));
            assert_eq!(error, OptionsError::TooSmall { found: size, min });
            let told = refused(options.clone().size(size).create_memfd());
            assert_tells(&told, &[&size.to_string(), &min.to_string()]);
        }
        let cache = options.clone().size(min).create_memfd().expect("exactly one bucket");
        assert_eq!(cache.segment_bytes(), min);
        assert_works(&cache);
    }
    assert!(matches!(refused_options(&Options::new().sessions(0)), OptionsError::TooSmall { .. }));
}

#[test]
fn a_size_beyond_the_layout_is_too_large() {
    for size in [(1 << 40) + 1, u64::MAX - 1, u64::MAX] {
        let error = refused_options(&Options::new().size(size));
        assert_eq!(error, OptionsError::TooLarge { found: size, max: 1 << 40 });
    }
}

/// Rounding an absurd number of sessions up to whole buckets overflowed: a panic in debug builds,
/// and in release builds a segment of any size.
#[test]
fn absurdly_many_sessions_are_too_large() {
    for sessions in [1 << 41, u64::MAX / 704, u64::MAX / 704 + 1, u64::MAX] {
        let error = refused_options(&Options::new().sessions(sessions));
        assert!(matches!(error, OptionsError::TooLarge { .. }), "{sessions}: {error:?}");
    }
}

#[test]
fn a_segment_is_no_larger_than_asked_for() {
    for size in [1 << 20, (1 << 20) + 1, (1 << 20) + 32_767, 5_000_000] {
        let cache = Options::new().size(size).create_memfd().expect("a valid size");
        assert!(cache.segment_bytes() <= size && cache.segment_bytes() + (32 << 10) > size);
    }
    let default = Options::new().create_memfd().expect("the default size");
    assert!(default.segment_bytes() <= 32 << 20, "half of Docker's /dev/shm");
}

#[test]
fn limits_out_of_range_are_told_with_the_range() {
    for found in [0, 255, (48 << 10) + 1, u32::MAX] {
        let error = refused_options(&Options::new().max_session(found));
        assert_eq!(error, OptionsError::MaxSession { found, min: 256, max: 48 << 10 });
        assert_tells(&CreateError::from(error), &[&found.to_string(), "256", "49152"]);
    }
    for found in [0, 4097, u32::MAX] {
        let error = refused_options(&Options::new().processes(found));
        assert_eq!(error, OptionsError::Processes { found, max: 4096 });
        assert_tells(&CreateError::from(error), &[&found.to_string(), "4096"]);
    }
    for found in [3, 48, 65_537, 1 << 17, u32::MAX] {
        let error = refused_options(&Options::new().events(found));
        assert_eq!(error, OptionsError::Events { found, max: 65_536 });
        assert_tells(&CreateError::from(error), &[&found.to_string(), "65536", "power of two"]);
    }
    let week = 7 * 24 * 3600;
    for secs in [0, week + 1, u64::MAX] {
        let error = refused_options(&Options::new().lifetime(Duration::from_secs(secs)));
        assert_eq!(error, OptionsError::Lifetime { found: secs, max: week });
        assert_tells(&CreateError::from(error), &[&secs.to_string(), "604800"]);
    }
    let below_a_second = Options::new().lifetime(Duration::from_millis(999));
    assert!(matches!(refused_options(&below_a_second), OptionsError::Lifetime { found: 0, .. }));
    for options in [
        small().max_session(256),
        small().lifetime(Duration::from_secs(1)),
        small().lifetime(Duration::from_secs(week)),
        Options::new().size(8 << 20).max_session(48 << 10).processes(4096),
        Options::new().size(4 << 20).processes(1).events(65_536),
    ] {
        assert_eq!(options.create_memfd().expect("the ends of the ranges").len(), 0);
    }
}

#[test]
fn a_name_that_is_none_is_refused() {
    let long = "n".repeat(249);
    let names = ["", "a b", "a\0b", "tab\t", "new\nline", "b\u{e4}r", "a:b", "*", "~", &long];
    let paths = ["/", "//", "/dev/shm/a\0b", "/dev/shm/..", "./.."];
    for name in names.into_iter().chain(paths) {
        let error = refused(Options::new().create(name));
        assert!(matches!(&error, CreateError::Name { name: told } if told == name), "{error:?}");
        assert_tells(&error, &[&format!("{name:?}")]);
        let error = refused(Options::new().attach(name));
        assert!(matches!(&error, AttachError::Name { name: told } if told == name), "{error:?}");
        assert!(matches!(refused(Options::new().inspect(name)), AttachError::Name { .. }));
        assert!(matches!(refused(Options::new().open_or_create(name)), OpenError::Attach(_)));
    }
}

/// Without a slash a name cannot leave /dev/shm, whatever its dots suggest: it is only the end of
/// a file name that begins with `shmtls.`.
#[test]
fn dots_and_a_long_name_are_names_like_any_other() {
    struct Removed(Cache);
    impl Drop for Removed {
        fn drop(&mut self) {
            let path = self.0.path().expect("it has a name");
            std::fs::remove_file(path).expect("it is there");
        }
    }
    let unique = format!("test-{}", std::process::id());
    let long = unique.clone() + &"n".repeat(248 - unique.len());
    for name in [format!("..{unique}"), format!("{unique}.."), format!("-{unique}._-"), long] {
        let removed = Removed(small().create(&name).expect("a valid name"));
        let path = removed.0.path().expect("it has a name");
        assert_eq!(path.to_str(), Some(format!("/dev/shm/shmtls.{name}").as_str()));
        assert_works(&Cache::attach(&name).expect("by the same name"));
    }
    for dots in [".", ".."] {
        let error = refused(Cache::attach(dots));
        assert!(matches!(error, AttachError::NotFound { .. }), "{error:?}");
        assert_tells(&error, &[&format!("/dev/shm/shmtls.{dots}")]);
    }
}

/// Two openers with different wishes must not end up with two caches, nor one of them with a cache
/// that is not what it asked for (shmcache: the opener's geometry silently won).
#[test]
fn a_wish_that_differs_from_the_segment_is_refused() {
    let (_place, path) = Place::with_segment("s");
    let cases = [
        (Options::new().size(1 << 20), SMALL_BYTES, 24_576 + 31 * 32_768),
        (Options::new().sessions(1000), SMALL_BYTES, 24_576 + 22 * 32_768),
        (Options::new().max_session(4096), 10_240, 4096),
        (Options::new().processes(5), 4, 5),
        (Options::new().events(64), 32, 64),
        (Options::new().lifetime(Duration::from_secs(300)), 3600, 300),
    ];
    for (options, found, wanted) in cases {
        let error = refused(options.attach(&path));
        assert_tells(&error, &[&found.to_string(), &wanted.to_string()]);
        let AttachError::Differs { found: f, wanted: w, .. } = error else { panic!("{error:?}") };
        assert_eq!((f, w), (found, wanted));
        let error = refused(options.open_or_create(&path));
        assert!(matches!(error, OpenError::Attach(AttachError::Differs { .. })), "{error:?}");
    }
    // Any size that comes to the same whole buckets is the same wish.
    for same in [small(), small().size(SMALL_BYTES + 32_767), small().max_session(10 << 10)] {
        assert_works(&same.open_or_create(&path).expect("the same segment"));
    }
}

/// A wish that no segment can meet was told as one for 18446744073709551615 bytes.
#[test]
fn an_impossible_wish_is_told_as_it_was_made() {
    let (_place, path) = Place::with_segment("s");
    for (options, wanted) in [(Options::new().size(0), 0), (Options::new().size(77), 77)] {
        let error = refused(options.attach(&path));
        let AttachError::Differs { found, wanted: told, .. } = error else { panic!("{error:?}") };
        assert_eq!((found, told), (SMALL_BYTES, wanted));
    }
}

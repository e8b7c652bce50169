use super::super::keys::{epoch, old, unknown};
use super::*;

fn keys(picture: &mut Picture) -> &mut Keys {
    picture.keys.as_mut().expect("keys")
}

#[test]
fn tickets_of_keys_per_worker() {
    let of = |n| {
        move |it: &mut Picture| {
            (it.stats.tickets_unknown_key, it.stats.tickets_current_key) = (n, 1_000 - n);
        }
    };
    for (n, expected) in [(750, Problem), (50, Problem), (49, Advice), (10, Advice), (9, Fine)] {
        assert_eq!(severity(unknown, of(n)), Some(expected), "{n}");
    }
    let text = said(unknown, of(750));
    assert_says(&text, &["75.0 % of 1,000 tickets", "not attached", "shmtls probe HOST:PORT"]);
    let dropped = |it: &mut Picture| {
        of(750)(it);
        it.stats.keys_dropped = 1;
    };
    assert_says(&said(unknown, dropped), &["Updates dropped 1 key while"]);
}

#[test]
fn without_tickets_nothing_is_known() {
    let of = |n| move |it: &mut Picture| it.stats.tickets_current_key = n;
    assert_eq!(severity(unknown, of(20)), Some(Fine));
    assert_eq!(severity(unknown, of(19)), Some(Unknown));
    let without_keys = |it: &mut Picture| {
        of(0)(it);
        it.keys = None;
    };
    assert_eq!(severity(unknown, without_keys), Some(Unknown));
    assert_says(&said(unknown, without_keys), &["cannot be told", "shmtls probe"]);
    for rule in [epoch as Rule, old] {
        assert_eq!(severity(rule, without_keys), None);
    }
}

/// The second of four workers has the keys before the last.
fn behind(edit: impl Fn(&mut Member)) -> impl Fn(&mut Picture) {
    move |it| {
        it.members[1].key_epoch = 6;
        edit(&mut it.members[1]);
    }
}

#[test]
fn a_process_with_old_keys() {
    let published = healthy().keys.expect("keys").published;
    let seen =
        |secs: u64| behind(move |it| it.last_seen = Some(published + Duration::from_secs(secs)));
    for (secs, expected) in [(3_000, Problem), (70, Problem), (50, Advice)] {
        assert_eq!(severity(epoch, seen(secs)), Some(expected), "{secs}");
    }
    let text = said(epoch, seen(3_000));
    assert_says(&text, &["3 of 4 processes current", "behind: pid 2 (nginx)", "shmtls procs web"]);
    assert_says(&said(epoch, seen(0)), &["have served no handshake since then"]);
    assert_eq!(severity(epoch, behind(|it| it.last_seen = None)), Some(Advice));
}

#[test]
fn a_stopped_process_with_old_keys() {
    let text = said(epoch, |it| {
        it.members[1].last_seen = Some(it.now - DAY);
        keys(it).published = it.now;
        behind(|it| it.state = ProcessState::Stopped)(it);
    });
    assert_says(&text, &["A stopped process", "kill -CONT 2"]);
}

#[test]
fn processes_that_do_not_count() {
    let dead = behind(|it| it.state = ProcessState::Dead);
    assert_eq!(severity(epoch, dead), Some(Fine));
    let without_keys = behind(|it| it.key_epoch = 0);
    assert_says(&said(epoch, without_keys), &["3 of 3 processes current"]);
    // Who does nothing is behind for a while.
    let idle_for = |secs| {
        move |it: &mut Picture| {
            keys(it).published = it.now - Duration::from_secs(secs);
            behind(|_| {})(it);
            it.members[1].last_seen = Some(it.now - DAY);
        }
    };
    assert_eq!(severity(epoch, idle_for(3_599)), Some(Fine));
    assert_eq!(severity(epoch, idle_for(3_600)), Some(Advice));
}

#[test]
fn keys_that_nobody_rotates() {
    let aged = |age: Duration| move |it: &mut Picture| keys(it).encrypts_since = Some(it.now - age);
    assert_eq!(severity(old, aged(DAY)), Some(Fine));
    assert_eq!(severity(old, aged(DAY + Duration::from_secs(1))), Some(Problem));
    assert_says(&said(old, aged(3 * DAY)), &["in use for 3d", "Rotation does not run any more"]);
    for (source, remedy) in [("file", "into the file"), ("remote", "machine"), ("api", "Publish")] {
        let text = said(old, |it| {
            keys(it).source = source;
            aged(2 * DAY)(it);
        });
        assert_says(&text, &[remedy]);
    }
    assert_eq!(severity(old, |it| keys(it).encrypts_since = None), Some(Problem));
}

/// Just after an update `doctor` called a key seconds old that had no start, and may be of any age.
#[test]
fn a_key_whose_start_is_not_known() {
    let set = |age: Duration| {
        move |it: &mut Picture| {
            keys(it).knows_start = false;
            keys(it).encrypts_since = Some(it.now - age);
        }
    };
    assert_says(
        &said(old, set(Duration::from_secs(6))),
        &["the ring of ticket keys was set 6s ago"],
    );
    assert_eq!(severity(old, set(2 * DAY)), Some(Problem));
}

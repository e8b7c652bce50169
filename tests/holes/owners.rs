//! Owners of a lock that go in ways in which the kernel does not tell of their death.

use std::fs;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use nix::sys::signal::{Signal, raise};
use nix::unistd::execv;
use shmtls::{Cache, Miss, Options};

use crate::lab::{
    DEADLINE, Lock, SESSIONS, TID_MASK, Thread, assert_whole, caught, caught_with, eventually,
    lock_word, one_bucket, stand_still,
};
use crate::payload::{context, id};
use crate::procs::{Child, alone, ask_for_pid, fork, fork_in_pid_namespace};
use crate::scoreboard::Shared;

/// The next one has the lock at once, and nothing is lost.
#[track_caller]
fn assert_recovered(cache: &Cache, by_kernel: u64, by_theft: u64) {
    assert_whole(cache);
    let stats = cache.stats();
    let deaths = (stats.owner_died_kernel, stats.owner_died_stolen, stats.owner_died_self);
    assert_eq!(deaths, (by_kernel, by_theft, 0), "{stats:?}");
    assert_eq!((stats.repairs, stats.repair_kept, stats.repair_lost), (1, SESSIONS, 0));
    assert_eq!(stats.lock_deadlines, 0, "somebody waited for the dead");
}

fn exec_something_else() {
    let args = [c"sleep", c"100"];
    execv(c"/bin/sleep", &args).expect("every machine has it");
}

fn await_exec(child: &Child) {
    let comm = format!("/proc/{}/comm", child.pid());
    eventually("the exec", || fs::read_to_string(&comm).is_ok_and(|comm| comm == "sleep\n"));
}

/// The process lives on as another program: its ID is not that of a dead one.
#[test]
fn an_owner_that_execs_lets_go() {
    let _turn = alone();
    let cache = one_bucket();
    let child = caught(&cache, exec_something_else);
    await_exec(&child);
    assert_recovered(&cache, 1, 0);
}

/// A thread that execs takes the leader's ID before the kernel looks at its robust list: the lock
/// keeps an ID that no thread has, and the kernel never marks it.
#[test]
fn an_owner_that_execs_beside_the_leader_is_found_dead() {
    let _turn = alone();
    let cache = one_bucket();
    let child = caught_with(&cache, Thread::Other, exec_something_else, || stand_still());
    await_exec(&child);
    let owner = lock_word(&cache, Lock::Bucket).load(SeqCst) & TID_MASK;
    assert_ne!((owner, owner as i32), (0, child.pid().as_raw()), "the kernel has marked it");
    assert_recovered(&cache, 0, 1);
}

/// The exec of one thread ends the others, wherever they are.
#[test]
fn an_owner_that_anothers_exec_ends_lets_go() {
    let _turn = alone();
    let cache = one_bucket();
    let is_in = Shared::<AtomicU32>::new();
    let enter = || {
        is_in.store(1, SeqCst);
        stand_still()
    };
    let exec_then = || {
        eventually("the owner is in", || is_in.load(SeqCst) != 0);
        exec_something_else();
    };
    let child = caught_with(&cache, Thread::Other, enter, exec_then);
    await_exec(&child);
    assert_recovered(&cache, 1, 0);
}

/// glibc's robust mutexes end with a NULL in the one place where the kernel would look for ours. A
/// handler that uses one takes the kernel's help away; and the zombie still answers signals.
#[test]
fn a_zombie_that_used_a_robust_mutex_is_found_dead() {
    let _turn = alone();
    let cache = one_bucket();
    let child = caught(&cache, || {
        use_a_robust_mutex();
        let _ = raise(Signal::SIGKILL);
    });
    assert_stolen_from_zombie(&cache, &child);
}

/// The kernel gives up at an entry of the list that it cannot read, before it comes to ours.
#[test]
fn a_zombie_whose_robust_list_is_wild_is_found_dead() {
    let _turn = alone();
    let cache = one_bucket();
    let child = caught(&cache, || {
        let head = robust_list_head();
        // SAFETY: the thread's own head, whose first word is the list's next entry.
        unsafe { head.write_volatile(ptr::without_provenance_mut(16)) };
        let _ = raise(Signal::SIGKILL);
    });
    assert_stolen_from_zombie(&cache, &child);
}

/// Of a list that goes in circles the kernel reads so many entries, and then ours.
#[test]
fn a_robust_list_without_an_end_ends() {
    let _turn = alone();
    let cache = one_bucket();
    let child = caught(&cache, || {
        let head = robust_list_head();
        let mut entry: [*mut (); 8] = [ptr::null_mut(); 8];
        let start: *mut () = entry.as_mut_ptr().cast();
        entry[0] = start;
        // SAFETY: as above; the entry lives until the process dies.
        unsafe { head.write_volatile(start) };
        std::hint::black_box(&entry);
        let _ = raise(Signal::SIGKILL);
    });
    child.wait_zombie();
    assert_recovered(&cache, 1, 0);
}

/// The kernel marks a word where the dead had it mapped, and only if it could write to it.
#[test]
fn an_owner_whose_segment_is_gone_is_found_dead() {
    let _turn = alone();
    for take_away in [unmap as fn(usize, usize), make_read_only] {
        let cache = one_bucket();
        let child = caught(&cache, || {
            mappings_of(&cache).for_each(|(start, len)| take_away(start, len));
            let _ = raise(Signal::SIGKILL);
        });
        assert_stolen_from_zombie(&cache, &child);
    }
}

/// A server whose first thread ends and leaves the work to others is no zombie, though /proc says
/// so of that thread. Its line was given to the next one to come.
#[test]
fn a_process_whose_first_thread_has_ended_keeps_its_line() {
    let _turn = alone();
    let cache = Options::new().size(1 << 20).processes(2).create_memfd().expect("a segment");
    let calls = Shared::<AtomicU32>::new();
    let server = fork(|| {
        thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    let _ = cache.get_session(&context(), &id(1));
                    calls.fetch_add(1, SeqCst);
                }
            });
            end_this_thread();
        });
    });
    let stat = format!("/proc/{}/stat", server.pid());
    let is_zombie = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
    eventually("the end of its first thread", is_zombie);
    let before = calls.load(SeqCst);
    eventually("more calls of the other", || calls.load(SeqCst) > before + 1);
    // The table has no line for it but that of the server.
    fork(|| assert_eq!(cache.get_session(&context(), &id(1)).err(), Some(Miss::Absent))).join();
    let lines = cache.processes();
    let line = lines.iter().find(|line| line.pid() as i32 == server.pid().as_raw());
    assert!(line.is_some_and(|line| line.is_alive()), "{lines:?}");
    server.kill();
    let lines = cache.processes();
    assert!(lines.iter().any(|line| !line.is_alive()), "{lines:?}");
}

/// The ID of a dead owner is given to somebody who lives and never comes: the others do without the
/// bucket, each until its deadline. Once he does come he knows that he is not meant.
#[test]
fn a_dead_owners_id_on_somebody_else_costs_a_deadline_until_he_comes() {
    let _turn = alone();
    let in_namespace = fork_in_pid_namespace(|| {
        let cache = one_bucket();
        let owner = caught(&cache, || {
            use_a_robust_mutex();
            let _ = raise(Signal::SIGKILL);
        });
        let pid = owner.pid();
        owner.wait_zombie();
        drop(owner);
        let comes = Shared::<AtomicU32>::new();
        ask_for_pid(pid);
        let namesake = fork(|| {
            eventually("the call", || comes.load(SeqCst) != 0);
            assert_whole(&cache);
        });
        assert_eq!(namesake.pid(), pid);
        let start = std::time::Instant::now();
        assert_eq!(cache.size_of(&context(), &id(1)), Err(Miss::Busy));
        assert!(start.elapsed() >= DEADLINE);
        assert_eq!(cache.stats().recoveries(), 0);
        comes.store(1, SeqCst);
        namesake.join();
        assert_whole(&cache);
        let stats = cache.stats();
        assert_eq!((stats.owner_died_self, stats.recoveries(), stats.repair_lost), (1, 1, 0));
    });
    in_namespace.into_iter().for_each(Child::join);
}

#[track_caller]
fn assert_stolen_from_zombie(cache: &Cache, child: &Child) {
    child.wait_zombie();
    let owner = lock_word(cache, Lock::Bucket).load(SeqCst) & TID_MASK;
    assert_eq!(owner as i32, child.pid().as_raw(), "the kernel has marked it");
    assert_recovered(cache, 0, 1);
}

// ---- deeds --------------------------------------------------------------------------------------

/// What a handler must not do: it overwrites what the thread had announced to the kernel.
pub(crate) fn use_a_robust_mutex() {
    let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    let mut mutex = MaybeUninit::<libc::pthread_mutex_t>::uninit();
    let mutex = mutex.as_mut_ptr();
    // SAFETY: initialises the attributes in the live local.
    unsafe { libc::pthread_mutexattr_init(attributes) };
    // SAFETY: the attributes were initialised above.
    unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) };
    // SAFETY: initialises the mutex in the live local from initialised attributes.
    unsafe { libc::pthread_mutex_init(mutex, attributes) };
    // SAFETY: the mutex was initialised above, is free, and no other thread knows it.
    let locked = unsafe { libc::pthread_mutex_lock(mutex) };
    // SAFETY: this thread locked it above.
    let unlocked = unsafe { libc::pthread_mutex_unlock(mutex) };
    assert_eq!((locked, unlocked), (0, 0));
}

/// As pthread_exit does, without the cleanup of what others still use.
fn end_this_thread() -> ! {
    // SAFETY: the thread's stack stays until the process ends; nothing of it is run again.
    #[allow(clippy::disallowed_methods)]
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
    }
    unreachable!("it has ended")
}

/// The first word of what libc registered for this thread.
fn robust_list_head() -> *mut *mut () {
    let mut head: *mut *mut () = ptr::null_mut();
    let mut len: libc::size_t = 0;
    // SAFETY: get_robust_list writes a pointer and a length to the two live locals.
    #[allow(clippy::disallowed_methods)]
    let failed =
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    assert!(failed == 0 && !head.is_null());
    head
}

/// Where this process has the segment mapped: start and length.
fn mappings_of(cache: &Cache) -> impl Iterator<Item = (usize, usize)> {
    let inode = nix::sys::stat::fstat(cache.fd()).expect("fstat").st_ino.to_string();
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc");
    let lines: Vec<_> = maps.lines().map(String::from).collect();
    let ours = move |line: &String| line.split_whitespace().nth(4) == Some(inode.as_str());
    lines.into_iter().filter(ours).map(|line| {
        let (start, end) = line.split(' ').next().and_then(|s| s.split_once('-')).expect("a range");
        let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).expect("hex"));
        (start, end - start)
    })
}

fn unmap(start: usize, len: usize) {
    // SAFETY: nothing of the segment is touched any more: this process is about to die.
    #[allow(clippy::disallowed_methods)]
    let result = unsafe { libc::munmap(ptr::without_provenance_mut(start), len) };
    assert_eq!(result, 0);
}

fn make_read_only(start: usize, len: usize) {
    // SAFETY: as above.
    let result =
        unsafe { libc::mprotect(ptr::without_provenance_mut(start), len, libc::PROT_READ) };
    assert_eq!(result, 0);
}

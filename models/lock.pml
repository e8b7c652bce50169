/* The robust lock of src/robust.rs, with a SIGKILL between any two steps of any thread.
 *
 * Each label is one atomic step: on the lock word, on the futex queue, or on the knowledge of who
 * lives. The comment above it quotes the line of source that it stands for; tests/model.rs checks
 * that the line is there, and that no such line of the lock is left out. `fetch_update`, and the
 * kernel's cmpxchg loop, take effect at one instant, and are one step here.
 *
 * Left out: memory orders (there is one word, and system calls are barriers); where a pending
 * word points (to this word or nowhere); and two reads that decide nothing:
 * robust.rs: fn spin: `self.word.load(Relaxed) & TID_MASK == 0`
 * robust.rs: fn sleep: `self.word.load(Relaxed) & TID_MASK == 0`
 *
 * What has to hold (models/run knows the verdicts by these assertions):
 *   inside   one thread is in the section at a time;
 *   torn     whoever takes the lock after a death in the section is told of it;
 *   queue    without slices nobody sleeps when nobody is left to wake him;
 *   slices   with them (SLICES) that happens once for each death and each reuse of an ID at most;
 *   word     in the end no dead thread owns the lock; if the kernel did not help, a visitor
 *            finds that it is dead.
 *
 * Sizes (-D, models/run has defaults): PROCS, ROUNDS, KILLS; EARLY: sleeps that end
 * for no reason (a signal, a slice); GIVE_UPS: waits that end at the deadline; INITIAL: the word.
 * Kernels: K62 (the default), K55, K2026, NOHELP (no robust exit), LOSSY (K62, may skip it).
 * REUSE: a dead thread's ID is given to a new one, which wants the lock, too; STRANGERS: which
 * does not. ANY_ORDER: a wake may reach any sleeper (they differ in real-time priority).
 * All other names are other protocols: known-bad ones, and ways to get rid of WAITERS.
 */

/* The word is its own highest byte: the constants of robust.rs, shifted right by 24. */
#define WAITERS 128
#define OWNER_DIED 64
#define TID_MASK 63

#define TID (_pid + 1)
#define OWNER(value) ((value) & TID_MASK)
#define WITHOUT_WAITERS(value) ((value) & (OWNER_DIED + TID_MASK))
#define IS_DEAD(tid) ((dead >> (tid)) & 1)
byte word = INITIAL;
chan queue = [PROCS] of { byte };
byte dead;              /* one bit per TID: nobody has this ID */
byte killed;
byte reused;            /* IDs that were given to new threads */
byte slices;            /* how often everybody had to wait for a slice to end */
byte early = EARLY;
byte give_ups = GIVE_UPS;
byte done;              /* threads that are dead or have no more rounds */
byte inside;            /* threads in the section */
bit torn;               /* a thread died in the section, and nobody has repaired it */

#define KILL killed < KILLS -> killed++; seen = 0; slept = 0
#define DIES :: d_step { KILL } -> goto dying
#define DIES_INSIDE :: d_step { KILL; inside--; torn = 1 } -> goto dying
#define DIES_ASLEEP :: d_step { KILL; UNQUEUE } -> goto dying

#define TAKEN(death) \
	assert(inside == 0); inside++; assert(!torn || (death)); seen = 0; slept = 0
#define LEFT inside--; torn = 0
#define ASLEEP queue??[eval(TID)]
#define UNQUEUE if :: ASLEEP -> queue??eval(TID) :: !ASLEEP fi
#if defined(PRIVATE)
#define SLEEP queue!TID
#define WAKE skip
#elif defined(ANY_ORDER)
#define SLEEP queue!!TID
#define WAKE if :: queue??1 :: queue??2 :: queue??3 :: queue??4 :: empty(queue) fi
#else
#define SLEEP queue!TID
#define WAKE if :: nempty(queue) -> queue?_ :: empty(queue) fi
#endif

/* When the kernel wakes although the dying thread does not own its pending word. */
#if defined(K55)
#define RESENDS (word == 0)
#elif defined(K2026)
#define RESENDS (OWNER(word) == 0 || !(word & WAITERS))
#else
#define RESENDS (OWNER(word) == 0)
#endif
#ifdef NO_PENDING
#define PENDING 0
#else
#define PENDING 1
#endif
#if defined(NOHELP) || defined(LOSSY)
#define MAY_STAY_OWNED 1
#else
#define MAY_STAY_OWNED 0
#endif
/* Everybody is asleep or gone. */
#define STANDSTILL (len(queue) + done == PROCS)
#define DONE \
	done++; \
	if \
	:: done == PROCS -> \
		assert(!torn || (word & OWNER_DIED) || IS_DEAD(OWNER(word))); \
		assert(OWNER(word) == 0 || (MAY_STAY_OWNED && IS_DEAD(OWNER(word)))) \
	:: done < PROCS \
	fi

active [PROCS] proctype thread() {
	byte seen;
	byte left = ROUNDS;
	bit slept, pending, resend;

	/* robust.rs: fn lock_on: `K::announce(word)`
	 * sys/thread.rs: fn enter: `section.announce(word` */
enter:
	if
	DIES
	:: d_step { left > 0 -> pending = PENDING }
	:: d_step { left == 0 -> DONE } -> goto end
	fi;

	/* robust.rs: fn lock_on: `word.compare_exchange(0, announced.tid()` */
fast:
	if
	DIES
	:: d_step { word == 0 -> word = TID; TAKEN(0) } -> goto owned
	:: word != 0
	fi;

	/* robust.rs: fn take: `let seen = self.word.load(Relaxed)` */
take:
	if
	DIES
	:: d_step { OWNER(word) == 0 -> seen = word } -> goto take_free
#ifdef SAME_TID_WAITS
	:: d_step { OWNER(word) != 0 -> seen = word }
#else
	:: d_step { OWNER(word) == TID -> seen = word } -> goto same_tid
	:: d_step { OWNER(word) != 0 && OWNER(word) != TID -> seen = word }
#endif
	fi;

	/* robust.rs: fn take: `self.is_dead(owner)`
	 * robust.rs: fn is_dead: `K::is_dead(owner)` */
look:
	if
	DIES
	:: IS_DEAD(OWNER(seen)) -> goto take_over
	:: d_step { !IS_DEAD(OWNER(seen)) -> seen = 0 } -> goto sleep
	fi;

	/* robust.rs: fn take: `self.change(seen, self.tid | WAITERS, Death::SameTid)` */
same_tid:
	if
	DIES
	:: d_step { WITHOUT_WAITERS(word) == WITHOUT_WAITERS(seen) ->
		word = TID | WAITERS; TAKEN(1) } -> goto owned
	:: d_step { WITHOUT_WAITERS(word) != WITHOUT_WAITERS(seen) -> seen = 0 } -> goto sleep
	fi;

#if defined(NO_INHERIT)
#define INHERITED (slept -> WAITERS : 0)
#elif defined(NO_SLEPT)
#define INHERITED (seen & WAITERS)
#else
#define INHERITED (slept -> WAITERS : seen & WAITERS)
#endif
	/* robust.rs: fn take_free: `if self.slept { WAITERS } else { seen & WAITERS }`
	 * robust.rs: fn take_free: `self.word.compare_exchange(seen, self.tid | waiters` */
take_free:
	if
	DIES
	:: d_step { word == seen -> word = TID | INHERITED; TAKEN(seen & OWNER_DIED) } -> goto owned
	:: d_step { word != seen -> seen = 0 } -> goto sleep
	fi;

	/* robust.rs: fn take_over: `let claim = self.tid | OWNER_DIED | (seen & WAITERS)`
	 * robust.rs: fn take_over: `self.word.compare_exchange(seen, claim` */
take_over:
	if
	DIES
#ifdef NO_RECHECK
	:: d_step { word == seen -> word = TID | (seen & WAITERS); TAKEN(1) } -> goto owned
#else
	:: d_step { word == seen -> word = TID | OWNER_DIED | (seen & WAITERS); seen = OWNER(seen) }
#endif
	:: d_step { word != seen -> seen = 0 } -> goto sleep
	fi;

	/* robust.rs: fn take_over: `self.is_dead(owner)` */
look_again:
	if
	DIES
	:: IS_DEAD(seen)
	:: !IS_DEAD(seen) -> goto give_back
	fi;

#ifdef PROBE_WAITERS
#define TO_SLEEP (WAITERS | OWNER(seen))
#define CLAIMED (OWNER(word) == TID)
#else
#define TO_SLEEP (WAITERS | seen)
#define CLAIMED (WITHOUT_WAITERS(word) == (TID | OWNER_DIED))
#endif
	/* robust.rs: fn take_over: `self.change(claim, self.tid, Death::Stolen)` */
take_claimed:
	if
	DIES
	:: d_step { CLAIMED -> word = TID | (word & WAITERS); TAKEN(1) } -> goto owned
	:: d_step { !CLAIMED -> seen = 0 } -> goto sleep
	fi;

	/* robust.rs: fn take_over: `self.change(claim, owner, Death::Stolen)`
	 * robust.rs: fn change: `self.word.fetch_update(` */
give_back:
	if
	DIES
	:: d_step { CLAIMED -> word = seen | (word & WAITERS); seen = 0 }
	:: d_step { !CLAIMED -> seen = 0 }
	fi;

	/* robust.rs: fn lock_contended: `waited >= patience.deadline`
	 * robust.rs: fn sleep: `let seen = self.word.load(Relaxed)` */
sleep:
	if
	DIES
	:: d_step { give_ups > 0 -> give_ups--; slept = 0 } -> goto leave
	:: OWNER(word) == 0 || OWNER(word) == TID -> goto take
	:: d_step { OWNER(word) != 0 && OWNER(word) != TID -> seen = word }
	fi;

	/* robust.rs: fn sleep: `self.word.compare_exchange(seen, asleep` */
mark:
	if
	DIES
	:: seen == TO_SLEEP
	:: d_step { seen != TO_SLEEP && word == seen -> word = TO_SLEEP; seen = TO_SLEEP }
	:: d_step { seen != TO_SLEEP && word != seen -> seen = 0 } -> goto take
	fi;

	/* robust.rs: fn sleep: `K::wait(self.word, asleep` */
wait:
	if
	DIES
	:: d_step { word == seen -> SLEEP; slept = 1; seen = 0 }
	:: d_step { word != seen -> slept = 1; seen = 0 } -> goto take
	fi;

	/* robust.rs: fn sleep: `let timed_out = ` */
asleep:
	if
	DIES_ASLEEP
	:: !ASLEEP -> goto take
	:: d_step { early > 0 && ASLEEP -> early--; UNQUEUE } -> goto take
	:: d_step { STANDSTILL ->
#ifdef SLICES
		slices++;
		assert(slices <= killed + reused);
		do
		:: nempty(queue) -> queue?_
		:: empty(queue) -> break
		od;
		skip
#else
		assert(!STANDSTILL)
#endif
		} -> goto take
	fi;

#ifdef PROBE_WAITERS
#define PROBED (TID | WAITERS | OWNER_DIED)
#else
#define PROBED (TID | WAITERS)
#endif
	/* robust.rs: fn drop: `self.word.compare_exchange(self.announced.tid(), 0` */
owned:
	if
	DIES_INSIDE
	:: d_step { word == TID -> word = 0; LEFT } -> goto leave
	:: d_step { word != TID -> LEFT }
#ifdef PROBE_WAITERS
	:: d_step { word == (TID | WAITERS) -> word = PROBED; LEFT } -> goto probe
#elif defined(OWNER_CLEARS)
	:: d_step { word == PROBED -> LEFT } -> goto probe
#endif
	fi;

#ifdef STORE_ZERO
#define RELEASED 0
#else
#define RELEASED WAITERS
#endif
	/* robust.rs: fn hand_over: `Fault::UnlockStoresZero.is_on() { 0 } else { WAITERS }`
	 * robust.rs: fn hand_over: `self.word.store(handing_over` */
release:
	if
	DIES
	:: d_step { word = RELEASED }
	fi;

#ifdef CLEAR_BEFORE_WAKE
	/* robust.rs: fn hand_over: `self.announced.withdraw()` */
clear:
	if
	DIES
	:: d_step { pending = 0 }
	fi;
#endif

	/* robust.rs: fn hand_over: `K::wake_one(self.word)` */
wake:
	if
	DIES
#ifdef EMPTY_WAKE_CLEARS
	:: empty(queue) -> goto clear_waiters
	:: d_step { nempty(queue) -> WAKE }
#else
	:: d_step { WAKE }
#endif
	fi;

	/* sys/thread.rs: fn withdraw: `self.announce(self.previous, 0)` */
leave:
	if
	DIES
	:: d_step { pending = 0; left-- } -> goto enter
	fi;

#ifdef EMPTY_WAKE_CLEARS
	/* other protocol: at some of the wakes that found nobody */
clear_waiters:
	if
	DIES
	:: d_step { word == WAITERS -> word = 0 }
	:: true -> goto leave
	fi;
#ifdef WAKES_AGAIN
	/* other protocol */
wake_again:
	if
	DIES
	:: d_step { WAKE }
	fi;
#endif
	goto leave;
#endif

#if defined(PROBE_WAITERS) || defined(OWNER_CLEARS)
	/* other protocol: an owner wakes; if it finds nobody, it drops WAITERS with the lock. When
	 * PROBE_WAITERS, it sets OWNER_DIED before, and who goes to sleep takes that away. */
probe:
	if
	DIES
	:: empty(queue)
	:: d_step { nempty(queue) -> WAKE } -> goto release
	fi;
	/* other protocol */
drop_waiters:
	if
	DIES
	:: d_step { word == PROBED -> word = 0 } -> goto leave
	:: word != PROBED -> goto release
	fi;
#endif

	/* kernel: exit_robust_list reads what is pending, handle_futex_death changes the word */
dying:
#ifndef NOHELP
	if
	:: d_step { pending && OWNER(word) == TID ->
		resend = (word & WAITERS) != 0;
		word = (word & WAITERS) | OWNER_DIED }
	:: d_step { pending && OWNER(word) != TID -> resend = RESENDS }
	:: !pending
#ifdef LOSSY
	:: pending
#endif
	fi;
	/* kernel: handle_futex_death wakes */
resend_wake:
	if
	:: d_step { resend -> WAKE; resend = 0 }
	:: !resend
	fi;
#endif
	/* kernel: from here on the ID is nobody's, or a zombie's */
gone:
	if
	:: d_step { pending = 0; dead = dead | (1 << TID); DONE }
	fi;
#ifdef STRANGERS
#define REUSE
#define WANTED 0
#else
#define WANTED left
#endif
	/* kernel: a new thread is given the ID */
end_gone:
	if
#ifdef REUSE
	:: d_step { reused < KILLS -> dead = dead & (255 - (1 << TID)); reused++; done--;
		left = WANTED } -> goto enter
#endif
	:: false
	fi;
end:
	false
}

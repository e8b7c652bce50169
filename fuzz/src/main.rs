//! libFuzzer's hands on `tests/hostile`. `make fuzz` builds and runs it, on the stable toolchain.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/mod.rs"]
mod hostile;
#[path = "../../tests/common/payload.rs"]
mod payload;
#[path = "../../tests/common/scoreboard.rs"]
mod scoreboard;

thread_local! {
    static VICTIM: RefCell<hostile::Victim> = RefCell::new(hostile::Victim::new());
}

fuzz_target!(|input: &[u8]| VICTIM.with_borrow_mut(|victim| victim.execute(input)));

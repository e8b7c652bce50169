//! The operating system: the first of the rooms where `unsafe` lives. Everything above speaks
//! to the kernel through the safe functions of these files.

pub(crate) mod clock;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod hidden;
pub(crate) mod map;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod registers;
pub(crate) mod thread;

//! Bad input, all of it: what is no segment, what is one but not ours, what was ours and is
//! damaged, and options that describe none. Each is refused with the error that says what was
//! found, what was expected and what to do; nothing panics, and nothing is left behind.
#![allow(unsafe_code)] // Boards in shared memory.

#[path = "common/layout_doc.rs"]
mod layout_doc;
#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;

#[path = "attach/files.rs"]
mod files;
#[path = "attach/handed_over.rs"]
mod handed_over;
#[path = "attach/header.rs"]
mod header;
#[path = "attach/lab.rs"]
mod lab;
#[path = "attach/options.rs"]
mod options;
#[path = "attach/races.rs"]
mod races;
#[path = "attach/scribbled.rs"]
mod scribbled;
#[path = "attach/sessions.rs"]
mod sessions;
#[path = "attach/surroundings.rs"]
mod surroundings;

//! What a tool sees of a segment from outside, through an `Inspector`: each violation that it can
//! name, what a repair does about it, and that all else it tells is what caches did.
#![allow(unsafe_code)] // A second mapping of the segment.

#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[path = "hostile/window.rs"]
mod window;

#[path = "inspect/events.rs"]
mod events;
#[path = "inspect/lab.rs"]
mod lab;
#[path = "inspect/locks.rs"]
mod locks;
#[path = "inspect/looks.rs"]
mod looks;
#[path = "inspect/repairs.rs"]
mod repairs;
#[path = "inspect/violations.rs"]
mod violations;

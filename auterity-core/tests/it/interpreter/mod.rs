//! The interpreter alone: programs driven event by event, under a clock that jumps.

mod cost;
mod data;
mod drive;
mod errors;
mod events;
mod flow;
mod random;

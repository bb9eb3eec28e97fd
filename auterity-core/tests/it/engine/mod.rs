//! The engine as a whole, on the memory store.

mod control;
mod fixture;
mod messages;
mod replay;
mod samples;
mod schedules;
mod tasks;

pub(crate) use fixture::{Fixture, PATIENCE, definition, error, options, output, scope};

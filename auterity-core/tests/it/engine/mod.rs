//! The engine as a whole, on the memory store.

mod approval;
mod control;
mod extensions;
mod externals;
mod figures;
mod fixture;
mod flow;
mod lifecycle;
mod messages;
mod pipelined;
mod repair;
mod replay;
mod samples;
mod schedules;
mod tasks;

pub(crate) use fixture::{Fixture, PATIENCE, definition, error, options, output, scope};
pub(crate) use replay::order;

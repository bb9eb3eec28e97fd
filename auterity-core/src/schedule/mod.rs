//! Schedules: what starts a workflow by itself, when, and under which rules.
//!
//! Everything here is pure. A [`Spec`] says what a person wants; `decide` takes what is
//! known about a schedule at a moment and says what follows from it. The engine
//! records that decision before it starts anything.

mod collect;
mod cron;
mod decide;
mod plan;
mod spec;
mod timing;

pub use collect::Group;
pub(crate) use collect::filters;
pub use cron::Cron;
pub(crate) use cron::pattern;
pub(crate) use decide::{Asked, Decision, after_starts, decide};
pub(crate) use spec::check_input;
pub use spec::{CatchUp, DefinitionPolicy, Overlap, Policy, Spec, Timing};
pub(crate) use timing::Calendar;

//! What an engine counts and measures, as plain values for whoever shows them.
//!
//! Counters begin at nothing with the engine. An execution counts where it was started,
//! and where it ended; of several processes each tells its own part.

mod histogram;
mod meter;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use histogram::Histogram;
pub(super) use meter::{Meter, Tally, survey};

use super::handle::Handle;
use crate::store::Survey;

/// The figures of an engine.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Figures {
    /// Executions that were started.
    pub started: u64,
    /// Starts that a limit of a tenant or workflow refused.
    pub throttled: u64,
    /// Starts that this process had no place for.
    pub overloaded: u64,
    /// Executions that ended well.
    pub completed: u64,
    /// Executions that ended with an error.
    pub faulted: u64,
    /// Executions that ended by request.
    pub cancelled: u64,
    /// What became of tasks.
    pub tasks: TaskFigures,
    /// Errors of tasks by their type, those included that were caught or tried again;
    /// of many types most count as `other`.
    pub errors: BTreeMap<String, u64>,
    /// Executions that the worker claimed.
    pub claims: u64,
    /// Executions in memory now, and at most.
    pub in_flight: (u64, u64),
    /// Calls of functions under way now.
    pub functions_running: u64,
    /// Entries that wait for their commit now.
    pub journal_waiting: u64,
    /// Entries of a journal batch.
    pub batch_entries: Histogram,
    /// Seconds that a journal batch took to be committed.
    pub commit_seconds: Histogram,
    /// Seconds between a time that was due and what follows from it.
    pub timer_lag_seconds: Histogram,
    /// What waits in the queue, and when that was counted. Absent until it was: whoever
    /// asks for figures has it counted for the next time.
    pub queue: Option<(Timestamp, Survey)>,
}

/// What became of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskFigures {
    /// Ended well.
    pub completed: u64,
    /// Ended with an error.
    pub faulted: u64,
    /// Ended from outside.
    pub cancelled: u64,
    /// Not executed, or ended by an operator.
    pub skipped: u64,
    /// Failed, to be tried again.
    pub retrying: u64,
}

impl Handle {
    /// Tells what the engine has counted and measured so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let core = &self.core;
        let life = core.life();
        let in_flight = life.as_ref().map_or(0, |life| life.active().len());
        let room = life.as_ref().map_or(0, |_| core.options.in_flight_max);
        let journal = life.as_ref().map_or(0, |life| life.journal.waiting());
        let waiting = journal + core.unfenced.waiting();
        core.meter.read(
            (in_flight as u64, room as u64),
            u64::try_from(waiting).unwrap_or(u64::MAX),
        )
    }
}

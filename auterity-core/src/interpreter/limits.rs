//! What an execution may use up.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Problem, ProblemKind};

/// The limits of one execution. Reaching one faults the execution with a clear error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Task activations in the life of an execution, loops and retries included.
    pub activations_max: u64,
    /// Task activations between two journal events, so that a long stretch without
    /// effects is not repeated as a whole after a crash.
    pub activations_per_event_max: u32,
    /// Operations of expressions between two journal events, so that other executions
    /// have their turn: as many as one expression may do at most come on top.
    pub operations_per_event_max: u64,
    /// How deeply executions may start awaited children that start children.
    pub nesting_max: u32,
    /// Items that one `for` may go through.
    pub iterations_max: usize,
    /// Branches that may be open at once in an execution.
    pub branches_max: usize,
    /// Steps that a durable function may ask for before it continues as new.
    pub durable_steps_max: u64,
    /// Events that one `listen` may collect.
    pub events_collected_max: usize,
    /// Bytes of JSON of an input, an output or an effect's result.
    pub payload_bytes_max: usize,
    /// Bytes of an execution's state as a snapshot keeps it; no store takes more than
    /// 64 MiB, whatever is set here.
    pub state_bytes_max: usize,
    /// Bytes of a task's output kept in its record; a longer one is left out there.
    pub record_output_bytes_max: usize,
    /// For how long a cancelled execution may compensate.
    pub cancel_grace: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            activations_max: 1_000_000,
            activations_per_event_max: 1_000,
            operations_per_event_max: 500_000,
            nesting_max: 32,
            iterations_max: 100_000,
            branches_max: 1_000,
            durable_steps_max: 10_000,
            events_collected_max: 10_000,
            payload_bytes_max: 4 * 1024 * 1024,
            state_bytes_max: 64 * 1024 * 1024,
            record_output_bytes_max: 8 * 1024,
            cancel_grace: SignedDuration::from_mins(5),
        }
    }
}

impl Limits {
    /// Gives how deep a child execution is nested.
    pub(super) fn nested(&self, parent: u32, awaited: bool) -> Result<u32, Problem> {
        let nesting = if awaited { parent + 1 } else { 0 };
        let most = self.nesting_max;
        if nesting <= most {
            return Ok(nesting);
        }
        let detail = format!(
            "{most} executions above this one wait for its end already (limit nesting_max): \
             does the workflow start itself without an end?"
        );
        Err(Problem::new(ProblemKind::Runtime, detail))
    }
}

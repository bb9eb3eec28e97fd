//! Executions, their history and live events.

mod batch;
mod control;
mod documents;
mod read;
mod start;

pub(super) use documents::{ExecutionSummary, duration_ms};

/// The calls, by what they are for.
pub(super) type Api = (start::Api, batch::Api, read::Api, control::Api);

/// All calls about executions.
pub(super) const API: Api = (start::Api, batch::Api, read::Api, control::Api);

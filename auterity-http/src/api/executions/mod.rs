//! Executions, their history and live events.

mod batch;
mod bulk;
mod bulk_documents;
mod control;
mod documents;
mod faults;
mod read;
mod repair;
mod start;

pub(super) use documents::{ExecutionStatus, ExecutionSummary, duration_ms};

/// The calls, by what they are for.
pub(super) type Api = (
    start::Api,
    batch::Api,
    read::Api,
    faults::Api,
    bulk::Api,
    control::Api,
    repair::Api,
);

/// All calls about executions.
pub(super) const API: Api = (
    start::Api,
    batch::Api,
    read::Api,
    faults::Api,
    bulk::Api,
    control::Api,
    repair::Api,
);

//! Repair of live work: what puts executions elsewhere than their own way leads them.

mod bulk;
mod fork;
mod history;
mod migrate;
mod retry;

pub(super) use bulk::BulkWorker;
pub use bulk::{BULK_MAX, BulkAction, BulkOrder, BulkPlan, Selection};
pub use fork::Fork;
pub use migrate::{Migrate, Verdict};
pub use retry::{Retry, RetryPlan};

//! Repair of live work: what puts executions elsewhere than their own way leads them.

mod fork;
mod history;
mod migrate;
mod retry;

pub use fork::Fork;
pub use migrate::{Migrate, Verdict};
pub use retry::{Retry, RetryPlan};

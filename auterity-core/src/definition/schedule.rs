//! When a workflow starts by itself.

use super::event::Strategy;
use super::record::{Closed, record};
use super::text::Cron;
use super::timeout::Duration;

record! {
    /// When a workflow starts by itself.
    Schedule: Closed, "the schedule" {
        optional every: Duration = "every",
        optional cron: Cron = "cron",
        optional after: Duration = "after",
        optional on: Strategy = "on",
    }
}

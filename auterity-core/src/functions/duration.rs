//! Lengths of time in the arguments of calls.

use std::time::Duration;

use serde_json::Value;

use crate::expression::duration;

/// Reads a positive length: an ISO 8601 text or a duration object. A day has 24 hours.
pub(super) fn read(value: &Value) -> Option<Duration> {
    let span = duration::from_value(value).ok()?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let length = Duration::try_from(span.to_duration(relative).ok()?).ok()?;
    (!length.is_zero()).then_some(length)
}

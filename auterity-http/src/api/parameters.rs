//! Reads what stands in paths and queries.

use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::error::Problem;

/// Reads an id. A text that is none names nothing, so it is not found.
pub(super) fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// Reads a time, where one is given.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let wrong = |_| Problem::parameter(name, "must be a time such as 2026-01-31T08:00:00Z");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

/// Reads a workflow's namespace and name.
pub(super) fn workflow(place: &str, text: &str) -> Result<(String, String), Problem> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(Problem::parameter(place, "must be namespace/name")),
    }
}

/// Reads a duration that is not longer than the most allowed, where one is given.
pub(super) fn duration(
    name: &str,
    text: Option<&str>,
    most: Duration,
) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let parsed = text
        .parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| Problem::parameter(name, "is no duration such as 10s"))?;
    if most < parsed {
        let detail = format!("is longer than {} s", most.as_secs());
        return Err(Problem::parameter(name, &detail));
    }
    Ok(Some(parsed))
}

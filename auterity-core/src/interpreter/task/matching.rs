//! Which events a `listen` task takes, and when it has what it waits for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::definition::{EventFilter, Strategy, Until, Wanted};
use crate::interpreter::Problem;
use crate::interpreter::data_flow::View;

impl Strategy {
    pub(super) fn filters(&self) -> &[EventFilter] {
        match self {
            Self::One(filter) => std::slice::from_ref(filter),
            Self::Any { filters, .. } | Self::All(filters) => filters,
        }
    }

    pub(super) fn until(&self) -> Option<&Until> {
        match self {
            Self::Any { until, .. } => until.as_ref(),
            _ => None,
        }
    }

    /// Tells whether these matches are all that is waited for.
    pub(super) fn is_met(&self, matched: &[bool]) -> bool {
        match self {
            Self::All(_) => matched.iter().all(|matched| *matched),
            Self::One(_) | Self::Any { until: None, .. } => matched.iter().any(|matched| *matched),
            Self::Any { until: Some(_), .. } => false,
        }
    }

    /// One slot per filter; an `any` without filters takes every event in one slot.
    pub(super) fn slots(&self) -> usize {
        self.filters().len().max(1)
    }
}

impl View<'_> {
    /// Tells whether an event passes a filter of the current task: gives the values
    /// that its correlations expect from now on. An event that an expression of the
    /// filter fails on does not pass, so that nobody who waits falls over it.
    pub(super) fn pass(
        &self,
        thread: u32,
        filter: &EventFilter,
        event: &Value,
        known: &BTreeMap<String, Value>,
    ) -> Result<Option<Vec<(String, Value)>>, Problem> {
        for (name, wanted) in &filter.with {
            let actual = event.get(name).unwrap_or(&Value::Null);
            let passes = match wanted {
                Wanted::Equal(value) => value == actual,
                Wanted::Pattern { text, pattern } => actual
                    .as_str()
                    .is_some_and(|actual| actual == text || pattern.is_match(actual)),
                Wanted::Computed(template) => {
                    let value = self.fill(thread, template, actual, &[]);
                    value.is_ok_and(|value| value == Value::Bool(true) || value == *actual)
                }
            };
            if !passes {
                return Ok(None);
            }
        }
        let mut learnt = Vec::new();
        for (name, correlation) in &filter.correlate {
            let Ok(actual) = self.evaluate(thread, &correlation.from, event, &[]) else {
                return Ok(None);
            };
            let expected = match (&correlation.expect, known.get(name)) {
                (Some(template), _) => {
                    Some(self.fill(thread, template, self.input(thread), &[])?)
                }
                (None, known) => known.cloned(),
            };
            match expected {
                Some(expected) if expected != actual => return Ok(None),
                Some(_) => {}
                None => learnt.push((name.clone(), actual)),
            }
        }
        Ok(Some(learnt))
    }
}

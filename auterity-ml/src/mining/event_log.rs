//! The event log: columns of events, case after case.

use std::ops::Range;

use super::columns::Column;
use super::labels::{Labels, NO_LABEL};
use crate::num::u32_of;

/// A start that is not known.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// Events of cases in columns: activities and resources as numbers, times as microseconds
/// since 1970, the events of a case side by side.
///
/// The events of a case are in the order of their times, and those of one time in the
/// order in which they came. Cases are in the order in which their first event came.
/// There is at least one event, and each case has at least one.
#[derive(Debug, Clone)]
pub struct EventLog {
    pub(super) case_ids: Labels,
    pub(super) activities: Labels,
    pub(super) resources: Labels,
    /// Where each case begins, and the number of events at the end.
    pub(super) offsets: Vec<u32>,
    pub(super) activity: Vec<u32>,
    pub(super) end: Vec<i64>,
    pub(super) start: Option<Vec<i64>>,
    pub(super) resource: Option<Vec<u32>>,
    pub(super) event_attributes: Vec<Column>,
    pub(super) case_attributes: Vec<Column>,
}

impl EventLog {
    /// Gives the number of events.
    #[must_use]
    pub fn events(&self) -> usize {
        self.activity.len()
    }

    /// Gives the number of cases.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Gives the ids of the cases; a case's number is that of its label.
    #[must_use]
    pub fn case_ids(&self) -> &Labels {
        &self.case_ids
    }

    /// Gives the labels of the activities.
    #[must_use]
    pub fn activities(&self) -> &Labels {
        &self.activities
    }

    /// Gives the names of the resources: who or what did the work.
    #[must_use]
    pub fn resources(&self) -> &Labels {
        &self.resources
    }

    /// Gives which events are those of a case.
    #[must_use]
    pub fn case_events(&self, case: usize) -> Range<usize> {
        self.offsets[case] as usize..self.offsets[case + 1] as usize
    }

    /// Gives the activity of each event.
    #[must_use]
    pub fn activity_column(&self) -> &[u32] {
        &self.activity
    }

    /// Gives the time at which each event ended, in microseconds since 1970.
    #[must_use]
    pub fn end_column(&self) -> &[i64] {
        &self.end
    }

    /// Gives the time at which an event began; that of its end if the log does not say.
    #[must_use]
    pub fn start(&self, event: usize) -> i64 {
        match &self.start {
            Some(starts) if starts[event] != NO_TIME => starts[event],
            _ => self.end[event],
        }
    }

    /// Gives the time at which an event began, if the log says it.
    #[must_use]
    pub fn known_start(&self, event: usize) -> Option<i64> {
        let start = self.start.as_ref()?[event];
        Some(start).filter(|&start| start != NO_TIME)
    }

    /// Tells whether the log says when events began, so that waiting and service can be
    /// told apart.
    #[must_use]
    pub fn has_starts(&self) -> bool {
        self.start.is_some()
    }

    /// Gives the resource of an event.
    #[must_use]
    pub fn resource(&self, event: usize) -> Option<u32> {
        let column = self.resource.as_ref()?;
        Some(column[event]).filter(|&resource| resource != NO_LABEL)
    }

    /// Tells whether the log says who did the work.
    #[must_use]
    pub fn has_resources(&self) -> bool {
        self.resource.is_some()
    }

    /// Gives the activities of a case in order.
    #[must_use]
    pub fn trace(&self, case: usize) -> &[u32] {
        &self.activity[self.case_events(case)]
    }

    /// Gives the attributes of events.
    #[must_use]
    pub fn event_attributes(&self) -> &[Column] {
        &self.event_attributes
    }

    /// Gives the attributes of cases.
    #[must_use]
    pub fn case_attributes(&self) -> &[Column] {
        &self.case_attributes
    }

    /// Gives the first and the last time of the log.
    #[must_use]
    pub fn span(&self) -> (i64, i64) {
        let first = (0..self.events()).map(|event| self.start(event)).min();
        let last = self.end.iter().max();
        (first.unwrap_or(0), last.copied().unwrap_or(0))
    }

    /// Gives the first and the last time of a case.
    #[must_use]
    pub fn case_span(&self, case: usize) -> (i64, i64) {
        let events = self.case_events(case);
        // The last event ended last; an earlier one need not have begun first.
        let last = self.end[events.end - 1];
        match &self.start {
            None => (self.end[events.start], last),
            Some(_) => {
                let first = events.map(|event| self.start(event)).min();
                (first.unwrap_or(last), last)
            }
        }
    }

    /// Gives the log of some of the events, which come in order; nothing if there is none.
    /// Labels that no event has any more are forgotten.
    pub(crate) fn select(&self, events: &[u32]) -> Option<Self> {
        if events.is_empty() {
            return None;
        }
        let mut case_ids = Labels::default();
        let mut offsets = Vec::new();
        let mut cases = Vec::new();
        let mut case = 0;
        for (to, &event) in events.iter().enumerate() {
            let before = case;
            while self.offsets[case + 1] <= event {
                case += 1;
            }
            if offsets.is_empty() || case != before {
                offsets.push(u32_of(to));
                cases.push(u32_of(case));
                // The labels were taken once, in a larger log.
                let _known = case_ids.intern(self.case_ids.name(u32_of(case)).as_bytes());
            }
        }
        offsets.push(u32_of(events.len()));
        let (activities, activity) = compact(&self.activities, &self.activity, events);
        let resources = self.resource.as_ref();
        let resources = resources.map(|column| compact(&self.resources, column, events));
        let (resources, resource) = match resources {
            Some((labels, column)) => (labels, Some(column)),
            None => (Labels::default(), None),
        };
        let take = |column: &Vec<i64>| -> Vec<i64> {
            let events = events.iter();
            events.map(|&event| column[event as usize]).collect()
        };
        let attributes = |columns: &[Column], rows: &[u32]| {
            let columns = columns.iter();
            columns.map(|column| column.select(rows)).collect()
        };
        Some(Self {
            case_ids,
            activities,
            resources,
            offsets,
            activity,
            end: take(&self.end),
            start: self.start.as_ref().map(take),
            resource,
            event_attributes: attributes(&self.event_attributes, events),
            case_attributes: attributes(&self.case_attributes, &cases),
        })
    }
}

/// The labels of some rows, and their numbers among these.
pub(super) fn compact(labels: &Labels, column: &[u32], rows: &[u32]) -> (Labels, Vec<u32>) {
    let mut kept = Labels::default();
    let mut numbers = vec![NO_LABEL; labels.len()];
    let numbered = rows.iter().map(|&row| {
        let label = column[row as usize];
        if label == NO_LABEL {
            return NO_LABEL;
        }
        let number = &mut numbers[label as usize];
        if *number == NO_LABEL {
            let again = kept.intern(labels.name(label).as_bytes());
            *number = again.unwrap_or(NO_LABEL);
        }
        *number
    });
    let numbered = numbered.collect();
    (kept, numbered)
}

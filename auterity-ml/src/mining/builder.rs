//! Event by event to a log.

use super::columns::{ColumnSet, ValueKind};
use super::event_log::{EventLog, NO_TIME};
use super::labels::{Labels, NO_LABEL, Refused};
use crate::num::u32_of;
use crate::{Error, ErrorKind};

/// An event for [`LogBuilder::push`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Event<'a> {
    /// The id of its case.
    pub case: &'a str,
    /// What was done.
    pub activity: &'a str,
    /// When it ended, in microseconds since 1970.
    pub end: i64,
    /// When it began.
    pub start: Option<i64>,
    /// Who or what did it.
    pub resource: Option<&'a str>,
}

/// Makes a log of events that come in any order.
#[derive(Debug, Default)]
pub struct LogBuilder {
    pub(super) case_ids: Labels,
    pub(super) activities: Labels,
    pub(super) resources: Labels,
    case: Vec<u32>,
    activity: Vec<u32>,
    end: Vec<i64>,
    /// Empty until the first start comes.
    start: Vec<i64>,
    /// Empty until the first resource comes.
    resource: Vec<u32>,
    pub(super) event_columns: ColumnSet,
    pub(super) case_columns: ColumnSet,
    /// Whether a case's events came between those of another.
    scattered: bool,
}

/// What was found when the events were put in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Events that came after one of the same case that ended later.
    pub(crate) out_of_order: u64,
    /// Events that end before they begin.
    pub(crate) reversed: u64,
}

impl LogBuilder {
    /// Makes a builder without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    ///
    /// # Errors
    /// `Limit` if there are too many events or labels.
    pub fn push(&mut self, event: Event<'_>) -> Result<(), Error> {
        let full = |_: Refused| Error::new(ErrorKind::Limit, "the log has too many labels");
        let case = self.case_ids.intern(event.case.as_bytes()).map_err(full)?;
        let activity = self.activities.intern(event.activity.as_bytes());
        let resource = match event.resource {
            None => NO_LABEL,
            Some(name) => self.resources.intern(name.as_bytes()).map_err(full)?,
        };
        if NO_LABEL as usize - 1 <= self.case.len() {
            return Err(Error::new(ErrorKind::Limit, "the log has too many events"));
        }
        self.add(
            case,
            activity.map_err(full)?,
            event.end,
            event.start,
            resource,
        );
        Ok(())
    }

    /// Adds an event of labels that were interned before, and gives its row.
    pub(super) fn add(
        &mut self,
        case: u32,
        activity: u32,
        end: i64,
        start: Option<i64>,
        resource: u32,
    ) -> u32 {
        self.scattered |= self.case.last().is_some_and(|&last| case < last);
        let row = self.case.len();
        self.case.push(case);
        self.activity.push(activity);
        self.end.push(end);
        if start.is_some() || !self.start.is_empty() {
            self.start.resize(row, NO_TIME);
            self.start.push(start.unwrap_or(NO_TIME));
        }
        if resource != NO_LABEL || !self.resource.is_empty() {
            self.resource.resize(row, NO_LABEL);
            self.resource.push(resource);
        }
        u32_of(row)
    }

    /// Says to which case the events from a row on belong.
    pub(super) fn assign(&mut self, from: usize, case: u32) {
        let before = from.checked_sub(1).map(|row| self.case[row]);
        self.scattered |= before.is_some_and(|before| case < before);
        self.case[from..].fill(case);
    }

    /// The number of events so far.
    pub(super) fn len(&self) -> usize {
        self.case.len()
    }

    /// Puts the events in order and makes the log.
    ///
    /// # Errors
    /// `Empty` if there is no event.
    pub fn finish(self) -> Result<EventLog, Error> {
        self.finish_and_tell().map(|(log, _)| log)
    }

    pub(crate) fn finish_and_tell(mut self) -> Result<(EventLog, Found), Error> {
        if self.case.is_empty() {
            return Err(Error::new(ErrorKind::Empty, "the log has no event"));
        }
        let mut found = Found::default();
        let offsets = self.offsets();
        let mut order = self.scattered.then(|| self.by_case(&offsets));
        self.case = Vec::new();
        self.by_time(&offsets, &mut order, &mut found);
        let order = order.as_deref();
        let start = (!self.start.is_empty()).then(|| permuted(self.start, order));
        let end = permuted(self.end, order);
        if let Some(starts) = &start {
            let pairs = starts.iter().zip(&end);
            found.reversed = pairs.filter(|(start, end)| end < start).count() as u64;
        }
        let resource = (!self.resource.is_empty()).then(|| permuted(self.resource, order));
        let cases = offsets.len() - 1;
        let log = EventLog {
            case_ids: self.case_ids,
            activities: self.activities,
            resources: self.resources,
            offsets,
            activity: permuted(self.activity, order),
            event_attributes: self.event_columns.finish(end.len(), order),
            case_attributes: self.case_columns.finish(cases, None),
            end,
            start,
            resource,
        };
        Ok((log, found))
    }

    fn offsets(&self) -> Vec<u32> {
        let mut offsets = vec![0_u32; self.case_ids.len() + 1];
        for &case in &self.case {
            offsets[case as usize + 1] += 1;
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        offsets
    }

    /// The rows case by case, each case's in the order in which they came.
    fn by_case(&self, offsets: &[u32]) -> Vec<u32> {
        let mut next = offsets.to_vec();
        let mut order = vec![0; self.case.len()];
        for (row, &case) in self.case.iter().enumerate() {
            let place = &mut next[case as usize];
            order[*place as usize] = u32_of(row);
            *place += 1;
        }
        order
    }

    /// Puts the rows of each case in the order of their times. An order is made only if
    /// one is needed.
    fn by_time(&self, offsets: &[u32], order: &mut Option<Vec<u32>>, found: &mut Found) {
        for bounds in offsets.windows(2) {
            let (from, to) = (bounds[0] as usize, bounds[1] as usize);
            let late = match order.as_ref() {
                Some(order) => {
                    count_late(order[from..to].iter().map(|&row| self.end[row as usize]))
                }
                None => count_late(self.end[from..to].iter().copied()),
            };
            if late == 0 {
                continue;
            }
            found.out_of_order += late;
            let order = order.get_or_insert_with(|| (0..u32_of(self.end.len())).collect());
            order[from..to].sort_by_key(|&row| self.end[row as usize]);
        }
    }

    /// The column of an attribute of events, made if there is room.
    pub(super) fn event_column(
        &mut self,
        name: &[u8],
        kind: ValueKind,
        max: usize,
    ) -> Option<usize> {
        self.event_columns.column(name, kind, max)
    }
}

/// How many times come after a later one.
fn count_late(times: impl Iterator<Item = i64>) -> u64 {
    let mut latest = i64::MIN;
    let mut late = 0;
    for time in times {
        if time < latest {
            late += 1;
        }
        latest = latest.max(time);
    }
    late
}

fn permuted<T: Copy>(column: Vec<T>, order: Option<&[u32]>) -> Vec<T> {
    match order {
        None => column,
        Some(order) => order.iter().map(|&row| column[row as usize]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, LogBuilder};
    use crate::ErrorKind;

    #[test]
    fn events_of_one_time_keep_the_order_in_which_they_came() {
        let mut builder = LogBuilder::new();
        for (case, activity, end) in [
            ("b", "late", 9),
            ("a", "one", 5),
            ("b", "first", 1),
            ("a", "two", 5),
            ("b", "second", 1),
        ] {
            let event = Event {
                case,
                activity,
                end,
                ..Event::default()
            };
            builder.push(event).unwrap();
        }
        let (log, found) = builder.finish_and_tell().unwrap();
        let names = |case| {
            let trace = log.trace(case).iter();
            trace
                .map(|&it| log.activities().name(it))
                .collect::<Vec<_>>()
        };
        assert_eq!(log.case_ids().name(0), "b");
        assert_eq!(names(0), ["first", "second", "late"]);
        assert_eq!(names(1), ["one", "two"]);
        assert_eq!(found.out_of_order, 2);
    }

    #[test]
    fn a_log_without_an_event_is_refused() {
        let error = LogBuilder::new().finish().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Empty);
    }
}

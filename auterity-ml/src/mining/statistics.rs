//! Figures about cases and activities.

use super::calendar::Shifts;
use super::event_log::EventLog;
use super::times::Times;
use crate::num::u32_of;

/// Gives how long each case took, in microseconds: from its first time to its last. With
/// shifts, only time within them counts.
#[must_use]
pub fn case_durations(log: &EventLog, shifts: Option<&Shifts>) -> Vec<i64> {
    let cases = 0..log.cases();
    cases
        .map(|case| {
            let (first, last) = log.case_span(case);
            measure(first, last, shifts)
        })
        .collect()
}

/// Gives in how many cases each activity occurs, and in how many more than once.
#[must_use]
pub fn rework(log: &EventLog) -> Vec<Rework> {
    let mut rework = vec![Rework::default(); log.activities.len()];
    // The last case in which an activity was seen, and whether it was counted there.
    let mut seen = vec![(u32::MAX, false); log.activities.len()];
    for case in 0..log.cases() {
        let case_label = u32_of(case);
        for &activity in log.trace(case) {
            let (last, counted) = &mut seen[activity as usize];
            let rework = &mut rework[activity as usize];
            if *last != case_label {
                *last = case_label;
                *counted = false;
                rework.cases += 1;
                continue;
            }
            rework.repeats += 1;
            if !*counted {
                *counted = true;
                rework.reworked_cases += 1;
            }
        }
    }
    rework
}

/// How often an activity is done again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rework {
    /// Cases in which it occurs.
    pub cases: u64,
    /// Cases in which it occurs more than once.
    pub reworked_cases: u64,
    /// Occurrences beyond the first one of their case.
    pub repeats: u64,
}

/// The times of an activity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivityTimes {
    /// From the end of what came before in the case to its start; only if the log says
    /// when events began.
    pub waiting: Option<Times>,
    /// From its start to its end; only if the log says when events began.
    pub service: Option<Times>,
    /// From the end of what came before in the case to its end.
    pub sojourn: Option<Times>,
}

/// Measures the activities of a log, in their order. With shifts, only time within them
/// counts.
#[must_use]
pub fn activity_times(log: &EventLog, shifts: Option<&Shifts>) -> Vec<ActivityTimes> {
    let k = log.activities.len();
    let mut waiting = vec![Vec::new(); k];
    let mut service = vec![Vec::new(); k];
    let mut sojourn = vec![Vec::new(); k];
    for case in 0..log.cases() {
        let mut before = None;
        for event in log.case_events(case) {
            let activity = log.activity[event] as usize;
            let end = log.end[event];
            if let Some(start) = log.known_start(event) {
                service[activity].push(measure(start, end, shifts));
                if let Some(before) = before {
                    waiting[activity].push(measure(before, start.max(before), shifts));
                }
            }
            if let Some(before) = before {
                sojourn[activity].push(measure(before, end, shifts));
            }
            before = Some(end);
        }
    }
    (0..k)
        .map(|activity| ActivityTimes {
            waiting: Times::of(&mut waiting[activity]),
            service: Times::of(&mut service[activity]),
            sojourn: Times::of(&mut sojourn[activity]),
        })
        .collect()
}

fn measure(from: i64, to: i64, shifts: Option<&Shifts>) -> i64 {
    match shifts {
        None => to - from,
        Some(shifts) => shifts.between(from, to),
    }
}

//! Who does the work, and who hands it to whom.

use hashbrown::HashMap;

use super::event_log::EventLog;
use super::labels::NO_LABEL;
use crate::num::{float, u32_of};

/// The work of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLoad {
    /// The resource.
    pub resource: u32,
    /// Its events.
    pub events: u64,
    /// The cases in which it did something.
    pub cases: u64,
    /// The time from start to end of its events in microseconds, added up; zero if the
    /// log does not say when events began.
    pub busy: i128,
}

/// Gives the work of each resource: those with most events first.
#[must_use]
pub fn resource_loads(log: &EventLog) -> Vec<ResourceLoad> {
    let mut loads: Vec<ResourceLoad> = (0..u32_of(log.resources.len()))
        .map(|resource| ResourceLoad {
            resource,
            events: 0,
            cases: 0,
            busy: 0,
        })
        .collect();
    let mut last_case = vec![u32::MAX; loads.len()];
    for case in 0..log.cases() {
        let mark = u32_of(case);
        for event in log.case_events(case) {
            let Some(resource) = log.resource(event) else {
                continue;
            };
            let load = &mut loads[resource as usize];
            load.events += 1;
            load.busy += i128::from((log.end[event] - log.start(event)).max(0));
            if last_case[resource as usize] != mark {
                last_case[resource as usize] = mark;
                load.cases += 1;
            }
        }
    }
    loads.sort_by_key(|load| std::cmp::Reverse(load.events));
    loads
}

/// Work that goes from one resource to another, or stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Handover {
    /// Who did the earlier event.
    pub from: u32,
    /// Who did the later one.
    pub to: u32,
    /// How often.
    pub count: u64,
    /// Which part of all.
    pub share: f64,
}

/// Gives who follows whom in cases: the most frequent first, and those that are equally
/// frequent in the order of their names. Events without a resource are passed over.
#[must_use]
pub fn handovers(log: &EventLog) -> Vec<Handover> {
    let Some(column) = &log.resource else {
        return Vec::new();
    };
    let mut counts: HashMap<(u32, u32), u64> = HashMap::new();
    let mut total = 0;
    for case in 0..log.cases() {
        let mut before = NO_LABEL;
        for &resource in &column[log.case_events(case)] {
            if resource == NO_LABEL {
                continue;
            }
            if before != NO_LABEL {
                *counts.entry((before, resource)).or_insert(0) += 1;
                total += 1;
            }
            before = resource;
        }
    }
    let pairs = counts.into_iter();
    let mut handovers: Vec<Handover> = pairs
        .map(|((from, to), count)| Handover {
            from,
            to,
            count,
            share: float(count) / float(total),
        })
        .collect();
    let name = |resource| log.resources.name(resource);
    handovers.sort_unstable_by(|a, b| {
        let names = || (name(a.from), name(a.to)).cmp(&(name(b.from), name(b.to)));
        b.count.cmp(&a.count).then_with(names)
    });
    handovers
}

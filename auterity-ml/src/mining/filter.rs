//! Filters: which cases and which of their events stay.

use super::columns::Column;
use super::event_log::EventLog;
use super::labels::Labels;
use super::statistics::case_durations;
use super::variants::Variants;
use crate::num::{float, u32_of};

/// Which cases of a log stay, and which of their events: those for which every test
/// holds. Cases are tested as they are in the whole log, before events are taken away.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    cases: Vec<(CaseTest, bool)>,
    events: Vec<(EventTest, bool)>,
}

/// What is asked about a case. Times are microseconds since 1970; ranges include their
/// ends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CaseTest {
    /// All of it happened between two times.
    Within(i64, i64),
    /// Some of it happened between two times.
    Overlaps(i64, i64),
    /// It began between two times.
    Begins(i64, i64),
    /// It ended between two times.
    Ends(i64, i64),
    /// One of these activities occurs.
    HasAny(Vec<String>),
    /// Each of these activities occurs.
    HasAll(Vec<String>),
    /// Its first activity is one of these.
    StartsWith(Vec<String>),
    /// Its last activity, the outcome, is one of these.
    EndsWith(Vec<String>),
    /// The second activity comes right after the first one.
    DirectlyFollows(String, String),
    /// The second activity comes some time after the first one.
    EventuallyFollows(String, String),
    /// Its variant is among the most frequent ones, this many.
    TopVariants(usize),
    /// Its variant is among the most frequent ones that together cover this part of the
    /// cases, from 0 to 1.
    VariantCoverage(f64),
    /// Its activities are exactly these.
    Trace(Vec<String>),
    /// An attribute of the case has such a value.
    Attribute(String, Value),
    /// Some event has an attribute with such a value.
    EventAttribute(String, Value),
    /// One of these resources did something.
    Resource(Vec<String>),
    /// It took between two durations, in microseconds.
    Duration(i64, i64),
    /// It has between two numbers of events.
    Events(usize, usize),
    /// Its id is one of these.
    Ids(Vec<String>),
}

/// What is asked about an event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventTest {
    /// Its activity is one of these.
    Activity(Vec<String>),
    /// Its resource is one of these.
    Resource(Vec<String>),
    /// It ended between two times.
    Ended(i64, i64),
    /// An attribute has such a value.
    Attribute(String, Value),
}

/// What value is meant.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One of these texts.
    OneOf(Vec<String>),
    /// A number between two.
    Between(f64, f64),
    /// Any.
    Present,
}

type Test<'t> = Box<dyn Fn(usize) -> bool + 't>;

impl Filter {
    /// Makes a filter that lets everything through.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps only cases for which a test holds.
    #[must_use]
    pub fn with_cases(mut self, test: CaseTest) -> Self {
        self.cases.push((test, true));
        self
    }

    /// Keeps only cases for which a test does not hold.
    #[must_use]
    pub fn without_cases(mut self, test: CaseTest) -> Self {
        self.cases.push((test, false));
        self
    }

    /// Keeps only events for which a test holds.
    #[must_use]
    pub fn with_events(mut self, test: EventTest) -> Self {
        self.events.push((test, true));
        self
    }

    /// Keeps only events for which a test does not hold.
    #[must_use]
    pub fn without_events(mut self, test: EventTest) -> Self {
        self.events.push((test, false));
        self
    }

    /// Gives the log of what stays; nothing if nothing does.
    #[must_use]
    pub fn apply(&self, log: &EventLog) -> Option<EventLog> {
        let cases = self.cases.iter();
        let cases: Vec<(Test<'_>, bool)> = cases
            .map(|(test, wanted)| (case_test(test, log), *wanted))
            .collect();
        let events = self.events.iter();
        let events: Vec<(Test<'_>, bool)> = events
            .map(|(test, wanted)| (event_test(test, log), *wanted))
            .collect();
        let stays = |tests: &[(Test<'_>, bool)], row: usize| {
            tests.iter().all(|(test, wanted)| test(row) == *wanted)
        };
        let mut kept = Vec::new();
        for case in (0..log.cases()).filter(|&case| stays(&cases, case)) {
            let rows = log.case_events(case).filter(|&event| stays(&events, event));
            kept.extend(rows.map(u32_of));
        }
        log.select(&kept)
    }
}

fn case_test<'t>(test: &'t CaseTest, log: &'t EventLog) -> Test<'t> {
    match test {
        CaseTest::Within(from, to) => Box::new(|case| {
            let (first, last) = log.case_span(case);
            *from <= first && last <= *to
        }),
        CaseTest::Overlaps(from, to) => Box::new(|case| {
            let (first, last) = log.case_span(case);
            first <= *to && *from <= last
        }),
        CaseTest::Begins(from, to) => {
            Box::new(|case| (*from..=*to).contains(&log.case_span(case).0))
        }
        CaseTest::Ends(from, to) => Box::new(|case| (*from..=*to).contains(&log.case_span(case).1)),
        CaseTest::Duration(min, max) => {
            let durations = case_durations(log, None);
            Box::new(move |case| (*min..=*max).contains(&durations[case]))
        }
        CaseTest::Events(min, max) => {
            Box::new(|case| (*min..=*max).contains(&log.case_events(case).len()))
        }
        CaseTest::Ids(ids) => {
            let wanted = marked(&log.case_ids, ids);
            Box::new(move |case| wanted[case])
        }
        CaseTest::Attribute(name, value) => attribute(&log.case_attributes, name, value),
        CaseTest::EventAttribute(name, value) => {
            let test = attribute(&log.event_attributes, name, value);
            Box::new(move |case| log.case_events(case).any(&test))
        }
        CaseTest::Resource(names) => {
            let test = resource(names, log);
            Box::new(move |case| log.case_events(case).any(&test))
        }
        _ => trace_test(test, log),
    }
}

/// The tests about the order of activities.
fn trace_test<'t>(test: &'t CaseTest, log: &'t EventLog) -> Test<'t> {
    let labels = &log.activities;
    match test {
        CaseTest::HasAny(names) => {
            let wanted = marked(labels, names);
            Box::new(move |case| log.trace(case).iter().any(|&it| wanted[it as usize]))
        }
        CaseTest::HasAll(names) => {
            let wanted: Option<Vec<u32>> = names.iter().map(|name| labels.find(name)).collect();
            Box::new(move |case| match &wanted {
                None => false,
                Some(wanted) => wanted.iter().all(|it| log.trace(case).contains(it)),
            })
        }
        CaseTest::StartsWith(names) => {
            let wanted = marked(labels, names);
            Box::new(move |case| wanted[log.trace(case)[0] as usize])
        }
        CaseTest::EndsWith(names) => {
            let wanted = marked(labels, names);
            Box::new(move |case| {
                log.trace(case)
                    .last()
                    .is_some_and(|&it| wanted[it as usize])
            })
        }
        CaseTest::DirectlyFollows(source, target) => {
            let pair = labels.find(source).zip(labels.find(target));
            Box::new(move |case| {
                let mut pairs = log.trace(case).windows(2);
                pair.is_some_and(|(source, target)| pairs.any(|it| it == [source, target]))
            })
        }
        CaseTest::EventuallyFollows(source, target) => {
            let pair = labels.find(source).zip(labels.find(target));
            Box::new(move |case| {
                pair.is_some_and(|(source, target)| {
                    let mut trace = log.trace(case).iter();
                    trace.any(|it| *it == source) && trace.any(|it| *it == target)
                })
            })
        }
        CaseTest::Trace(names) => {
            let wanted: Option<Vec<u32>> = names.iter().map(|name| labels.find(name)).collect();
            Box::new(move |case| wanted.as_deref() == Some(log.trace(case)))
        }
        CaseTest::TopVariants(count) => {
            let variants = Variants::of(log);
            Box::new(move |case| variants.of_case(case) < *count)
        }
        CaseTest::VariantCoverage(part) => {
            let variants = Variants::of(log);
            let wanted = part * float(log.cases() as u64);
            let mut covered = 0.0;
            let mut count = 0;
            for variant in variants.list() {
                if wanted <= covered {
                    break;
                }
                covered += float(variant.count);
                count += 1;
            }
            Box::new(move |case| variants.of_case(case) < count)
        }
        // The others are not about traces.
        _ => Box::new(|_| true),
    }
}

fn event_test<'t>(test: &'t EventTest, log: &'t EventLog) -> Test<'t> {
    match test {
        EventTest::Activity(names) => {
            let wanted = marked(&log.activities, names);
            Box::new(move |event| wanted[log.activity[event] as usize])
        }
        EventTest::Resource(names) => resource(names, log),
        EventTest::Ended(from, to) => Box::new(|event| (*from..=*to).contains(&log.end[event])),
        EventTest::Attribute(name, value) => attribute(&log.event_attributes, name, value),
    }
}

fn resource<'t>(names: &[String], log: &'t EventLog) -> Test<'t> {
    let wanted = marked(&log.resources, names);
    Box::new(move |event| log.resource(event).is_some_and(|it| wanted[it as usize]))
}

/// Which labels are among the names.
fn marked(labels: &Labels, names: &[String]) -> Vec<bool> {
    let mut marks = vec![false; labels.len()];
    for label in names.iter().filter_map(|name| labels.find(name)) {
        marks[label as usize] = true;
    }
    marks
}

/// A test of rows by one of some attributes; it never holds if there is none of that name.
fn attribute<'t>(columns: &'t [Column], name: &str, value: &Value) -> Test<'t> {
    let Some(column) = columns.iter().find(|column| column.name() == name) else {
        return Box::new(|_| false);
    };
    let wanted: Vec<bool> = match value {
        Value::Present => vec![true; column.values().len()],
        Value::OneOf(texts) => marked(column.values(), texts),
        Value::Between(min, max) => {
            let values = column.values().iter();
            values
                .map(|text| {
                    text.parse()
                        .is_ok_and(|number: f64| (*min..=*max).contains(&number))
                })
                .collect()
        }
    };
    Box::new(move |row| column.code(row).is_some_and(|code| wanted[code as usize]))
}

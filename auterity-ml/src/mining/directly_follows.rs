//! The directly-follows graph: which activity comes right after which.

use hashbrown::HashMap;
use rayon::prelude::*;

use super::calendar::Shifts;
use super::event_log::EventLog;
use super::times::Times;
use crate::num::u32_of;

/// Up to this number of activities a table over all pairs is kept, of 8 MiB at most.
const DENSE_MAX: usize = 1024;
/// Below this number of events, starting other threads costs more than it gains.
const PARALLEL_EVENTS_MIN: usize = 5_000_000;
const CHUNK_EVENTS: usize = 1 << 20;

/// Which activity comes right after which in a case, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectlyFollows {
    /// The edges, sorted by source and target.
    pub edges: Vec<Edge>,
    /// How many events each activity has.
    pub activities: Vec<u64>,
    /// How many cases begin with each activity.
    pub starts: Vec<u64>,
    /// How many cases end with each activity.
    pub ends: Vec<u64>,
}

/// One activity right after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The earlier activity.
    pub source: u32,
    /// The later one.
    pub target: u32,
    /// How often.
    pub count: u64,
    /// In how many cases.
    pub cases: u64,
}

/// What the time of an edge means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeTime {
    /// From the end of the earlier event to the end of the later one.
    EndToEnd,
    /// From the end of the earlier event to the start of the later one; none if that
    /// started before.
    Waiting,
}

impl DirectlyFollows {
    /// Counts the edges of a log.
    #[must_use]
    pub fn of(log: &EventLog) -> Self {
        let (mut edges, index) = if log.activities.len() <= DENSE_MAX {
            dense(log)
        } else {
            sparse(log)
        };
        count_cases(log, &mut edges, &index);
        let k = log.activities.len();
        let (mut starts, mut ends) = (vec![0; k], vec![0; k]);
        for bounds in log.offsets.windows(2) {
            starts[log.activity[bounds[0] as usize] as usize] += 1;
            ends[log.activity[bounds[1] as usize - 1] as usize] += 1;
        }
        // Each event ends its case or has one after it.
        let mut activities = ends.clone();
        for edge in &edges {
            activities[edge.source as usize] += edge.count;
        }
        Self {
            edges,
            activities,
            starts,
            ends,
        }
    }

    /// Counts how often each pair of activities follows each other, without anything
    /// else: the fastest answer, as source, target and count.
    #[must_use]
    pub fn frequencies(log: &EventLog) -> Vec<(u32, u32, u64)> {
        let k = log.activities.len();
        if DENSE_MAX < k {
            let (edges, _) = sparse(log);
            let edges = edges.into_iter();
            return edges
                .map(|edge| (edge.source, edge.target, edge.count))
                .collect();
        }
        let counts = table(log, k);
        let cells = counts
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count != 0);
        cells
            .map(|(cell, count)| (u32_of(cell / k), u32_of(cell % k), count))
            .collect()
    }

    /// Gives the place of an edge in [`Self::edges`].
    #[must_use]
    pub fn find(&self, source: u32, target: u32) -> Option<usize> {
        let key = (source, target);
        let edges = &self.edges;
        edges
            .binary_search_by_key(&key, |edge| (edge.source, edge.target))
            .ok()
    }

    /// Measures the edges of the log that was counted, in their order: every duration,
    /// then its figures, so that medians and percentiles are exact. With shifts, only
    /// time within them counts.
    #[must_use]
    pub fn times(&self, log: &EventLog, time: EdgeTime, shifts: Option<&Shifts>) -> Vec<Times> {
        let index = Index::of(&self.edges, log.activities.len());
        let mut places = Vec::with_capacity(self.edges.len() + 1);
        let mut total = 0;
        for edge in &self.edges {
            places.push(total);
            total += usize::try_from(edge.count).unwrap_or(usize::MAX);
        }
        let mut next = places.clone();
        let mut values = vec![0_i64; total];
        let has_starts = time == EdgeTime::Waiting && log.start.is_some();
        for case in 0..log.cases() {
            let events = log.case_events(case);
            for event in events.start + 1..events.end {
                let edge = index.at(log.activity[event - 1], log.activity[event]);
                let from = log.end[event - 1];
                let to = if has_starts {
                    log.start(event).max(from)
                } else {
                    log.end[event]
                };
                let place = &mut next[edge as usize];
                values[*place] = match shifts {
                    None => to - from,
                    Some(shifts) => shifts.between(from, to),
                };
                *place += 1;
            }
        }
        let mut slices = Vec::with_capacity(self.edges.len());
        let mut rest = values.as_mut_slice();
        for edge in &self.edges {
            let (slice, after) = rest.split_at_mut(usize::try_from(edge.count).unwrap_or(0));
            slices.push(slice);
            rest = after;
        }
        if total < PARALLEL_EVENTS_MIN {
            slices.into_iter().filter_map(Times::of).collect()
        } else {
            slices.into_par_iter().filter_map(Times::of).collect()
        }
    }
}

/// Which edge a pair of activities is.
enum Index {
    Dense(usize, Vec<u32>),
    Sparse(HashMap<(u32, u32), u32>),
}

impl Index {
    fn of(edges: &[Edge], k: usize) -> Self {
        let numbered = edges.iter().enumerate();
        let pairs = numbered.map(|(number, edge)| ((edge.source, edge.target), u32_of(number)));
        if DENSE_MAX < k {
            return Self::Sparse(pairs.collect());
        }
        let mut cells = vec![0; k * k];
        for ((source, target), number) in pairs {
            cells[source as usize * k + target as usize] = number;
        }
        Self::Dense(k, cells)
    }

    fn at(&self, source: u32, target: u32) -> u32 {
        match self {
            Self::Dense(k, cells) => cells[source as usize * k + target as usize],
            Self::Sparse(pairs) => pairs[&(source, target)],
        }
    }
}

fn dense(log: &EventLog) -> (Vec<Edge>, Index) {
    let k = log.activities.len();
    let edges: Vec<Edge> = DirectlyFollows::frequencies(log)
        .into_iter()
        .map(|(source, target, count)| Edge {
            source,
            target,
            count,
            cases: 0,
        })
        .collect();
    let index = Index::of(&edges, k);
    (edges, index)
}

/// How often each pair of activities follows each other, as a table.
fn table(log: &EventLog, k: usize) -> Vec<u64> {
    let mut counts = if log.events() < PARALLEL_EVENTS_MIN {
        pairs(&log.activity, k)
    } else {
        let last = log.events() - 1;
        let chunks = (0..last).step_by(CHUNK_EVENTS).collect::<Vec<_>>();
        let tables = chunks.into_par_iter().map(|from| {
            // The last event of a chunk is the first one of the next, too.
            let to = last.min(from + CHUNK_EVENTS);
            pairs(&log.activity[from..=to], k)
        });
        tables.reduce(|| vec![0; k * k], added)
    };
    // All neighbours were counted; those of different cases do not follow each other.
    for &begin in log.offsets.iter().skip(1).take(log.cases() - 1) {
        let (before, after) = (
            log.activity[begin as usize - 1],
            log.activity[begin as usize],
        );
        counts[before as usize * k + after as usize] -= 1;
    }
    counts
}

fn added(mut left: Vec<u64>, right: Vec<u64>) -> Vec<u64> {
    for (count, other) in left.iter_mut().zip(right) {
        *count += other;
    }
    left
}

/// Counts all neighbours. Two tables take turns, so that counting one pair twice in a row
/// does not wait for memory.
fn pairs(activity: &[u32], k: usize) -> Vec<u64> {
    let mut tables = [vec![0_u64; k * k], vec![0_u64; k * k]];
    let [even, odd] = &mut tables;
    let cell = |source: u32, target: u32| source as usize * k + target as usize;
    let mut triples = activity.windows(3).step_by(2);
    for triple in &mut triples {
        even[cell(triple[0], triple[1])] += 1;
        odd[cell(triple[1], triple[2])] += 1;
    }
    // Triples leave the last pair of an even number of events.
    if let (true, &[.., source, target]) = (activity.len().is_multiple_of(2), activity) {
        even[cell(source, target)] += 1;
    }
    let [even, odd] = tables;
    added(even, odd)
}

fn sparse(log: &EventLog) -> (Vec<Edge>, Index) {
    let mut counts: HashMap<(u32, u32), u64> = HashMap::new();
    for case in 0..log.cases() {
        for pair in log.trace(case).windows(2) {
            *counts.entry((pair[0], pair[1])).or_insert(0) += 1;
        }
    }
    let edges = counts.into_iter().map(|((source, target), count)| Edge {
        source,
        target,
        count,
        cases: 0,
    });
    let mut edges: Vec<Edge> = edges.collect();
    edges.sort_unstable_by_key(|edge| (edge.source, edge.target));
    let index = Index::of(&edges, log.activities.len());
    (edges, index)
}

fn count_cases(log: &EventLog, edges: &mut [Edge], index: &Index) {
    let mut seen = vec![u32::MAX; edges.len()];
    for case in 0..log.cases() {
        let mark = u32_of(case);
        for pair in log.trace(case).windows(2) {
            let edge = index.at(pair[0], pair[1]) as usize;
            if seen[edge] != mark {
                seen[edge] = mark;
                edges[edge].cases += 1;
            }
        }
    }
}

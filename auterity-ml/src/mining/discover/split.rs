//! The parts of a log that belong to the groups of a cut.

use std::cmp::Ordering;

use super::cuts::{Cut, CutKind};
use super::sublog::{Graph, Sublog};

/// Splits a log along a cut. Events that do not fit it are left out, as few as possible.
pub(super) fn split(log: &Sublog, graph: &Graph, cut: &Cut) -> Vec<Sublog> {
    let mut group_of = vec![0; graph.len()];
    for (group, nodes) in cut.groups.iter().enumerate() {
        for &node in nodes {
            group_of[node] = group;
        }
    }
    let group = |activity: u32| group_of[graph.node(activity)];
    let count = cut.groups.len();
    match cut.kind {
        CutKind::Parallel => {
            let parts = 0..count;
            parts
                .map(|part| log.project(|activity| group(activity) == part))
                .collect()
        }
        CutKind::Choice => choice(log, count, group),
        CutKind::Sequence => sequence(log, count, group),
        CutKind::Loop => redo(log, count, group),
    }
}

/// Each trace belongs to the group with most of its events.
fn choice(log: &Sublog, count: usize, group: impl Fn(u32) -> usize) -> Vec<Sublog> {
    let mut parts = vec![Vec::new(); count];
    for (trace, cases) in &log.traces {
        let mut events = vec![0_usize; count];
        for &activity in trace {
            events[group(activity)] += 1;
        }
        let most = (0..count)
            .rev()
            .max_by_key(|&part| events[part])
            .unwrap_or(0);
        let kept = trace
            .iter()
            .copied()
            .filter(|&activity| group(activity) == most);
        parts[most].push((kept.collect(), *cases));
    }
    collect(parts)
}

/// Each trace is divided so that few events are left out, after the paper on infrequent
/// behaviour.
fn sequence(log: &Sublog, count: usize, group: impl Fn(u32) -> usize) -> Vec<Sublog> {
    let mut parts = vec![Vec::new(); count];
    for (trace, cases) in &log.traces {
        let groups: Vec<usize> = trace.iter().map(|&activity| group(activity)).collect();
        let borders = borders(&groups, count);
        for part in 0..count {
            let piece = borders[part]..borders[part + 1];
            let kept = piece.filter(|&at| groups[at] == part).map(|at| trace[at]);
            parts[part].push((kept.collect(), *cases));
        }
    }
    collect(parts)
}

/// Where the piece of each group begins, and the end of the last one: group by group, the
/// place behind which fewest of its events and before which fewest events of later groups
/// are on the wrong side.
fn borders(groups: &[usize], count: usize) -> Vec<usize> {
    let mut borders = vec![0];
    let mut from = 0;
    for part in 0..count - 1 {
        let (mut cost, mut least, mut border) = (0_i64, 0_i64, from);
        for (at, &group) in groups.iter().enumerate().skip(from) {
            match group.cmp(&part) {
                Ordering::Less => {}
                Ordering::Equal => cost -= 1,
                Ordering::Greater => cost += 1,
            }
            if cost < least {
                least = cost;
                border = at + 1;
            }
        }
        from = border;
        borders.push(border);
    }
    borders.push(groups.len());
    borders
}

/// Each trace is divided where body and ways back alternate. Between two ways back, and
/// before and after them, the body was empty.
fn redo(log: &Sublog, count: usize, group: impl Fn(u32) -> usize) -> Vec<Sublog> {
    let mut parts = vec![Vec::new(); count];
    for (trace, cases) in &log.traces {
        let mut at = 0;
        let mut body_is_next = true;
        while at < trace.len() {
            let part = group(trace[at]);
            let length = trace[at..]
                .iter()
                .take_while(|&&it| group(it) == part)
                .count();
            if (part != 0) == body_is_next {
                // Body where a way back should be cannot be: pieces alternate.
                parts[0].push((Vec::new(), *cases));
            }
            parts[part].push((trace[at..at + length].to_vec(), *cases));
            body_is_next = part != 0;
            at += length;
        }
        if body_is_next {
            parts[0].push((Vec::new(), *cases));
        }
    }
    collect(parts)
}

fn collect(parts: Vec<Vec<(Vec<u32>, u64)>>) -> Vec<Sublog> {
    let parts = parts.into_iter();
    parts
        .map(|traces| Sublog::collect(traces.into_iter()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::borders;

    #[test]
    fn traces_are_divided_where_few_events_are_left_out() {
        assert_eq!(borders(&[0, 0, 1, 2], 3), [0, 2, 3, 4]);
        assert_eq!(borders(&[], 2), [0, 0, 0]);
        // One event of the second group comes too early.
        assert_eq!(borders(&[1, 0, 0, 1], 2), [0, 3, 4]);
        assert_eq!(borders(&[0, 1, 1, 0], 2), [0, 1, 4]);
    }
}

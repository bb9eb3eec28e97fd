//! Cuts: how the activities of a part of a log fall apart into blocks.
//!
//! After Leemans, Fahland and van der Aalst, "Discovering block-structured process models
//! from event logs: a constructive approach" (2013), with the strict sequence of Leemans,
//! "Robust process mining with guarantees" (2017).

use super::sublog::Graph;

/// A block and the activities of its parts, as places among the graph's nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) kind: CutKind,
    pub(super) groups: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CutKind {
    Choice,
    Sequence,
    Parallel,
    /// The first group is the body, the others are ways back.
    Loop,
}

/// Finds a cut: the first that fits of choice, sequence, parallel, loop.
pub(super) fn find(graph: &Graph) -> Option<Cut> {
    if graph.len() < 2 {
        return None;
    }
    let cut = |kind, groups: Option<Vec<Vec<usize>>>| groups.map(|groups| Cut { kind, groups });
    cut(CutKind::Choice, choice(graph))
        .or_else(|| cut(CutKind::Sequence, sequence(graph)))
        .or_else(|| cut(CutKind::Parallel, parallel(graph)))
        .or_else(|| cut(CutKind::Loop, redo(graph)))
}

/// Groups of nodes that grow together.
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn find(&mut self, mut node: usize) -> usize {
        while self.0[node] != node {
            self.0[node] = self.0[self.0[node]];
            node = self.0[node];
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        // The smaller one leads, so that groups are in the order of their first node.
        self.0[a.max(b)] = a.min(b);
    }

    fn list(&mut self, nodes: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
        let mut place = vec![usize::MAX; self.0.len()];
        let mut list: Vec<Vec<usize>> = Vec::new();
        for node in nodes {
            let leader = self.find(node);
            if place[leader] == usize::MAX {
                place[leader] = list.len();
                list.push(Vec::new());
            }
            list[place[leader]].push(node);
        }
        list
    }
}

fn several(groups: Vec<Vec<usize>>) -> Option<Vec<Vec<usize>>> {
    (1 < groups.len()).then_some(groups)
}

/// Nodes without any way between them.
fn choice(graph: &Graph) -> Option<Vec<Vec<usize>>> {
    let mut groups = Groups::new(graph.len());
    for source in 0..graph.len() {
        for target in (0..graph.len()).filter(|&target| graph.has(source, target)) {
            groups.join(source, target);
        }
    }
    several(groups.list(0..graph.len()))
}

/// Nodes with ways in one direction only.
fn sequence(graph: &Graph) -> Option<Vec<Vec<usize>>> {
    let reachable = graph.reachable();
    let mut groups = Groups::new(graph.len());
    for a in 0..graph.len() {
        for b in 0..a {
            if reachable.has(a, b) == reachable.has(b, a) {
                groups.join(a, b);
            }
        }
    }
    let mut list = several(groups.list(0..graph.len()))?;
    // Of two groups one is before the other: it is before more groups.
    let before = |group: &[usize], list: &[Vec<usize>]| {
        let others = list
            .iter()
            .filter(|other| reachable.has(other[0], group[0]));
        others.filter(|other| other[0] != group[0]).count()
    };
    let places: Vec<usize> = list.iter().map(|group| before(group, &list)).collect();
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|&at| places[at]);
    list = order
        .into_iter()
        .map(|at| std::mem::take(&mut list[at]))
        .collect();
    several(strict(graph, list))
}

/// Joins groups that only occur together with one that can be left out: otherwise each
/// could be left out alone.
fn strict(graph: &Graph, groups: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let count = groups.len();
    let mut group_of = vec![0; graph.len()];
    for (place, group) in groups.iter().enumerate() {
        for &node in group {
            group_of[node] = place;
        }
    }
    // The earliest group from which, and the last one to which each group is connected;
    // start and end lie outside of all.
    let mut from = vec![count; count];
    let mut to: Vec<Option<usize>> = vec![None; count];
    let mut skipped = vec![false; count];
    let mut skip = |first: usize, end: usize| {
        if first < end {
            skipped[first..end].fill(true);
        }
    };
    let mut is_start = vec![false; count];
    for node in 0..graph.len() {
        let group = group_of[node];
        if graph.starts[node] != 0 {
            is_start[group] = true;
            skip(0, group);
        }
        if graph.ends[node] != 0 {
            to[group] = Some(count);
            skip(group + 1, count);
        }
        for target in (0..graph.len()).filter(|&target| graph.has(node, target)) {
            let other = group_of[target];
            from[other] = from[other].min(group);
            to[group] = to[group].max(Some(other));
            skip(group + 1, other);
        }
    }
    let mut groups = groups;
    for place in 0..count {
        if !skipped[place] || groups[place].is_empty() {
            continue;
        }
        let mut before = place;
        while 0 < before && to[before - 1].is_none_or(|last| last <= place) {
            before -= 1;
            let mut other = std::mem::take(&mut groups[before]);
            groups[place].append(&mut other);
        }
        let mut after = place + 1;
        while after < count && place <= from[after] && !is_start[after] {
            let mut other = std::mem::take(&mut groups[after]);
            groups[place].append(&mut other);
            after += 1;
        }
        groups[place].sort_unstable();
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// Nodes with edges to and from all of the other groups.
fn parallel(graph: &Graph) -> Option<Vec<Vec<usize>>> {
    let mut groups = Groups::new(graph.len());
    for a in 0..graph.len() {
        for b in 0..a {
            if !graph.has(a, b) || !graph.has(b, a) {
                groups.join(a, b);
            }
        }
    }
    let list = several(groups.list(0..graph.len()))?;
    // Each part begins and ends somewhere; others join one that does.
    let whole = |group: &Vec<usize>| {
        group.iter().any(|&node| graph.starts[node] != 0)
            && group.iter().any(|&node| graph.ends[node] != 0)
    };
    let (mut parts, rest): (Vec<_>, Vec<_>) = list.into_iter().partition(whole);
    if let Some(first) = parts.first_mut() {
        first.extend(rest.into_iter().flatten());
        first.sort_unstable();
    }
    several(parts)
}

/// A body from which and to which other groups lead back.
fn redo(graph: &Graph) -> Option<Vec<Vec<usize>>> {
    let n = graph.len();
    let is_start = |node: usize| graph.starts[node] != 0;
    let is_end = |node: usize| graph.ends[node] != 0;
    let outside: Vec<usize> = (0..n)
        .filter(|&node| !is_start(node) && !is_end(node))
        .collect();
    let mut groups = Groups::new(n);
    for &a in &outside {
        for &b in &outside {
            if graph.has(a, b) {
                groups.join(a, b);
            }
        }
    }
    let starts: Vec<usize> = (0..n).filter(|&node| is_start(node)).collect();
    let ends: Vec<usize> = (0..n).filter(|&node| is_end(node)).collect();
    let is_way_back = |group: &Vec<usize>| {
        let all_starts = |node: usize| starts.iter().all(|&start| graph.has(node, start));
        let all_ends = |node: usize| ends.iter().all(|&end| graph.has(end, node));
        group.iter().all(|&node| {
            // It is entered from ends only, and left to starts only; a node that does
            // either does it with all of them.
            let entered = starts
                .iter()
                .any(|&start| !is_end(start) && graph.has(start, node));
            let left = ends
                .iter()
                .any(|&end| !is_start(end) && graph.has(node, end));
            let begins = ends.iter().any(|&end| graph.has(end, node));
            let finishes = starts.iter().any(|&start| graph.has(node, start));
            !entered && !left && (!begins || all_ends(node)) && (!finishes || all_starts(node))
        })
    };
    let list = groups.list(outside.into_iter());
    let (mut back, rest): (Vec<_>, Vec<_>) = list.into_iter().partition(is_way_back);
    let mut body: Vec<usize> = (0..n)
        .filter(|&node| is_start(node) || is_end(node))
        .collect();
    body.extend(rest.into_iter().flatten());
    body.sort_unstable();
    back.insert(0, body);
    several(back)
}

//! The part of a log that a block of the model is found on.

use hashbrown::HashMap;

use crate::mining::event_log::EventLog;
use crate::mining::variants::Variants;
use crate::num::u32_of;

/// Different traces and how often each occurs, in a fixed order.
#[derive(Debug, Clone, Default)]
pub(super) struct Sublog {
    pub(super) traces: Vec<(Vec<u32>, u64)>,
}

impl Sublog {
    /// The variants of a log, with activities numbered in the order of their labels, so
    /// that nothing depends on the order of cases. The labels come with it.
    pub(super) fn of(log: &EventLog) -> (Self, Vec<String>) {
        let order = log.activities().sorted();
        let mut ranks = vec![0; order.len()];
        for (rank, &activity) in order.iter().enumerate() {
            ranks[activity as usize] = u32_of(rank);
        }
        let variants = Variants::of(log);
        let traces = (0..variants.list().len()).map(|variant| {
            let trace = variants.trace(log, variant).iter();
            let trace = trace.map(|&activity| ranks[activity as usize]).collect();
            (trace, variants.list()[variant].count)
        });
        let names = order.iter().map(|&it| log.activities().name(it).to_owned());
        let names = names.collect();
        (Self::collect(traces), names)
    }

    /// Puts equal traces together.
    pub(super) fn collect(traces: impl Iterator<Item = (Vec<u32>, u64)>) -> Self {
        let mut counts: HashMap<Vec<u32>, u64> = HashMap::new();
        for (trace, count) in traces {
            *counts.entry(trace).or_insert(0) += count;
        }
        let mut traces: Vec<(Vec<u32>, u64)> = counts.into_iter().collect();
        traces.sort_unstable();
        Self { traces }
    }

    pub(super) fn cases(&self) -> u64 {
        self.traces.iter().map(|(_, count)| count).sum()
    }

    /// Takes the empty traces away and counts them.
    pub(super) fn take_empty(&mut self) -> u64 {
        let before = self.cases();
        self.traces.retain(|(trace, _)| !trace.is_empty());
        before - self.cases()
    }

    /// The activities in order.
    pub(super) fn alphabet(&self) -> Vec<u32> {
        let mut alphabet: Vec<u32> = self
            .traces
            .iter()
            .flat_map(|(trace, _)| trace)
            .copied()
            .collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        alphabet
    }

    /// The traces with only those events that are wanted.
    pub(super) fn project(&self, wanted: impl Fn(u32) -> bool) -> Self {
        Self::collect(self.traces.iter().map(|(trace, count)| {
            let kept = trace.iter().copied().filter(|&activity| wanted(activity));
            (kept.collect(), *count)
        }))
    }
}

/// Which activity follows which in a part of a log.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    /// The activities in order; all else is by their place here.
    pub(super) nodes: Vec<u32>,
    counts: Vec<u64>,
    pub(super) starts: Vec<u64>,
    pub(super) ends: Vec<u64>,
}

impl Graph {
    pub(super) fn of(log: &Sublog) -> Self {
        let nodes = log.alphabet();
        let n = nodes.len();
        let mut graph = Self {
            nodes,
            counts: vec![0; n * n],
            starts: vec![0; n],
            ends: vec![0; n],
        };
        for (trace, count) in &log.traces {
            let mut before = None;
            for &activity in trace {
                let node = graph.node(activity);
                match before {
                    None => graph.starts[node] += count,
                    Some(before) => graph.counts[before * n + node] += count,
                }
                before = Some(node);
            }
            if let Some(last) = before {
                graph.ends[last] += count;
            }
        }
        graph
    }

    /// The place of an activity among the nodes.
    pub(super) fn node(&self, activity: u32) -> usize {
        self.nodes.partition_point(|&node| node < activity)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn has(&self, source: usize, target: usize) -> bool {
        self.counts[source * self.len() + target] != 0
    }

    /// The graph without edges that are rare beside the most frequent way out of their
    /// source; ending counts as a way out.
    pub(super) fn without_noise(&self, noise: f64) -> Self {
        let n = self.len();
        let mut graph = self.clone();
        for source in 0..n {
            let out = &mut graph.counts[source * n..(source + 1) * n];
            let most = out
                .iter()
                .copied()
                .max()
                .unwrap_or(0)
                .max(self.ends[source]);
            let rare = noise * crate::num::float(most);
            for count in out.iter_mut() {
                if crate::num::float(*count) <= rare {
                    *count = 0;
                }
            }
        }
        graph
    }

    /// From which node which node can be reached.
    pub(super) fn reachable(&self) -> Reachable {
        let n = self.len();
        let words = n.div_ceil(64);
        let mut bits = vec![0_u64; n * words];
        for source in 0..n {
            for target in (0..n).filter(|&target| self.has(source, target)) {
                bits[source * words + target / 64] |= 1 << (target % 64);
            }
        }
        for via in 0..n {
            let row = bits[via * words..(via + 1) * words].to_vec();
            for source in 0..n {
                if bits[source * words + via / 64] >> (via % 64) & 1 == 1 {
                    let other = &mut bits[source * words..(source + 1) * words];
                    for (word, more) in other.iter_mut().zip(&row) {
                        *word |= more;
                    }
                }
            }
        }
        Reachable { words, bits }
    }
}

pub(super) struct Reachable {
    words: usize,
    bits: Vec<u64>,
}

impl Reachable {
    pub(super) fn has(&self, source: usize, target: usize) -> bool {
        self.bits[source * self.words + target / 64] >> (target % 64) & 1 == 1
    }
}

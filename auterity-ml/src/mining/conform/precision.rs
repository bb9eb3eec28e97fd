//! Precision: how much a model allows that never happened.

use hashbrown::{HashMap, HashSet};

use super::states::States;
use crate::Error;
use crate::mining::event_log::EventLog;
use crate::mining::model::PetriNet;
use crate::mining::variants::Variants;
use crate::num::{float, u32_of};

/// States of the model that are followed at once for one beginning.
const AT_ONCE_MAX: usize = 20_000;

/// A beginning of traces.
struct Node {
    cases: u64,
    next: Vec<(Option<u32>, u32)>,
}

/// Measures the part of what a model allows after the beginnings of traces that did
/// happen: 1 if all of it did. Each beginning counts as often as cases have it; those
/// that the model does not allow are left out. After Muñoz-Gama and Carmona, "A fresh
/// look at precision in process conformance" (2010).
///
/// # Errors
/// `Limit` if the model can be in too many states; `Invalid` if it cannot come to its end.
pub fn precision(log: &EventLog, variants: &Variants, net: &PetriNet) -> Result<f64, Error> {
    let states = States::of(net)?;
    let labels: Vec<Option<u32>> = log
        .activities()
        .iter()
        .map(|name| net.labels().find(name))
        .collect();
    let nodes = beginnings(log, variants, &labels);
    let mut closures = Closures {
        states: &states,
        known: HashMap::new(),
    };
    let (mut allowed, mut escaping) = (0, 0);
    let mut stack = vec![(0_u32, closures.of(states.first))];
    while let Some((number, markings)) = stack.pop() {
        let node = &nodes[number as usize];
        let moves = markings.iter().flat_map(|&marking| states.moves(marking));
        let mut possible: Vec<u32> = moves.filter_map(|(label, _)| *label).collect();
        possible.sort_unstable();
        possible.dedup();
        let happened = |label: &u32| node.next.iter().any(|(next, _)| *next == Some(*label));
        // What ends after its beginning has no next activity to compare.
        if !node.next.is_empty() {
            let never = possible.iter().filter(|label| !happened(label)).count();
            allowed += possible.len() as u64 * node.cases;
            escaping += never as u64 * node.cases;
        }
        for &(label, next) in &node.next {
            if let Some(label) = label {
                let after = closures.after(&markings, label);
                if !after.is_empty() && after.len() < AT_ONCE_MAX {
                    stack.push((next, after));
                }
            }
        }
    }
    Ok(1.0 - float(escaping) / float(allowed.max(1)))
}

/// The beginnings of all traces as a tree; each counts the cases that go on after it.
fn beginnings(log: &EventLog, variants: &Variants, labels: &[Option<u32>]) -> Vec<Node> {
    let node = || Node {
        cases: 0,
        next: Vec::new(),
    };
    let mut nodes = vec![node()];
    for (variant, it) in variants.list().iter().enumerate() {
        let mut at = 0;
        for &activity in variants.trace(log, variant) {
            let label = labels[activity as usize];
            nodes[at].cases += it.count;
            let known = nodes[at].next.iter().find(|(next, _)| *next == label);
            at = match known {
                Some(&(_, next)) => next as usize,
                None => {
                    let next = nodes.len();
                    nodes[at].next.push((label, u32_of(next)));
                    nodes.push(node());
                    next
                }
            };
        }
    }
    nodes
}

/// The markings that silent moves lead to.
struct Closures<'s> {
    states: &'s States,
    known: HashMap<u32, Vec<u32>>,
}

impl Closures<'_> {
    fn of(&mut self, marking: u32) -> Vec<u32> {
        if let Some(known) = self.known.get(&marking) {
            return known.clone();
        }
        let mut reached = vec![marking];
        let mut seen: HashSet<u32> = HashSet::from_iter([marking]);
        let mut at = 0;
        while at < reached.len() {
            for &(label, to) in self.states.moves(reached[at]) {
                if label.is_none() && seen.insert(to) {
                    reached.push(to);
                }
            }
            at += 1;
        }
        self.known.insert(marking, reached.clone());
        reached
    }

    /// The markings after a label, and after silent moves behind it.
    fn after(&mut self, markings: &[u32], label: u32) -> Vec<u32> {
        let mut after = HashSet::new();
        for &marking in markings {
            for &(other, to) in self.states.moves(marking) {
                if other == Some(label) && !after.contains(&to) {
                    after.extend(self.of(to));
                }
            }
        }
        let mut after: Vec<u32> = after.into_iter().collect();
        after.sort_unstable();
        after
    }
}

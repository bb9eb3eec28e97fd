//! Alignments: the cheapest way to make a trace and a model agree.

use hashbrown::HashMap;
use rayon::prelude::*;

use super::states::{FAR, States};
use crate::Error;
use crate::mining::event_log::EventLog;
use crate::mining::model::PetriNet;
use crate::mining::variants::Variants;
use crate::num::{float, u32_of};

/// Steps of the search for one trace; beyond them its answer is that there is none.
const STEPS_MAX: usize = 2_000_000;

/// How a log agrees with a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignments {
    /// The cost of each variant: events and model activities without a counterpart.
    /// Nothing where the search was given up.
    pub costs: Vec<Option<u32>>,
    /// The mean over all cases of 1 − cost / (events + fewest activities of the model).
    pub fitness: f64,
    /// Which part of the cases the model allows exactly.
    pub perfect: f64,
    /// The cost of all cases.
    pub total_cost: u64,
    /// Cases for which the search was given up; the figures leave them out.
    pub given_up: u64,
}

/// Aligns the variants of a log with a model.
///
/// # Errors
/// `Limit` if the model can be in too many states; `Invalid` if it cannot come to its end.
pub fn align(log: &EventLog, variants: &Variants, net: &PetriNet) -> Result<Alignments, Error> {
    let states = States::of(net)?;
    let labels: Vec<Option<u32>> = log
        .activities()
        .iter()
        .map(|name| net.labels().find(name))
        .collect();
    let least = states.distance[states.first as usize];
    let numbers: Vec<usize> = (0..variants.list().len()).collect();
    let costs: Vec<Option<u32>> = numbers
        .par_iter()
        .map(|&variant| {
            let trace = variants.trace(log, variant).iter();
            let trace: Vec<Option<u32>> = trace.map(|&it| labels[it as usize]).collect();
            cost(&states, &trace)
        })
        .collect();
    let mut sums = Alignments {
        costs: Vec::new(),
        fitness: 0.0,
        perfect: 0.0,
        total_cost: 0,
        given_up: 0,
    };
    let mut cases = 0;
    for (variant, cost) in costs.iter().enumerate() {
        let count = variants.list()[variant].count;
        let Some(cost) = *cost else {
            sums.given_up += count;
            continue;
        };
        let length = variants.trace(log, variant).len() as u64;
        let worst = length + u64::from(least);
        let fitness = 1.0 - float(u64::from(cost)) / float(worst.max(1));
        sums.fitness += fitness * float(count);
        sums.perfect += if cost == 0 { float(count) } else { 0.0 };
        sums.total_cost += u64::from(cost) * count;
        cases += count;
    }
    sums.fitness /= float(cases.max(1));
    sums.perfect /= float(cases.max(1));
    sums.costs = costs;
    Ok(sums)
}

/// The least cost of a trace: A* over pairs of marking and place in the trace.
///
/// The estimate is what must still cost: events whose label cannot occur any more, and
/// model activities beyond the events that are left for them.
fn cost(states: &States, trace: &[Option<u32>]) -> Option<u32> {
    let end = (states.last, u32_of(trace.len()));
    let mut best: HashMap<(u32, u32), u32> = HashMap::new();
    let mut queue = Queue::default();
    let begin = (states.first, 0);
    best.insert(begin, 0);
    queue.push(estimate(states, trace, begin)?, (begin, 0));
    let mut steps = 0;
    while let Some((state, so_far)) = queue.pop() {
        if state == end {
            return Some(so_far);
        }
        if best.get(&state).is_some_and(|&least| least < so_far) {
            continue;
        }
        steps += 1;
        if STEPS_MAX < steps {
            return None;
        }
        let (marking, at) = state;
        let event = trace.get(at as usize);
        let mut reach = |next: (u32, u32), cost: u32| {
            if best.get(&next).is_some_and(|&least| least <= cost) {
                return;
            }
            if let Some(rest) = estimate(states, trace, next) {
                best.insert(next, cost);
                queue.push(cost + rest, (next, cost));
            }
        };
        for &(label, to) in states.moves(marking) {
            match label {
                None => reach((to, at), so_far),
                Some(_) => {
                    if event.is_some_and(|event| *event == label) {
                        reach((to, at + 1), so_far);
                    }
                    reach((to, at), so_far + 1);
                }
            }
        }
        if event.is_some() {
            reach((marking, at + 1), so_far + 1);
        }
    }
    None
}

/// What the rest costs at least; nothing if the end cannot be reached.
fn estimate(states: &States, trace: &[Option<u32>], (marking, at): (u32, u32)) -> Option<u32> {
    let distance = states.distance[marking as usize];
    if distance == FAR {
        return None;
    }
    let rest = &trace[at as usize..];
    let usable = rest
        .iter()
        .flatten()
        .filter(|&&label| states.can_reach(marking, label));
    let usable = u32_of(usable.count());
    Some(u32_of(rest.len()) - usable + distance.saturating_sub(usable))
}

/// What comes next: the least estimate, of equal ones what was found last.
#[derive(Default)]
struct Queue {
    buckets: Vec<Vec<((u32, u32), u32)>>,
    lowest: usize,
}

impl Queue {
    fn push(&mut self, estimate: u32, entry: ((u32, u32), u32)) {
        let estimate = estimate as usize;
        if self.buckets.len() <= estimate {
            self.buckets.resize_with(estimate + 1, Vec::new);
        }
        self.buckets[estimate].push(entry);
        self.lowest = self.lowest.min(estimate);
    }

    fn pop(&mut self) -> Option<((u32, u32), u32)> {
        while let Some(bucket) = self.buckets.get_mut(self.lowest) {
            if let Some(entry) = bucket.pop() {
                return Some(entry);
            }
            self.lowest += 1;
        }
        None
    }
}

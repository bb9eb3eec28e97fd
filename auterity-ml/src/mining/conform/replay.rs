//! Token-based replay: a trace played on a net, with tokens added where they are missing.

use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::states::{Markings, fire};
use crate::mining::event_log::EventLog;
use crate::mining::model::PetriNet;
use crate::mining::variants::Variants;
use crate::num::{float, u32_of};

/// Markings that are looked at to find silent transitions that enable a visible one.
const SEARCH_MAX: usize = 10_000;

/// How a log replays on a net.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The mean over all cases of half the tokens that were not missing and half those
    /// that did not remain.
    pub fitness: f64,
    /// The same with the tokens of all cases added up first.
    pub log_fitness: f64,
    /// Which part of the cases replays without a missing or remaining token.
    pub perfect: f64,
    /// How well the net may fit other cases of the process: the rarer its transitions
    /// were used, the worse. After Buijs, van Dongen and van der Aalst (2014).
    pub generalization: f64,
}

/// The tokens of one trace.
#[derive(Debug, Clone, Default)]
struct Tokens {
    produced: u64,
    consumed: u64,
    missing: u64,
    remaining: u64,
    /// Events whose activity the net does not have.
    unknown: u64,
    fired: Vec<u32>,
}

/// Replays the variants of a log on a net.
#[must_use]
pub fn replay(log: &EventLog, variants: &Variants, net: &PetriNet) -> Replay {
    let labels: Vec<Option<u32>> = log
        .activities()
        .iter()
        .map(|name| net.labels().find(name))
        .collect();
    let numbers: Vec<usize> = (0..variants.list().len()).collect();
    // A player remembers paths, so that one plays as many variants as it can.
    let played: Vec<Tokens> = numbers
        .par_iter()
        .map_init(
            || Player::new(net),
            |player, &variant| {
                let trace = variants.trace(log, variant).iter();
                player.play(trace.map(|&it| labels[it as usize]))
            },
        )
        .collect();
    let (mut fitness, mut perfect, mut cases) = (0.0, 0, 0);
    let mut all = Tokens::default();
    let mut fired = vec![0_u64; net.transitions().len()];
    for (variant, tokens) in variants.list().iter().zip(&played) {
        let count = variant.count;
        cases += count;
        fitness += tokens.fitness() * float(count);
        perfect += if tokens.is_perfect() { count } else { 0 };
        all.produced += tokens.produced * count;
        all.consumed += tokens.consumed * count;
        all.missing += tokens.missing * count;
        all.remaining += tokens.remaining * count;
        for &transition in &tokens.fired {
            fired[transition as usize] += count;
        }
    }
    let rarity = fired.iter().map(|&count| {
        if count == 0 {
            1.0
        } else {
            1.0 / float(count).sqrt()
        }
    });
    let rarity: f64 = rarity.sum();
    Replay {
        fitness: fitness / float(cases),
        log_fitness: all.fitness(),
        perfect: float(perfect) / float(cases),
        generalization: 1.0 - rarity / float(fired.len().max(1) as u64),
    }
}

impl Tokens {
    fn fitness(&self) -> f64 {
        let kept = |lost: u64, of: u64| 1.0 - float(lost) / float(of.max(1));
        f64::midpoint(
            kept(self.missing, self.consumed),
            kept(self.remaining, self.produced),
        )
    }

    fn is_perfect(&self) -> bool {
        self.missing + self.remaining + self.unknown == 0
    }
}

/// Plays traces on a net, and remembers which silent transitions help.
struct Player<'n> {
    net: &'n PetriNet,
    /// The transitions of each label.
    by_label: Vec<Vec<u32>>,
    silent: Vec<u32>,
    markings: Markings,
    paths: HashMap<(u32, Goal), Option<Vec<u32>>>,
}

/// What silent transitions shall make possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Goal {
    Label(u32),
    End,
}

impl<'n> Player<'n> {
    fn new(net: &'n PetriNet) -> Self {
        let mut by_label = vec![Vec::new(); net.labels().len()];
        let mut silent = Vec::new();
        for (at, transition) in net.transitions().iter().enumerate() {
            match transition.label {
                None => silent.push(u32_of(at)),
                Some(label) => by_label[label as usize].push(u32_of(at)),
            }
        }
        Self {
            net,
            by_label,
            silent,
            markings: Markings::new(net.places()),
            paths: HashMap::new(),
        }
    }

    fn play(&mut self, trace: impl Iterator<Item = Option<u32>>) -> Tokens {
        let mut tokens = Tokens::default();
        let mut marking = Markings::of(self.net.places(), self.net.initial());
        tokens.produced += self.net.initial().len() as u64;
        for label in trace {
            match label {
                None => tokens.unknown += 1,
                Some(label) => self.play_event(label, &mut marking, &mut tokens),
            }
        }
        let number = self.markings.intern(&marking);
        if let Some(path) = self.path(number, Goal::End) {
            for transition in path {
                self.fire(transition, &mut marking, &mut tokens);
            }
        }
        for &place in self.net.last() {
            tokens.consumed += 1;
            match marking[place as usize] {
                0 => tokens.missing += 1,
                _ => marking[place as usize] -= 1,
            }
        }
        tokens.remaining += marking.iter().map(|&count| u64::from(count)).sum::<u64>();
        tokens
    }

    fn play_event(&mut self, label: u32, marking: &mut [u8], tokens: &mut Tokens) {
        let number = self.markings.intern(marking);
        if let Some(path) = self.path(number, Goal::Label(label)) {
            for transition in path {
                self.fire(transition, marking, tokens);
            }
        }
        let candidates = &self.by_label[label as usize];
        let lacking = |transition: &u32| {
            let inputs = &self.net.transitions()[*transition as usize].inputs;
            inputs
                .iter()
                .filter(|place| marking[**place as usize] == 0)
                .count()
        };
        let Some(&transition) = candidates.iter().min_by_key(|it| lacking(it)) else {
            tokens.unknown += 1;
            return;
        };
        self.fire(transition, marking, tokens);
    }

    /// Fires a transition, and adds the tokens that it lacks.
    fn fire(&self, transition: u32, marking: &mut [u8], tokens: &mut Tokens) {
        let transition_parts = &self.net.transitions()[transition as usize];
        for &place in &transition_parts.inputs {
            tokens.consumed += 1;
            match marking[place as usize] {
                0 => tokens.missing += 1,
                _ => marking[place as usize] -= 1,
            }
        }
        for &place in &transition_parts.outputs {
            tokens.produced += 1;
            // A net that gathers tokens without end stays at the most that fits.
            marking[place as usize] = marking[place as usize].saturating_add(1);
        }
        tokens.fired.push(transition);
    }

    /// The fewest silent transitions after which the goal is possible.
    fn path(&mut self, from: u32, goal: Goal) -> Option<Vec<u32>> {
        if let Some(known) = self.paths.get(&(from, goal)) {
            return known.clone();
        }
        let found = self.search(from, goal);
        self.paths.insert((from, goal), found.clone());
        found
    }

    fn search(&mut self, from: u32, goal: Goal) -> Option<Vec<u32>> {
        let end = Markings::of(self.net.places(), self.net.last());
        // Marking, the place in this list that it was reached from, and by what.
        let mut reached = vec![(from, usize::MAX, 0_u32)];
        let mut seen: HashSet<u32> = HashSet::from_iter([from]);
        let mut at = 0;
        while at < reached.len() && reached.len() < SEARCH_MAX {
            let tokens = self.markings.get(reached[at].0).to_vec();
            if self.is_reached(&tokens, goal, &end) {
                let mut path = Vec::new();
                while reached[at].1 != usize::MAX {
                    path.push(reached[at].2);
                    at = reached[at].1;
                }
                path.reverse();
                return Some(path);
            }
            for &transition in &self.silent {
                let mut next = tokens.clone();
                let parts = &self.net.transitions()[transition as usize];
                let full = next.contains(&u8::MAX);
                if !full && fire(&mut next, &parts.inputs, &parts.outputs) {
                    let next = self.markings.intern(&next);
                    if seen.insert(next) {
                        reached.push((next, at, transition));
                    }
                }
            }
            at += 1;
        }
        None
    }

    fn is_reached(&self, tokens: &[u8], goal: Goal, end: &[u8]) -> bool {
        match goal {
            Goal::End => tokens == end,
            Goal::Label(label) => self.by_label[label as usize].iter().any(|&transition| {
                let inputs = &self.net.transitions()[transition as usize].inputs;
                fire(&mut tokens.to_vec(), inputs, &[])
            }),
        }
    }
}

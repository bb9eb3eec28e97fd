//! All markings that a net can come to.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::mining::model::PetriNet;
use crate::num::u32_of;
use crate::{Error, ErrorKind};

/// A net with more markings is not compared with a log.
const MARKINGS_MAX: usize = 200_000;
const TOKENS_MAX: u8 = 200;
/// The distance from where the end cannot be reached.
pub(super) const FAR: u32 = u32::MAX;

/// Markings by their numbers, and what each does with a token of each place.
pub(super) struct Markings {
    places: usize,
    tokens: Vec<u8>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Markings {
    pub(super) fn new(places: u32) -> Self {
        Self {
            places: places as usize,
            tokens: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, marking: u32) -> &[u8] {
        &self.tokens[marking as usize * self.places..][..self.places]
    }

    pub(super) fn intern(&mut self, tokens: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(tokens);
        if let Some(known) = self.table.find(hash, |&it| self.get(it) == tokens) {
            return *known;
        }
        let marking = u32_of(self.len());
        self.tokens.extend_from_slice(tokens);
        let Self {
            places,
            tokens: all,
            table,
            hasher,
        } = self;
        let of = |marking: u32| &all[marking as usize * *places..][..*places];
        table.insert_unique(hash, marking, |&it| hasher.hash_one(of(it)));
        marking
    }

    /// The marking with one token for each entry.
    pub(super) fn of(places: u32, list: &[u32]) -> Vec<u8> {
        let mut tokens = vec![0; places as usize];
        for &place in list {
            tokens[place as usize] += 1;
        }
        tokens
    }
}

/// Tells whether a transition may fire, and fires it.
pub(super) fn fire(tokens: &mut [u8], inputs: &[u32], outputs: &[u32]) -> bool {
    for (at, &place) in inputs.iter().enumerate() {
        if tokens[place as usize] == 0 {
            for &place in &inputs[..at] {
                tokens[place as usize] += 1;
            }
            return false;
        }
        tokens[place as usize] -= 1;
    }
    for &place in outputs {
        tokens[place as usize] += 1;
    }
    true
}

/// What can happen from each marking, and how far the end is.
pub(super) struct States {
    /// Where the moves of each marking begin in `moves`.
    offsets: Vec<u32>,
    /// Label, or nothing if silent; and the next marking.
    moves: Vec<(Option<u32>, u32)>,
    pub(super) first: u32,
    pub(super) last: u32,
    /// The fewest visible moves to the end.
    pub(super) distance: Vec<u32>,
    /// Which labels can still occur, as bits.
    reach: Vec<u64>,
    words: usize,
}

impl States {
    /// Explores a net.
    ///
    /// # Errors
    /// `Limit` if it has too many markings or a place gathers tokens without end;
    /// `Invalid` if its end cannot be reached.
    pub(super) fn of(net: &PetriNet) -> Result<Self, Error> {
        let mut markings = Markings::new(net.places());
        let first = markings.intern(&Markings::of(net.places(), net.initial()));
        let mut offsets = vec![0];
        let mut moves = Vec::new();
        let mut next = 0;
        while next < u32_of(markings.len()) {
            for transition in net.transitions() {
                let mut tokens = markings.get(next).to_vec();
                if !fire(&mut tokens, &transition.inputs, &transition.outputs) {
                    continue;
                }
                let full = tokens.iter().any(|&count| TOKENS_MAX < count);
                let to = markings.intern(&tokens);
                if full || MARKINGS_MAX < markings.len() {
                    let message = format!(
                        "the model can be in more than {MARKINGS_MAX} states, too many to compare it with a log"
                    );
                    return Err(Error::new(ErrorKind::Limit, message));
                }
                moves.push((transition.label, to));
            }
            offsets.push(u32_of(moves.len()));
            next += 1;
        }
        let known = markings.len();
        let last = markings.intern(&Markings::of(net.places(), net.last()));
        let mut states = Self {
            offsets,
            moves,
            first,
            last,
            distance: vec![FAR; known],
            reach: Vec::new(),
            words: net.labels().len().div_ceil(64).max(1),
        };
        if known <= last as usize {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the model can never come to its end",
            ));
        }
        states.measure();
        Ok(states)
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// What can happen from a marking.
    pub(super) fn moves(&self, marking: u32) -> &[(Option<u32>, u32)] {
        let bounds = &self.offsets[marking as usize..];
        &self.moves[bounds[0] as usize..bounds[1] as usize]
    }

    /// Whether a label can occur now or later.
    pub(super) fn can_reach(&self, marking: u32, label: u32) -> bool {
        let word = self.reach[marking as usize * self.words + label as usize / 64];
        word >> (label % 64) & 1 == 1
    }

    /// Finds distances and labels, from the end backwards.
    fn measure(&mut self) {
        let mut before: Vec<Vec<(u32, Option<u32>)>> = vec![Vec::new(); self.len()];
        for marking in 0..u32_of(self.len()) {
            for &(label, to) in self.moves(marking) {
                before[to as usize].push((marking, label));
            }
        }
        self.distance[self.last as usize] = 0;
        // Silent moves cost nothing: what they lead from comes before what is further.
        let mut queue = std::collections::VecDeque::from([self.last]);
        while let Some(marking) = queue.pop_front() {
            let here = self.distance[marking as usize];
            for &(from, label) in &before[marking as usize] {
                let there = here + u32::from(label.is_some());
                if there < self.distance[from as usize] {
                    self.distance[from as usize] = there;
                    match label {
                        None => queue.push_front(from),
                        Some(_) => queue.push_back(from),
                    }
                }
            }
        }
        self.reach = vec![0; self.len() * self.words];
        let mut changed: Vec<u32> = (0..u32_of(self.len())).collect();
        while let Some(marking) = changed.pop() {
            for &(from, label) in &before[marking as usize] {
                let mut grown = false;
                for word in 0..self.words {
                    let mut bits = self.reach[marking as usize * self.words + word];
                    if let Some(label) = label.filter(|label| *label as usize / 64 == word) {
                        bits |= 1 << (label % 64);
                    }
                    let old = &mut self.reach[from as usize * self.words + word];
                    grown |= *old | bits != *old;
                    *old |= bits;
                }
                if grown {
                    changed.push(from);
                }
            }
        }
    }
}

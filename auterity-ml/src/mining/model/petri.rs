//! Petri nets.

use super::tree::ProcessTree;
use crate::mining::labels::Labels;
use crate::num::u32_of;

/// A Petri net with an initial and a final marking.
#[derive(Debug, Clone, Default)]
pub struct PetriNet {
    pub(super) labels: Labels,
    pub(super) places: u32,
    pub(super) transitions: Vec<Transition>,
    pub(super) initial: Vec<u32>,
    pub(super) last: Vec<u32>,
}

/// A transition of a Petri net. A place occurs as often as its arc weighs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The activity, as a label of the net; a silent one has none.
    pub label: Option<u32>,
    /// The places from which it takes.
    pub inputs: Vec<u32>,
    /// The places to which it gives.
    pub outputs: Vec<u32>,
}

impl PetriNet {
    /// Gives the net that allows what a tree allows. It is sound, and no place ever holds
    /// more than one token.
    #[must_use]
    pub fn of(tree: &ProcessTree) -> Self {
        let mut net = Self::default();
        let (first, last) = (net.place(), net.place());
        net.add(tree, first, last);
        net.initial = vec![first];
        net.last = vec![last];
        net
    }

    /// Gives the number of places.
    #[must_use]
    pub fn places(&self) -> u32 {
        self.places
    }

    /// Gives the transitions.
    #[must_use]
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// Gives the activities that transitions name.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Gives the places that hold a token at the beginning.
    #[must_use]
    pub fn initial(&self) -> &[u32] {
        &self.initial
    }

    /// Gives the places that hold a token at the end.
    #[must_use]
    pub fn last(&self) -> &[u32] {
        &self.last
    }

    fn place(&mut self) -> u32 {
        self.places += 1;
        self.places - 1
    }

    fn silent(&mut self, inputs: Vec<u32>, outputs: Vec<u32>) {
        self.transitions.push(Transition {
            label: None,
            inputs,
            outputs,
        });
    }

    /// Adds a tree between two places.
    fn add(&mut self, tree: &ProcessTree, from: u32, to: u32) {
        match tree {
            ProcessTree::Silent => self.silent(vec![from], vec![to]),
            ProcessTree::Activity(name) => {
                // A tree has fewer labels than the log that it was found on.
                let label = self.labels.intern(name.as_bytes()).ok();
                self.transitions.push(Transition {
                    label,
                    inputs: vec![from],
                    outputs: vec![to],
                });
            }
            ProcessTree::Sequence(parts) => {
                let mut before = from;
                for (at, part) in parts.iter().enumerate() {
                    let after = if at + 1 == parts.len() {
                        to
                    } else {
                        self.place()
                    };
                    self.add(part, before, after);
                    before = after;
                }
            }
            ProcessTree::Choice(parts) => {
                for part in parts {
                    self.add(part, from, to);
                }
            }
            ProcessTree::Parallel(parts) => {
                let (mut begins, mut ends) = (Vec::new(), Vec::new());
                for part in parts {
                    let (begin, end) = (self.place(), self.place());
                    self.add(part, begin, end);
                    begins.push(begin);
                    ends.push(end);
                }
                self.silent(vec![from], begins);
                self.silent(ends, vec![to]);
            }
            ProcessTree::Loop(body, redo) => {
                // Places of its own, so that nothing else enters the loop half way.
                let (begin, end) = (self.place(), self.place());
                self.silent(vec![from], vec![begin]);
                self.add(body, begin, end);
                self.add(redo, end, begin);
                self.silent(vec![end], vec![to]);
            }
        }
    }

    /// Checks what conformance needs: markings, and connected transitions.
    pub(super) fn checked(self) -> Result<Self, String> {
        if self.initial.is_empty() {
            return Err("no place holds a token at the beginning".to_owned());
        }
        if self.last.is_empty() {
            return Err("there is no final marking and no place without a way out".to_owned());
        }
        let loose = |transition: &&Transition| {
            transition.inputs.is_empty() || transition.outputs.is_empty()
        };
        if let Some(transition) = self.transitions.iter().find(loose) {
            let name = transition
                .label
                .map_or("a silent one", |it| self.labels.name(it));
            return Err(format!(
                "the transition {name} has no place before or behind it"
            ));
        }
        Ok(self)
    }
}

/// The number of a transition or place for names in files.
pub(super) fn number(index: usize) -> u32 {
    u32_of(index)
}

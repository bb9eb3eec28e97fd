//! The model of a log at a glance.

use serde::Serialize;

use crate::Error;
use crate::mining::conform::{align, precision, replay};
use crate::mining::discover::discover_tree;
use crate::mining::event_log::EventLog;
use crate::mining::model::PetriNet;
use crate::mining::variants::Variants;

/// The model that was discovered, and how the log agrees with it.
#[derive(Debug, Clone, Serialize)]
pub struct ModelSummary {
    /// The noise with which it was discovered.
    pub noise: f64,
    /// The process tree.
    pub process_tree: String,
    /// Places of its Petri net.
    pub places: u64,
    /// Transitions of its Petri net.
    pub transitions: u64,
    /// Token-based replay.
    pub token_replay: ReplaySummary,
    /// Alignments; nothing if the net has too many states.
    pub alignment: Option<AlignmentSummary>,
    /// The part of what the model allows that did happen; nothing if the net has too many
    /// states.
    pub precision: Option<f64>,
    /// How well the model may fit other cases.
    pub generalization: f64,
}

/// Token-based replay.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ReplaySummary {
    /// Fitness over the tokens of all cases.
    pub log_fitness: f64,
    /// The mean of the cases' fitness.
    pub trace_fitness: f64,
    /// Which part of the cases replays perfectly.
    pub perfect: f64,
}

/// Alignments.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AlignmentSummary {
    /// The mean of the cases' fitness.
    pub trace_fitness: f64,
    /// Which part of the cases the model allows exactly.
    pub perfect: f64,
    /// Events and model activities without a counterpart, in all cases.
    pub total_cost: u64,
    /// Cases for which the search was given up.
    pub given_up: u64,
}

impl ModelSummary {
    /// Discovers a model; without one, or without a part of its figures, tells why.
    pub(super) fn of(
        log: &EventLog,
        variants: &Variants,
        noise: f64,
    ) -> (Option<Self>, Option<String>) {
        let tree = match discover_tree(log, noise) {
            Ok(tree) => tree,
            Err(error) => return (None, Some(error.to_string())),
        };
        let net = PetriNet::of(&tree);
        let replayed = replay(log, variants, &net);
        let compared = || -> Result<_, Error> {
            let aligned = align(log, variants, &net)?;
            Ok((aligned, precision(log, variants, &net)?))
        };
        let (compared, missing) = match compared() {
            Ok(compared) => (Some(compared), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let model = Self {
            noise,
            process_tree: tree.to_string(),
            places: u64::from(net.places()),
            transitions: net.transitions().len() as u64,
            token_replay: ReplaySummary {
                log_fitness: replayed.log_fitness,
                trace_fitness: replayed.fitness,
                perfect: replayed.perfect,
            },
            alignment: compared.as_ref().map(|(aligned, _)| AlignmentSummary {
                trace_fitness: aligned.fitness,
                perfect: aligned.perfect,
                total_cost: aligned.total_cost,
                given_up: aligned.given_up,
            }),
            precision: compared.map(|(_, precision)| precision),
            generalization: replayed.generalization,
        };
        (Some(model), missing)
    }
}

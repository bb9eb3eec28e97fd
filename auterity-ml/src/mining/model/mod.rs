//! Models of processes.

mod bpmn;
mod notation;
mod petri;
mod pnml;
mod tree;

pub use self::petri::{PetriNet, Transition};
pub use self::tree::ProcessTree;

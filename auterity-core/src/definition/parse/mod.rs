//! From text to a tree of nodes that know their positions: YAML 1.2 and JSON.

mod build;
mod node;
mod scalar;
mod source;
mod surrogates;

pub(crate) use build::build;
pub(crate) use node::{Entry, Node, NodeValue};
pub(crate) use source::{Source, Span};

//! Discovery: from a log to a model.

mod cuts;
mod inductive;
mod split;
mod sublog;

pub use self::inductive::discover_tree;

//! Conformance: how a log and a model agree.

mod align;
mod precision;
mod replay;
mod states;

pub use self::align::{Alignments, align};
pub use self::precision::precision;
pub use self::replay::{Replay, replay};

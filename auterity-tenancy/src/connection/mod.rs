//! The only way to a database.

mod control;

pub use control::{ControlDb, ControlOptions};
pub(crate) use control::{Backend, database_error};

//! The only way to a database.

mod control;

pub(crate) use control::{Backend, database_error};
pub use control::{ControlDb, ControlOptions};

//! Tasks for people: found, taken, handed on, answered.

mod act;
mod documents;
mod person;
mod read;

/// The calls, by what they are for.
pub(super) type Api = (read::Api, act::Api);

/// All calls about human tasks.
pub(super) const API: Api = (read::Api, act::Api);

//! Schedules: what starts workflows by itself.

mod calls;
mod documents;
mod ticks;

/// The calls, by what they are for.
pub(super) type Api = (calls::Api, ticks::Api);

/// All calls about schedules.
pub(super) const API: Api = (calls::Api, ticks::Api);

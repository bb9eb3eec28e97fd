//! The pure heart of the engine: `(state, event, now) → (state, effects)`.
//!
//! Nothing here does I/O, reads a clock or draws a random number. An execution is a
//! small serialisable [`State`]; an [`Event`] is the only thing that changes it; what
//! must be done outside comes back as [`Effect`]s, and what happened to tasks as
//! [`TaskRecord`]s. So a snapshot plus the events after it gives the same state as
//! all events from the start.

mod brief;
mod control;
mod data_flow;
mod durable;
mod effect;
mod event;
mod flow;
mod inspect;
mod limits;
mod mapping;
mod order;
mod problem;
mod rebuild;
mod record;
mod request;
mod schedule;
mod snapshot;
mod state;
mod task;
mod transition;

pub(crate) use brief::{read as read_records, write as write_records};
pub use control::CANCELLED;
pub use durable::{Advance, Child, FunctionEnd, Tries, What, Wish};
pub(crate) use durable::{News, act, hear};
pub use effect::{Effect, Filter, FilterCorrelation, HumanTask, ParentClose};
pub use event::{EffectResult, Event};
pub use limits::Limits;
pub use order::Order;
pub use problem::{Problem, ProblemKind};
pub use rebuild::{PutBack, Rebuilt, Repeated, Stretch};
pub use record::{TaskRecord, TaskState, fits};
pub use request::{Request, called_function, request};
pub use state::{End, STATE_FORMAT, State};
pub use transition::{Machine, Transition, transition};

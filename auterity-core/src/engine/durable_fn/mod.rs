//! Durable functions: workflows written in Rust, on the same journal as definitions.
//!
//! An async function cannot be written down. So here, and only here, the function is
//! called again from its start when its execution comes back to memory: it hears of the
//! same events in the same order, is answered from the journal, and has to ask for the
//! same steps again. What has ended is not done again.

mod code;
mod context;
mod driver;
mod function;
mod retry;
mod steps;

pub(super) use code::Code;
pub use context::{DurableContext, EventFilter, Spawn, StepCall};
pub(super) use driver::Work;
pub use function::{DurableFunction, DurableFunctions};
pub use retry::StepRetry;
pub use steps::{Child, Sleep, Step, WaitFor};

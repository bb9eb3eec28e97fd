//! Workflow definitions: the CNCF Serverless Workflow DSL 1.0.

mod identity;
mod program;
mod stub;
pub(crate) use stub::schema;
pub use stub::{CompileOptions, Limits, Mistake, compile};

pub use identity::{ProgramHash, WorkflowRef};
pub(crate) use program::*;
pub use program::{ListIndex, Program, TaskIndex};

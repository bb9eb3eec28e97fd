//! Workflow definitions: the CNCF Serverless Workflow DSL 1.0.

mod identity;

pub use identity::{ProgramHash, WorkflowRef};

//! Workflow definitions: the CNCF Serverless Workflow DSL 1.0.
//!
//! [`parse`] reads a text into a [`Definition`], which can be written again;
//! [`compile`] makes a [`Program`] of it, which the engine executes. Both report
//! every [`Mistake`] of the text in one go, each at its line and column.

mod approval;
mod auth;
mod call;
mod compile;
mod cron;
mod data;
mod document;
mod endpoint;
mod event;
mod externals;
mod identity;
mod limits;
mod mistake;
mod parse;
mod parts;
mod process;
mod program;
mod read;
mod record;
mod retry;
mod schedule;
pub(crate) mod schema;
mod task;
mod text;
mod timeout;
mod union;
mod yaml;

pub(crate) use approval::APPROVAL;
pub use approval::{ApprovalArguments, Assignees, Escalation};
pub(crate) use compile::compile_events;
pub use compile::{CompileOptions, compile};
pub use document::Definition;
pub(crate) use externals::External;
pub use externals::Externals;
pub use identity::{ProgramHash, WorkflowRef};
pub use limits::Limits;
pub use mistake::{Mistake, Position, diagnose};
pub(crate) use mistake::{pointer_join, suggestion};
pub(crate) use program::*;
pub use program::{ListIndex, Program, TaskIndex};
pub use read::parse;
pub(crate) use read::read_data;

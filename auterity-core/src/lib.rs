//! Workflow definitions and the durable engine that executes them (AutoMatrix).

pub mod clock;
pub mod definition;
mod error;
pub mod expression;
mod ids;
mod scope;
pub mod store;

pub use error::{Error, ErrorKind, Violation};
pub use ids::{ExecutionId, InboxId, ParseIdError, SessionId, TenantId, UserId, WorkerId};
pub use scope::{Actor, Scope};

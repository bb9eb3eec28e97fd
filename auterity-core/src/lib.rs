//! Workflow definitions and the durable engine that executes them (AutoMatrix).

pub mod clock;
pub mod definition;
pub mod engine;
mod error;
mod exact;
pub mod expression;
pub mod functions;
mod ids;
pub mod interpreter;
mod routines;
pub mod schedule;
mod scope;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind, Violation};
pub use exact::check_exact;
pub use ids::{
    BulkId, ExecutionId, HumanTaskId, InboxId, ParseIdError, ScheduleId, SessionId, TenantId,
    UserId, WorkerId,
};
pub use routines::Routines;
pub use scope::{Actor, Scope};

/// The front page's example is compiled and executed with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;

/// The guide's examples are too.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../../docs/guide/testing.md")]
struct TestingPage;

#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../../docs/guide/durable-functions.md")]
struct DurableFunctionsPage;

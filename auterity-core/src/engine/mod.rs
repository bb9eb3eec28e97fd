//! The durable engine: loads states, applies events, commits, performs effects.
//!
//! ```text
//! Handle::start ─▶ transition ─▶ Journal (group commit) ─▶ Store
//!                                     │ committed
//! Worker (claims) ─▶ Execution ◀──────┘
//!                     │  ▲ results, times, messages
//!                     ▼  │
//!                  functions, children, events
//! ```
//!
//! Every event is committed before anything that follows from it is done, unless a
//! function is declared to run ahead. What was under way at a crash is done again with
//! the same key.

mod admission;
mod ahead;
mod begin;
mod control;
mod durable_fn;
mod execution;
mod externals;
mod feed;
mod figures;
mod flow;
mod handle;
mod heartbeat;
mod human_tasks;
mod journal;
mod life;
mod lifecycle;
mod mask;
mod options;
mod perform;
mod programs;
mod progress;
mod publish;
mod recover;
mod repair;
mod retention;
mod schedules;
mod select;
mod start;
mod stretch;
#[cfg(test)]
mod tests;
mod transact;
mod worker;

pub use admission::{
    Admission, Admitted, Asked, ConcurrencyLimit, Debounce, Hold, Keep, Limits, Purpose, RateLimit,
    Singleton, TenantSettings, Unlimited, WorkflowSettings,
};
pub use control::{Skip, order_of, tasks_of};
pub use durable_fn::{
    Child, DurableContext, DurableFunction, DurableFunctions, EventFilter, Sleep, Spawn, Step,
    StepCall, StepRetry, WaitFor,
};
pub use feed::FeedItem;
pub use figures::{Figures, Histogram, TaskFigures};
pub use flow::Kept;
pub use handle::{DeployError, Deployment, ExecutionView, Handle};
pub use human_tasks::{
    HumanTaskAction, HumanTaskAnswer, HumanTaskDetails, HumanTaskRights, HumanTaskView, Person,
};
pub use lifecycle::{LifecycleItem, LifecycleSink};
pub use options::{Options, Ports, Secrets};
pub use repair::{
    BULK_MAX, BulkAction, BulkOrder, BulkPlan, Fork, Migrate, Retry, RetryPlan, Selection, Verdict,
};
pub use schedules::{Backfill, Preview, ScheduleCreated, Triggered};
pub use start::{StartRequest, Started};
pub use worker::Engine;

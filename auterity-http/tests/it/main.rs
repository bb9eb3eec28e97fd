//! The API as a client meets it, in one process: an engine in memory, identity in SQLite.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panic"
)]

mod auth;
mod bulk;
mod edge;
mod events;
mod executions;
mod fixture;
mod flow;
mod openapi;
mod repair;
mod schedules;
mod serve;
mod tasks;
mod tenants;
mod workflows;

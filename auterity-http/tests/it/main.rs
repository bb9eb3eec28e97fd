//! The API as a client meets it, in one process: an engine in memory, identity in SQLite.

mod auth;
mod edge;
mod events;
mod executions;
mod fixture;
mod openapi;
mod serve;
mod tenants;
mod workflows;

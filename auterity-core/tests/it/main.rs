//! Integration tests of the crate.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers of tests fail by panic, read their settings and the time, and tables may be long"
)]

mod definition;
mod engine;
mod expression;
mod http;
mod kit;
mod openapi;
mod store;

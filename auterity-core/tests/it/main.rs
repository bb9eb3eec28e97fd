//! Integration tests of the crate.
#![expect(
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panic, say what they skip, read their settings and the time, and tables may be long"
)]

mod a2a;
mod asyncapi;
#[cfg(unix)]
mod container;
mod definition;
mod double;
mod durable_fn;
#[cfg(feature = "email")]
mod email;
mod engine;
mod expression;
mod functions;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod interpreter;
mod kit;
mod mcp;
mod openapi;
#[cfg(unix)]
mod process;
mod store;
mod testing;

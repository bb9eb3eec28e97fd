//! Integration tests of the crate.
#![expect(clippy::panic, reason = "helpers of tests fail by panic")]

mod definition;
mod engine;
mod expression;
mod http;
mod kit;
mod store;

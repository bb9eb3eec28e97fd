//! Integration tests of the crate.

mod definition;
mod engine;
mod expression;
mod http;
mod kit;
mod store;

//! Integration tests of the crate.

mod expression;
mod http;

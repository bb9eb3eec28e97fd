//! Integration tests of the crate.

mod definition;
mod expression;
mod http;

//! What the crate's ports mean, as suites that every implementation must pass.

pub mod store_suite;

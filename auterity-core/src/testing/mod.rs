//! What the crate's ports mean, as suites that every implementation must pass.

#[cfg(test)]
pub(crate) mod faults;
pub mod store_suite;

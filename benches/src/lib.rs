//! What the measurements share: where the databases are, the load, a small workload,
//! and how much memory the process has.

pub mod counting;
pub mod load;
pub mod memory;
pub mod place;
pub mod work;

/// Whatever made a measurement impossible.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

//! Figures for Prometheus, written by whoever knows them when they are asked for.

mod engine;
mod exposition;
mod http;
mod process;
mod registry;

pub use engine::engine;
pub use exposition::{Exposition, Kind};
pub use process::process;
pub use registry::Metrics;

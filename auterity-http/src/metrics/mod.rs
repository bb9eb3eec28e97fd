//! Figures for Prometheus, written by whoever knows them when they are asked for.

mod exposition;
mod http;
mod process;
mod registry;

pub use exposition::{Exposition, Kind};
pub use process::process;
pub use registry::Metrics;

//! What one evaluation may use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bounds one evaluation of an expression, or of a whole template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// How many units of work it may do; a unit is about a comparison, a copy of
    /// a small value or a call.
    pub operations_max: u64,
    /// How many bytes it may allocate for values, freed ones included.
    pub memory_bytes_max: usize,
    /// How large its result may be, as JSON text, in bytes.
    pub output_bytes_max: usize,
    /// How deeply values may be nested.
    pub depth_max: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            operations_max: 1_000_000,
            memory_bytes_max: 64 * 1024 * 1024,
            output_bytes_max: 4 * 1024 * 1024,
            depth_max: 128,
        }
    }
}

/// Names the part of the budget that was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Budget::operations_max`].
    Operations,
    /// [`Budget::memory_bytes_max`].
    Memory,
    /// [`Budget::output_bytes_max`].
    Output,
    /// [`Budget::depth_max`], or the nesting of calls.
    Depth,
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Operations => "operations",
            Self::Memory => "memory",
            Self::Output => "output size",
            Self::Depth => "depth",
        })
    }
}

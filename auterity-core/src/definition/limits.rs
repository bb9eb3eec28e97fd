//! What a definition may be at most.

use serde::{Deserialize, Serialize};

/// Bounds a definition's text and what it expands to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long the text may be, in bytes.
    pub text_bytes_max: usize,
    /// How long one key may be, in bytes.
    pub key_bytes_max: usize,
    /// How deeply objects and lists may be nested.
    pub depth_max: usize,
    /// How many keys and values there may be, with each alias counted as what it stands for.
    pub nodes_max: usize,
    /// How many tasks there may be, nested ones included.
    pub tasks_max: usize,
    /// How long one runtime expression may be, in bytes.
    pub expression_bytes_max: usize,
    /// How long all expressions may be together, in bytes; one that is referred to
    /// by name counts each time.
    pub expressions_bytes_max: usize,
    /// How many mistakes are reported before the search ends.
    pub mistakes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes_max: 1024 * 1024,
            key_bytes_max: 1024,
            depth_max: 64,
            nodes_max: 250_000,
            tasks_max: 10_000,
            expression_bytes_max: 16 * 1024,
            expressions_bytes_max: 4 * 1024 * 1024,
            mistakes_max: 200,
        }
    }
}

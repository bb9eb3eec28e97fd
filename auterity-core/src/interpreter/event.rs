//! What can happen to an execution.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Problem;

/// What an effect gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectResult {
    /// It succeeded with this value.
    Value(Arc<Value>),
    /// It failed.
    Problem(Problem),
}

/// One thing that happens to an execution, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It begins, with the raw input.
    Started {
        /// The raw input.
        input: Arc<Value>,
    },
    /// An effect ended.
    EffectEnded {
        /// Which one.
        effect: u64,
        /// What it gave.
        result: EffectResult,
    },
    /// A try of a call failed, and another one follows.
    TryFailed {
        /// The effect.
        effect: u64,
        /// Why it failed.
        problem: Problem,
        /// Whether it is known what the try did: if not, the next one has the same key.
        known: bool,
        /// When the next one begins.
        next_at: Timestamp,
        /// What it last said of itself, if it was cut off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<Arc<Value>>,
    },
    /// An awaited child execution ended.
    ChildEnded {
        /// The effect that started it.
        effect: u64,
        /// What it gave.
        result: EffectResult,
    },
    /// The time of a wait, a retry or a time-out has come.
    TimerFired,
    /// A `CloudEvent` came for a listening task.
    CloudEventReceived {
        /// The effect that listens.
        effect: u64,
        /// The event in structured form.
        event: Arc<Value>,
    },
    /// Somebody asked for the end.
    CancelRequested {
        /// Why, if they said so.
        reason: Option<String>,
    },
    /// A long stretch without effects goes on.
    Continued,
}

/// The words of all kinds of events.
const KINDS: [&str; 9] = [
    "execution.started",
    "effect.completed",
    "effect.failed",
    "effect.retrying",
    "child.ended",
    "timer.fired",
    "cloud_event.received",
    "execution.cancel_requested",
    "execution.continued",
];

impl Event {
    /// Gives the word itself if it is one of a kind of event.
    #[must_use]
    pub fn known_kind(word: &str) -> Option<&'static str> {
        KINDS.into_iter().find(|known| *known == word)
    }

    /// The word that the journal and the API use.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "execution.started",
            Self::EffectEnded {
                result: EffectResult::Value(_),
                ..
            } => "effect.completed",
            Self::EffectEnded {
                result: EffectResult::Problem(_),
                ..
            } => "effect.failed",
            Self::TryFailed { .. } => "effect.retrying",
            Self::ChildEnded { .. } => "child.ended",
            Self::TimerFired => "timer.fired",
            Self::CloudEventReceived { .. } => "cloud_event.received",
            Self::CancelRequested { .. } => "execution.cancel_requested",
            Self::Continued => "execution.continued",
        }
    }
}

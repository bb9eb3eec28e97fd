//! Durable functions: code in place of a definition's tasks, on the same journal.
//!
//! The function itself is not here. The engine calls it, and what it did after an event
//! is part of that event, as an [`Advance`]. So this half stays pure, and a journal can
//! be read where the function is not known. The state holds what is open; what has ended
//! is in the journal, from which the engine answers when it calls the function again.

mod act;
mod hear;
mod log;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use act::act;
pub(crate) use hear::hear;
pub(crate) use log::{Log, News};

use super::{Filter, Problem};

/// What a durable function did after an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Advance {
    /// What it asks for, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Wish>,
    /// The numbers of steps whose end it does not want any more, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<u64>,
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<FunctionEnd>,
}

/// How a call of a durable function ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionEnd {
    /// It returned this.
    Returned(Arc<Value>),
    /// It failed.
    Failed(Problem),
    /// It is to be called anew, with this input and nothing done yet.
    Again(Arc<Value>),
}

/// A step that a durable function asks for. Steps are numbered from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// The step's name.
    pub name: String,
    /// What is to be done.
    pub what: What,
    /// How often it is tried when it fails; absent: once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
    /// How long one try may take, in milliseconds; absent: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms_max: Option<u64>,
}

impl Wish {
    /// Asks for something to be done once, in whatever time.
    #[must_use]
    pub fn new(name: impl Into<String>, what: What) -> Self {
        Self {
            name: name.into(),
            what,
            tries: None,
            time_ms_max: None,
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Do the body that the function has for this step.
    Body,
    /// Call a registered function.
    Call {
        /// Its name, with its version where not the highest is meant.
        function: String,
        /// What it is called with.
        arguments: Arc<Value>,
    },
    /// Wait for a time.
    Sleep(Timestamp),
    /// Wait for a `CloudEvent`.
    Event(Filter),
    /// Start a child execution.
    Child(Child),
}

impl What {
    /// The word that history uses: that of the task which does the same.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Body => "step",
            Self::Call { .. } => "call",
            Self::Sleep(_) => "wait",
            Self::Event(_) => "listen",
            Self::Child(_) => "run",
        }
    }
}

/// How often a step is tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tries {
    /// How often at most; at least once.
    pub max: u32,
    /// The pause after the first try that failed, in milliseconds.
    pub delay_ms: u64,
    /// What the pause is multiplied by after each further try.
    pub factor: f64,
    /// The longest pause, in milliseconds.
    pub delay_ms_max: u64,
}

impl Tries {
    /// Gives the pause after this many tries.
    fn pause(&self, tries: u32) -> SignedDuration {
        let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
        let most = Duration::from_millis(self.delay_ms_max);
        let pause = Duration::from_millis(self.delay_ms).as_secs_f64() * self.factor.powi(exponent);
        let pause = Duration::try_from_secs_f64(pause).map_or(most, |pause| pause.min(most));
        SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)
    }
}

/// A child execution to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// The workflow's namespace.
    pub namespace: String,
    /// The workflow's name.
    pub name: String,
    /// The version; absent: the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The child's raw input.
    pub input: Arc<Value>,
    /// Whether the step ends with the child and not with its start.
    pub awaited: bool,
}

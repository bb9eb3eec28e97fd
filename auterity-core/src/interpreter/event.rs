//! What can happen to an execution.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Advance, End, Order, Problem, Rebuilt};
use crate::ExecutionId;

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
        /// How many executions above it wait for its end.
        #[serde(default, skip_serializing_if = "super::state::is_zero")]
        nesting: u32,
    },
    /// An effect ended.
    EffectEnded {
        /// Which one.
        effect: u64,
        /// What it gave.
        result: EffectResult,
    },
    /// An awaited child execution ended.
    ChildEnded {
        /// The effect that started it.
        effect: u64,
        /// What it gave.
        result: EffectResult,
    },
    /// A person answered.
    HumanTaskCompleted {
        /// The effect that asked.
        effect: u64,
        /// Outcome, data, who, when and a comment.
        answer: Arc<Value>,
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
    /// Somebody asked for the end, with compensation.
    CancelRequested {
        /// Who asked, and why.
        order: Order,
    },
    /// Somebody asked for the end at once, without compensation.
    TerminateRequested {
        /// Who asked, and why.
        order: Order,
    },
    /// Somebody stopped it for a while: nothing new begins.
    SuspendRequested {
        /// Who asked, and why.
        order: Order,
    },
    /// Somebody let it go on.
    ResumeRequested {
        /// Who asked, and why.
        order: Order,
    },
    /// Somebody ended a task that is at work, and said what it gave.
    TaskSkipped {
        /// Who asked, and why.
        order: Order,
        /// The task, as JSON pointer, with `#` and the activation where it is not the
        /// only one.
        task: String,
        /// What the next task gets.
        output: Arc<Value>,
    },
    /// A long stretch without effects goes on.
    Continued,
    /// Another event, and what a durable function did when it heard of it.
    FunctionAdvanced {
        /// The other event.
        after: Box<Event>,
        /// What the function did.
        advance: Advance,
    },
    /// The engine cannot go on with it: the database does not take it as it is.
    Failed {
        /// Why.
        problem: Problem,
    },
    /// It had come to this end before somebody let it go on.
    Ended {
        /// The end.
        end: End,
    },
    /// Somebody put it back to a task, or to its start.
    Retried {
        /// Who asked, and why.
        order: Order,
        /// The task's pointer and activation; absent: the start.
        from: Option<String>,
        /// Where it stands now.
        rebuilt: Box<Rebuilt>,
    },
    /// Somebody carried it over to another version.
    Migrated {
        /// Who asked, and why.
        order: Order,
        /// Where it stands now.
        rebuilt: Box<Rebuilt>,
    },
    /// It begins where another execution stood.
    Forked {
        /// Who asked, and why.
        order: Order,
        /// The other execution.
        source: ExecutionId,
        /// The task's pointer and activation there; absent: the start.
        from: Option<String>,
        /// Where it stands now.
        rebuilt: Box<Rebuilt>,
    },
    /// What somebody asked for could not be done any more when its turn came.
    OrderRefused {
        /// Who asked, and why.
        order: Order,
        /// Why not.
        why: Vec<String>,
    },
}

/// The words of all kinds of events.
const KINDS: [&str; 19] = [
    "execution.started",
    "effect.completed",
    "effect.failed",
    "child.ended",
    "human_task.completed",
    "timer.fired",
    "cloud_event.received",
    "execution.cancel_requested",
    "execution.terminate_requested",
    "execution.suspended",
    "execution.resumed",
    "task.skipped",
    "execution.continued",
    "execution.failed",
    "execution.ended",
    "execution.retried",
    "execution.migrated",
    "execution.forked",
    "execution.order_refused",
];

impl Event {
    /// Gives the word itself if it is one of a kind of event.
    #[must_use]
    pub fn known_kind(word: &str) -> Option<&'static str> {
        KINDS.into_iter().find(|known| *known == word)
    }

    /// Tells whether events of this kind carry an [`Order`].
    #[must_use]
    pub fn is_ordered(kind: &str) -> bool {
        matches!(
            kind,
            "execution.cancel_requested"
                | "execution.terminate_requested"
                | "execution.suspended"
                | "execution.resumed"
                | "execution.retried"
                | "execution.migrated"
                | "execution.forked"
                | "execution.order_refused"
                | "task.skipped"
        )
    }

    /// Gives what happened, without what a durable function did then.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::FunctionAdvanced { after, .. } => after,
            other => other,
        }
    }

    /// Gives the state that the event puts in place of the one before it, if it does.
    #[must_use]
    pub fn rebuilt(&self) -> Option<&Rebuilt> {
        match self {
            Self::Retried { rebuilt, .. }
            | Self::Migrated { rebuilt, .. }
            | Self::Forked { rebuilt, .. } => Some(rebuilt),
            _ => None,
        }
    }

    /// Tells whether events of this kind carry a state, so that nothing before them
    /// is needed to go on.
    #[must_use]
    pub fn is_rebuilding(kind: &str) -> bool {
        matches!(
            kind,
            "execution.retried" | "execution.migrated" | "execution.forked"
        )
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
            Self::ChildEnded { .. } => "child.ended",
            Self::HumanTaskCompleted { .. } => "human_task.completed",
            Self::TimerFired => "timer.fired",
            Self::CloudEventReceived { .. } => "cloud_event.received",
            Self::CancelRequested { .. } => "execution.cancel_requested",
            Self::TerminateRequested { .. } => "execution.terminate_requested",
            Self::SuspendRequested { .. } => "execution.suspended",
            Self::ResumeRequested { .. } => "execution.resumed",
            Self::TaskSkipped { .. } => "task.skipped",
            Self::Continued => "execution.continued",
            Self::FunctionAdvanced { after, .. } => after.kind(),
            Self::Failed { .. } => "execution.failed",
            Self::Ended { .. } => "execution.ended",
            Self::Retried { .. } => "execution.retried",
            Self::Migrated { .. } => "execution.migrated",
            Self::Forked { .. } => "execution.forked",
            Self::OrderRefused { .. } => "execution.order_refused",
        }
    }
}

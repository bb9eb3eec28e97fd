//! One call of a function, as the function sees it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::interpreter::fits;
use crate::{ExecutionId, Scope};

/// Bytes of JSON that a heartbeat carries at most.
const DETAILS_BYTES_MAX: usize = 16 * 1024;

/// One call of a function.
pub struct Invocation {
    /// The tenant and the worker that acts for it.
    pub scope: Scope,
    /// The execution.
    pub execution: ExecutionId,
    /// The JSON pointer of the task in the definition.
    pub task: String,
    /// The evaluated `with`. May contain secrets. Null for typed functions, which get
    /// it as their input.
    pub arguments: Value,
    /// The task's input.
    pub input: Arc<Value>,
    /// Stays the same when the call is repeated after a crash or after a try whose
    /// outcome is not known, and differs between loop iterations, branches and retries.
    pub key: String,
    /// Which try this is, from 1. Only tries whose outcome is known count.
    pub attempt: u32,
    /// What the last try said with its last heartbeat, if it was cut off.
    pub resumed_from: Option<Arc<Value>>,
    /// When the try began, by the engine's clock.
    pub at: Timestamp,
    /// Tells the engine that the function is alive; see
    /// [`heartbeat`](Invocation::heartbeat).
    pub heart: Heart,
    /// Fires when the result is not wanted any more.
    pub cancelled: CancellationToken,
}

impl Invocation {
    /// Makes the call of a function by a host itself, outside any definition: for the
    /// tests of functions.
    #[must_use]
    pub fn new(scope: Scope, execution: ExecutionId, arguments: Value) -> Self {
        Self {
            scope,
            execution,
            task: String::new(),
            arguments,
            input: Arc::new(Value::Null),
            key: execution.to_string(),
            attempt: 1,
            resumed_from: None,
            at: Timestamp::UNIX_EPOCH,
            heart: Heart::default(),
            cancelled: CancellationToken::new(),
        }
    }
}

impl Invocation {
    /// Says that the function is at work, and how far it has come.
    ///
    /// People see the details while the function works: `{"done": 3, "total": 10}` as a
    /// bar, `{"message": "…"}` as words. If the try is cut off, the next one finds them
    /// in [`resumed_from`](Self::resumed_from). Keep secrets out, and stay under 16 KiB
    /// of JSON: larger details are left out.
    pub fn heartbeat(&self, details: impl Into<Value>) {
        self.heart.beat(details.into());
    }
}

impl fmt::Debug for Invocation {
    /// Leaves arguments and input out: they may contain secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Invocation")
            .field("execution", &self.execution)
            .field("task", &self.task)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Carries a function's heartbeats to the engine. The default one carries them nowhere.
#[derive(Debug, Clone, Default)]
pub struct Heart {
    beats: Option<Arc<watch::Sender<Beat>>>,
}

/// The last heartbeat of a function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beat {
    /// The last details that were said.
    pub(crate) details: Option<Arc<Value>>,
}

impl Heart {
    /// Makes a heart that somebody listens to.
    pub(crate) fn heard() -> (Self, watch::Receiver<Beat>) {
        let (sender, receiver) = watch::channel(Beat::default());
        let beats = Some(Arc::new(sender));
        (Self { beats }, receiver)
    }

    fn beat(&self, details: Value) {
        let Some(beats) = &self.beats else { return };
        let kept = (!details.is_null() && fits(&details, DETAILS_BYTES_MAX)).then_some(details);
        beats.send_modify(|beat| {
            if let Some(details) = kept {
                beat.details = Some(Arc::new(details));
            }
        });
    }
}

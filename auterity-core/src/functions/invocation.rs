//! One call of a function, as the function sees it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::interpreter::fits;
use crate::{ExecutionId, Routines, Scope};

/// Bytes of JSON that a heartbeat carries at most.
const PROGRESS_BYTES_MAX: usize = 16 * 1024;

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
    /// Stays the same when the call is repeated after a crash, and differs between
    /// loop iterations, branches and retries.
    pub key: String,
    /// When the call began, by the engine's clock.
    pub at: Timestamp,
    /// What an earlier try of the same call said last with
    /// [`heartbeat`](Self::heartbeat), if a crash or a stop cut it off.
    pub resumed_from: Option<Arc<Value>>,
    /// Carries what [`heartbeat`](Self::heartbeat) says.
    pub heart: Heart,
    /// Fires when the result is not wanted any more.
    pub cancelled: CancellationToken,
    /// Whether the definition waits for what is called; if not (`run` with
    /// `await: false`), the call ends once it is under way.
    pub awaited: bool,
    /// For what goes on after the call.
    pub routines: Routines,
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
            at: Timestamp::UNIX_EPOCH,
            resumed_from: None,
            heart: Heart::default(),
            cancelled: CancellationToken::new(),
            awaited: true,
            routines: Routines::new(),
        }
    }
}

impl Invocation {
    /// Says that the function is at work, and how far it has come: for functions that are
    /// registered with [`heartbeat`](crate::functions::Registration::heartbeat); for
    /// others it does nothing.
    ///
    /// People see what is said while the function works: `{"done": 3, "total": 10}` as
    /// well as `{"message": "…"}`. Keep secrets out, and stay under 16 KiB of JSON: of
    /// anything larger only the sign of life counts.
    pub fn heartbeat(&self, progress: impl Into<Value>) {
        self.heart.beat(progress.into());
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

/// Carries a function's heartbeats to the engine; the default one carries them nowhere.
/// Cheap to clone, for work that does not have the invocation.
#[derive(Debug, Clone, Default)]
pub struct Heart(Option<watch::Sender<Option<Arc<Value>>>>);

impl Heart {
    /// Makes a heart that somebody listens to.
    pub(crate) fn heard() -> (Self, watch::Receiver<Option<Arc<Value>>>) {
        let (sender, receiver) = watch::channel(None);
        (Self(Some(sender)), receiver)
    }

    /// Does what [`Invocation::heartbeat`] does.
    pub fn beat(&self, progress: Value) {
        let Some(beats) = &self.0 else { return };
        let fitting = fits(&progress, PROGRESS_BYTES_MAX);
        beats.send_modify(|last| {
            if fitting {
                *last = Some(Arc::new(progress));
            }
        });
    }
}

//! One call of a function, as the function sees it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{ExecutionId, Routines, Scope};

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
            cancelled: CancellationToken::new(),
            awaited: true,
            routines: Routines::new(),
        }
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

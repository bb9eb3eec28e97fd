//! What functions under way say of themselves.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Fence;
use crate::{Error, ExecutionId, Scope, TenantId};

/// How far a function under way has come, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskProgress {
    /// Whose it is.
    pub tenant: TenantId,
    /// The execution.
    pub execution: ExecutionId,
    /// The effect in it.
    pub effect: u64,
    /// The JSON pointer of the task in the definition.
    pub task: String,
    /// When it was said.
    pub at: Timestamp,
    /// What was said, as JSON text.
    pub details: Arc<str>,
}

/// Keeps what functions under way said last. It is no part of the journal: what a crash
/// loses of it is said again.
#[async_trait]
pub trait TaskProgressStore: Send + Sync + fmt::Debug + 'static {
    /// Keeps what was said in place of what the same effect said before, as far as this
    /// life of the worker owns the executions, and removes what effects said that are
    /// over.
    async fn task_progress_put(
        &self,
        fence: &Fence,
        said: &[TaskProgress],
        over: &[(ExecutionId, u64)],
    ) -> Result<(), Error>;

    /// Fetches what the effects of an execution said last, in their order.
    async fn task_progress_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Vec<TaskProgress>, Error>;

    /// Removes what was said in executions that have ended since.
    async fn task_progress_sweep(&self) -> Result<(), Error>;
}

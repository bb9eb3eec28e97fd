//! Fork: a new execution that begins where another one stood.

use std::sync::Arc;

use serde_json::Value;

use super::history::{History, Place};
use crate::engine::handle::Handle;
use crate::engine::progress::{Given, Identity, Progress, to_json};
use crate::interpreter::{Event, Rebuilt};
use crate::store::Start;
use crate::{Error, ExecutionId, Scope};

/// From where a new execution begins, and with what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fork {
    /// The JSON pointer of a task of the other execution, with `#` and its activation
    /// unless the newest is meant. Absent or `/`: the start.
    pub from_task: Option<String>,
    /// What the task is given in place of what it had; at the start, the input.
    pub input: Option<Value>,
    /// The version to begin with; absent: the other execution's.
    pub version: Option<String>,
    /// Why, for the history.
    pub reason: Option<String>,
    /// A repeated fork with the same key finds the first.
    pub idempotency_key: Option<String>,
}

impl Handle {
    /// Starts an execution from where another one stood, ended or not. The two share
    /// nothing: what was under way there and has not ended is done here once more,
    /// under keys of its own, and children are started anew.
    ///
    /// # Errors
    /// As of [`retry`](Self::retry), but the other execution may be in any state.
    ///
    /// # Cancel safety
    /// A dropped future may leave the execution started.
    pub async fn fork(
        &self,
        scope: &Scope,
        id: ExecutionId,
        fork: Fork,
    ) -> Result<ExecutionId, Error> {
        let row = self.fetch(scope, id).await?;
        let place = match fork.from_task {
            Some(task) if task != "/" => Place::Task(task),
            _ => Place::Start,
        };
        let input = self.input_for(&row, &place, fork.input)?;
        let history = History::read(&self.core, scope, &row).await?;
        let version = fork.version.as_deref();
        let target = self.target(scope, &row, (&history, version)).await?;
        let plan = history.plan(&self.core, id, &place, (input.as_ref(), &target))?;
        let event = Event::Forked {
            order: self.order(scope, fork.reason)?,
            source: id,
            from: plan.task,
            rebuilt: Box::new(Rebuilt {
                before: plan.before,
                program: target.hash(),
                state: plan.state,
            }),
        };
        let now = self.core.now();
        let given = input.filter(|_| place == Place::Start);
        let gates = self.gates(scope, &row, (&target, given.as_ref())).await?;
        let start = Start {
            workflow: target.workflow().clone(),
            program: target.hash(),
            input: match given {
                Some(input) => to_json(&input)?,
                None => row.input.unwrap_or_else(|| Arc::from("null")),
            },
            parent: None,
            idempotency_key: fork.idempotency_key,
            attributes: row.attributes,
            priority: row.priority,
            gates,
            at: now,
        };
        let mut progress = Progress::new(Identity {
            tenant: scope.tenant(),
            execution: ExecutionId::generate(now, &*self.core.ports.entropy),
            program: target,
            parent: None,
            started_at: now,
            priority: row.priority,
            given: Some(Arc::new(Given {
                input: Arc::clone(&start.input),
                attributes: start.attributes.clone(),
            })),
        });
        let identity = &progress.identity;
        progress.code = self.core.code(&identity.program, identity.execution);
        Ok(self.core.commit_start(progress, start, event).await?.id)
    }
}

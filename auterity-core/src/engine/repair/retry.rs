//! Retry: an execution that has ended or is suspended goes on from an earlier task.

use std::sync::Arc;

use serde_json::Value;

use super::history::{History, Place, Plan};
use crate::definition::Program;
use crate::engine::admission::{Asked, Purpose};
use crate::engine::control::Command;
use crate::engine::handle::Handle;
use crate::engine::progress::{Identity, Progress, to_json};
use crate::interpreter::{End, Event, Order, ParentClose, Problem, Rebuilt, Repeated, fits};
use crate::store::{Amend, Amended, ExecutionRow, Gate, InboxMessage, MessageKind, Next, Status};
use crate::{Error, ErrorKind, ExecutionId, InboxId, Scope};

/// From where an execution goes on, and with what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retry {
    /// The JSON pointer of a task, with `#` and its activation unless the newest is
    /// meant; `/` is the start. Absent: the task whose error ended the execution.
    pub from_task: Option<String>,
    /// What the task is given in place of what it had; at the start, the input.
    pub input: Option<Value>,
    /// The version to go on with; absent: the present one.
    pub version: Option<String>,
    /// Why, for the history.
    pub reason: Option<String>,
    /// Only says what would happen.
    pub dry_run: bool,
}

/// What a retry does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPlan {
    /// The task from which it goes on, with its activation; absent: the start.
    pub from_task: Option<String>,
    /// The version with which it goes on.
    pub version: String,
    /// What had run since that task, and so runs again unless the way changes.
    pub runs_again: Vec<Repeated>,
}

impl Handle {
    /// Puts an execution that has ended, or is suspended with nothing under way, back
    /// to a task and lets it go on from there. What it did outside since then is not
    /// undone. Effects that begin again have new idempotency keys.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution or version,
    /// [`Conflict`](ErrorKind::Conflict) when it is at work, when the task has not run
    /// or when the state does not map to the version, [`Invalid`](ErrorKind::Invalid)
    /// when the input breaks its schema or no task is named where one must be.
    pub async fn retry(
        &self,
        scope: &Scope,
        id: ExecutionId,
        retry: Retry,
    ) -> Result<RetryPlan, Error> {
        self.retry_as(scope, id, retry, None).await
    }

    /// Retries under an order's id, or a new one.
    pub(super) async fn retry_as(
        &self,
        scope: &Scope,
        id: ExecutionId,
        retry: Retry,
        order: Option<InboxId>,
    ) -> Result<RetryPlan, Error> {
        let row = self.fetch(scope, id).await?;
        if !row.status.is_ended() && row.status != Status::Suspended {
            let message = format!(
                "the execution is {}; suspend or cancel it first",
                row.status
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let place = place(&row, retry.from_task)?;
        let input = self.input_for(&row, &place, retry.input)?;
        let history = History::read(&self.core, scope, &row).await?;
        let target = self
            .target(scope, &row, (&history, retry.version.as_deref()))
            .await?;
        let plan = history.plan(&self.core, id, &place, (input.as_ref(), &target))?;
        let told = RetryPlan {
            from_task: plan.task.clone(),
            version: target.workflow().version.clone(),
            runs_again: plan.runs_again.clone(),
        };
        if !retry.dry_run {
            let mut asked = self.order(scope, retry.reason)?;
            asked.id = order.unwrap_or(asked.id);
            let given = input.filter(|_| place == Place::Start);
            let amend = self
                .amend(scope, &row, (&history, target, plan), (asked, given))
                .await?;
            self.apply_amend(scope, &row, amend).await?;
        }
        Ok(told)
    }

    /// Gives what the place is given: at the start the execution's own input unless
    /// another is wanted.
    pub(super) fn input_for(
        &self,
        row: &ExecutionRow,
        place: &Place,
        wanted: Option<Value>,
    ) -> Result<Option<Arc<Value>>, Error> {
        let most = self.core.options.execution.payload_bytes_max;
        if wanted.as_ref().is_some_and(|input| !fits(input, most)) {
            let message = format!("the input is larger than {most} bytes of JSON");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if let (Place::Start, None) = (place, &wanted) {
            return Ok(Some(own_input(row)?));
        }
        Ok(wanted.map(Arc::new))
    }

    /// Finds the definition to go on with.
    pub(super) async fn target(
        &self,
        scope: &Scope,
        row: &ExecutionRow,
        (history, version): (&History, Option<&str>),
    ) -> Result<Arc<Program>, Error> {
        match version {
            Some(version) => self.version_of(scope, row, version).await,
            None => history
                .program()
                .map(Arc::clone)
                .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the execution has no history")),
        }
    }

    /// Finds another version of an execution's workflow.
    pub(super) async fn version_of(
        &self,
        scope: &Scope,
        row: &ExecutionRow,
        version: &str,
    ) -> Result<Arc<Program>, Error> {
        let workflow = &row.workflow;
        let found = self
            .program(scope, &workflow.namespace, &workflow.name, Some(version))
            .await?;
        found.map(|(_, program)| program).ok_or_else(|| {
            let message = format!(
                "there is no version {version} of {}/{}; deploy it first",
                workflow.namespace, workflow.name
            );
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// Asks what an execution has to pass that goes on or begins anew with this input,
    /// or its own.
    pub(super) async fn gates(
        &self,
        scope: &Scope,
        row: &ExecutionRow,
        (target, given): (&Program, Option<&Arc<Value>>),
    ) -> Result<Vec<Gate>, Error> {
        let input = match given {
            Some(input) => Arc::clone(input),
            None => own_input(row)?,
        };
        let asked = Asked {
            purpose: Purpose::Repair,
            workflow: target.workflow(),
            input: &input,
            idempotency_key: None,
            now: self.core.now(),
        };
        Ok(self.core.ports.admission.admit(scope, &asked).await?.gates)
    }

    /// Makes the change that a plan asks for.
    async fn amend(
        &self,
        scope: &Scope,
        row: &ExecutionRow,
        (history, target, plan): (&History, Arc<Program>, Plan),
        (order, given): (Order, Option<Arc<Value>>),
    ) -> Result<Amend, Error> {
        let mut messages = Vec::new();
        let kept: Vec<u64> = plan.state.children().collect();
        if let Some(now) = self.progress(row.id).await? {
            let dropped = now.state.children().filter(|child| !kept.contains(child));
            for effect in dropped {
                messages.extend(self.close_child(scope, row.id.of_child(effect), row.id)?);
            }
        }
        let rebuilt = Rebuilt {
            before: plan.before,
            program: target.hash(),
            state: plan.state,
        };
        let (mut events, mut gates) = (Vec::new(), Vec::new());
        if row.status.is_ended() {
            events.push(Event::Ended { end: end_of(row) });
            gates = self.gates(scope, row, (&target, given.as_ref())).await?;
        }
        events.push(Event::Retried {
            order,
            from: plan.task,
            rebuilt: Box::new(rebuilt),
        });
        let workflow = target.workflow().clone();
        let mut progress = Progress::new(Identity {
            tenant: scope.tenant(),
            execution: row.id,
            program: target,
            parent: None,
            started_at: row.started_at,
            priority: row.priority,
            given: None,
        });
        progress.sequence = history.last;
        let prepared = progress
            .prepare(&self.core, &events, Vec::new(), true)
            .await?;
        Ok(Amend {
            tenant: scope.tenant(),
            execution: row.id,
            after: history.last,
            events: prepared.entry.events,
            snapshot: progress.take_snapshot()?,
            subscribe: prepared.entry.subscribe,
            human_tasks: prepared.entry.human_tasks,
            messages,
            workflow,
            program: progress.identity.program.hash(),
            input: given.map(|input| to_json(&input)).transpose()?,
            gates,
            at: self.core.now(),
        })
    }

    async fn apply_amend(
        &self,
        scope: &Scope,
        row: &ExecutionRow,
        amend: Amend,
    ) -> Result<(), Error> {
        let conflict = |message: &str| Err(Error::new(ErrorKind::Conflict, message));
        match self.core.ports.store.execution_amend(&amend).await? {
            Amended::Done => {}
            Amended::Owned => {
                return conflict("a task of the execution is under way; wait for it, or skip it");
            }
            Amended::Moved => return conflict("the execution has changed meanwhile; try again"),
        }
        self.core.changed(scope.tenant(), || ExecutionRow {
            workflow: amend.workflow.clone(),
            program: amend.program,
            status: Status::Pending,
            ended_at: None,
            waiting_for: None,
            input: None,
            output: None,
            error: None,
            ..row.clone()
        });
        self.core.feed.grew(row.id, &Next::Queued, Default::default);
        self.core.announce(&amend.messages).await;
        self.core.queued().await;
        Ok(())
    }

    /// The word to a child that is not waited for any more.
    fn close_child(
        &self,
        scope: &Scope,
        child: ExecutionId,
        parent: ExecutionId,
    ) -> Result<Option<InboxMessage>, Error> {
        let Some(command) = Command::from_parent(parent, ParentClose::Cancel) else {
            return Ok(None);
        };
        Ok(Some(InboxMessage {
            id: InboxId::derived(child, "parent closed"),
            tenant: scope.tenant(),
            execution: child,
            kind: MessageKind::Control,
            effect: None,
            payload: to_json(&command)?,
            at: self.core.now(),
        }))
    }
}

/// Reads what an execution was started with.
fn own_input(row: &ExecutionRow) -> Result<Arc<Value>, Error> {
    let text = row.input.as_deref().unwrap_or("null");
    serde_json::from_str(text).map(Arc::new).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the execution's input cannot be read").with_source(error)
    })
}

/// Finds where to go on.
fn place(row: &ExecutionRow, wanted: Option<String>) -> Result<Place, Error> {
    let task = match wanted {
        Some(task) => task,
        None => failed_task(row).ok_or_else(|| {
            let message = "no task of the execution failed; say from_task, or / for the start";
            Error::new(ErrorKind::Invalid, message)
        })?,
    };
    Ok(match task.as_str() {
        "/" => Place::Start,
        _ => Place::Task(task),
    })
}

/// Gives the task whose error ended the execution.
fn failed_task(row: &ExecutionRow) -> Option<String> {
    let error: Problem = serde_json::from_str(row.error.as_deref()?).ok()?;
    Some(error.instance.unwrap_or_else(|| "/".to_owned()))
}

/// How an execution had ended, for its history.
fn end_of(row: &ExecutionRow) -> End {
    let read = |text: &Option<Arc<str>>| text.as_deref().and_then(|t| serde_json::from_str(t).ok());
    match row.status {
        Status::Completed => End::Completed(Arc::new(read(&row.output).unwrap_or_default())),
        Status::Faulted => {
            let problem = row.error.as_deref();
            match problem.and_then(|text| serde_json::from_str(text).ok()) {
                Some(problem) => End::Faulted(problem),
                None => End::Cancelled(None),
            }
        }
        _ => End::Cancelled(None),
    }
}

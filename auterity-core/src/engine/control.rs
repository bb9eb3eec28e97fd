//! Control of executions from outside: cancel, terminate, suspend, resume, skip.
//!
//! What is asked travels as a message, so it reaches an execution wherever it is: in
//! memory here, in another process, or parked. Its owner alone changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Handle;
use super::life::Core;
use super::progress::{Progress, to_json};
use crate::definition::ProgramHash;
use crate::interpreter::{Event, Order, ParentClose, TaskRecord, fits, read_records};
use crate::store::{Control, EventRow, InboxMessage, MessageKind, Status};
use crate::{Actor, Error, ErrorKind, ExecutionId, InboxId, Scope};

/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 4 * 1024;

/// What is to be done to an execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Cancel,
    Terminate,
    Suspend,
    Resume,
    Skip { task: String, output: Arc<Value> },
    Migrate { program: ProgramHash },
}

/// What is to be done, for whom and why.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    action: Action,
    by: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Command {
    /// What a parent has to say to a child that it does not wait for any more.
    pub(super) fn from_parent(parent: ExecutionId, policy: ParentClose) -> Option<Self> {
        let action = match policy {
            ParentClose::Cancel => Action::Cancel,
            ParentClose::Terminate => Action::Terminate,
            ParentClose::Abandon => return None,
        };
        Some(Self {
            action,
            by: Actor::Execution(parent),
            reason: Some("the execution that started it went on without it".to_owned()),
        })
    }

    /// Gives the event that the command is, or the version that it asks for.
    pub(super) fn into_event(self, id: InboxId) -> Result<Event, (Order, ProgramHash)> {
        let order = Order {
            id,
            by: self.by,
            reason: self.reason,
        };
        Ok(match self.action {
            Action::Migrate { program } => return Err((order, program)),
            Action::Cancel => Event::CancelRequested { order },
            Action::Terminate => Event::TerminateRequested { order },
            Action::Suspend => Event::SuspendRequested { order },
            Action::Resume => Event::ResumeRequested { order },
            Action::Skip { task, output } => Event::TaskSkipped {
                order,
                task,
                output,
            },
        })
    }
}

impl Handle {
    /// Asks for an execution's end. Its tasks at work see an error of type
    /// [`CANCELLED`](crate::interpreter::CANCELLED); where a `catch` names it, the
    /// catch's tasks run first, for [`cancel_grace`](crate::interpreter::Limits) at
    /// most. A second request changes nothing.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution,
    /// [`Conflict`](ErrorKind::Conflict) when it has ended.
    pub async fn cancel(
        &self,
        scope: &Scope,
        id: ExecutionId,
        reason: Option<String>,
    ) -> Result<(), Error> {
        self.command(scope, id, Action::Cancel, reason).await?;
        Ok(())
    }

    /// Asks for an execution's end at once: nothing in it runs any more, not even
    /// what would undo something.
    ///
    /// # Errors
    /// As of [`cancel`](Self::cancel).
    pub async fn terminate(
        &self,
        scope: &Scope,
        id: ExecutionId,
        reason: Option<String>,
    ) -> Result<(), Error> {
        self.command(scope, id, Action::Terminate, reason).await?;
        Ok(())
    }

    /// Stops an execution for a while: no task begins, results of what is under way
    /// are recorded, and times that come due wait. Harmless when it is suspended
    /// already.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution,
    /// [`Conflict`](ErrorKind::Conflict) when it has ended or is being cancelled.
    pub async fn suspend(
        &self,
        scope: &Scope,
        id: ExecutionId,
        reason: Option<String>,
    ) -> Result<(), Error> {
        if self.may_suspend(scope, id).await? {
            self.command(scope, id, Action::Suspend, reason).await?;
        }
        Ok(())
    }

    /// Lets a suspended execution go on: first what came due meanwhile, then the rest.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution,
    /// [`Conflict`](ErrorKind::Conflict) when it is not suspended.
    pub async fn resume(
        &self,
        scope: &Scope,
        id: ExecutionId,
        reason: Option<String>,
    ) -> Result<(), Error> {
        self.may_resume(scope, id).await?;
        self.command(scope, id, Action::Resume, reason).await?;
        Ok(())
    }

    /// Ends a task that is at work as if it had given the output, without regard to
    /// its `output` filter. `task` is its JSON pointer, with `#` and the activation
    /// where it is at work more than once.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution,
    /// [`Conflict`](ErrorKind::Conflict) when it has ended or the task is not at work,
    /// [`Limit`](ErrorKind::Limit) when the output is too large.
    pub async fn skip(&self, scope: &Scope, id: ExecutionId, skip: Skip) -> Result<(), Error> {
        let most = self.core.options.execution.payload_bytes_max;
        if !fits(&skip.output, most) {
            let message = format!("the output is larger than {most} bytes of JSON");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let row = self.fetch(scope, id).await?;
        let progress = self.progress(id).await?.ok_or_else(|| ended(row.status))?;
        let found = progress
            .state
            .check_at_work(&progress.identity.program, &skip.task);
        found.map_err(|why| Error::new(ErrorKind::Conflict, why))?;
        let action = Action::Skip {
            task: skip.task,
            output: Arc::new(skip.output),
        };
        self.command(scope, id, action, skip.reason).await?;
        Ok(())
    }

    /// Tells whether there is something to suspend: not if it is suspended already.
    pub(super) async fn may_suspend(&self, scope: &Scope, id: ExecutionId) -> Result<bool, Error> {
        let row = self.fetch(scope, id).await?;
        if row.status == Status::Suspended {
            return Ok(false);
        }
        if let Some(progress) = self.progress(id).await?
            && progress.state.is_cancelling()
        {
            let message = "the execution is being cancelled; terminate it or let it finish";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(true)
    }

    /// Refuses what is not suspended.
    pub(super) async fn may_resume(&self, scope: &Scope, id: ExecutionId) -> Result<(), Error> {
        let row = self.fetch(scope, id).await?;
        if row.status != Status::Suspended {
            let message = format!("the execution is {} and not suspended", row.status);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(())
    }

    /// Rebuilds where an execution stands, unless it has ended.
    pub(super) async fn progress(&self, id: ExecutionId) -> Result<Option<Progress>, Error> {
        let store = &self.core.ports.store;
        let Some(loaded) = store.execution_load(&[id]).await?.into_iter().next() else {
            return Ok(None);
        };
        Progress::recover(&self.core, &loaded).await.map(Some)
    }

    /// Makes the order of whoever acts in the scope.
    pub(super) fn order(&self, scope: &Scope, reason: Option<String>) -> Result<Order, Error> {
        check_reason(reason.as_deref())?;
        Ok(Order {
            id: InboxId::generate(self.core.now(), &*self.core.ports.entropy),
            by: scope.actor().clone(),
            reason,
        })
    }

    /// Sends a command; gives the order's id.
    pub(super) async fn command(
        &self,
        scope: &Scope,
        id: ExecutionId,
        action: Action,
        reason: Option<String>,
    ) -> Result<InboxId, Error> {
        self.command_as(scope, id, (None, action), reason).await
    }

    /// Sends a command under an id, or a new one; what was sent before under the same id
    /// is not sent again.
    pub(super) async fn command_as(
        &self,
        scope: &Scope,
        id: ExecutionId,
        command: (Option<InboxId>, Action),
        reason: Option<String>,
    ) -> Result<InboxId, Error> {
        check_reason(reason.as_deref())?;
        match self.core.command(scope, id, command, reason).await? {
            Some(order) => Ok(order),
            None => {
                let row = self.fetch(scope, id).await?;
                Err(ended(row.status))
            }
        }
    }
}

impl Core {
    /// Sends a command; gives the order's id unless the execution has ended.
    pub(super) async fn command(
        &self,
        scope: &Scope,
        id: ExecutionId,
        (order, action): (Option<InboxId>, Action),
        reason: Option<String>,
    ) -> Result<Option<InboxId>, Error> {
        let control = match &action {
            Action::Suspend => Control::Suspend,
            Action::Resume => Control::Resume,
            Action::Cancel | Action::Terminate => Control::End,
            Action::Skip { .. } | Action::Migrate { .. } => Control::Tell,
        };
        let now = self.now();
        let command = Command {
            action,
            by: scope.actor().clone(),
            reason,
        };
        let new = || InboxId::generate(now, &*self.ports.entropy);
        let message = InboxMessage {
            id: order.unwrap_or_else(new),
            tenant: scope.tenant(),
            execution: id,
            kind: MessageKind::Control,
            effect: None,
            payload: to_json(&command)?,
            at: now,
        };
        if !self.ports.store.control_put(&message, control).await? {
            return Ok(None);
        }
        let order = message.id;
        self.announce(&[message]).await;
        Ok(Some(order))
    }
}

/// Gives the changes of tasks that a journal row records, in order.
///
/// # Errors
/// Kind [`Corrupt`](ErrorKind::Corrupt) if the row was written by something else.
pub fn tasks_of(row: &EventRow) -> Result<Vec<TaskRecord>, Error> {
    read_records(&row.records, &row.payload, row.at).map_err(|error| {
        let message = "the task records of a journal row cannot be read";
        Error::new(ErrorKind::Corrupt, message).with_source(error)
    })
}

/// Tells who asked for what a journal row records, and why, if somebody did.
#[must_use]
pub fn order_of(row: &EventRow) -> Option<Order> {
    #[derive(Deserialize)]
    struct Carrier {
        order: Option<Order>,
        /// What a durable function did after.
        after: Option<BTreeMap<String, Carrier>>,
    }
    fn order(carried: BTreeMap<String, Carrier>) -> Option<Order> {
        let carrier = carried.into_values().next()?;
        carrier.order.or_else(|| order(carrier.after?))
    }
    if !Event::is_ordered(row.kind) {
        return None;
    }
    order(serde_json::from_str(&row.payload).ok()?)
}

/// What a task that is skipped is to have given.
#[derive(Debug, Clone, PartialEq)]
pub struct Skip {
    /// The task's JSON pointer, with `#` and its activation where it is at work more
    /// than once.
    pub task: String,
    /// What the next task gets.
    pub output: Value,
    /// Why, for the history.
    pub reason: Option<String>,
}

fn check_reason(reason: Option<&str>) -> Result<(), Error> {
    if reason.is_some_and(|text| REASON_BYTES_MAX < text.len()) {
        let message = format!("the reason is longer than {REASON_BYTES_MAX} bytes");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(())
}

fn ended(status: Status) -> Error {
    let message = format!("the execution has ended already: it is {status}");
    Error::new(ErrorKind::Conflict, message)
}
